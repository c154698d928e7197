//! What is trained: a small run of every task, and one of two processes.

/// A run that takes seconds.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Arguments of `mutualnet data make`, but for the directory, which has the name of the data set.
    pub(super) data: &'static [&'static str],
    pub(super) recipe: &'static str,
    /// Processes that train together.
    pub(super) processes: usize,
}

const SHAPES: [&str; 5] = ["shapes", "--train", "96", "--test", "12"];
const SCENES: [&str; 7] = ["scenes", "--train", "24", "--test", "4", "--side", "96"];
const CLIPS: [&str; 9] = ["clips", "--train", "24", "--test", "8", "--side", "32", "--frames", "8"];

pub(super) const CASES: [Case; 5] = [
    Case { name: "classify", data: &SHAPES, recipe: CLASSIFY, processes: 1 },
    Case { name: "processes", data: &SHAPES, recipe: CLASSIFY, processes: 2 },
    Case { name: "segment", data: &SCENES, recipe: SEGMENT, processes: 1 },
    Case { name: "detect", data: &SCENES, recipe: DETECT, processes: 1 },
    Case { name: "clips", data: &CLIPS, recipe: ACTIONS, processes: 1 },
];

const CLASSIFY: &str = r#"
seed = 1

[network]
name = "mobilenet_v2"
widths = [0.25, 1.0]
resolutions = [32, 24]

[data]
path = "shapes"
augment = { flip = true }

[train]
epochs = 3
batch = 8
lr = 0.02
checkpoint_steps = 3
"#;

const SEGMENT: &str = r#"
seed = 1
task = "segment"

[network]
name = "lraspp_mobilenet_v3_large"
widths = [0.25, 1.0]
resolutions = [64, 48]

[data]
path = "scenes"
augment = { crop = { kind = "random_short_side", shorter = [64, 96] }, flip = true }

[train]
epochs = 4
batch = 4
optimizer = "adamw"
lr = 0.002
schedule = "poly"
ema = 0.9
checkpoint_steps = 3
"#;

const DETECT: &str = r#"
seed = 1
task = "detect"

[network]
name = "ssdlite320_mobilenet_v3_large"
widths = [0.25, 1.0]
resolutions = [96, 64]

[data]
path = "scenes"
augment = { crop = { kind = "random_resized", scale = [0.4, 1.0] }, flip = true }

[train]
epochs = 3
batch = 4
optimizer = "adamw"
lr = 0.002
checkpoint_steps = 3
"#;

const ACTIONS: &str = r#"
seed = 1

[network]
name = "x3d_xs"
widths = [0.25, 0.5]
resolutions = [32, 24]
frames = [4, 2]

[data]
path = "clips"
augment = { crop = { kind = "random_short_side", shorter = [32, 40] }, flip = false }

[train]
epochs = 3
batch = 4
lr = 0.02
adaptive_sampling = 0.5
checkpoint_steps = 3
"#;
