//! Every tensor of torchvision's and timm's networks finds its place, and every tensor of ours is found.

use std::collections::BTreeMap;

use mutualnet_core::{Network, Width, WidthRange};
use mutualnet_zoo::family::Backbone;
use mutualnet_zoo::golden::Folder;
use mutualnet_zoo::{FAMILIES, NetworkConfig};

use crate::matching::{Head, Rules, by_name, classes};
use crate::{Error, Source, StateDict};

/// Shapes by name, by program, as `golden/names/make.py` found them.
fn golden(name: &str) -> BTreeMap<String, BTreeMap<String, Vec<usize>>> {
    let path = format!("{}/golden/names/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|_| panic!("no {path}: run `cargo xtask golden {name}`"));
    serde_json::from_str(&text).unwrap()
}

fn network(name: &str) -> Network {
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = NetworkConfig { classes: 1000, widths, output_stride: None };
    mutualnet_zoo::build(name, &config).unwrap()
}

fn state(shapes: &BTreeMap<String, Vec<usize>>) -> StateDict<'static> {
    let shapes: Vec<_> = shapes.iter().map(|(name, shape)| (name.as_str(), shape.clone())).collect();
    StateDict::of_shapes(&shapes)
}

#[test]
fn every_tensor_of_torchvision_and_timm_has_its_place() {
    for name in Folder::Names.networks() {
        let family = mutualnet_zoo::family(name).unwrap();
        let programs =
            [("torchvision", family.torchvision.contains(&name)), ("timm", family.timm(name).is_some())];
        let programs = programs.into_iter().filter_map(|(program, has_it)| has_it.then_some(program));
        let programs: Vec<_> = programs.collect();
        let golden = golden(name);
        assert_eq!(golden.keys().collect::<Vec<_>>(), programs.iter().rev().collect::<Vec<_>>(), "{name}");
        for program in programs {
            // Whoever has the same names as torchvision is taken for torchvision.
            let has_torchvisions =
                golden.get("torchvision").is_some_and(|theirs| theirs.keys().eq(golden[program].keys()));
            let source = if has_torchvisions || name == "vgg16_bn" { "torchvision" } else { program };
            check(name, &golden[program], source);
        }
    }
}

fn check(name: &str, shapes: &BTreeMap<String, Vec<usize>>, source: &str) {
    let (state, network) = (state(shapes), network(name));
    // VGG has another classifier here, and its convolutions have no biases.
    let (head, n_biases) = if name == "vgg16_bn" { (Head::LeftOut, 13) } else { (Head::Imported, 0) };
    let rules = Rules { head, ..Rules::default() };
    let found = by_name(&state, &network, rules).unwrap_or_else(|error| panic!("{source}/{name}: {error}"));
    assert_eq!(found.source.map(Source::name), Some(source), "{name}");
    let n_left_out = if head == Head::LeftOut { (2, 6) } else { (0, 0) };
    assert_eq!(found.tensors.len(), network.parameters().len() - n_left_out.0, "{source}/{name}");
    assert_eq!(found.head_left_out.len(), n_left_out.1, "{source}/{name}");
    assert!(found.unused.is_empty(), "{source}/{name}: {:?}", found.unused);
    assert_eq!(found.without_effect.len(), n_biases, "{source}/{name}: {:?}", found.without_effect);
}

#[test]
fn every_tensor_of_pytorchvideos_networks_has_its_place() {
    for name in Folder::Clips.networks() {
        let (state, network) = (state(&golden_shapes(Folder::Clips, name)), with_classes(name, 10));
        assert_eq!(classes(&state, &with_classes(name, 3), Rules::default()).unwrap(), 10, "{name}");
        let found = by_name(&state, &network, Rules::default()).unwrap();
        assert_eq!(found.source, Some(Source::Pytorchvideo), "{name}");
        assert_eq!(found.tensors.len(), network.parameters().len(), "{name}");
        assert!(found.unused.is_empty() && found.without_effect.is_empty(), "{name}");
    }
}

/// `golden/pyslowfast/make.py` makes the files.
#[test]
fn every_tensor_of_pyslowfasts_networks_has_its_place() {
    for (name, file) in [
        ("slow_r50_4x16", "slow_r50"),
        ("slow_r50_8x8", "slow_r50"),
        ("slowfast_r50_4x16", "slowfast_r50_4x16"),
        ("slowfast_r50_8x8", "slowfast_r50_8x8"),
        ("x3d_xs", "x3d"),
        ("x3d_s", "x3d"),
        ("x3d_m", "x3d"),
    ] {
        let path = format!("{}/golden/pyslowfast/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let shapes = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (state, network) = (state(&shapes), with_classes(name, 400));
        let found = by_name(&state, &network, Rules::default()).unwrap();
        assert_eq!(found.source, Some(Source::PySlowFast), "{name}");
        assert_eq!(found.tensors.len(), network.parameters().len(), "{name}");
        // A batch norm that pytorchvideo's X3D does not have. Without it the network is another one.
        let shortcut = "s2.pathway0_res0.branch1_bn";
        let unused = if name.starts_with("x3d") { vec!["bias", "weight"] } else { vec![] };
        let unused: Vec<_> = unused.iter().map(|kind| format!("{shortcut}.{kind}")).collect();
        assert_eq!(found.unused, unused, "{name}");
    }
}

/// Shapes by name of a whole network of another program, as the script in a folder found them.
fn golden_shapes(folder: Folder, name: &str) -> BTreeMap<String, Vec<usize>> {
    let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), folder.file(name));
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let parameters = golden["parameters"].as_array().unwrap().iter();
    let shape = |row: &serde_json::Value| serde_json::from_value(row[1].clone()).unwrap();
    parameters.map(|row| (row[0].as_str().unwrap().to_owned(), shape(row))).collect()
}

