//! The networks that read clips against pytorchvideo's, on two clips of their own frames and side: `golden/clips/make.py`.

use std::collections::BTreeMap;

use mutualnet_core::Subnet;
use mutualnet_core::network::Extent;
use mutualnet_zoo::FAMILIES;
use mutualnet_zoo::family::{Clip, Family};
use mutualnet_zoo::golden::Folder;
use serde::Deserialize;

use super::*;

const CLASSES: usize = 10;
const LABELS: [i64; 2] = [3, 7];
const CONTRASTS: [f64; 2] = [1.7, 0.4];
/// Largest difference relative to the largest number of a tensor; the reference computes in double precision.
const LOGITS: f32 = 1e-4;
/// The same for gradients, where it is a matter of rounding on which side of a kink a number falls.
const GRADIENTS: f32 = 1e-2;

#[derive(Deserialize)]
struct Golden {
    network: String,
    frames: u32,
    side: u32,
    macs: u64,
    logits: Vec<f32>,
    /// Name, shape, norm of the gradient and some of its numbers.
    parameters: Vec<(String, Vec<usize>, f32, Vec<f32>)>,
}

fn golden(name: &str) -> Golden {
    let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), Folder::Clips.file(name));
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.network, name);
    golden
}

fn network(name: &str) -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    let config = NetworkConfig { classes: CLASSES, widths, output_stride: None };
    mutualnet_zoo::build(name, &config).unwrap()
}

/// Every network that reads clips, with its family.
fn published() -> impl Iterator<Item = (&'static Family, Clip)> {
    FAMILIES.iter().flat_map(|family| family.clips().iter().map(move |&clip| (family, clip)))
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

/// The script's weights.
fn weights(network: &Network) -> Weights {
    let shapes = network.parameter_shapes(Width::ONE).unwrap();
    let mut names: Vec<_> = network.parameters().into_iter().zip(shapes).collect();
    names.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let tensors = names.into_iter().enumerate().map(|(idx, (parameter, shape))| {
        let (scale, mean) = match parameter.kind {
            ParameterKind::ConvWeight | ParameterKind::DepthwiseWeight => {
                ((6.0 / (shape[2..].iter().product::<usize>() * shape[0]) as f64).sqrt(), 0.0)
            }
            ParameterKind::Scale => (0.1, 0.4),
            ParameterKind::Shift => (0.3, 1.0),
            ParameterKind::LinearWeight => (0.05, 0.0),
            _ => (0.1, 0.0),
        };
        let values = fill(1000 + idx as u32, shape.iter().product());
        let data = values.map(|value| (value * scale + mean) as f32).collect();
        (parameter.name, mutualnet_core::Tensor { shape, data })
    });
    tensors.collect()
}

#[test]
fn names_shapes_and_macs_are_pytorchvideos() {
    for (_, clip) in published() {
        let name = clip.name;
        let golden = golden(name);
        assert_eq!((golden.frames, golden.side), (clip.frames, clip.side), "{name}");
        let network = network(name);
        let shapes = network.parameter_shapes(Width::ONE).unwrap();
        let ours: BTreeMap<_, _> = network.parameters().into_iter().map(|p| p.name).zip(shapes).collect();
        let theirs = golden.parameters.into_iter().map(|(path, shape, ..)| (path, shape)).collect();
        assert_eq!(ours, theirs, "{name}");
        let subnet = Subnet { width: Width::ONE, input: clip.input().unwrap() };
        assert_eq!(network.macs(subnet).unwrap().0, golden.macs, "{name}");
    }
}

/// `floor` is the least scale that differences are relative to.
fn check(what: &str, [ours, theirs]: [&[f32]; 2], tolerance: f32, floor: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(floor, |max, value| max.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        let difference = (ours - theirs).abs();
        assert!(difference <= tolerance * scale, "{what}: off by {} of {scale}", difference / scale);
    }
}

/// The script's clips: as many as the network reads.
fn clips(clip: Clip) -> Vec<Tensor> {
    let own = [clip.frames, clip.side, clip.side];
    [Some(own), clip.fast]
        .into_iter()
        .flatten()
        .zip(7..)
        .map(|(extent, seed)| contrasted(seed, extent))
        .collect()
}

fn contrasted(seed: u32, extent: Extent) -> Tensor {
    let [frames, height, width] = extent.map(|n| n as usize);
    let shape = [CONTRASTS.len(), 3, frames, height, width];
    let n: usize = shape[1..].iter().product();
    let values = fill(seed, CONTRASTS.len() * n).enumerate();
    let values: Vec<_> = values.map(|(i, value)| (value * CONTRASTS[i / n]) as f32).collect();
    Tensor::from_slice(&values, &shape).unwrap().channels_last().unwrap()
}

/// Two names of a family may be the same list; what takes long is compared with `MUTUALNET_SLOW=1` only.
#[test]
fn logits_and_gradients_are_pytorchvideos() {
    let all = std::env::var_os("MUTUALNET_SLOW").is_some();
    for (_, clip) in published().filter(|(family, clip)| all || family.sample(clip.name).is_some()) {
        let golden = golden(clip.name);
        let net = Net::new(network(clip.name));
        let parameters =
            Parameters::from_weights(net.network(), &weights(net.network()), Device::Cpu).unwrap();
        let slice = net.slice(&parameters, Width::ONE).unwrap();
        let clips = clips(clip);
        let inputs: Vec<_> = clips.iter().collect();
        let main = net.network().main();
        let logits = net.run_list(&slice, (main, &inputs), Norm::Batch, None).unwrap().remove(0);
        let ours = logits.to_vec_f32().unwrap();
        check(&format!("{} logits", clip.name), [&ours, &golden.logits], LOGITS, 0.0);

        let labels = Tensor::from_slice_i64(&LABELS, &[LABELS.len()]).unwrap();
        logits.cross_entropy(&labels, 0.0).unwrap().backward().unwrap();
        let leaves = parameters.list().iter().map(|p| p.name.as_str()).zip(slice.tensors());
        let gradients =
            leaves.map(|(path, leaf)| (path, leaf.grad().unwrap().unwrap().to_vec_f32().unwrap()));
        check_gradients(&golden, &gradients.collect());
    }
}

fn check_gradients(golden: &Golden, gradients: &BTreeMap<&str, Vec<f32>>) {
    assert_eq!(gradients.len(), golden.parameters.len());
    // Some gradients vanish but for rounding: a shift that the next batch norm takes away again has no effect.
    let mut norms: Vec<_> = golden.parameters.iter().map(|(_, _, norm, _)| *norm).collect();
    norms.sort_by(f32::total_cmp);
    let least = 0.01 * norms[norms.len() / 2];
    for (path, _, norm, some) in &golden.parameters {
        let (what, ours) = (format!("{} {path}", golden.network), &gradients[path.as_str()]);
        let length = ours.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32;
        check(&format!("{what}, the norm"), [&[length], &[*norm]], GRADIENTS, least);
        let step = (ours.len() / some.len()).max(1);
        let kept: Vec<_> = ours.iter().copied().step_by(step).take(some.len()).collect();
        check(&what, [&kept, some], GRADIENTS, norm.max(least) / (ours.len() as f32).sqrt());
    }
}
