//! `plan`, `train`, `tabulate`: from a recipe to a table, with an interruption.

use std::cell::Cell;
use std::process::Stdio;
use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::program::Program;

pub(crate) const RECIPE: &str = r#"
seed = 1

[network]
name = "mobilenet_v2"
widths = [0.25, 1.0]
resolutions = [32, 20]

[data]
path = "data"

[train]
epochs = 2
batch = 8
lr = 0.05
threads = 1

[tabulate]
width_step = 0.75
calibration_batches = 2
latency_runs = 3
"#;

fn program() -> Program {
    let program = Program::new().with_shapes();
    std::fs::write(program.path("recipe.toml"), RECIPE).unwrap();
    program
}

#[test]
fn a_plan_is_told_before_a_run() {
    assert_snapshot!(program().told(&["plan", "recipe.toml", "train.epochs=3", "--no-timing"]), @r#"
    exit 0
    -- stdout
    network           mobilenet_v2, widths 0.25 to 1.0, 32/20 px
    method            mutual
    full network      6.13 M MACs, 2239244 parameters
    smallest network  517 k MACs
    data              48 training and 24 test images, 12 classes
    steps             3 epochs × 6 steps of 8 images = 18
    cost of a step    2.02 × that of plain training
    query table       4 rows
    time              not measured: --no-timing was given
    -- stderr
    "#);
}

#[test]
fn a_plan_needs_no_data_where_their_size_is_given() {
    let program = Program::new();
    std::fs::write(program.path("recipe.toml"), RECIPE).unwrap();
    let args = ["plan", "recipe.toml", "train.method=plain", "--train-images", "50000", "--classes", "100"];
    assert_snapshot!(program.told(&args), @r#"
    exit 0
    -- stdout
    network           mobilenet_v2, width 1.0, 32/20 px
    method            plain
    full network      6.25 M MACs, 2351972 parameters
    smallest network  4.89 M MACs
    data              50000 training images, 100 classes
    steps             2 epochs × 6250 steps of 8 images = 12500
    cost of a step    1.00 × that of plain training
    query table       2 rows
    time              not measured: --train-images stands for data that are not there
    -- stderr
    "#);
    // The data may be on another machine, and so may the device.
    let elsewhere = program.told(&[&args[..], &["train.device=cuda:99"]].concat());
    assert!(elsewhere.starts_with("exit 0"), "{elsewhere}");
}

#[test]
fn a_network_that_reads_clips_needs_numbers_of_frames() {
    let program = program();
    let one_clip = mutualnet_zoo::FAMILIES.iter().filter(|family| !family.reads_two());
    for name in one_clip.filter_map(|family| family.clips().first()).map(|clip| clip.name) {
        let network = format!("network.name={name}");
        for arguments in [
            &["plan", "recipe.toml", "--no-timing", &network][..],
            &["plan", "recipe.toml", "--train-images", "50000", "--classes", "100", &network],
            &["train", "recipe.toml", "--out", "run", &network],
        ] {
            let told = program.told(arguments);
            let error = format!(
                "error: network `{name}` reads clips, but network.frames is not set\nhint: set network.frames"
            );
            assert!(told.starts_with("exit 1") && told.contains(&error), "{arguments:?}: {told}");
        }
        let told = program.told(&["bench", "train", "--network", name]);
        assert!(told.contains(&format!("error: {name} reads clips: give --frames")), "{told}");
        let facts = ["plan", "recipe.toml", "--train-images", "50000", "--classes", "100", &network];
        let told = program.told(&[&facts[..], &["network.frames=[8,4]"]].concat());
        assert!(told.contains("8/4 frames") && told.contains("50000 training clips"), "{told}");
    }
    assert!(!program.path("run").exists());
}

#[test]
fn a_network_with_a_fast_pathway_needs_the_number_of_its_frames() {
    let program = program();
    let facts = ["plan", "recipe.toml", "--train-images", "50000", "--classes", "400"];
    let slowfast = ["network.resolutions=[224,144]", "network.frames=[4,2]", "network.widths=[0.63,1.0]"];
    let two_clips = mutualnet_zoo::FAMILIES.iter().filter(|family| family.reads_two());
    for name in two_clips.flat_map(|family| family.names) {
        let network = format!("network.name={name}");
        let told = program.told(&[&facts[..], &slowfast, &[&network]].concat());
        let error = format!(
            "error: network `{name}` has a Fast pathway, but network.fast_frames is not set\n\
             hint: set network.fast_frames, such as network.fast_frames=32"
        );
        assert!(told.starts_with("exit 1") && told.contains(&error), "{told}");
    }
    let keys = ["network.name=slowfast_r50_4x16", "network.fast_frames=32"];
    let plan = program.json(&[&facts[..], &slowfast, &keys, &["--json"]].concat());
    // At its smallest row the network needs what `inspect` says.
    assert_eq!(plan["derived"]["smallest_macs"], 7_605_786_256_u64, "{plan}");
    let told = program.told(&[
        "inspect",
        "network",
        "slowfast_r50_4x16",
        "--width",
        "0.63",
        "--resolution",
        "144",
        "--frames",
        "2",
        "--classes",
        "400",
    ]);
    assert!(told.starts_with("exit 0") && told.contains("at 0.63-144-2: 7605786256 MACs"), "{told}");
    let small = ["--resolutions", "32", "--frames", "4", "--batch", "2", "--steps", "1", "--plain"];
    let told = program
        .told(&[&["bench", "train", "--network", "x3d_xs", "--fast-frames", "8"], &small[..]].concat());
    assert!(told.contains("error: x3d_xs has no Fast pathway: leave out --fast-frames"), "{told}");
    let bench = ["bench", "train", "--network", "slowfast_r14_4x16", "--fast-frames", "8"];
    let told = program.told(&[&bench[..], &small].concat());
    assert!(told.starts_with("exit 0") && told.contains("s per plain step"), "{told}");
}

#[test]
fn a_plan_says_how_long_it_takes() {
    let program = program();
    let plan = program.json(&["plan", "recipe.toml", "--json"]);
    let step = plan["timing"]["train"]["step_seconds"].as_f64().unwrap();
    assert!(plan["timing"]["train"]["seconds"].as_f64().unwrap() >= 12.0 * step, "{plan}");
    assert!(plan["timing"]["tabulate"]["seconds"].as_f64().unwrap() > 0.0, "{plan}");
    assert_eq!(plan["derived"]["total_steps"], 12);
    let left: Vec<_> = std::fs::read_dir(program.dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the recipe and the data, and nothing else: {left:?}");
    let told = program.told(&["plan", "recipe.toml"]);
    for what in
        ["training          about ", "tabulating        about ", "bottleneck        ", "peak memory       "]
    {
        assert!(told.contains(&format!("\n{what}")), "{told}");
    }
    assert!(program.json(&["plan", "recipe.toml", "--json", "--no-timing"])["timing"].is_null());
}

#[test]
fn wrong_recipes_name_key_and_line() {
    let program = program();
    std::fs::write(program.path("wrong.toml"), RECIPE.replace("epochs", "epoch")).unwrap();
    assert_snapshot!(program.told(&["plan", "wrong.toml"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: recipe wrong.toml, line 13, column 1: unknown key `train.epoch`
    hint: did you mean `train.epochs`?
    "#);
    assert_snapshot!(program.told(&["train", "recipe.toml", "train.momentun=0.5", "--out", "run"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: override `train.momentun=0.5`: unknown key `train.momentun`
    hint: did you mean `train.momentum`?
    "#);
    assert_snapshot!(program.told(&["plan", "recipe.toml", "data.path=elsewhere"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: no such directory: elsewhere
    hint: a data set is a directory with one of the layouts in docs/formats.md, such as train/CLASS/*.jpg and test/CLASS/*.jpg for classification
    "#);
    let told = program.told(&["train", "recipe.toml", "train.device=tpu", "--out", "run"]);
    assert!(told.starts_with("exit 1") && told.contains("hint: write cpu, cuda, or cuda:N"), "{told}");
    assert!(!program.path("run").exists());
    assert_snapshot!(program.told(&["tabulate", "nothing"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the plan of a run is missing: nothing/plan.toml
    hint: train first: mutualnet train RECIPE --out RUN
    "#);
}

/// Starts a command, waits until `is_under_way`, sends signals and returns what came out.
fn interrupted(
    program: &Program,
    args: &[&str],
    is_under_way: impl Fn() -> bool,
    signals: &[&str],
) -> (Option<i32>, String) {
    let mut child = program.command(args).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_under_way() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "{args:?} does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    for signal in signals {
        assert!(std::process::Command::new("kill").args([*signal, id.as_str()]).status().unwrap().success());
        // Two equal signals that wait for delivery are one.
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whether something is in a log.
fn is_logged(program: &Program, run: &str, what: &str) -> bool {
    let log = std::fs::read_to_string(program.path(run).join("events.jsonl"));
    log.is_ok_and(|log| log.contains(what))
}

#[test]
fn an_interrupted_command_fails_with_128_and_the_signal() {
    let program = program();
    let args = ["train", "recipe.toml", "train.epochs=400", "train.checkpoint_steps=1", "--out"];
    for (signal, name, code, run) in [("-INT", "SIGINT", 130, "first"), ("-TERM", "SIGTERM", 143, "second")] {
        let args = [&args[..], &[run]].concat();
        // Checkpoints flush the log.
        let begun = || is_logged(&program, run, "checkpoint");
        let (exit, told) = interrupted(&program, &args, begun, &[signal]);
        assert_eq!(exit, Some(code), "{told}");
        let expected = format!("interrupted by {name}: the state after step ");
        assert!(
            told.contains(&expected) && told.contains(&format!(" of 2400 is saved in {run}\n")),
            "{told}"
        );
        assert!(told.ends_with("hint: add --resume to the same command to continue\n"), "{told}");
        assert!(is_logged(&program, run, "interrupted"));
    }
    let args = [&args[..], &["first", "--resume"]].concat();
    let before = std::fs::read_to_string(program.path("first/events.jsonl")).unwrap().len();
    let begun = || {
        let log = std::fs::read_to_string(program.path("first/events.jsonl")).unwrap();
        log[before..].contains("checkpoint")
    };
    let (exit, told) = interrupted(&program, &args, begun, &["-INT"]);
    assert_eq!(exit, Some(130), "{told}");
    assert!(told.ends_with("hint: run the same command again to continue\n"), "{told}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let program = program();
    // A step of seconds, whose end the first signal waits for.
    let args = ["train", "recipe.toml", "network.name=wide_resnet16_8", "train.batch=48", "--out", "run"];
    let since = Cell::new(None);
    let begun = || {
        if since.get().is_none() && program.path("run/events.jsonl").exists() {
            since.set(Some(Instant::now()));
        }
        // By then the step has its batch.
        since.get().is_some_and(|since| since.elapsed() > Duration::from_secs(1))
    };
    let (exit, told) = interrupted(&program, &args, begun, &["-INT", "-INT"]);
    assert_eq!(exit, Some(130), "{told}");
    assert!(!told.contains("interrupted"), "nothing was saved: {told}");
}

#[test]
fn tabulating_can_be_interrupted() {
    let program = program();
    let told = program.told(&["train", "recipe.toml", "train.epochs=1", "--out", "run"]);
    assert!(told.starts_with("exit 0"), "{told}");
    // Two seconds for every row, long enough to be interrupted.
    let plan = std::fs::read_to_string(program.path("run/plan.toml")).unwrap();
    let plan = plan.replace("latency_runs = 3", "latency_runs = 1000000");
    std::fs::write(program.path("run/plan.toml"), plan).unwrap();
    let under_way = || is_logged(&program, "run", "calibrate");
    let (exit, told) = interrupted(&program, &["tabulate", "run"], under_way, &["-TERM"]);
    assert_eq!(exit, Some(143), "{told}");
    assert!(told.contains("interrupted by SIGTERM: no table was written to run\n"), "{told}");
    assert!(told.ends_with("hint: run the same command again to start over\n"), "{told}");
    assert!(!program.path("run/model.mnb").exists());
}

#[test]
fn keys_with_dashes_are_told_without() {
    let program = program();
    assert_snapshot!(program.told(&["plan", "recipe.toml", "--train.lr=0.1"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: override `--train.lr=0.1`: not an option
    hint: keys of a recipe are written without dashes: train.lr=0.1
    "#);
    let told = program.told(&["train", "recipe.toml", "--out", "run", "--learning-rate", "0.1"]);
    assert!(told.contains("without dashes: train.lr=0.1"), "{told}");
    let told = program.told(&["plan", "recipe.toml", "--verbose"]);
    assert!(told.contains("unexpected argument '--verbose'"), "{told}");
}

#[test]
fn a_plan_refuses_what_training_refuses() {
    let program = program();
    std::fs::write(program.path("w.pth"), b"PK\x03\x04................archive/data.pkl").unwrap();
    std::fs::create_dir(program.path("weights")).unwrap();
    let header = br#"{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}  "#;
    let counter = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    std::fs::write(program.path("timm.safetensors"), counter).unwrap();
    for (key, says) in [
        (
            "train.init=timm.safetensors",
            "expected F32: timm.safetensors\nhint: turn it into weights: mutualnet import",
        ),
        ("train.device=gpu", "hint: write cpu, cuda, or cuda:N"),
        ("train.init=nofile.pth", "error: train.init: no such file: nofile.pth\nhint: "),
        ("train.init=w.pth", "mutualnet import CHECKPOINT --network mobilenet_v2"),
        ("train.init=weights", "error: train.init: this is a directory: weights"),
        ("train.init=recipe.toml", "error: train.init: this is a recipe, not a safetensors file or a bundle"),
        ("data.mean=[123.7, 116.3, 103.5]", "on the scale 0–255"),
    ] {
        let plan = program.told(&["plan", "recipe.toml", key, "--no-timing"]);
        assert!(plan.starts_with("exit 1") && plan.contains(says), "{plan}");
        let train = program.told(&["train", "recipe.toml", key, "--out", "run"]);
        assert_eq!(plan, train);
        let without_data =
            program.told(&["plan", "recipe.toml", key, "--train-images", "99", "--classes", "2"]);
        assert_eq!(plan, without_data);
        assert!(!program.path("run").exists());
    }
}

#[test]
fn widths_that_most_layers_cannot_follow_are_told() {
    let told = program().told(&["plan", "recipe.toml", "network.widths=[0.01,1.0]", "--no-timing"]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert!(told.contains("warning: width 0.01 is narrower than mobilenet_v2 is made for"), "{told}");
}

#[test]
fn a_trial_of_a_few_steps_can_be_tabulated() {
    let program = program();
    let told = program.told(&["plan", "recipe.toml", "train.max_steps=3", "--no-timing"]);
    assert!(told.contains("steps             3 of 8 images (train.max_steps; 2 epochs have 12)"), "{told}");
    for args in [
        ["train", "recipe.toml", "train.max_steps=3", "--out", "trial"].as_slice(),
        &["train", "recipe.toml", "train.max_steps=3", "--out", "trial", "--resume"],
        &["tabulate", "trial"],
    ] {
        let told = program.told(args);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    assert!(program.path("trial/checkpoints/3").exists() && program.path("trial/model.mnb").exists());
}

#[test]
fn the_whole_way_with_an_interruption() {
    let program = program();
    let args = ["train", "recipe.toml", "train.epochs=400", "train.checkpoint_steps=1", "--out", "long"];
    let begun = || is_logged(&program, "long", "checkpoint");
    let (exit, told) = interrupted(&program, &args, begun, &["-TERM"]);
    assert_eq!(exit, Some(143), "{told}");
    let told = program.told(&["tabulate", "long"]);
    assert!(told.starts_with("exit 1") && told.contains("hint: finish it: "), "{told}");

    for args in [
        ["train", "recipe.toml", "--out", "run", "--resume"].as_slice(),
        &["train", "recipe.toml", "--out", "run", "--resume"],
        &["tabulate", "run"],
    ] {
        let told = program.told(args);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    let again = program.told(&["train", "recipe.toml", "--out", "run"]);
    assert_snapshot!(again, @r#"
    exit 1
    -- stdout
    -- stderr
    error: a run already exists: run
    hint: continue it with --resume, or choose another directory for --out
    "#);
    let file = program.told(&["train", "recipe.toml", "--out", "recipe.toml"]);
    assert_snapshot!(file, @r#"
    exit 1
    -- stdout
    -- stderr
    error: a run needs a directory, and this is a file: recipe.toml
    hint: choose a directory for --out; it is made if it is missing
    "#);
    let table = program.json(&["table", "run", "--json"]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 4);
    let latency = table["rows"][0]["latency"].as_array().unwrap();
    assert_eq!(latency[0]["threads"], 1);
    let report = program.json(&["predict", "run/model.mnb", &program.image(), "--latency", "10s", "--json"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
}