fn with_classes(name: &str, classes: usize) -> Network {
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    mutualnet_zoo::build(name, &NetworkConfig { classes, widths, output_stride: None }).unwrap()
}

#[test]
fn every_tensor_of_networks_that_segment_or_detect_has_its_place() {
    let folders = [Folder::Segment, Folder::Detect, Folder::Regions].into_iter();
    for (folder, name) in folders.flat_map(|folder| folder.networks().map(move |name| (folder, name))) {
        let shapes = golden_shapes(folder, name);
        let state = state(&shapes);
        // Names do not depend on the number of classes, which is found.
        let found = classes(&state, &with_classes(name, 3), Rules::default()).unwrap();
        assert_eq!(found, 21, "{name}");
        let network = with_classes(name, 21);
        let found = by_name(&state, &network, Rules::default()).unwrap();
        assert_eq!(found.source, Some(Source::Torchvision), "{name}");
        assert_eq!(found.tensors.len(), network.parameters().len(), "{name}");
        assert!(found.unused.is_empty() && found.without_auxiliary.is_empty(), "{name}");
        assert!(found.without_effect.is_empty() && found.head_left_out.is_empty(), "{name}");
    }
}

/// torchvision builds its networks for segmentation and detection around its classification networks, whose names remain.
#[test]
fn the_names_of_a_backbone_are_torchvisions_of_its_classification_network() {
    for Backbone { network: name, classifier, path, .. } in
        FAMILIES.iter().flat_map(|family| family.backbones)
    {
        let backbone = mutualnet_zoo::backbone_names(&with_classes(name, 21)).unwrap();
        let classifier = network(classifier);
        for (ours, of_classifier) in &backbone.names {
            let (module, kind) = of_classifier.rsplit_once('.').unwrap();
            let theirs = Source::Torchvision.module(&classifier, module).unwrap();
            let theirs = format!("{theirs}.{kind}");
            let theirs = theirs.strip_prefix("features.").unwrap_or(&theirs);
            assert_eq!(ours.strip_prefix(path).unwrap(), theirs, "{name}");
        }
    }
}

#[test]
fn an_auxiliary_classifier_may_be_missing_but_not_in_part() {
    let name = "deeplabv3_resnet50";
    let network = with_classes(name, 21);
    let mut shapes = golden_shapes(Folder::Segment, name);
    let auxiliary: Vec<_> = shapes.keys().filter(|name| name.starts_with("aux_")).cloned().collect();
    assert_eq!(auxiliary.len(), 5);
    for tensor in &auxiliary[1..] {
        shapes.remove(tensor);
    }
    match by_name(&state(&shapes), &network, Rules::default()) {
        Err(error @ Error::Missing { .. }) => {
            assert!(error.to_string().starts_with("4 of the 187 tensors"), "{error}");
            assert!(error.hint().unwrap().contains("--network resnet50"));
        }
        other => panic!("{:?}", other.map(|found| found.without_auxiliary)),
    }
    shapes.remove(&auxiliary[0]);
    let state = state(&shapes);
    let mut found = by_name(&state, &network, Rules::default()).unwrap();
    found.without_auxiliary.sort();
    assert_eq!(found.without_auxiliary, auxiliary);
    assert_eq!(found.tensors.len() + 5, network.parameters().len());
}

#[test]
fn the_scores_of_a_network_that_segments_can_be_left_out() {
    for (name, scores) in [
        ("lraspp_mobilenet_v3_large", ["classifier.high_classifier", "classifier.low_classifier"]),
        ("deeplabv3_resnet50", ["aux_classifier.4", "classifier.4"]),
    ] {
        let state = state(&golden_shapes(Folder::Segment, name));
        let rules = Rules { head: Head::LeftOut, ..Rules::default() };
        let found = by_name(&state, &with_classes(name, 2), rules).unwrap();
        let expected: Vec<_> =
            scores.iter().flat_map(|path| ["bias", "weight"].map(|kind| format!("{path}.{kind}"))).collect();
        assert_eq!(found.head_left_out, expected);
        assert!(found.unused.is_empty(), "{name}");
    }
}

#[test]
fn our_own_names_are_the_authors() {
    for name in mutualnet_zoo::names() {
        let network = network(name);
        let shapes = network.parameter_shapes(Width::ONE).unwrap();
        let names = network.parameters().into_iter().map(|parameter| parameter.name);
        let state = state(&names.zip(shapes).collect());
        let found = by_name(&state, &network, Rules::default()).unwrap();
        assert_eq!(found.source, Some(Source::of(&network)[0]), "{name}");
        assert!(found.unused.is_empty() && found.without_effect.is_empty());
    }
}

#[test]
fn another_network_is_an_error() {
    let wrong = |program: &str, theirs: &str, name: &str| match by_name(
        &state(&golden(theirs)[program]),
        &network(name),
        Rules::default(),
    ) {
        Ok(found) => panic!("{program}'s {theirs} was read as {name}: {:?}", found.source),
        Err(error) => error,
    };
    let Error::Missing { missing, n_needed, .. } = wrong("timm", "mobilenet_v2", "mobilenet_v1") else {
        panic!("nothing is missing");
    };
    assert!(missing.len() > 5 && missing.len() < n_needed);
    assert!(matches!(wrong("torchvision", "resnet18", "mobilenet_v2"), Error::Missing { .. }));
}
