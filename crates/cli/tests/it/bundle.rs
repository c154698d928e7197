//! `table`, `predict`, `export`, `inspect bundle`.

use insta::assert_snapshot;
use mutualnet_bundle::Bundle;
use mutualnet_core::{Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

use crate::program::Program;

const ROWS: [&str; 4] = ["0.25-20", "0.25-32", "0.5-32", "1.0-32"];

/// `model.mnb` with random weights for the shapes data set's size, and images beside it.
fn program() -> Program {
    let program = Program::new().with_shapes();
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let config = NetworkConfig { classes: 12, widths, output_stride: None };
    let network = mutualnet_zoo::build("mobilenet_v2", &config).unwrap();
    let bundle = mutualnet_testkit::bundle(network, &ROWS.map(|row| row.parse().unwrap()));
    bundle.write(&program.path("model.mnb")).unwrap();
    program
}

#[test]
fn a_budget_buys_the_best_row_that_fits() {
    let program = program();
    let table = program.json(&["table", "model.mnb", "--all", "--json"]);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), ROWS.len());
    let dearest = rows.last().unwrap()["macs"].as_u64().unwrap();
    for budget in [dearest, dearest - 1, rows[0]["macs"].as_u64().unwrap()] {
        let row = program.json(&["table", "model.mnb", "--json", "--budget", &budget.to_string()]);
        assert!(row["macs"].as_u64().unwrap() <= budget);
        let report = program.json(&[
            "predict",
            "model.mnb",
            &program.image(),
            "--json",
            "--budget",
            &budget.to_string(),
        ]);
        assert_eq!(report["row"]["macs"], row["macs"]);
    }
}

#[test]
fn a_budget_below_the_cheapest_row_names_it() {
    let program = program();
    assert_snapshot!(program.told(&["predict", "model.mnb", &program.image(), "--budget", "1k"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: no row fits a budget of 1.00 k MACs: the cheapest, 0.25-20, costs 516 k MACs
    hint: a budget of 516112 MACs is enough for it
    "#);
}

#[test]
fn a_row_can_be_named() {
    let program = program();
    let image = program.image();
    let report = program.json(&[
        "predict",
        "model.mnb",
        &image,
        "--json",
        "--width",
        "0.5",
        "--resolution",
        "32",
        "--top",
        "2",
    ]);
    assert_eq!(report["row"]["width"], 0.5);
    let top = report["images"][0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 2);
    assert!(top[0]["probability"].as_f64() >= top[1]["probability"].as_f64());
    assert_snapshot!(program.told(&["predict", "model.mnb", &image, "--width", "0.6", "--resolution", "32"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the table has no row 0.6-32; `mutualnet table --all` lists them
    "#);
    assert_snapshot!(program.told(&["predict", "model.mnb", "nothing.jpg"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: cannot decode nothing.jpg: cannot be read: No such file or directory (os error 2)
    "#);
}

#[test]
fn an_exported_row_predicts_the_same() {
    let program = program();
    let told =
        program.told(&["export", "model.mnb", "--width", "0.5", "--resolution", "32", "-o", "half.mnb"]);
    assert_snapshot!(told, @r#"
    exit 0
    -- stdout
    -- stderr
    row 0.5-32 written to half.mnb
    "#);
    let image = program.image();
    let images = |bundle: &str| {
        let mut report =
            program.json(&["predict", bundle, &image, "--json", "--width", "0.5", "--resolution", "32"]);
        report["images"][0]["top"].take()
    };
    assert_eq!(images("half.mnb"), images("model.mnb"));
    let (half, whole) = (program.path("half.mnb"), program.path("model.mnb"));
    assert!(half.metadata().unwrap().len() < whole.metadata().unwrap().len() / 2);
    assert_eq!(Bundle::read(&half).unwrap().table().rows().len(), 1);
    let told = program.told(&["export", "model.mnb", "--budget", "100M", "-o", "x.onnx"]);
    assert_snapshot!(told, @r#"
    exit 1
    -- stdout
    -- stderr
    error: the name of the output must end in .safetensors or .mnb: x.onnx
    "#);
    program.run(&["export", "model.mnb", "--budget", "100M", "-o", "x.safetensors"]);
    assert!(program.path("x.safetensors").exists());
}

#[test]
fn a_damaged_bundle_is_refused() {
    let program = program();
    let mut bytes = std::fs::read(program.path("model.mnb")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(program.path("damaged.mnb"), &bytes).unwrap();
    let told = program.told(&["table", "damaged.mnb"]);
    assert!(told.contains("checksum mismatch") && told.starts_with("exit 1"), "{told}");
    std::fs::write(program.path("short.mnb"), &bytes[..middle]).unwrap();
    let told = program.told(&["predict", "short.mnb", &program.image()]);
    assert!(told.contains("hint: the file is damaged or incomplete") && told.starts_with("exit 1"), "{told}");
    assert_snapshot!(program.told(&["table", "missing.mnb"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: cannot open the file: No such file or directory (os error 2), in `missing.mnb`
    "#);
}

#[test]
fn a_plot_is_drawn() {
    let program = program();
    assert_snapshot!(program.told(&["table", "model.mnb", "--budget", "100M", "--plot", "plot.svg", "--json"]).lines().next().unwrap(), @r#"exit 0"#);
    assert!(std::fs::read_to_string(program.path("plot.svg")).unwrap().contains("<svg"));
}

#[test]
fn tables_are_laid_beside_each_other() {
    let program = program();
    let args = ["compare", "mutual=model.mnb,model.mnb", "us=model.mnb", "--plot", "curves.svg"];
    let told = program.told(&args);
    assert_snapshot!(told, @r#"
    exit 0
    -- stdout
    accuracy % at  n         516 k         735 k        1.05 M        1.49 M        2.12 M        3.02 M        4.30 M        6.13 M  above mutual
    mutual         2  50.00 ± 0.00  50.00 ± 0.00  66.70 ± 0.00  66.70 ± 0.00  75.00 ± 0.00  75.00 ± 0.00  75.00 ± 0.00  80.00 ± 0.00   0.00 ± 0.00
    us             1         50.00         50.00         66.70         66.70         75.00         75.00         75.00         80.00          0.00
    -- stderr
    plot: curves.svg
    "#);
    assert!(std::fs::read_to_string(program.path("curves.svg")).unwrap().contains(">us</text>"));
    let comparison = program.json(&["compare", "mutual=model.mnb,model.mnb", "us=model.mnb", "--json"]);
    assert_eq!(comparison["series"][1]["above_first"]["mean"], 0.0);
    assert_snapshot!(program.told(&["compare", "model.mnb"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: `model.mnb` is not of the form NAME=TABLE[,TABLE…]
    "#);
}
