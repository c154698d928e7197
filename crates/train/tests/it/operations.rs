//! Every operation of the list, in every interpreter of the list: shapes, MACs and parameters of `core`, numbers of `nn`
//! on libtorch, of the runtime and of an exported row, at three widths. Those that work on clips do so a second time, at
//! several numbers of frames.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_core::network::{
    Activation, AvgPool, ChannelRule, Conv, Extent, Groups, MaxPool, NetworkBuilder, Op, Rank, Resize,
    TransposedConv,
};
use mutualnet_core::{Network, NodeId, Width, WidthRange};
use mutualnet_engine::{Device, set_threads};
use mutualnet_nn::{Net, Parameters, Statistics};
use mutualnet_runtime::{Model, Session};

use crate::run_side::{BothSides, assert_near, outputs_of};

const CLASSES: usize = 7;
/// Side of the images, and the positions of the map that the operations read, which has half of it.
const SIDE: u32 = 16;
const POSITIONS: u64 = 64;
/// Frames of the clips at the three widths, and sides, which are odd. The first row's clips have the positions below.
const FRAMES: [u32; 3] = [6, 5, 3];
const CLIP_SIDES: [u32; 3] = [15, 13, 9];
/// Positions of the map that the operations read in the first row's clips.
const CLIP_POSITIONS: u64 = 6 * 64;
/// Largest difference relative to the largest number of an output.
const TOLERANCE: f32 = 1e-4;

/// A network around one operation, which is its node `op`.
struct Case {
    network: Network,
    /// MACs of the operation, from the number of its weights and the channels of the map that it reads.
    macs: fn(u64, u64) -> u64,
}

/// Builds a case: a stem of slimmed channels, the operation, and two outputs behind it.
fn case(build: impl FnOnce(&mut NetworkBuilder, [NodeId; 2]) -> NodeId, macs: fn(u64, u64) -> u64) -> Case {
    case_of(Rank::Image, build, macs)
}

fn case_of(
    rank: Rank,
    build: impl FnOnce(&mut NetworkBuilder, [NodeId; 2]) -> NodeId,
    macs: fn(u64, u64) -> u64,
) -> Case {
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("one operation", rank, widths);
    let image = list.input(3);
    let x =
        list.conv("stem", image, Conv { stride: [1, 2, 2], ..conv(ChannelRule::slim(32), Groups::Dense) });
    let x = list.batch_norm("stem_bn", x);
    let x = list.activation("stem_relu", x, Activation::Relu);
    let op = build(&mut list, [x, image]);
    let pooled = [list.global_pool("pool", op), list.global_pool("pool_stem", x)];
    let logits = list.linear_over("fc", &pooled, CLASSES);
    let point = Conv { kernel: [1; 3], padding: [0; 3], ..conv(ChannelRule::whole(6), Groups::Dense) };
    let map = list.conv("map", op, point);
    list.output("logits", logits);
    list.output("map", map);
    Case { network: list.finish().unwrap(), macs }
}

fn conv(out: ChannelRule, groups: Groups) -> Conv {
    let dilation = Conv::NO_DILATION;
    Conv { out, kernel: [1, 3, 3], stride: [1; 3], padding: [0, 1, 1], dilation, groups, bias: true }
}

fn activations() -> Vec<Activation> {
    use Activation::{HardSigmoid, HardSwish, Relu, Relu6, Sigmoid, Swish};
    vec![Relu, Relu6, Sigmoid, HardSigmoid, Swish, HardSwish]
}

