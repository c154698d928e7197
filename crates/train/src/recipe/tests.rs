//! Recipes as people write them, right and wrong: what is read, and what is said.

use super::*;
use crate::Method;

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
    let error = Recipe::parse(text, &overrides).unwrap_err();
    (error.to_string(), error.hint())
}

#[test]
fn defaults_are_the_reference() {
    let recipe = Recipe::parse(SMALL, &[]).unwrap();
    assert_eq!((recipe.train.momentum, recipe.train.nesterov, recipe.train.weight_decay), (0.9, true, 1e-4));
    assert_eq!(recipe.train.random_subnets, 2);
    assert_eq!(recipe.table_rows().len(), 32);
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

/// What is said about a recipe in which one text is replaced.
fn said(replaced: &str, by: &str) -> (String, Option<String>) {
    assert!(SMALL.contains(replaced), "{replaced}");
    error(&SMALL.replace(replaced, by), &[])
}

#[test]
fn unknown_keys_name_the_nearest_of_all_sections() {
    let hint = |hint: &str| Some(hint.to_owned());
    assert_eq!(
        said("epochs", "epoch"),
        (
            "recipe, line 11, column 1: unknown key `train.epoch`".to_owned(),
            hint("did you mean `train.epochs`?")
        )
    );
    assert_eq!(
        said("[network]", "[model]"),
        ("recipe, line 2, column 2: unknown section [model]".to_owned(), hint("did you mean [network]?"))
    );
    for (key, says, hinted) in [
        ("epochs=2", "unknown key `epochs`", "did you mean `train.epochs`?"),
        ("train.momentun=0.5", "unknown key `train.momentun`", "did you mean `train.momentum`?"),
        ("trian.epochs=3", "unknown key `trian.epochs`", "did you mean `train.epochs`?"),
        ("model.name=resnet18", "unknown key `model.name`", "did you mean `network.name`?"),
        ("learning_rate=1", "unknown key `learning_rate`", "did you mean `train.lr`?"),
        ("train.weight-decay=1", "unknown key `train.weight-decay`", "did you mean `train.weight_decay`?"),
        (
            "data.augment.crop.banana=1",
            "unknown key `data.augment.crop.banana`",
            "the keys of [data.augment.crop] are",
        ),
        ("train.banana=1", "unknown key `train.banana`", "the keys of [train] are method"),
        ("train.lr.x=1", "unknown key `train.lr.x`: `train.lr` has no keys of its own", ""),
    ] {
        let (reason, hint) = error(SMALL, &[key]);
        assert_eq!(reason, format!("override `{key}`: {says}"));
        assert!(hint.unwrap().starts_with(hinted), "{key}");
    }
}

#[test]
fn values_of_another_type_say_key_value_and_what_is_wanted() {
    for (key, says) in [
        ("train.epochs=two", "train.epochs: must be a whole number, got \"two\""),
        ("train.epochs=2.5", "train.epochs: must be a whole number, got 2.5"),
        ("train.epochs=-1", "train.epochs: must be a whole number from 0 to 4294967295, got -1"),
        ("seed=99999999999999999999", "seed: must be a whole number, got 99999999999999999999"),
        ("train.lr=fast", "train.lr: must be a number, got \"fast\""),
        ("train.nesterov=1", "train.nesterov: must be true or false, got 1"),
        ("train.clip=5", "train.clip: must be a table with the keys kind, limit, got 5"),
        ("train.betas=[0.9]", "train.betas: must be a list of 2 values, got [0.9]"),
        ("train.betas=[0.9, \"x\"]", "train.betas: must be a number, got \"x\""),
        ("network.resolutions=32", "network.resolutions: must be a list, got 32"),
        ("network.resolutions=[0]", "network.resolutions: resolution 0 is out of range"),
        ("network.widths=[0.0, 1.0]", "network.widths: width 0 is out of range"),
        ("network.output_stride=7", "network.output_stride: output_stride must be 32, 16 or 8, got 7"),
        ("data.mean=0.5", "data.mean: must be a list of 3 values, got 0.5"),
        ("data.path=[1]", "data.path: must be text in quotes, got [1]"),
        (
            "data.augment.crop.kind=middle",
            "data.augment.crop.kind: must be `random_resized`, `random_short_side`",
        ),
        ("train.optimizer=adam", "train.optimizer: must be `sgd` or `adamw`, got \"adam\""),
        ("train.subnet=half", "train.subnet: `half` is not a sub-network"),
    ] {
        let (reason, _) = error(SMALL, &[key]);
        assert!(reason.starts_with(&format!("override `{key}`: {says}")), "{reason}");
        for rust in ["u32", "u64", "f64", "usize", "invalid type", "enum", "Train", "struct"] {
            assert!(!reason.contains(&format!("{rust} ")), "{reason}");
        }
    }
    let (reason, hint) = error(SMALL, &["data.augment.crop=center"]);
    assert!(reason.contains("data.augment.crop: must be a table with the keys kind, scale"), "{reason}");
    assert_eq!(hint.as_deref(), Some("write it as a table: data.augment.crop={ kind = \"center\" }"));
    assert_eq!(error(SMALL, &["train.optimizer=adam"]).1.as_deref(), Some("did you mean `adamw`?"));
    assert_eq!(
        error(SMALL, &["network.resolutions=32"]).1.as_deref(),
        Some("lists are in brackets: network.resolutions=[32]")
    );
    assert_eq!(
        said("epochs = 2", "epochs = \"two\"").0.split(": ").next(),
        Some("recipe, line 11, column 10")
    );
}

#[test]
fn numbers_out_of_range_say_what_is_allowed() {
    for (key, says) in [
        ("network.resolutions=[24, 32]", "must be largest first, each of them once, got [24, 32]"),
        ("network.resolutions=[]", "must be a list of at least one, got []"),
        ("network.widths=[1.0, 0.25]", "lower end"),
        ("train.batch=1", "must be at least 2, because batch norm needs several images, got 1"),
        ("train.lr=-0.1", "must be above 0 and finite, got -0.1"),
        ("train.lr=nan", "must be above 0 and finite, got NaN"),
        ("train.lr=inf", "must be above 0 and finite, got inf"),
        ("train.momentum=nan", "must be from 0 to below 1"),
        ("train.warmup_epochs=nan", "must be from 0 to below train.epochs"),
        ("train.warmup_epochs=2", "must be from 0 to below train.epochs, got 2"),
        ("train.max_steps=0", "must be at least 1, got 0"),
        ("train.dropout=1.0", "must be from 0 to below 1, got 1.0"),
        ("train.width_step=nan", "must be above 0 and at most 8"),
        ("train.random_subnets=1000000", "must be at most 64"),
        ("train.threads=1000000", "must be at most 1024"),
        ("data.workers=1000000", "must be at most 1024"),
        ("data.train_share=0.0", "must be above 0 and at most 1, got 0.0"),
        ("data.broken_limit=2", "must be from 0 to 1, got 2"),
        ("data.augment.flip=maybe", "must be true or false"),
        ("data.augment.random_erasing=5", "5 is not between 0 and 1"),
        ("data.resize=24", "24 is below the largest resolution, 32"),
        ("tabulate.width_step=0.0001", "a table of 15002 rows is above the limit of 4096"),
        ("tabulate.latency_runs=0", "must be at least 1, got 0"),
        ("tabulate.precisions=[\"bf16\"]", "must be [\"f32\"] or [\"f32\", \"bf16\"], got [\"bf16\"]"),
    ] {
        let (reason, _) = error(SMALL, &[key]);
        let name = key.split('=').next().unwrap();
        assert!(
            reason.starts_with(&format!("override `{key}`: {name}: ")) && reason.contains(says),
            "{reason}"
        );
    }
    let (reason, _) = error(SMALL, &["train.clip={kind=\"norm\", limit=0}"]);
    assert!(reason.contains("train.clip.limit: must be above 0 and finite, got 0"), "{reason}");
    // Checks that follow reading know the line as well.
    assert_eq!(said("batch = 8", "batch = 1").0.split(": ").next(), Some("recipe, line 12, column 9"));
}

#[test]
fn normalization_on_the_scale_0_to_255_is_told_with_the_numbers_to_write() {
    let keys = ["data.mean=[123.675,116.28,103.53]", "data.std=[58.395,57.12,57.375]"];
    let (reason, hint) = error(SMALL, &keys);
    assert_eq!(
        reason,
        "override `data.mean=[123.675,116.28,103.53]`: data.mean: [123.675,116.28,103.53] is on the scale 0–255, but \
         pixels are on the scale 0–1"
    );
    let hinted = "divide by 255: data.mean=[0.485,0.456,0.406] data.std=[0.229,0.224,0.225]";
    assert_eq!(hint.as_deref(), Some(hinted));
    let (_, assignments) = hinted.split_once(": ").unwrap();
    let assignments: Vec<_> = assignments.split(' ').map(str::to_owned).collect();
    assert_eq!(Recipe::parse(SMALL, &assignments).unwrap().data.mean, [0.485, 0.456, 0.406]);
}

#[test]
fn what_is_missing_is_told_with_an_example() {
    let (reason, hint) = said("lr = 0.1", "");
    assert!(reason.ends_with("`train.lr` is missing"), "{reason}");
    assert_eq!(hint.as_deref(), Some("add it to [train], for example: lr = 0.05"));
    let (reason, hint) = error("seed = 1", &[]);
    assert_eq!(reason, "recipe: the section [network] is missing");
    assert!(hint.unwrap().contains("[network], [data] and [train]"));
}

#[test]
fn text_that_is_no_toml_is_told_by_line_with_what_to_write() {
    for (replaced, by, place, hinted) in [
        ("lr = 0.1", "lr: 0.1", "line 13, column", "recipes are TOML, not YAML: write lr = 0.1"),
        ("[train]", "train:", "line 10, column", "recipes are TOML, not YAML: a section is written [train]"),
        (
            "\"mobilenet_v2\"",
            "mobilenet_v2",
            "line 3, column",
            "strings need quotes: name = \"mobilenet_v2\"",
        ),
        ("lr = 0.1", "lr = 0.1\nlr = 0.2", "line 14, column 1", "a key may be written once"),
    ] {
        let (reason, hint) = said(replaced, by);
        assert!(reason.starts_with(&format!("recipe, {place}")), "{reason}");
        assert!(hint.unwrap().starts_with(hinted), "{reason}");
    }
    assert_eq!(error("{\"train\": 1}", &[]).1.as_deref(), Some("recipes are TOML, not JSON"));
    // A byte-order mark, tabs and the line ends of Windows are none of our business.
    let windows = format!("\u{feff}{}", SMALL.replace('\n', "\r\n").replace(" = ", "\t=\t"));
    assert_eq!(Recipe::parse(&windows, &[]).unwrap(), Recipe::parse(SMALL, &[]).unwrap());
}

#[test]
fn overrides_in_another_form_are_told_in_the_right_one() {
    for (args, hinted) in [
        (vec!["train.lr", "0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["train.lr:", "0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["train.lr:0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["train.lr", "=", "0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["train.lr=", "0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["lr", "=0.1"], "write it as one argument: train.lr=0.1"),
        (vec!["train.lr", "train.epochs=3"], "write train.lr=VALUE"),
        (vec!["other.toml"], "write overrides like train.epochs=3"),
    ] {
        let (reason, hint) = error(SMALL, &args);
        assert_eq!(reason, format!("recipe: `{}` is not of the form key=value", args[0]));
        assert_eq!(hint.as_deref(), Some(hinted), "{args:?}");
    }
    let (reason, hint) = error(SMALL, &["data.path="]);
    assert_eq!(
        (&*reason, hint.as_deref()),
        ("recipe: `data.path=` has no value", Some("write data.path=VALUE"))
    );
    let args = |args: &[&str]| dashed(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
    for (typed, hinted) in [(vec!["train.lr=0.1"], "train.lr=0.1"), (vec!["lr", "0.1"], "train.lr=0.1")] {
        let hint = args(&typed).unwrap().hint().unwrap();
        assert_eq!(hint, format!("keys of a recipe are written without dashes: {hinted}"));
    }
    assert!(args(&["verbose"]).is_none());
}

#[test]
fn texts_of_overrides_need_no_quotes() {
    let overrides = ["train.method=us", "data.path=2012", "data.train=true", "train.device='cuda:1'"];
    let recipe = Recipe::parse(SMALL, &overrides.map(str::to_owned)).unwrap();
    assert_eq!((recipe.train.method, recipe.data.path.to_str()), (Method::Us, Some("2012")));
    assert_eq!((recipe.data.train.as_str(), recipe.train.device.as_str()), ("true", "cuda:1"));
}

#[test]
fn the_home_directory_may_be_written_as_a_tilde() {
    let home = std::env::home_dir().unwrap();
    let overrides = ["data.path=~/data", "train.init=~/w.safetensors"];
    let recipe = Recipe::parse(SMALL, &overrides.map(str::to_owned)).unwrap();
    assert_eq!(recipe.data.path, home.join("data"));
    assert_eq!(recipe.train.init, Some(home.join("w.safetensors")));
    assert!(error(SMALL, &["data.path=~nobody/data"]).0.contains("only `~/` is understood"));
}

#[test]
fn files_that_are_no_recipe_are_told_as_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let told = |bytes: &[u8]| {
        let path = dir.path().join("x.toml");
        std::fs::write(&path, bytes).unwrap();
        let error = Recipe::load(&path, &[]).unwrap_err();
        (error.to_string().replace(&path.display().to_string(), "x.toml"), error.hint())
    };
    assert_eq!(told(b"\x89PNG\r\n\x1a\n1234").0, "recipe x.toml: this is a PNG image");
    let (reason, hint) = told(b"seed = 1 # caf\xe9\n");
    assert_eq!(
        (reason.as_str(), hint.as_deref()),
        ("recipe x.toml, line 1, column 15: the text is not UTF-8", Some("save the file as UTF-8"))
    );
    let error = Recipe::load(dir.path(), &[]).unwrap_err();
    assert!(error.to_string().ends_with("this is a directory"), "{error}");
    let plan =
        format!("format_version = 1\n[derived]\nn = 1\n[recipe]\n{}", SMALL.replace("\n[", "\n[recipe."));
    assert!(told(plan.as_bytes()).0.contains("this is the plan of a run, not a recipe"));
    let error = Recipe::load(&dir.path().join("none.toml"), &[]).unwrap_err();
    assert!(error.to_string().starts_with("cannot read"), "{error}");
}

#[test]
fn a_key_given_twice_is_the_last_one() {
    let overrides = ["train.lr=0.2", "train.lr=0.3"].map(str::to_owned);
    assert_eq!(Recipe::parse(SMALL, &overrides).unwrap().train.lr, 0.3);
}

#[test]
fn a_checked_recipe_survives_its_text_for_every_kind_of_value() {
    let overrides = [
        "data.augment={ crop = { kind = \"pad\", pad = 2, mode = \"zero\" }, rand_augment = { n = 1 } }",
        "train.clip={ kind = \"value\", limit = 1 }",
        "train.ema=0.9",
        "train.max_steps=5",
        "train.width_step=0.25",
        "network.output_stride=16",
    ];
    let recipe = Recipe::parse(SMALL, &overrides.map(str::to_owned)).unwrap();
    assert_eq!(Recipe::parse(&recipe.to_toml(), &[]).unwrap(), recipe);
    // Plans are read by another deserializer.
    assert_eq!(toml::from_str::<Recipe>(&recipe.to_toml()).unwrap(), recipe);
    assert!(toml::from_str::<Recipe>(&recipe.to_toml().replace("batch = 8", "batch = 1")).is_err());
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
        (vec!["train.method=ours"], "train.method: must be `mutual`, `us`, `us-multi-scale`"),
        (vec!["train.method=independent"], "train.method: `independent` needs train.subnet"),
        (vec!["train.subnet=0.5-32"], "train.subnet: only the method `independent`"),
        (vec!["train.method=independent", "train.subnet=0.5-30"], "train.subnet: must be a width within"),
        (vec!["train.method=independent", "train.subnet=0.2-32"], "train.subnet: must be a width within"),
        (
            vec!["train.method=plain", "train.teacher=ensemble"],
            "train.teacher: the method `plain` has no students",
        ),
        (vec!["train.method=plain", "train.divergence=alpha"], "train.divergence: the method `plain` has no"),
        (
            vec!["train.method=us", "train.adaptive_sampling=0.5"],
            "train.adaptive_sampling: only the method `mutual`",
        ),
        (
            vec!["train.method=plain", "train.student_labels=0.5"],
            "train.student_labels: the method `plain` has no",
        ),
        (
            vec!["train.student_labels=1", "train.teacher=ensemble"],
            "train.teacher: with train.student_labels=1",
        ),
        (
            vec!["train.student_labels=1", "train.divergence=alpha"],
            "train.divergence: with train.student_labels=1",
        ),
        (vec!["train.student_labels=1.5"], "train.student_labels: must be from 0 to 1"),
        (vec!["train.teacher=ema"], "train.teacher: `ema` needs train.ema"),
        (vec!["tabulate.weights=ema"], "tabulate.weights: `ema` needs train.ema"),
        (vec!["train.momentum=0"], "train.nesterov: needs a momentum above 0"),
        (vec!["train.new_head=true"], "train.new_head: needs train.init"),
    ] {
        let (reason, _) = error(SMALL, &overrides);
        assert!(reason.contains(says), "{overrides:?}: {reason}");
    }
    // Another optimizer does not look at Nesterov's switch.
    let adamw = ["train.momentum=0", "train.optimizer=adamw"].map(str::to_owned);
    assert!(Recipe::parse(SMALL, &adamw).is_ok());
}

#[test]
fn an_independent_recipe_survives_its_text() {
    let overrides = ["train.method=independent", "train.subnet=0.5-24"].map(str::to_owned);
    let recipe = Recipe::parse(SMALL, &overrides).unwrap();
    assert_eq!(Recipe::parse(&recipe.to_toml(), &[]).unwrap(), recipe);
    assert_eq!(recipe.trained_widths().smallest(), recipe.trained_widths().full());
}

#[test]
fn what_a_run_keeps_and_when_it_stops_does_not_decide_its_result() {
    let hash = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(SMALL, &overrides).unwrap().hash()
    };
    for keys in [
        ["data.broken_limit=0.5", "train.non_finite_limit=9"],
        ["train.keep_checkpoints=5", "train.keep_every=3"],
        ["train.checkpoint_steps=7", "train.evaluate_epochs=2"],
    ] {
        assert_eq!(hash(&keys), hash(&[]));
    }
    assert_ne!(hash(&["train.lr=0.2"]), hash(&[]));
}
