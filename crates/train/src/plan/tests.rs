//! Plans of the shipped recipes and of every method, without data.

use std::path::PathBuf;

use super::*;

fn recipe(name: &str, overrides: &[&str]) -> Recipe {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../recipes").join(name);
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::load(&path, &overrides).unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()))
}

fn plan(recipe: &Recipe, n_train: usize, classes: usize) -> Plan {
    let classes = (0..classes).map(|class| class.to_string()).collect();
    let facts = DataFacts { classes, n_train, n_test: 10_000, ..DataFacts::default() };
    Plan::of(recipe, facts).unwrap().0
}

fn relative(overrides: &[&str]) -> f64 {
    plan(&recipe("imagenet_mobilenet_v2.toml", overrides), 2000, 1000).derived.relative_cost
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 0.01
}

#[test]
fn costs_of_the_methods() {
    // Mutual and universally slimmable training as worked out from the reference's networks.
    assert!(near(relative(&[]), 2.42), "{}", relative(&[]));
    assert!(near(relative(&["train.method=us"]), 3.20), "{}", relative(&["train.method=us"]));
    assert_eq!(relative(&["train.method=plain"]), 1.0);
    let scales = [1.0, 221.0 / 300.6, 154.0 / 300.6, 99.0 / 300.6];
    let mean = scales.iter().sum::<f64>() / 4.0;
    assert!(
        near(relative(&["train.method=multi-scale"]), mean),
        "{}",
        relative(&["train.method=multi-scale"])
    );
    let common = relative(&["train.method=us-multi-scale"]);
    assert!(near(common, relative(&["train.method=us"]) * mean), "{common}");
    let alone = relative(&["train.method=independent", "train.subnet=0.7-128"]);
    assert!(near(alone, 57.2 / 300.6), "{alone}");
    let ema = relative(&["train.ema=0.99", "train.teacher=ema"]);
    assert!(near(ema, relative(&[]) + 1.0 / 3.0), "{ema}");
    let ensemble = relative(&["train.teacher=ensemble"]);
    assert!(near(ensemble, relative(&[]) + (4.0 * mean - 1.0) / 3.0), "{ensemble}");
}

#[test]
fn rows_follow_the_method() {
    let rows = |overrides: &[&str]| recipe("imagenet_mobilenet_v1.toml", overrides).table_rows().to_vec();
    assert_eq!(rows(&[]).len(), 16 * 4);
    assert_eq!(rows(&["train.method=us"]).len(), 16 * 4);
    let plain = rows(&["train.method=plain"]);
    assert!(plain.len() == 4 && plain.iter().all(|row| row.width.fraction() == 1.0));
    let alone = rows(&["train.method=independent", "train.subnet=0.5-160"]);
    assert_eq!(alone, ["0.5-160".parse().unwrap()]);
}

#[test]
fn too_few_images_are_an_error() {
    let recipe = recipe("imagenet_mobilenet_v2.toml", &[]);
    let facts = DataFacts { classes: vec!["a".into(), "b".into()], n_train: 100, ..DataFacts::default() };
    let error = Plan::of(&recipe, facts).unwrap_err().to_string();
    assert!(error.contains("100 training images are fewer than a batch of 1024"), "{error}");
}

/// Every classification experiment of the papers: recipe, training images, classes, expected cost of a step relative
/// to plain training (worked out from the reference's networks, where the paper's page has it), rows of the table.
const EXPERIMENTS: [(&str, usize, usize, Option<f64>, usize); 13] = [
    ("imagenet_mobilenet_v1.toml", 1_281_167, 1000, Some(1.63), 64),
    ("imagenet_mobilenet_v1_scale_up.toml", 1_281_167, 1000, Some(2.05), 44),
    ("imagenet_mobilenet_v2.toml", 1_281_167, 1000, Some(2.42), 28),
    ("imagenet_mobilenet_v2_from_0.8.toml", 1_281_167, 1000, None, 20),
    ("imagenet_mobilenet_v2_from_0.9.toml", 1_281_167, 1000, None, 12),
    ("imagenet_resnet50.toml", 1_281_167, 1000, Some(2.69), 12),
    ("cifar10_wide_resnet28_10.toml", 50_000, 10, Some(2.78), 12),
    ("cifar100_wide_resnet28_10.toml", 50_000, 100, Some(2.78), 12),
    ("transfer_cifar100_mobilenet_v1.toml", 50_000, 100, Some(1.63), 64),
    ("transfer_food101_mobilenet_v1.toml", 75_750, 101, Some(1.63), 64),
    ("transfer_indoor67_mobilenet_v1.toml", 5_360, 67, Some(1.63), 64),
    ("kinetics_slow_r50_8x8.toml", 240_436, 400, None, 5 * 4 * 3),
    ("kinetics_x3d_m.toml", 240_436, 400, None, 5 * 4 * 4),
];

