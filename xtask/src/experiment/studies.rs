//! The studies: which arms each one trains.

use super::data::Data;
use super::study::{Arm, Page, Study};

/// The names that [`named`] knows.
#[cfg(test)]
pub(super) const NAMES: [&str; 6] =
    ["cifar-methods", "clips", "full-width", "quickstart-seeds", "scenes", "segment"];

const SEEDS: &[u64] = &[1, 2, 3];

/// The study of a name.
pub(super) fn named(name: &str) -> Option<Study> {
    match name {
        "cifar-methods" => Some(cifar_methods()),
        "clips" => Some(clips()),
        "full-width" => Some(full_width()),
        "quickstart-seeds" => Some(quickstart_seeds()),
        "scenes" => Some(scenes()),
        "segment" => Some(segment()),
        _ => None,
    }
}

/// The sub-networks of `independent`: what a product team would train without this project.
const CONFIGURATIONS: [&str; 4] = ["1.0-32", "0.75-28", "0.5-24", "0.25-20"];

/// Every method at equal MACs, on a network that is too small to overfit.
fn cifar_methods() -> Study {
    const RECIPE: &str = "recipes/cifar10_methods.toml";
    let one = |name, keys| Arm::new(name, RECIPE, keys);
    let arms = vec![
        one("us", "train.method=us"),
        one("us-multi-scale", "train.method=us-multi-scale"),
        one("mutual", "train.method=mutual"),
        Arm { keys: independent(&CONFIGURATIONS), ..one("independent", "") },
        one("plain", "train.method=plain"),
        one("multi-scale", "train.method=multi-scale"),
        // The best of seven combinations of switches, selected with a seed of its own (docs/benchmarks.md).
        one("mutual-ensemble", "train.method=mutual train.teacher=ensemble train.random_subnets=1"),
    ];
    Study {
        name: "cifar-methods",
        results: "cifar10-methods",
        data: Data::Cifar10,
        seeds: SEEDS,
        arms,
        page: Page::Methods { title: "Methods on CIFAR-10", metric: "accuracy" },
        overrides: Vec::new(),
    }
}

/// One training for each of these sub-networks.
fn independent(configurations: &[&str]) -> Vec<Vec<String>> {
    let alone = |at: &&str| vec!["train.method=independent".to_owned(), format!("train.subnet={at}")];
    configurations.iter().map(alone).collect()
}

/// One mutual training for semantic segmentation against four independent ones, among them the full network.
fn segment() -> Study {
    const RECIPE: &str = "recipes/scenes_lraspp.toml";
    let configurations = ["1.0-160", "0.75-128", "0.5-112", "0.25-96"];
    let without_switches = SCENES_WITHOUT_SWITCHES.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let alone = independent(&configurations).into_iter();
    let alone = alone.map(|keys| [keys, without_switches.clone()].concat()).collect();
    let arms = vec![
        Arm::new("mutual", RECIPE, ""),
        Arm::new("as-published", RECIPE, SCENES_WITHOUT_SWITCHES),
        Arm { keys: alone, ..Arm::new("independent", RECIPE, "") },
    ];
    Study {
        name: "segment",
        results: "segment-scenes",
        data: Data::Scenes,
        seeds: SEEDS,
        arms,
        page: Page::Methods { title: "Segmentation of generated scenes", metric: "mIoU" },
        overrides: Vec::new(),
    }
}

/// One mutual training of a Mask R-CNN against four independent ones, among them the full network.
fn scenes() -> Study {
    const RECIPE: &str = "recipes/scenes_maskrcnn.toml";
    let configurations = ["1.0-160", "0.75-128", "0.5-96", "0.25-80"];
    let arms = vec![
        Arm::new("mutual", RECIPE, ""),
        Arm { keys: independent(&configurations), ..Arm::new("independent", RECIPE, "") },
    ];
    Study {
        name: "scenes",
        results: "scenes",
        data: Data::FewScenes,
        seeds: SEEDS,
        arms,
        page: Page::Methods { title: "Detection in generated scenes", metric: "box AP" },
        overrides: Vec::new(),
    }
}

