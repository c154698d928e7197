//! Networks that read clips, compared with the same computation frame by frame.

use mutualnet_core::network::{AvgPool, Extent};
use mutualnet_core::{Frames, InputSize, Resolution, Subnet};
use mutualnet_engine::{Affine, ConvGeometry, NormStatistics, PoolGeometry};

use super::*;

const N: usize = 2;
const FRAMES: usize = 7;
const SIDE: usize = 12;

const CONV: [Extent; 3] = [[3, 3, 3], [2, 2, 2], [1, 1, 1]];
const DEPTHWISE: [Extent; 3] = [[3, 3, 3], [1, 1, 1], [1, 1, 1]];
const MAX: [Extent; 3] = [[3, 3, 3], [1, 2, 2], [1, 1, 1]];
const AVG: [Extent; 3] = [[2, 2, 2], [1, 1, 1], [0, 0, 0]];

fn conv(out: ChannelRule, [kernel, stride, padding]: [Extent; 3], groups: Groups) -> Conv {
    Conv { out, kernel, stride, padding, dilation: Conv::NO_DILATION, groups, bias: false }
}

/// Every operation with a kernel, along time too.
fn network() -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("clips", Rank::Clip, widths);
    let x = list.input(3);
    let x = list.conv("conv", x, conv(ChannelRule::slim(32), CONV, Groups::Dense));
    let x = list.batch_norm("bn", x);
    let x = list.activation("relu", x, Activation::Relu);
    let x = list.conv("dw", x, conv(ChannelRule::slim(32), DEPTHWISE, Groups::Depthwise));
    let [kernel, stride, padding] = MAX;
    let x = list.max_pool("max", x, MaxPool { kernel, stride, padding });
    let [kernel, stride, padding] = AVG;
    let x = list.avg_pool("avg", x, AvgPool { kernel, stride, padding });
    let map = list.conv("map", x, conv(ChannelRule::whole(6), [[1; 3], [1; 3], [0; 3]], Groups::Dense));
    list.output("map", map);
    list.finish().unwrap()
}

/// A clip as its frames, each `[n, c, h, w]`.
fn frames_of(clip: &Tensor) -> Vec<Tensor> {
    let [n, c, t, h, w]: [usize; 5] = clip.shape().try_into().unwrap();
    (0..t).map(|t| clip.narrow(2, t, 1).unwrap().reshape(&[n, c, h, w]).unwrap()).collect()
}

/// For every output frame, what `of` makes of each input frame in its window along time, by the index of the tap.
fn along_time(
    frames: &[Tensor],
    [kernel, stride, padding]: [Extent; 3],
    of: impl Fn(&Tensor, usize) -> Tensor,
    join: impl Fn(&Tensor, &Tensor) -> Tensor,
) -> Vec<Tensor> {
    let [kernel, stride, padding] = [kernel, stride, padding].map(|extent| extent[0] as usize);
    let n = (frames.len() + 2 * padding - kernel) / stride + 1;
    let at = |t: usize| {
        let taps = (0..kernel).filter_map(|k| {
            let frame = (t * stride + k).checked_sub(padding).filter(|&frame| frame < frames.len());
            frame.map(|frame| of(&frames[frame], k))
        });
        taps.reduce(|a, b| join(&a, &b)).unwrap()
    };
    (0..n).map(at).collect()
}

fn add(a: &Tensor, b: &Tensor) -> Tensor {
    a.add(b).unwrap()
}

/// `max(a, b) = a + relu(b − a)`.
fn larger(a: &Tensor, b: &Tensor) -> Tensor {
    add(a, &add(b, &a.scale(-1.0).unwrap()).relu().unwrap())
}

fn plane(extent: Extent) -> [usize; 2] {
    [extent[1] as usize, extent[2] as usize]
}

