//! `table`, `predict`, `export`, `inspect bundle`.

use insta::assert_snapshot;
use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::{Task, Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

use crate::program::Program;

const ROWS: [&str; 4] = ["0.25-20", "0.25-32", "0.5-32", "1.0-32"];

/// `model.mnb` with random weights for the shapes data set's size, and images beside it.
pub(crate) fn program() -> Program {
    without_images().with_shapes()
}

/// Only `model.mnb`.
pub(crate) fn without_images() -> Program {
    let program = Program::new();
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
    let most_expensive = rows.last().unwrap()["macs"].as_u64().unwrap();
    for budget in [most_expensive, most_expensive - 1, rows[0]["macs"].as_u64().unwrap()] {
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

/// The columns of the row that a table shows, by the words of its head line.
fn cells(line: &str) -> Vec<String> {
    line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn a_cost_that_is_copied_from_the_table_buys_its_row() {
    let program = program();
    let told = program.told(&["table", "model.mnb", "--all"]);
    let rows: Vec<_> = told.lines().filter(|line| line.starts_with(['0', '1'])).map(cells).collect();
    assert_eq!(rows.len(), ROWS.len(), "{told}");
    // row, MACs, accuracy, interval, n, then p50 and p99 for 1 and for 2 threads. More costly rows are better here.
    for row in rows {
        let [one, two] = [6, 8].map(|column| format!("{} ms", row[column]));
        for args in [
            ["--budget", &row[1], "--threads", "1"],
            ["--latency", &one, "--threads", "1"],
            ["--budget", &two, "--threads", "2"],
        ] {
            let bought = program.json(&[["table", "model.mnb", "--json"].as_slice(), &args].concat());
            let subnet = format!("{:?}-{}", bought["width"].as_f64().unwrap(), bought["resolution"]);
            assert_eq!(subnet, row[0], "{args:?}: {told}");
        }
    }
    let told = program.told(&["inspect", "bundle", "model.mnb"]);
    let range = told.lines().find(|line| line.starts_with("rows")).unwrap();
    let (cheapest, most_expensive) = range.split_once("front), ").unwrap().1.split_once(" to ").unwrap();
    for (budget, row) in [(cheapest, ROWS[0]), (most_expensive, ROWS[3])] {
        let told = program.told(&["table", "model.mnb", "--budget", budget]);
        assert!(told.contains(&format!("\n{row} ")), "{budget}: {told}");
    }
    let told = program.told(&["table", "model.mnb", "--budget", "1000"]);
    let hinted = told.split("hint: a budget of ").nth(1).unwrap().split(" is enough").next().unwrap();
    assert!(program.told(&["table", "model.mnb", "--budget", hinted]).starts_with("exit 0"), "{told}");
}

#[test]
fn a_latency_says_which_threads_it_was_compared_with() {
    let program = program();
    let told = program.told(&["table", "model.mnb", "--latency", "1s"]);
    assert!(told.contains("note: compared with the 99th percentile on 2 threads; see --threads"), "{told}");
    let told = program.told(&["predict", "model.mnb", &program.image(), "--latency", "1s", "--threads", "1"]);
    assert!(told.contains(" ms on 1 thread (99th percentile), "), "{told}");
    assert_snapshot!(program.told(&["table", "model.mnb", "--latency", "1s", "--threads", "3"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the table has no latencies for 3 threads, only for 1 and 2
    hint: choose 1 or 2 threads
    "#);
}

#[test]
fn a_budget_below_the_cheapest_row_names_it() {
    let program = program();
    assert_snapshot!(program.told(&["predict", "model.mnb", &program.image(), "--budget", "1k"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: no row fits a budget of 1 k MACs: the cheapest, 0.25-20, costs 517 k MACs
    hint: a budget of 517 k MACs is enough for it
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
    error: the table has no row 0.6-32
    hint: `mutualnet table BUNDLE --all` lists the rows
    "#);
}

#[test]
fn no_file_is_written_over_the_one_that_is_read() {
    let program = program();
    let before = std::fs::read(program.path("model.mnb")).unwrap();
    let told = program.told(&["export", "model.mnb", "--output", "./model.mnb"]);
    assert!(told.starts_with("exit 1") && told.contains("the output would overwrite the input"), "{told}");
    std::fs::write(program.path("w.safetensors"), "weights").unwrap();
    let told = program.told(&["import", "w.safetensors", "--network", "resnet18", "-o", "w.safetensors"]);
    assert!(told.contains("the output would overwrite the input"), "{told}");
    assert_eq!(std::fs::read(program.path("model.mnb")).unwrap(), before);
    assert_eq!(program.told(&["predict", "model.mnb", "a.jpg", "--top", "0"]).lines().next(), Some("exit 1"));
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
    let told = program.told(&["export", "model.mnb", "--budget", "100M", "-o", "x.tflite"]);
    assert_snapshot!(told, @r#"
    exit 1
    -- stdout
    -- stderr
    error: the output file must end in .onnx, .safetensors or .mnb: x.tflite
    "#);
    program.run(&["export", "model.mnb", "--budget", "100M", "-o", "x.safetensors"]);
    assert!(program.path("x.safetensors").exists());
}

#[test]
fn an_exported_onnx_file_is_run_and_compared() {
    let program = program();
    let told =
        program.told(&["export", "model.mnb", "--width", "0.5", "--resolution", "32", "-o", "half.onnx"]);
    assert!(told.starts_with("exit 0\n-- stdout\n-- stderr\nrow 0.5-32 written to half.onnx\n"), "{told}");
    let difference = told.split_once("differ from the row's by at most ").unwrap().1;
    let difference: f32 = difference.split_once(' ').unwrap().0.parse().unwrap();
    assert!(difference < 1e-4, "{told}");
    assert!(program.path("half.onnx").metadata().unwrap().len() > 1000);
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
    error: cannot open `missing.mnb`: No such file or directory (os error 2)
    "#);
}

#[test]
fn a_plot_is_drawn() {
    let program = program();
    assert_snapshot!(program.told(&["table", "model.mnb", "--budget", "100M", "--plot", "plot.svg", "--json"]).lines().next().unwrap(), @r#"exit 0"#);
    assert!(std::fs::read_to_string(program.path("plot.svg")).unwrap().contains("<svg"));
}

/// The bundle of [`program`] with something changed.
pub(crate) fn changed(program: &Program, name: &str, change: impl FnOnce(&mut BundleParts)) {
    let bundle = Bundle::read(&program.path("model.mnb")).unwrap();
    let rows = bundle.table().rows().iter();
    let mut parts = BundleParts {
        task: Task::Classify,
        network: bundle.network().clone(),
        classes: bundle.classes().to_vec(),
        preprocess: *bundle.preprocess(),
        table: bundle.table().clone(),
        weights: bundle.weights().clone(),
        stats: rows.map(|row| (row.subnet, bundle.stats(row.subnet).unwrap().clone())).collect(),
        provenance: bundle.provenance().clone(),
    };
    change(&mut parts);
    Bundle::new(parts).unwrap().write(&program.path(name)).unwrap();
}

#[test]
fn tables_of_different_data_are_told_apart() {
    let program = program();
    changed(&program, "classes.mnb", |parts| parts.classes.swap(0, 1));
    for data in ["one", "other"] {
        changed(&program, &format!("{data}.mnb"), |parts| parts.provenance.data_sha256 = data.to_owned());
    }
    let told = program.told(&["compare", "a=model.mnb,one.mnb", "b=classes.mnb,other.mnb"]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert!(
        told.contains("warning: model.mnb and classes.mnb have different classes: number 0 is "),
        "{told}"
    );
    assert!(told.contains("warning: one.mnb and other.mnb were trained on different data\n"), "{told}");
    let report = program.json(&["compare", "a=one.mnb", "b=other.mnb", "--json"]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    let same = program.told(&["compare", "a=model.mnb", "b=model.mnb"]);
    assert!(!same.contains("warning"), "{same}");
    std::fs::create_dir(program.path("run")).unwrap();
    let told = program.told(&["compare", "a=model.mnb", "b=run"]);
    assert!(
        told.contains("error: the directory has no table.json: run\nhint: give a run directory"),
        "{told}"
    );
    std::fs::write(program.path("run/plan.toml"), "").unwrap();
    let told = program.told(&["compare", "a=model.mnb", "b=run"]);
    assert!(
        told.contains("error: the run has no table.json yet: run\nhint: `mutualnet tabulate run`"),
        "{told}"
    );
}

#[test]
fn tables_of_different_tasks_are_not_compared() {
    let program = program();
    let table = program.json(&["table", "model.mnb", "--all", "--json"]);
    let other = table.to_string().replace("\"accuracy\"", "\"mean_iou\"");
    std::fs::write(program.path("other.json"), other).unwrap();
    let told = program.told(&["compare", "a=model.mnb", "b=other.json"]);
    let says =
        "error: tables of different tasks cannot be compared: model.mnb has accuracy, other.json has mIoU";
    assert!(told.starts_with("exit 1") && told.contains(says), "{told}");
}

#[test]
fn tables_are_laid_beside_each_other() {
    let program = program();
    let args = ["compare", "mutual=model.mnb,model.mnb", "us=model.mnb", "--plot", "curves.svg"];
    let told = program.told(&args);
    assert_snapshot!(told, @r#"
    exit 0
    -- stdout
    accuracy % at  n         517 k         735 k        1.05 M        1.50 M        2.13 M        3.03 M        4.31 M        6.13 M  above mutual
    mutual         2  50.00 ± 0.00  50.00 ± 0.00  66.70 ± 0.00  66.70 ± 0.00  75.00 ± 0.00  75.00 ± 0.00  75.00 ± 0.00  80.00 ± 0.00   0.00 ± 0.00
    us             1         50.00         50.00         66.70         66.70         75.00         75.00         75.00         80.00          0.00
    -- stderr
    plot: curves.svg
    "#);
    assert!(std::fs::read_to_string(program.path("curves.svg")).unwrap().contains(">us</text>"));
    let comparison = program.json(&["compare", "mutual=model.mnb,model.mnb", "us=model.mnb", "--json"]);
    assert_eq!(comparison["series"][1]["above_first"]["mean"], 0.0);
    let args = ["compare", "mutual=model.mnb,model.mnb", "a|b=model.mnb", "--markdown"];
    assert_snapshot!(program.told(&args), @r#"
    exit 0
    -- stdout
    | accuracy % at | n | 517 k | 735 k | 1.05 M | 1.50 M | 2.13 M | 3.03 M | 4.31 M | 6.13 M | above mutual |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
    | mutual | 2 | 50.00 ± 0.00 | 50.00 ± 0.00 | 66.70 ± 0.00 | 66.70 ± 0.00 | 75.00 ± 0.00 | 75.00 ± 0.00 | 75.00 ± 0.00 | 80.00 ± 0.00 | 0.00 ± 0.00 |
    | a\|b | 1 | 50.00 | 50.00 | 66.70 | 66.70 | 75.00 | 75.00 | 75.00 | 80.00 | 0.00 |
    -- stderr
    "#);
    assert_snapshot!(program.told(&["compare", "model.mnb"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: `model.mnb` does not have the form NAME=TABLE[,TABLE...]
    "#);
}
