//! `import`: checkpoints become weights, or the command says why not.

use insta::assert_snapshot;
use mutualnet_bundle::safetensors;
use mutualnet_core::{Weights, Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

use crate::program::Program;

const HOSTILE: &[u8] = include_bytes!("../../../import/golden/hostile.pt");
const SMALL: &[u8] = include_bytes!("../../../import/golden/authors.pt");

/// `checkpoint.safetensors`: MobileNetV1 of 12 classes as `DataParallel` names it, with statistics.
fn program() -> (Program, Weights) {
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = NetworkConfig { classes: 12, widths, output_stride: None };
    let network = mutualnet_zoo::build("mobilenet_v1", &config).unwrap();
    let weights = mutualnet_testkit::parts(network, &["1.0-32".parse().unwrap()]).weights;
    let program = Program::new();
    write(
        &program,
        "checkpoint.safetensors",
        &weights,
        &[("features.0.1.bn.0.running_mean", "features.0.1.bias")],
    );
    (program, weights)
}

/// Writes `weights` and copies of some under further names.
fn write(program: &Program, file: &str, weights: &Weights, further: &[(&str, &str)]) {
    let mut tensors: Weights =
        weights.iter().map(|(name, tensor)| (format!("module.{name}"), tensor.clone())).collect();
    for (name, of) in further {
        tensors.insert(format!("module.{name}"), weights[*of].clone());
    }
    safetensors::write(&tensors, &program.path(file)).unwrap();
}

#[test]
fn what_matched_is_told() {
    let (program, _) = program();
    let arguments =
        ["import", "checkpoint.safetensors", "--network", "mobilenet_v1", "-o", "weights.safetensors"];
    assert_snapshot!(program.told(&arguments), @r#"
    exit 0
    -- stdout
    network     mobilenet_v1, widths 1.0 to 1.0, 12 classes
    checkpoint  safetensors, prefix `module.`
    matched     83 tensors (3219276 parameters) by name (named as by the authors)
    left out    1 batch-norm statistics (every row is calibrated), 0 counters
    -- stderr
    weights written to weights.safetensors
    "#);
    let report = program.json(&[arguments.as_slice(), &["--json", "--classes", "12"]].concat());
    assert_eq!(report["matched"].as_array().unwrap().len(), 83);
    assert_eq!((&report["source"], &report["matching"]), (&"authors".into(), &"name".into()));
    // What is written is imported again, and says the same.
    let again = ["import", "weights.safetensors", "--network", "mobilenet_v1", "-o", "again.safetensors"];
    program.run(&again);
    let bytes = |name: &str| std::fs::read(program.path(name)).unwrap();
    assert_eq!(bytes("again.safetensors"), bytes("weights.safetensors"));
    let told = program.told(&[again.as_slice(), &["--sort-channels"]].concat());
    assert!(told.contains("sorted      14 channel groups by importance"), "{told}");
    assert_ne!(bytes("again.safetensors"), bytes("weights.safetensors"));
    let told = program.told(&[again.as_slice(), &["--new-head"]].concat());
    assert!(
        told.contains("1.0 to 1.0, no classifier\n") && told.contains("classifier: classifier.0."),
        "{told}"
    );
}

/// As Lightning saves a module that has a network, a loss with weights and a running average.
#[test]
fn a_network_within_a_module() {
    let (program, weights) = program();
    let under = |prefix: &str, weights: &Weights| -> Weights {
        weights.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
    };
    let mut tensors = under("net.", &weights);
    tensors.extend(under("net_ema.module.", &weights));
    tensors.insert("criterion.weight".to_owned(), weights["classifier.0.bias"].clone());
    safetensors::write(&tensors, &program.path("lightning.safetensors")).unwrap();
    let arguments =
        ["import", "lightning.safetensors", "--network", "mobilenet_v1", "-o", "weights.safetensors"];
    assert_snapshot!(program.told(&arguments), @r#"
    exit 0
    -- stdout
    network     mobilenet_v1, widths 1.0 to 1.0, 12 classes
    checkpoint  safetensors, prefix `net.`
    matched     83 tensors (3219276 parameters) by name (named as by the authors)
    left out    0 batch-norm statistics (every row is calibrated), 0 counters
                outside the prefix: criterion.weight, net_ema.* (83 tensors)
    not read    also fits, choose with --prefix: net_ema.module.
    -- stderr
    weights written to weights.safetensors
    "#);
    let told = program.told(&[arguments.as_slice(), &["--prefix", "net_ema"]].concat());
    assert!(told.contains("prefix `net_ema.module.`"), "{told}");
    assert_snapshot!(program.told(&[arguments.as_slice(), &["--prefix", "model."]].concat()), @r#"
    exit 1
    -- stdout
    -- stderr
    error: no tensor name in the checkpoint begins with `model.`; they begin with criterion., net., net_ema.
    hint: without --prefix, the prefix is found by the names of the network's tensors
    "#);
    tensors.retain(|name, _| name.starts_with("net.") && !name.contains("classifier"));
    safetensors::write(&tensors, &program.path("lightning.safetensors")).unwrap();
    assert_snapshot!(program.told(&arguments), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the checkpoint has no classifier `net.classifier.0`
    hint: --new-head imports everything else; with `train.new_head` training starts with a random classifier
    "#);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (program, weights) = program();
    write(
        &program,
        "more.safetensors",
        &weights,
        &[("features.0.0.bias", "features.0.1.bias"), ("aux.fc.weight", "classifier.0.weight")],
    );
    let told =
        |arguments: &[&str]| program.told(&[&["import"], arguments, &["-o", "weights.safetensors"]].concat());
    assert_snapshot!(told(&["checkpoint.safetensors", "--network", "mobilenet_v2"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: 75 of the 158 tensors of mobilenet_v2 are not in the checkpoint (named as by the authors): module.features.2.body.6.weight, module.features.2.body.7.weight, module.features.2.body.7.bias, module.features.3.body.6.weight, …
    hint: this may be a checkpoint of another network; if only names differ, --by-position matches by order
    "#);
    assert_snapshot!(told(&["checkpoint.safetensors", "--network", "mobilenet_v1", "--widths", "1.0,2.0"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: `features.0.0.weight` of the checkpoint has shape [32, 3, 3, 3], but `features.0.0.weight` of mobilenet_v1 has shape [64, 3, 3, 3]
    hint: a network with a different largest width has different shapes: give its range with --widths
    "#);
    assert_snapshot!(told(&["checkpoint.safetensors", "--network", "mobilenet_v1", "--classes", "10"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the checkpoint has 12 classes, not 10
    hint: --new-head leaves the classifier out; with `train.new_head` training starts with a random one
    "#);
    assert_snapshot!(told(&["more.safetensors", "--network", "mobilenet_v1"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: mobilenet_v1 has no place for 1 of the checkpoint's tensors: aux.fc.weight
    hint: this may be a checkpoint of another network; if not, --allow-unused leaves them out
    "#);
    assert!(!program.path("weights.safetensors").exists());
    assert_snapshot!(told(&["more.safetensors", "--network", "mobilenet_v1", "--allow-unused"]), @r#"
    exit 0
    -- stdout
    network     mobilenet_v1, widths 1.0 to 1.0, 12 classes
    checkpoint  safetensors, prefix `module.`
    matched     83 tensors (3219276 parameters) by name (named as by the authors)
    left out    0 batch-norm statistics (every row is calibrated), 0 counters
                no effect before a batch norm: features.0.0.bias
                not in the network: aux.fc.weight
    -- stderr
    weights written to weights.safetensors
    "#);
}

#[test]
fn hostile_and_damaged_files_are_refused() {
    let program = Program::new();
    std::fs::write(program.path("hostile.pt"), HOSTILE).unwrap();
    std::fs::write(program.path("cut.pt"), &SMALL[..SMALL.len() / 2]).unwrap();
    let told = |arguments: &[&str]| {
        program.told(&[&["import", "--network", "mobilenet_v1", "-o", "w.safetensors"], arguments].concat())
    };
    assert_snapshot!(told(&["hostile.pt"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the checkpoint refers to `posix.system`, which would run code in Python; nothing was run here
    hint: do not load this file in Python unless you know who made it: a checkpoint that holds only a `state_dict()` refers to no such function
    "#);
    assert_snapshot!(told(&["cut.pt"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: damaged checkpoint: the archive has no end record: it is truncated
    hint: the file may be damaged or incomplete: download or copy it again
    "#);
    assert_snapshot!(told(&["absent.pt"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: cannot read `absent.pt`: No such file or directory (os error 2)
    "#);
    assert_snapshot!(program.told(&["import", "x.pt", "--network", "mobilenet_v1", "-o", "weights.pt"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the name of the output must end in .safetensors: weights.pt
    "#);
}

#[test]
fn a_network_that_segments_is_imported_with_its_auxiliary_classifier_or_without() {
    let (program, _) = program();
    let name = "deeplabv3_mobilenet_v2";
    let told =
        program.told(&["import", "checkpoint.safetensors", "--network", name, "-o", "out.safetensors"]);
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(told.contains("hint: to start deeplabv3_mobilenet_v2 from a classification network"), "{told}");
    assert!(told.contains("--network mobilenet_v2") && !program.path("out.safetensors").exists(), "{told}");

    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.25).unwrap()).unwrap();
    let config = NetworkConfig { classes: 3, widths, output_stride: None };
    let network = mutualnet_zoo::build("deeplabv3_resnet50", &config).unwrap();
    let mut weights = mutualnet_testkit::parts(network, &["0.25-32".parse().unwrap()]).weights;
    weights.retain(|name, _| !name.starts_with("aux_"));
    write(&program, "segment.safetensors", &weights, &[]);
    let network = ["--network", "deeplabv3_resnet50", "--widths", "0.25,0.25"];
    let arguments = [&["import", "segment.safetensors", "-o", "out.safetensors"], &network[..]].concat();
    let told = program.told(&arguments);
    assert!(told.contains("deeplabv3_resnet50, widths 0.25 to 0.25, 3 classes\n"), "{told}");
    let left_out = "auxiliary classifier, not in the checkpoint: aux_classifier.* (5 tensors)";
    assert!(told.contains(left_out), "{told}");
    assert_eq!(safetensors::read(&program.path("out.safetensors")).unwrap(), weights);
}
