//! Every tensor of torchvision's and timm's networks finds its place, and every tensor of ours is found.

use std::collections::BTreeMap;

use mutualnet_core::{Network, Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

use crate::matching::{Head, Rules, by_name};
use crate::{Error, Source, StateDict};

/// Shapes by name, by `source/network`, as `golden/make.py` found them.
fn golden() -> BTreeMap<String, BTreeMap<String, Vec<usize>>> {
    serde_json::from_str(include_str!("../../golden/names.json")).unwrap()
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
    for (key, shapes) in golden() {
        let (source, name) = key.split_once('/').unwrap();
        let (state, network) = (state(&shapes), network(name));
        // VGG has another classifier here.
        let head = if name == "vgg16_bn" { Head::LeftOut } else { Head::Imported };
        let found = by_name(&state, &network, Rules { head, ..Rules::default() })
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        // timm's ResNets and VGG's convolutions have torchvision's names.
        let source = if name.starts_with("resnet") || name == "vgg16_bn" { "torchvision" } else { source };
        assert_eq!(found.source.map(Source::name), Some(source), "{key}");
        let n_left_out = if head == Head::LeftOut { (2, 6) } else { (0, 0) };
        assert_eq!(found.tensors.len(), network.parameters().len() - n_left_out.0, "{key}");
        assert_eq!(found.head_left_out.len(), n_left_out.1, "{key}");
        assert!(found.unused.is_empty(), "{key}: {:?}", found.unused);
        let n_biases = if name == "vgg16_bn" { 13 } else { 0 };
        assert_eq!(found.without_effect.len(), n_biases, "{key}: {:?}", found.without_effect);
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
    let golden = golden();
    let wrong = |key: &str, name: &str| match by_name(&state(&golden[key]), &network(name), Rules::default())
    {
        Ok(found) => panic!("{key} was read as {name}: {:?}", found.source),
        Err(error) => error,
    };
    let Error::Missing { missing, n_needed, .. } = wrong("timm/mobilenet_v2", "mobilenet_v1") else {
        panic!("nothing is missing");
    };
    assert!(missing.len() > 5 && missing.len() < n_needed);
    assert!(matches!(wrong("torchvision/resnet18", "mobilenet_v2"), Error::Missing { .. }));
}