/// Takes back what the recipe of scenes changes about the method. `train.ema` stays: nothing reads the average then.
const SCENES_WITHOUT_SWITCHES: &str = "train.full_weight=1 train.teacher=full train.adaptive_sampling=0";

/// For an X3D and a SlowFast: one mutual training over width, side and frames, against four independent ones.
fn clips() -> Study {
    const EPOCHS: &str = "train.epochs=25";
    let longer = |keys: Vec<String>| [keys, vec![EPOCHS.to_owned()]].concat();
    let pair = |names: [&'static str; 2], recipe, configurations: [&str; 4]| {
        let keys = independent(&configurations).into_iter().map(longer).collect();
        [Arm::new(names[0], recipe, EPOCHS), Arm { keys, ..Arm::new(names[1], recipe, "") }]
    };
    let x3d = ["0.5-64-8", "0.375-56-6", "0.25-48-4", "0.25-40-2"];
    let slowfast = ["0.5-56-4", "0.4075-48-3", "0.315-40-2", "0.315-32-1"];
    let arms = [
        pair(["mutual", "independent"], "recipes/clips_x3d_xs.toml", x3d),
        pair(["slowfast-mutual", "slowfast-independent"], "recipes/clips_slowfast_r14.toml", slowfast),
    ];
    Study {
        name: "clips",
        results: "clips",
        data: Data::Clips,
        seeds: SEEDS,
        arms: arms.into_iter().flatten().collect(),
        page: Page::Methods { title: "Action recognition on generated clips", metric: "accuracy" },
        overrides: Vec::new(),
    }
}

/// What mutual learning does for the full network, on networks that overfit.
fn full_width() -> Study {
    const MOBILE: &str = "recipes/cifar10_full_width_mobilenet_v2.toml";
    const WIDE: &str = "recipes/cifar10_full_width_wide_resnet10_2.toml";
    let of = |recipe, setting, arms: &[(&'static str, &str)]| {
        let arms = arms.iter().map(|(name, keys)| Arm { setting, ..Arm::new(name, recipe, keys) });
        arms.collect::<Vec<_>>()
    };
    let range =
        |keys: &str, low, step| format!("network.widths=[{low},1.0] tabulate.width_step={step} {keys}");
    const PLAIN: &str = "train.method=plain";
    const MULTI_SCALE: &str = "train.method=multi-scale";
    let mut arms = of(
        MOBILE,
        "mobilenet_v2-0.25",
        &[("plain", PLAIN), ("mutual", ""), ("best", BEST), ("multi-scale", MULTI_SCALE)],
    );
    // As long as `mutual`, of which a step costs 1.93 plain ones: `mutualnet plan` on the recipe.
    arms.extend(of(MOBILE, "mobilenet_v2-0.25", &[("plain-longer", "train.method=plain train.epochs=58")]));
    arms.extend(of(WIDE, "wide_resnet10_2-0.25", &[("plain", PLAIN), ("mutual", ""), ("best", BEST)]));
    for (recipe, settings) in [
        (MOBILE, ["mobilenet_v2-0.7", "mobilenet_v2-0.9"]),
        (WIDE, ["wide_resnet10_2-0.7", "wide_resnet10_2-0.9"]),
    ] {
        for (setting, (low, step)) in settings.into_iter().zip([(0.7, 0.1), (0.9, 0.05)]) {
            let (mutual, best) = (range("", low, step), range(BEST, low, step));
            arms.extend(of(recipe, setting, &[("mutual", &mutual), ("best", &best)]));
        }
    }
    Study {
        name: "full-width",
        results: "full-width",
        data: Data::Cifar10,
        seeds: SEEDS,
        arms,
        page: Page::FullWidth,
        overrides: Vec::new(),
    }
}

/// The combination of switches that does most for the full network.
pub(super) const BEST: &str = "train.students_start=0.5 train.students_ramp=0.2";

/// How much the first recipe that people run depends on chance.
fn quickstart_seeds() -> Study {
    let arms = vec![Arm::new("quickstart", "recipes/quickstart.toml", "")];
    Study {
        name: "quickstart-seeds",
        results: "quickstart-seeds",
        data: Data::Shapes,
        seeds: &[1, 2, 3, 4, 5],
        arms,
        page: Page::Seeds,
        overrides: Vec::new(),
    }
}
