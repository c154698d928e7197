//! Recipes as people write them, right and wrong.

use super::*;

const SMALL: &str = r#"
[network]
name = "mobilenet_v2"
widths = [0.25, 1.0]
resolutions = [32, 24]

[data]
path = "somewhere"

[train]
epochs = 2
batch = 8
lr = 0.1
"#;

fn error(text: &str, overrides: &[&str]) -> (String, Option<String>) {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    match Recipe::parse(text, &overrides).unwrap_err() {
        Error::Recipe { reason, hint, .. } => (reason, hint),
        other => (other.to_string(), None),
    }
}

#[test]
fn defaults_are_the_reference() {
    let recipe = Recipe::parse(SMALL, &[]).unwrap();
    assert_eq!((recipe.train.momentum, recipe.train.nesterov, recipe.train.weight_decay), (0.9, true, 1e-4));
    assert_eq!(recipe.train.random_subnets, 2);
    assert_eq!(recipe.table_rows().unwrap().len(), 32);
    assert_eq!(Recipe::parse(&recipe.to_toml(), &[]).unwrap(), recipe);
}

#[test]
fn zero_branches_and_weights_from_a_file_exclude_each_other() {
    let (reason, _) = error(SMALL, &["train.zero_init_residual=true", "train.init=w.safetensors"]);
    assert!(reason.contains("train.zero_init_residual"), "{reason}");
    let recipe = Recipe::parse(SMALL, &["train.zero_init_residual=true".to_owned()]).unwrap();
    assert!(recipe.train.zero_init_residual);
}

#[test]
fn overrides_win() {
    let overrides = ["train.epochs=7", "data.path=other/place", "network.resolutions=[40, 20]", "seed=5"];
    let recipe = Recipe::parse(SMALL, &overrides.map(str::to_owned)).unwrap();
    assert_eq!(recipe.train.epochs, 7);
    assert_eq!(recipe.data.path, Path::new("other/place"));
    assert_eq!((recipe.crop().get(), recipe.seed), (40, 5));
    let overrides = ["data.augment.mixup=0.2", "data.augment.cutmix=1", "data.augment.repeats=3"];
    let augment = Recipe::parse(SMALL, &overrides.map(str::to_owned)).unwrap().data.augment;
    assert_eq!((augment.mixup, augment.cutmix, augment.repeats), (0.2, 1.0, 3));
}

#[test]
fn unknown_keys_name_the_nearest() {
    let (reason, hint) = error(&SMALL.replace("epochs", "epoch"), &[]);
    assert!(reason.contains("unknown field `epoch`") && reason.contains("line"), "{reason}");
    assert_eq!(hint.as_deref(), Some("did you mean `epochs`?"));
    let (_, hint) = error(SMALL, &["train.momentun=0.5"]);
    assert_eq!(hint.as_deref(), Some("did you mean `momentum`?"));
    let (_, hint) = error(SMALL, &["trian.epochs=3"]);
    assert_eq!(hint.as_deref(), Some("did you mean `train`?"));
}

#[test]
fn nonsense_is_named() {
    for (replaced, by, says) in [
        ("[32, 24]", "[24, 32]", "largest first"),
        ("[32, 24]", "[]", "at least one"),
        ("batch = 8", "batch = 1", "batch norm"),
        ("lr = 0.1", "lr = -0.1", "train.lr"),
        ("[0.25, 1.0]", "[1.0, 0.25]", "lower end"),
        ("[0.25, 1.0]", "[0.0, 1.0]", "width"),
        ("epochs = 2", "epochs = \"two\"", "invalid type"),
        ("path = \"somewhere\"", "path = \"somewhere\"\ntrain_share = 0.0", "data.train_share"),
    ] {
        let (reason, _) = error(&SMALL.replace(replaced, by), &[]);
        assert!(reason.contains(says), "{by}: {reason}");
    }
    assert!(error(SMALL, &["epochs"]).0.contains("key=value"));
    assert!(error(SMALL, &["train.lr.x=1"]).0.contains("`lr` is not a section"));
}

#[test]
fn hash_is_of_what_decides() {
    let hash = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(SMALL, &overrides).unwrap().hash()
    };
    assert_eq!(hash(&[]), hash(&["data.path=elsewhere", "train.threads=3"]));
    assert_ne!(hash(&[]), hash(&["train.lr=0.2"]));
    assert_ne!(hash(&[]), hash(&["data.train_share=0.2"]));
}

#[test]
fn the_shipped_recipes_are_recipes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4);
    for file in files {
        let recipe = Recipe::load(&file, &[]).unwrap_or_else(|error| panic!("{error}"));
        crate::plan::network(&recipe, 10).unwrap();
    }
}

#[test]
fn switches_that_do_not_go_together_are_named() {
    for (overrides, says) in [
        (vec!["train.method=ours"], "unknown variant `ours`"),
        (vec!["train.method=independent"], "train.subnet: goes with"),
        (vec!["train.subnet=0.5-32"], "train.subnet: goes with"),
        (vec!["train.method=independent", "train.subnet=0.5-30"], "train.subnet: not one of"),
        (vec!["train.method=independent", "train.subnet=0.2-32"], "train.subnet: not one of"),
        (vec!["train.method=plain", "train.teacher=ensemble"], "train.teacher: this train.method"),
        (vec!["train.method=plain", "train.divergence=alpha"], "train.divergence: this train.method"),
        (vec!["train.method=us", "train.adaptive_sampling=0.5"], "train.adaptive_sampling: only"),
        (vec!["train.teacher=ema"], "needs a train.ema"),
        (vec!["tabulate.weights=ema"], "needs a train.ema"),
        (vec!["train.warmup_epochs=2"], "train.warmup_epochs"),
        (vec!["train.clip={kind=\"norm\", limit=0}"], "train.clip.limit"),
        (vec!["train.dropout=1.0"], "train.dropout"),
        (vec!["train.new_head=true"], "train.new_head"),
    ] {
        let (reason, _) = error(SMALL, &overrides);
        assert!(reason.contains(says), "{overrides:?}: {reason}");
    }
}

#[test]
fn an_independent_recipe_survives_its_text() {
    let overrides = ["train.method=independent", "train.subnet=0.5-24"].map(str::to_owned);
    let recipe = Recipe::parse(SMALL, &overrides).unwrap();
    assert_eq!(Recipe::parse(&recipe.to_toml(), &[]).unwrap(), recipe);
    assert_eq!(recipe.trained_widths().smallest(), recipe.trained_widths().full());
}

#[test]
fn what_only_tabulating_would_find_is_found_at_once() {
    for (key, reason) in [
        ("data.resize=24", "data.resize: 24 is below the largest resolution 32"),
        ("data.augment.random_erasing=5", "data.augment.random_erasing: 5 is not between 0 and 1"),
        ("tabulate.width_step=0.0001", "tabulate.width_step: 15002 rows are more than 4096"),
    ] {
        assert_eq!(error(SMALL, &[key]).0, reason);
    }
}

#[test]
fn at_how_many_faults_a_run_stops_does_not_decide_its_result() {
    let hash = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(SMALL, &overrides).unwrap().hash()
    };
    assert_eq!(hash(&["data.broken_limit=0.5", "train.non_finite_limit=9"]), hash(&[]));
    assert_ne!(hash(&["train.lr=0.2"]), hash(&[]));
}
