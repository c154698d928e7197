//! `bench runtime`.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use mutualnet_core::{Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

use crate::bundle;
use crate::program::Program;

const ROW: [&str; 4] = ["--width", "0.5", "--resolution", "32"];

#[test]
fn layers_have_the_macs_of_the_row() {
    let program = bundle::without_images();
    let args = |more: &[&'static str]| [&["bench", "runtime", "model.mnb"], &ROW[..], more].concat();
    let report = program.json(&args(&["--runs", "3", "--threads", "2", "--batch", "3", "--json"]));
    let row = program.json(&[
        "inspect",
        "network",
        "mobilenet_v2",
        "--width",
        "0.5",
        "--resolution",
        "32",
        "--classes",
        "12",
        "--json",
    ]);
    assert_eq!(report["macs"].as_u64().unwrap(), 3 * row["macs"].as_u64().unwrap());
    let layers = report["layers"].as_array().unwrap();
    let sum = |key: &str| layers.iter().map(|layer| layer[key].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("macs"), report["macs"].as_f64().unwrap());
    assert!((sum("share") - 1.0).abs() < 1e-6);
    for layer in layers {
        let known =
            row["layers"].as_array().unwrap().iter().find(|known| known["path"] == layer["path"]).unwrap();
        assert_eq!([&known["op"], &known["extent"][1]], [&layer["op"], &layer["size"][0]], "{layer}");
        assert!(layer["of_peak"].as_f64().unwrap() > 0.0, "{layer}");
    }
    let told = program.told(&args(&["--runs", "3", "--threads", "1"]));
    assert!(told.contains("features.0.0") && told.contains("1 image, 1 thread"), "{told}");
}

#[test]
fn layers_of_clips_have_frames() {
    let program = Program::new();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 5, widths, output_stride: None };
    let network = mutualnet_zoo::build("x3d_xs", &config).unwrap();
    let row = "0.25-20-3".parse().unwrap();
    let macs = network.macs(row).unwrap();
    mutualnet_testkit::bundle(network, &[row]).write(&program.path("model.mnb")).unwrap();
    let args = ["bench", "runtime", "model.mnb", "--runs", "2", "--threads", "1", "--batch", "2"];
    let report = program.json(&[&args[..], &["--json"]].concat());
    assert_eq!(report["macs"].as_u64().unwrap(), 2 * macs.0);
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers[0]["frames"], 3);
    assert_eq!(layers[0]["size"], serde_json::json!([10, 10]));
    assert_eq!(layers.last().unwrap()["frames"], 1);
    let told = program.told(&args);
    assert!(told.contains("8×3×10×10") && told.contains("2 clips, 1 thread"), "{told}");
}

#[test]
fn it_takes_turns_with_other_programs() {
    let program = bundle::without_images();
    let args = [&["bench", "runtime", "model.mnb", "--lockstep", "--batch", "2"], &ROW[..]].concat();
    let mut child = program
        .command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "ready");
    let images: Vec<u8> = (0..2 * 32 * 32 * 3_u16).flat_map(|i| f32::from(i % 7).to_le_bytes()).collect();
    std::fs::write(program.path("from"), images).unwrap();
    writeln!(stdin, "outputs from to").unwrap();
    next();
    assert_eq!(std::fs::read(program.path("to")).unwrap().len(), 2 * 12 * 4);
    writeln!(stdin, "step 2").unwrap();
    assert!(next().parse::<f64>().unwrap() > 0.0);
    writeln!(stdin, "step back").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the number of runs must be a number"));
}