/// The stem and the outputs of every case have an input, a linear layer over two of them and global pools themselves.
fn cases() -> Vec<Case> {
    let (slim, stride) = (ChannelRule::slim(48), [1, 2, 2]);
    let (kernel, padding) = ([1, 3, 3], [0, 1, 1]);
    let dense = conv(slim, Groups::Dense);
    let strided = Conv { stride, ..dense.clone() };
    let dilated = Conv { dilation: [1, 2, 2], padding: [0, 2, 2], ..dense.clone() };
    let depthwise = conv(ChannelRule::slim(32), Groups::Depthwise);
    let transposed = |kernel, padding, output_padding| TransposedConv {
        out: slim,
        kernel,
        stride,
        padding,
        output_padding,
        bias: true,
    };
    let [twice, odd] = [transposed([1, 2, 2], [0; 3], [0; 3]), transposed(kernel, padding, [0, 1, 0])];
    let pools = (MaxPool { kernel, stride, padding }, AvgPool { kernel, stride, padding });
    let mut cases = vec![
        case(|list, [x, _]| list.conv("op", x, strided), |weights, _| weights * POSITIONS / 4),
        case(|list, [x, _]| list.conv("op", x, dilated), |weights, _| weights * POSITIONS),
        case(
            |list, [x, _]| {
                let y = list.activation("sigmoid", x, Activation::Sigmoid);
                list.conv_over("op", &[x, y], dense)
            },
            |weights, _| weights * POSITIONS,
        ),
        case(|list, [x, _]| list.conv("op", x, depthwise), |weights, _| weights * POSITIONS),
        case(|list, [x, _]| list.transposed_conv("op", x, twice), |weights, _| weights * POSITIONS),
        case(|list, [x, _]| list.transposed_conv("op", x, odd), |weights, _| weights * POSITIONS),
        // The same weights twice, at two sizes.
        case(
            |list, [x, _]| {
                let op = list.conv("op", x, Conv { out: ChannelRule::slim(32), ..conv(slim, Groups::Dense) });
                let half = list.max_pool("half", op, pools.0);
                let again = list.conv_again("again", half, op);
                list.batch_norm("bn", again)
            },
            |weights, _| weights * POSITIONS,
        ),
        case(|list, [x, _]| list.batch_norm("op", x), |_, _| 0),
        case(|list, [x, _]| list.max_pool("op", x, pools.0), |_, _| 0),
        case(|list, [x, _]| list.avg_pool("op", x, pools.1), |_, c| 9 * c * POSITIONS / 4),
        case(|list, [x, image]| list.resize_like("op", x, image, Resize::Nearest), |_, _| 0),
        case(|list, [x, image]| list.resize_like("op", x, image, Resize::Bilinear), |_, _| 0),
        case(|list, [x, _]| list.global_pool("op", x), |_, c| c * POSITIONS),
        case(
            |list, [x, _]| {
                let y = list.max_pool("smooth", x, MaxPool { stride: [1; 3], ..pools.0 });
                list.add("op", x, y)
            },
            |_, _| 0,
        ),
        case(
            |list, [x, _]| {
                let gate = list.global_pool("gate", x);
                list.multiply("op", x, gate)
            },
            |_, _| 0,
        ),
    ];
    cases.extend(
        activations().into_iter().map(|of| case(|list, [x, _]| list.activation("op", x, of), |_, _| 0)),
    );
    cases
}

/// Windows that lie side by side.
fn window(size: Extent) -> MaxPool {
    MaxPool { kernel: size, stride: size, padding: [0; 3] }
}

/// Resizes the first of two nodes, made from the stem and the clip, to the size of the second.
fn resized(nodes: fn(&mut NetworkBuilder, [NodeId; 2]) -> [NodeId; 2]) -> Case {
    let resize = |list: &mut NetworkBuilder, given| {
        let [x, like] = nodes(list, given);
        list.resize_like("op", x, like, Resize::Nearest)
    };
    case_of(Rank::Clip, resize, |_, _| 0)
}