#[test]
fn every_experiment_of_the_paper_is_planned() {
    for (name, n_train, classes, cost, rows) in EXPERIMENTS {
        let recipe = recipe(name, &[]);
        let derived = plan(&recipe, n_train, classes).derived;
        let epochs = u64::from(recipe.train.epochs);
        assert_eq!(derived.total_steps, epochs * (n_train / recipe.train.batch) as u64, "{name}");
        assert_eq!(derived.rows, rows, "{name}");
        if let Some(cost) = cost {
            assert!(near(derived.relative_cost, cost), "{name}: {} × a plain step", derived.relative_cost);
        }
    }
}

#[test]
fn every_recipe_that_ships_is_one_and_its_network_does_the_task() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let recipe = recipe(&name, &[]);
        let network = network_for(Purpose::Training, &recipe, 20).unwrap();
        recipe.task.check(&network).unwrap_or_else(|error| panic!("{name}: {error}"));
        n += 1;
    }
    assert!(n > 20, "{n}");
}

#[test]
fn the_cost_of_steps_is_on_average_what_is_expected() {
    use mutualnet_core::rng::{Key, Purpose};
    for overrides in [
        [].as_slice(),
        &["train.method=us"],
        &["train.method=us-multi-scale"],
        &["train.method=plain"],
        &["train.teacher=ensemble"],
        &["train.ema=0.99", "train.teacher=ema", "train.width_step=0.1"],
    ] {
        let recipe = recipe("imagenet_mobilenet_v2.toml", overrides);
        let cost = cost::StepCost::new(&recipe, 1000).unwrap();
        let sampler = recipe.sampler();
        let n = 2000;
        let steps = (0..n).map(|step| sampler.sample(Key::new(1, Purpose::Sample).step(step), None));
        let mean = steps.map(|step| cost.of(&step).unwrap()).sum::<f64>() / n as f64;
        let expected = cost.expected().unwrap();
        assert!((mean / expected - 1.0).abs() < 0.02, "{overrides:?}: {mean}, expected {expected}");
    }
}

#[test]
fn a_trial_of_a_few_steps_goes_through_the_whole_schedule() {
    let of = |overrides: &[&str]| plan(&recipe("imagenet_mobilenet_v2.toml", overrides), 1_281_167, 1000);
    let whole = of(&["train.warmup_epochs=5", "train.epochs=50"]);
    let trial = of(&["train.warmup_epochs=5", "train.epochs=50", "train.max_steps=100"]);
    assert_eq!((whole.derived.total_steps, trial.derived.total_steps), (62_550, 100));
    assert_eq!((whole.learning_rate().warmup_steps, trial.learning_rate().warmup_steps), (6255, 10));
    let lr = trial.learning_rate();
    assert_eq!(lr.at(10), lr.peak);
    assert!(lr.at(99) < 0.02 * lr.peak);
    assert_eq!(whole.extent(), "50 epochs × 1251 steps of 1024 images = 62550");
    assert_eq!(trial.extent(), "100 of 1024 images (train.max_steps; 50 epochs have 62550)");
    // Epochs that end earlier are the end.
    let short = of(&["train.epochs=1", "train.max_steps=99999"]);
    assert_eq!((short.derived.total_steps, short.extent().contains("max_steps")), (1251, false));
}