fn convolved(frames: &[Tensor], weight: &Tensor, extents: [Extent; 3], groups: usize) -> Vec<Tensor> {
    let [_, stride, padding] = extents.map(plane);
    let geometry = ConvGeometry { stride: &stride, padding: &padding, dilation: &[1, 1], groups };
    let [o, i, _, h, w]: [usize; 5] = weight.shape().try_into().unwrap();
    let of = |frame: &Tensor, k: usize| {
        let weight = weight.narrow(2, k, 1).unwrap().reshape(&[o, i, h, w]).unwrap();
        frame.convolution(&weight, None, &geometry).unwrap()
    };
    along_time(frames, extents, of, add)
}

/// The map of [`network`] for the parameters of a slice, computed from images only.
fn by_frames(slice: &Slice, clip: &Tensor) -> Vec<Tensor> {
    let [conv, scale, shift, depthwise, map] = slice.tensors() else { panic!("five parameters") };
    let frames = convolved(&frames_of(clip), conv, CONV, 1);
    // Statistics do not depend on where the positions lie: frames one below the other.
    let height = frames[0].shape()[2];
    let tall = Tensor::concatenate(&frames.iter().collect::<Vec<_>>(), 2).unwrap();
    let affine = Affine { weight: scale, bias: shift, eps: 1e-5 };
    let tall = tall.batch_norm(affine, NormStatistics::Batch).unwrap().relu().unwrap();
    let frames: Vec<_> = (0..frames.len()).map(|t| tall.narrow(2, t * height, height).unwrap()).collect();
    let frames = convolved(&frames, depthwise, DEPTHWISE, depthwise.shape()[0]);
    let [kernel, stride, padding] = MAX.map(plane);
    let pool = PoolGeometry { kernel: &kernel, stride: &stride, padding: &padding };
    let frames = along_time(&frames, MAX, |frame, _| frame.max_pool(&pool).unwrap(), larger);
    let [kernel, stride, padding] = AVG.map(plane);
    let pool = PoolGeometry { kernel: &kernel, stride: &stride, padding: &padding };
    let half = |frame: &Tensor, _| frame.avg_pool(&pool).unwrap().scale(0.5).unwrap();
    let frames = along_time(&frames, AVG, half, add);
    convolved(&frames, map, [[1; 3], [1; 3], [0; 3]], 1)
}

fn loss(map: &Tensor) -> Tensor {
    map.multiply(map).unwrap().sum().unwrap()
}

#[test]
fn a_clip_is_its_frames_and_what_joins_them() {
    let net = Net::new(network());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let n = N * FRAMES * SIDE * SIDE * 3;
    let values: Vec<f32> = (0..n).map(|i| ((i as f32 * 12.9898).sin() * 43758.547).fract()).collect();
    let clip = Tensor::from_channels_last(&values, &[N, FRAMES, SIDE, SIDE, 3], Device::Cpu).unwrap();
    let input = InputSize {
        resolution: Resolution::new(SIDE as u32).unwrap(),
        frames: Frames::new(FRAMES as u32).unwrap(),
    };
    for fraction in [0.25, 0.6, 1.0] {
        let [slice, other] = [0, 1].map(|_| net.slice(&parameters, width(fraction)).unwrap());
        let map = net.forward(&slice, &clip, Norm::Batch).unwrap();
        let cost = net.network().costs(Subnet { width: width(fraction), input }).unwrap();
        let extent = cost[cost.len() - 1].shape.extent.map(|n| n as usize);
        assert_eq!(map.shape(), [vec![N, 6], extent.to_vec()].concat());
        let frames = by_frames(&other, &clip);
        for (t, (ours, frame)) in frames_of(&map).iter().zip(&frames).enumerate() {
            heads::assert_near(frame, ours, &format!("frame {t} at {fraction}"));
        }
        assert_eq!(frames.len(), extent[0]);
        loss(&map).backward().unwrap();
        frames.iter().map(loss).reduce(|a, b| add(&a, &b)).unwrap().backward().unwrap();
        for (idx, (ours, frames)) in slice.tensors().iter().zip(other.tensors()).enumerate() {
            let [ours, frames] = [ours, frames].map(|leaf| leaf.grad().unwrap().unwrap());
            heads::assert_near(&frames, &ours, &format!("gradient {idx} at {fraction}"));
        }
    }
}