/// Windows along time, and what sees all frames. The MACs are those of the first row.
fn clip_cases() -> Vec<Case> {
    fn clip(build: impl FnOnce(&mut NetworkBuilder, NodeId) -> NodeId, macs: fn(u64, u64) -> u64) -> Case {
        case_of(Rank::Clip, |list, [x, _]| build(list, x), macs)
    }
    let slim = ChannelRule::slim(48);
    // Channels that are no multiple of anything.
    let odd = ChannelRule { divisor: 1, ..ChannelRule::slim(27) };
    let [whole, half] = [[1; 3], [2; 3]];
    let dense = Conv { kernel: [3; 3], stride: half, padding: [1; 3], ..conv(slim, Groups::Dense) };
    let (pointed, dilated) = (
        Conv { kernel: [3, 1, 1], stride: whole, padding: [1, 0, 0], ..dense.clone() },
        Conv { stride: whole, dilation: [2, 1, 1], padding: [2, 1, 1], ..dense.clone() },
    );
    let depthwise = Conv { stride: whole, groups: Groups::Depthwise, out: odd, ..dense.clone() };
    let stem = Conv { kernel: [5, 1, 1], padding: [2, 0, 0], ..depthwise.clone() };
    let strided = Conv { stride: [1, 2, 2], ..depthwise.clone() };
    let (kernel, stride, padding) = ([3; 3], half, [1; 3]);
    let pools = (MaxPool { kernel, stride, padding }, AvgPool { kernel, stride, padding });
    let flat = conv(slim, Groups::Dense);
    let of_odd = |op: Conv, macs| {
        let point = Conv { kernel: [1; 3], padding: [0; 3], ..conv(odd, Groups::Dense) };
        clip(
            move |list, x| {
                let x = list.conv("point", x, point);
                list.conv("op", x, op)
            },
            macs,
        )
    };
    let mut cases = vec![
        clip(|list, x| list.conv("op", x, dense.clone()), |weights, _| weights * CLIP_POSITIONS / 8),
        clip(|list, x| list.conv("op", x, pointed), |weights, _| weights * CLIP_POSITIONS),
        clip(|list, x| list.conv("op", x, dilated), |weights, _| weights * CLIP_POSITIONS),
        clip(|list, x| list.conv("op", x, flat), |weights, _| weights * CLIP_POSITIONS),
        clip(
            |list, x| {
                let y = list.activation("sigmoid", x, Activation::Sigmoid);
                list.conv_over("op", &[x, y], dense)
            },
            |weights, _| weights * CLIP_POSITIONS / 8,
        ),
        of_odd(depthwise, |weights, _| weights * CLIP_POSITIONS),
        of_odd(strided, |weights, _| weights * CLIP_POSITIONS / 4),
        of_odd(stem, |weights, _| weights * CLIP_POSITIONS),
        clip(|list, x| list.batch_norm("op", x), |_, _| 0),
        clip(|list, x| list.max_pool("op", x, pools.0), |_, _| 0),
        clip(|list, x| list.avg_pool("op", x, pools.1), |_, c| 27 * c * CLIP_POSITIONS / 8),
        // To more frames and pixels, to fewer frames and more pixels, and to fewer of both.
        resized(|list, [x, clip]| [list.max_pool("coarse", x, window([2; 3])), clip]),
        resized(|list, [x, clip]| [x, list.max_pool("like", clip, window([2, 1, 1]))]),
        resized(|list, [x, _]| [x, list.max_pool("like", x, window([2, 3, 3]))]),
        // To the same size.
        resized(|list, [x, _]| [x, list.activation("like", x, Activation::Sigmoid)]),
        clip(|list, x| list.global_pool("op", x), |_, c| c * CLIP_POSITIONS),
        clip(
            |list, x| {
                let y = list.max_pool("smooth", x, MaxPool { stride: [1; 3], ..pools.0 });
                list.add("op", x, y)
            },
            |_, _| 0,
        ),
        clip(
            |list, x| {
                let gate = list.global_pool("gate", x);
                list.multiply("op", x, gate)
            },
            |_, _| 0,
        ),
    ];
    cases.extend(
        activations().into_iter().map(|of| clip(move |list, x| list.activation("op", x, of), |_, _| 0)),
    );
    cases
}

#[test]
fn every_operation_for_clips_agrees_in_every_interpreter() {
    set_threads(1).unwrap();
    for Case { network, macs } in clip_cases() {
        let both = BothSides::of_clips(network, CLIP_SIDES, FRAMES);
        for (row, side) in CLIP_SIDES.into_iter().enumerate() {
            let side = side as usize;
            assert_costs(&both, row, (row == 0).then_some(macs), side);
            for size in [[side; 2], [side, side + 6]] {
                both.assert_equal(row, size, TOLERANCE);
            }
        }
    }
}

