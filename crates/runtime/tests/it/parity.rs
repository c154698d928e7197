//! The logits of every row match those of the naive interpreter, for every instruction set.

use mutualnet_core::Network;
use mutualnet_core::network::Rank;
use mutualnet_runtime::{Convolution, Isa};

use crate::fixture::{bundle, images, model_of, network_without_stem, odd_network, session, subnet, zoo};
use crate::interpreter;

/// How far logits may be off, relative to the largest one.
const LIMITS: [(Convolution, f64); 2] = [(Convolution::Direct, 1e-4), (Convolution::Fast, 1e-3)];

fn check(network: &Network, rows: &[&str]) {
    let bundle = bundle(network, rows);
    for row in rows.iter().map(|text| subnet(text)) {
        let image = images(1, row.input.resolution);
        let expected = interpreter::outputs(&bundle, row, &image).remove(0);
        let largest = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        for (isa, (convolution, limit)) in Isa::available().flat_map(|isa| LIMITS.map(|limit| (isa, limit))) {
            let mut session = session(&model_of(&bundle, isa, convolution), 1);
            session.switch(row).unwrap();
            let got = session.run(&image, 1).unwrap();
            let off = got.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs() / largest);
            let off = off.fold(0.0, f64::max);
            let what = format!("{} {row} {isa} {convolution:?}", network.name());
            assert!(off < limit, "{what}: off by {off} of {largest}");
            assert_eq!(got.len(), expected.len());
        }
    }
}

#[test]
fn mobilenets() {
    for name in ["mobilenet_v1", "mobilenet_v2"] {
        check(&zoo(name), &["1.0-32", "0.25-32", "0.6-24", "0.25-17", "0.35-3"]);
    }
}

#[test]
fn every_family() {
    for name in mutualnet_zoo::samples_of(Rank::Image) {
        let network = zoo(name);
        check(&network, &["0.5-24", "1.0-20", "0.6-13", "0.25-17"]);
        // Of 5 pixels VGG's pools leave nothing.
        let tiny = "0.6-5";
        assert_eq!(network.macs(subnet(tiny)).is_ok(), name != "vgg16_bn");
        if name != "vgg16_bn" {
            check(&network, &[tiny]);
        }
    }
}

#[test]
fn a_wide_resnet_whose_first_shortcut_is_the_input() {
    check(&zoo("wide_resnet10_1"), &["1.0-16", "0.6-13"]);
}

#[test]
fn layers_that_mobilenets_do_not_have() {
    check(&odd_network(), &["0.7-30", "1.0-23", "0.25-23", "0.5-12"]);
    check(&network_without_stem(), &["1.0-9", "1.0-1"]);
}
