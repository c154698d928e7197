//! The outputs of every row match those of the naive interpreter, for every instruction set.

use mutualnet_core::network::Rank;
use mutualnet_core::{Network, Task};
use mutualnet_runtime::{Convolution, Isa};
use mutualnet_zoo::{FAMILIES, NetworkConfig};

use crate::fixture::{
    bundle, clips, model_of, network_without_stem, numbers, odd_clip_network, odd_network, session, subnet,
    widths, zoo,
};
use crate::interpreter;

/// How far logits may be off, relative to the largest one.
const LIMITS: [(Convolution, f64); 2] = [(Convolution::Direct, 1e-4), (Convolution::Fast, 1e-3)];

fn check(network: &Network, rows: &[&str]) {
    let bundle = bundle(network, rows);
    for row in rows.iter().map(|text| subnet(text)) {
        let image = clips(1, row.input);
        let expected = interpreter::outputs(&bundle, row, &image);
        for (isa, (convolution, limit)) in Isa::available().flat_map(|isa| LIMITS.map(|limit| (isa, limit))) {
            let mut session = session(&model_of(&bundle, isa, convolution), 1);
            session.switch(row).unwrap();
            session.run(&image, 1).unwrap();
            for (idx, expected) in expected.iter().enumerate() {
                let largest = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
                let output = session.output(idx);
                let off = output.data.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs() / largest);
                let off = off.fold(0.0, f64::max);
                let what = format!("{} {row} {isa} {convolution:?}: {}", network.name(), output.name);
                assert!(off < limit, "{what} is off by {off} of {largest}");
                assert_eq!(output.data.len(), expected.len(), "{what}");
            }
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
    for name in mutualnet_zoo::samples_of(Task::Classify, Rank::Image) {
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

/// Those with one list: what the interpreter knows nothing of, a region, is compared with the engine.
#[test]
fn networks_that_segment_or_detect() {
    for family in FAMILIES.iter().filter(|family| family.task != Task::Classify) {
        for sample in family.samples {
            let config = NetworkConfig { classes: 5, widths: widths(0.25), output_stride: None };
            let network = mutualnet_zoo::build(sample.name, &config).unwrap();
            if network.lists().len() == 1 {
                check(&network, &["0.5-40", "0.25-33"]);
            }
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

#[test]
fn networks_that_read_clips() {
    for name in mutualnet_zoo::samples_of(Task::Classify, Rank::Clip) {
        check(&zoo(name), &["0.5-24-4", "1.0-20-2", "0.6-13-5", "0.25-17-1"]);
    }
    check(&odd_clip_network(), &["1.0-21-5", "0.6-14-4", "0.25-9-7"]);
}

/// All outputs of clips whose frames are no squares, in a batch and on several threads, at two numbers of frames.
#[test]
fn clips_of_any_height_and_width() {
    let bundle = bundle(&odd_clip_network(), &["1.0-21-5", "0.6-14-4"]);
    let largest = |numbers: &[f64]| numbers.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
    for isa in Isa::available() {
        let mut session = session(&model_of(&bundle, isa, Convolution::Fast), 3);
        for row in ["1.0-21-5", "0.6-14-4", "1.0-21-5"].map(subnet) {
            session.switch(row).unwrap();
            let frames = row.input.frames.get() as usize;
            let both = numbers("clips", 2 * frames * 17 * 22 * 3);
            session.run_at(&both, 2, [17, 22]).unwrap();
            for (at, clip) in both.chunks_exact(both.len() / 2).enumerate() {
                for (idx, expected) in
                    interpreter::outputs_at(&bundle, row, [17, 22], clip).iter().enumerate()
                {
                    let all = session.output(idx).data;
                    assert_eq!(all.len(), 2 * expected.len(), "{isa} {row}");
                    let got = &all[at * expected.len()..][..expected.len()];
                    for (got, expected_one) in got.iter().zip(expected) {
                        let off = (f64::from(*got) - expected_one).abs() / largest(expected);
                        assert!(off < 1e-3, "{isa} {row}: output {idx} is off by {off}");
                    }
                }
            }
        }
    }
}