#[test]
fn every_operation_agrees_in_every_interpreter() {
    set_threads(1).unwrap();
    let cases = cases();
    let of_networks = cases.iter().flat_map(|case| case.network.nodes());
    let names: BTreeSet<_> = of_networks.flat_map(|node| [node.op.kind(), node.op.name()]).collect();
    let missing: Vec<_> =
        Op::KINDS.iter().chain(Activation::NAMES).filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "no case has {missing:?}: add one");
    for Case { network, macs } in cases {
        let both = BothSides::new(network, [SIDE; 3]);
        for row in 0..both.rows.len() {
            assert_costs(&both, row, Some(macs), SIDE as usize);
            // A square of the row's side, and an image that is none.
            for size in [[SIDE as usize; 2], [SIDE as usize, 22]] {
                both.assert_equal(row, size, TOLERANCE);
            }
            assert_exported(&both, row);
        }
    }
}

fn op_of(network: &Network) -> NodeId {
    NodeId(network.nodes().iter().position(|node| node.path == "op").unwrap())
}

/// Shapes, MACs and parameters against those of libtorch's tensors.
fn assert_costs(both: &BothSides, row: usize, macs: Option<fn(u64, u64) -> u64>, side: usize) {
    let (network, subnet) = (both.net.network(), both.rows[row].subnet);
    let op = op_of(network);
    let what = format!("{} at {subnet}", network.node(op).op.name());
    let costs = network.costs(subnet).unwrap();
    let tensors = both.rows[row].slice.tensors();
    let shapes: Vec<_> = tensors.iter().map(mutualnet_engine::Tensor::shape).collect();
    assert_eq!(network.parameter_shapes(subnet.width).unwrap(), shapes, "{what}");
    let elements: usize = tensors.iter().map(mutualnet_engine::Tensor::elements).sum();
    assert_eq!(network.params(subnet.width).unwrap(), elements as u64, "{what}");
    let weight = network.parameters().iter().position(|parameter| parameter.name == "op.weight");
    let weights = weight.map_or(0, |idx| tensors[idx].elements() as u64);
    let c = costs[network.node(op).inputs[0].0].shape.channels as u64;
    if let Some(macs) = macs {
        assert_eq!(costs[op.0].macs.0, macs(weights, c), "{what}");
    }
    let outputs = both.engine(row, [side; 2]);
    for (output, tensor) in network.outputs().iter().zip(&outputs) {
        let shape = costs[output.node.0].shape;
        let extent = shape.extent.map(|n| n as usize);
        // Images have no axis of time.
        let axes = if network.rank() == Rank::Image { &extent[1..] } else { &extent[..] };
        let got = tensor.shape();
        assert_eq!([got[1], got[2..].iter().product()], [shape.channels, shape.positions()], "{what}");
        assert!(got.len() == 2 || got[2..] == *axes, "{what}");
    }
}

/// The row by itself, in the engine and in the runtime, against the row of the whole network.
fn assert_exported(both: &BothSides, row: usize) {
    let subnet = both.rows[row].subnet;
    let narrow = mutualnet_export::slice(&both.bundle, subnet).unwrap();
    let size = [SIDE as usize; 2];
    let pixels = both.pixels(row, size);
    let run = |model: Arc<Model>| {
        let mut session = Session::new(model, NonZeroUsize::MIN).unwrap();
        session.switch(subnet).unwrap();
        session.run_at(&pixels, pixels.len() / (size[0] * size[1] * 3), size).unwrap();
        [0, 1].map(|idx| session.output(idx).data.to_vec())
    };
    assert_eq!(run(Arc::new(Model::new(&narrow).unwrap())), run(both.models[1].0.clone()), "{subnet}");
    let net = Net::new(narrow.network().clone());
    let parameters = Parameters::from_weights(net.network(), narrow.weights(), Device::Cpu).unwrap();
    let stats = narrow.stats(subnet).unwrap().iter().map(|stats| (stats.mean.clone(), stats.var.clone()));
    let statistics = Statistics::from_vecs(&stats.collect::<Vec<_>>(), Device::Cpu).unwrap();
    let slice = net.slice(&parameters, subnet.width).unwrap();
    let alone = outputs_of(&net, (&slice, &statistics), &pixels, [1, size[0], size[1]]);
    for (alone, whole) in alone.iter().zip(both.engine(row, size)) {
        assert_near(&alone.to_vec_f32().unwrap(), &whole.to_vec_f32().unwrap(), &subnet.to_string());
    }
}
