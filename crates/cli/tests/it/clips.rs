//! Videos from the command line: made, trained on, tabulated and classified.

use std::fs;

use crate::program::Program;

const RECIPE: &str = r#"
    network = { name = "x3d_xs", widths = [0.25, 0.5], resolutions = [24], frames = [4, 2], output_stride = 16 }
    data = { path = "data", augment = { crop = { kind = "center" }, flip = false } }
    train = { epochs = 1, batch = 8, lr = 0.05, threads = 1, max_steps = 1 }
    tabulate = { width_step = 0.25, calibration_batches = 1, latency_runs = 1 }
"#;

#[test]
fn videos_are_classified_by_a_row_of_frames() {
    let program = Program::new();
    fs::write(program.path("recipe.toml"), RECIPE).unwrap();
    let made =
        ["data", "make", "clips", "data", "--train", "8", "--test", "8", "--side", "24", "--frames", "6"];
    for arguments in [&made[..], &["train", "recipe.toml", "--out", "run"], &["tabulate", "run"]] {
        let told = program.told(arguments);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    let video = "data/test/left/00000.avi";
    let row = ["--width", "0.25", "--resolution", "24"];
    let predict = |more: &[&str]| program.told(&[&["predict", "run", video], more].concat());
    let told = predict(&[&row[..], &["--frames", "2"]].concat());
    assert!(told.contains("row 0.25-24-2: ") && told.contains("left/00000.avi: "), "{told}");
    let told = predict(&row);
    assert!(told.contains("error: the table has no row 0.25-24\nhint: give --frames as well;"), "{told}");
    let told = predict(&["--views", "101"]);
    assert!(told.contains("--views must be at most 100, not 101"), "{told}");

    let report = program.json(&["predict", "run", "data/test", "--views", "2", "--json"]);
    let videos = report["images"].as_array().unwrap();
    assert_eq!(videos.len(), 8);
    assert_eq!(videos[0]["macs"].as_u64().unwrap(), 2 * report["row"]["macs"].as_u64().unwrap());
    fs::create_dir(program.path("empty")).unwrap();
    let told = program.told(&["predict", "run", "empty"]);
    assert!(told.contains("error: no videos in empty"), "{told}");
}
