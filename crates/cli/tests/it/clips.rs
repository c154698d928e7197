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
    assert!(told.contains("invalid value '101' for '--views <N>': 101 is not in 1..=100"), "{told}");
    let told = predict(&["--crops", "2"]);
    assert!(told.contains("invalid value '2' for '--crops <N>': must be 1 or 3"), "{told}");

    let report = program.json(&["predict", "run", "data/test", "--views", "2", "--crops", "3", "--json"]);
    let videos = report["images"].as_array().unwrap();
    assert_eq!(videos.len(), 8);
    assert_eq!(videos[0]["macs"].as_u64().unwrap(), 6 * report["row"]["macs"].as_u64().unwrap());
    let frames = program.path("frames/a/clip");
    fs::create_dir_all(&frames).unwrap();
    let png = mutualnet_image::encode_png(&mutualnet_image::Image::new(30, 24, vec![90; 30 * 24 * 3]));
    (0..5).for_each(|number| fs::write(frames.join(format!("{number}.png")), &png).unwrap());
    let report = program.json(&["predict", "run", "frames/a/clip", "--json"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    assert!(
        program
            .told(&["data", "check", "frames", "--clips"])
            .contains("1 video checked, 0 broken\npng: 1 video")
    );
    fs::create_dir(program.path("set")).unwrap();
    fs::rename(program.path("frames"), program.path("set/train")).unwrap();
    let told = program.told(&["data", "pack", "set", "frames.mnpack", "--clips"]);
    assert!(told.contains("1 video (train: 1) in frames.mnpack"), "{told}");
    fs::create_dir(program.path("empty")).unwrap();
    let told = program.told(&["predict", "run", "empty"]);
    assert!(told.contains("error: no videos or folders of frames in empty"), "{told}");
}

#[test]
fn packed_videos_are_trained_on_like_files() {
    let program = Program::new();
    fs::write(program.path("recipe.toml"), RECIPE).unwrap();
    let made =
        ["data", "make", "clips", "data", "--train", "8", "--test", "8", "--side", "24", "--frames", "6"];
    assert!(program.told(&made).starts_with("exit 0"));
    fs::write(program.path("data/train/left/notes.txt"), "x").unwrap();
    fs::write(program.path("data/test/up/00000.avi"), "").unwrap();
    let told = program.told(&["data", "pack", "data", "clips.mnpack", "--shorter-side", "20"]);
    assert!(told.contains("test/up/00000.avi: the file is empty"), "{told}");
    assert!(told.contains("15 videos (train: 8, test: 7) in clips.mnpack"), "{told}");
    let left_out = "left out: 1 broken video, named above; files that are not videos (1 .txt)";
    assert!(told.contains(left_out), "{told}");
    let report = program.json(&["data", "pack", "clips.mnpack", "copy.mnpack", "--json"]);
    assert_eq!((report["videos"].as_u64(), &report["images"]), (Some(15), &serde_json::Value::Null));
    let told = program.told(&["data", "check", "copy.mnpack"]);
    assert!(told.contains("15 videos checked, 0 broken\nmjpeg: 15 videos, 16.0 frames per second"), "{told}");
    let report = program.json(&["data", "check", "copy.mnpack", "--json"]);
    assert_eq!(
        (&report["files"][0]["width_px"], &report["files"][0]["key_distance"]),
        (&20.into(), &1.into())
    );
    for arguments in
        [&["train", "recipe.toml", "data.path=copy.mnpack", "--out", "run"][..], &["tabulate", "run"]]
    {
        let told = program.told(arguments);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    let told = program.told(&["bench", "data", "recipe.toml", "data.path=copy.mnpack", "--images", "16"]);
    assert!(told.contains("clips/s with"), "{told}");
    let told = program.told(&[
        "plan",
        "recipe.toml",
        "data.path=copy.mnpack",
        "network={name=\"resnet18\", widths=[0.5, 1.0], resolutions=[32]}",
    ]);
    assert!(told.contains("copy.mnpack has clips, but the network reads images"), "{told}");
}
