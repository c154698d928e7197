//! The segmentation networks at full size against torchvision: `golden/segment/make.py`.

use std::collections::BTreeMap;

use mutualnet_core::network::List;
use mutualnet_core::{Resolution, Subnet};
use mutualnet_zoo::golden::Folder;
use serde::Deserialize;

use super::*;

const IMAGES: [usize; 4] = [4, 3, 48, 72];
/// Largest difference relative to the largest number of an output; the reference computes in double precision.
const TOLERANCE: f32 = 2e-4;

/// What the scripts of networks that segment and that detect write.
#[derive(Deserialize)]
pub(super) struct Golden {
    parameters: Vec<(String, Vec<usize>)>,
    /// Of the list `main`.
    macs: BTreeMap<u32, u64>,
    /// Of another list, for one region; 0 if there is none.
    #[serde(default)]
    region_macs: u64,
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

/// The script's `fill`: uniform numbers in [-1, 1) out of an integer hash of seed and position.
fn fill(seed: u32, n: usize) -> impl Iterator<Item = f64> {
    (0..n as u32).map(move |i| {
        let mut x =
            i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)).wrapping_add(12_345);
        x = (x ^ (x >> 15)).wrapping_mul(0x2C1B_3C6D);
        x = (x ^ (x >> 12)).wrapping_mul(0x297A_2D39);
        x ^= x >> 15;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    })
}

/// A network as the scripts make it.
pub(super) fn network(name: &str) -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    mutualnet_zoo::build(name, &NetworkConfig { classes: 21, widths, output_stride: None }).unwrap()
}

impl Golden {
    /// What the script in a folder wrote about a network.
    pub(super) fn read(folder: Folder, name: &str) -> Self {
        let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), folder.file(name));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub(super) fn assert_names_shapes_and_macs(&self, network: &Network) {
        let shapes = network.parameter_shapes(Width::ONE).unwrap();
        let ours: BTreeMap<_, _> = network.parameters().into_iter().map(|p| p.name).zip(shapes).collect();
        let theirs: BTreeMap<_, _> = self.parameters.iter().cloned().collect();
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, shape) in &ours {
            // A linear layer that can be slimmed is a 1×1 convolution here.
            let linear = shape.strip_suffix(&[1, 1]);
            let is_same = theirs[name] == *shape || Some(&theirs[name][..]) == linear;
            assert!(is_same, "{name}: {shape:?}, {:?}", theirs[name]);
        }
        for (&side, &macs) in &self.macs {
            let subnet = Subnet::image(Width::ONE, Resolution::new(side).unwrap());
            let costs = network.nodes().iter().zip(network.costs(subnet).unwrap());
            let costs = costs.take(network.main().nodes().end);
            let convolutions = costs.filter(|(node, _)| node.op.name().ends_with("conv"));
            let ours = convolutions.map(|(_, cost)| cost.macs.0).sum::<u64>();
            assert_eq!(ours, macs, "{} at {side}", network.name());
            let others = network.lists()[1..].iter().map(|list| network.list_macs(list, subnet).unwrap().0);
            assert_eq!(others.sum::<u64>(), self.region_macs, "{}", network.name());
        }
    }

    /// Runs the network on the script's images with its weights.
    pub(super) fn assert_outputs(&self, network: Network, images: [usize; 4]) {
        self.assert_outputs_of_lists(network, &[(List::MAIN, 7, images)]);
    }

    /// Runs lists with the script's weights, each on what it fills with a seed.
    pub(super) fn assert_outputs_of_lists(&self, network: Network, inputs: &[(&str, u32, [usize; 4])]) {
        let net = Net::new(network);
        let parameters =
            Parameters::from_weights(net.network(), &weights(net.network()), Device::Cpu).unwrap();
        let slice = net.slice(&parameters, Width::ONE).unwrap();
        let outputs = inputs.iter().flat_map(|&(list, seed, shape)| {
            let numbers: Vec<_> =
                fill(seed, shape.iter().product()).map(|value| (value * 1.7) as f32).collect();
            let input = Tensor::from_slice(&numbers, &shape).unwrap().channels_last().unwrap();
            let list = (net.network().list(list).unwrap(), &[&input][..]);
            mutualnet_engine::no_grad(|| net.run_list(&slice, list, Norm::Batch, None)).unwrap()
        });
        let outputs: Vec<_> = outputs.collect();
        assert_eq!(outputs.len(), self.outputs.len());
        for (output, tensor) in net.network().outputs().iter().zip(outputs) {
            let Output { shape, numbers } = &self.outputs[&output.name];
            assert_eq!(&tensor.shape(), shape, "{}", output.name);
            let values = tensor.to_vec_f32().unwrap();
            let step = (values.len() / 256).max(1);
            let scale = numbers.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            for (ours, theirs) in values.iter().step_by(step).zip(numbers) {
                let difference = (ours - theirs).abs() / scale;
                let name = net.network().name();
                assert!(difference <= TOLERANCE, "{name} {}: off by {difference}", output.name);
            }
        }
    }
}

/// The script's weights.
fn weights(network: &Network) -> Weights {
    let shapes = network.parameter_shapes(Width::ONE).unwrap();
    let mut names: Vec<_> = network.parameters().into_iter().zip(shapes).collect();
    names.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let tensors = names.into_iter().enumerate().map(|(idx, (parameter, shape))| {
        let (scale, mean) = match parameter.kind {
            _ if parameter.name.ends_with("fc6.weight") || parameter.kind == ParameterKind::LinearWeight => {
                ((6.0 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0)
            }
            ParameterKind::ConvWeight
            | ParameterKind::DepthwiseWeight
            | ParameterKind::TransposedConvWeight => {
                ((6.0 / (shape[2] * shape[3] * shape[0]) as f64).sqrt(), 0.0)
            }
            ParameterKind::Scale => (0.1, 0.4),
            _ => (0.3, 0.5),
        };
        let values = fill(1000 + idx as u32, shape.iter().product());
        let data = values.map(|value| (value * scale + mean) as f32).collect();
        (parameter.name, mutualnet_core::Tensor { shape, data })
    });
    tensors.collect()
}

#[test]
fn names_shapes_macs_and_scores_are_torchvisions() {
    for name in Folder::Segment.networks() {
        let golden = Golden::read(Folder::Segment, name);
        golden.assert_names_shapes_and_macs(&network(name));
        golden.assert_outputs(network(name), IMAGES);
    }
}

#[test]
fn every_width_gives_scores_of_the_size_of_the_image() {
    for name in mutualnet_zoo::samples(Task::Segment) {
        let net = Net::new(network(name));
        let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
        for fraction in [0.25, 0.6, 1.0] {
            let slice = net.slice(&parameters, width(fraction)).unwrap();
            for scores in net.run_all(&slice, &[&batch(2, 40)], Norm::Batch, None).unwrap() {
                assert_eq!(scores.shape(), [2, 21, 40, 40], "{name}");
            }
        }
    }
}
