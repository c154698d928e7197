//! A naive interpreter of the list of nodes, in f64: one image or clip, one loop per axis.

use mutualnet_bundle::Bundle;
use mutualnet_core::network::{
    Activation, AvgPool, BatchNorm, Conv, Extent, Groups, MaxPool, Node, Op, Resize, TransposedConv,
};
use mutualnet_core::{Network, Subnet};

/// A feature map, `[t, h, w, c]`.
#[derive(Clone)]
struct Map {
    t: usize,
    h: usize,
    w: usize,
    c: usize,
    data: Vec<f64>,
}

impl Map {
    /// 0 outside, as padding.
    fn at(&self, [t, y, x]: [isize; 3], c: usize) -> f64 {
        let inside = |at: isize, size: usize| (0..size as isize).contains(&at);
        if inside(t, self.t) && inside(y, self.h) && inside(x, self.w) {
            let line = t as usize * self.h + y as usize;
            self.data[(line * self.w + x as usize) * self.c + c]
        } else {
            0.0
        }
    }

    fn extent(&self) -> [usize; 3] {
        [self.t, self.h, self.w]
    }

    fn map(&self, mut of: impl FnMut(f64, usize) -> f64) -> Self {
        let data = self.data.iter().enumerate().map(|(i, &x)| of(x, i)).collect();
        Self { data, ..*self }
    }
}

/// The outputs for an image or a clip of the row's own size, each `[t, h, w, c]`.
pub(crate) fn outputs(bundle: &Bundle, row: Subnet, image: &[f32]) -> Vec<Vec<f64>> {
    outputs_at(bundle, row, [row.input.resolution.get(); 2], image)
}

/// The outputs for an image of any height and width, or for a clip of the row's frames, each `[t, h, w, c]`.
pub(crate) fn outputs_at(bundle: &Bundle, row: Subnet, size: [u32; 2], image: &[f32]) -> Vec<Vec<f64>> {
    interpret(bundle, row, (size, image), &vec![false; bundle.network().nodes().len()])
}

/// The outputs for an image of the row's own resolution, if whatever is stored is rounded to bf16. The weights of the
/// bundle are taken as they are.
pub(crate) fn outputs_in_bf16(bundle: &Bundle, row: Subnet, image: &[f32]) -> Vec<Vec<f64>> {
    interpret(bundle, row, ([row.input.resolution.get(); 2], image), &stored(bundle.network()))
}

/// The nearest bf16, where numbers that are not normal count as 0.
pub(crate) fn to_bf16(number: f64) -> f64 {
    if number.abs() < f32::MIN_POSITIVE.into() {
        return 0.0;
    }
    // The distance between two bf16 of this magnitude.
    let step = 2_f64.powi(number.abs().log2().floor() as i32 - 7);
    (number / step).round_ties_even() * step
}

/// Whether the runtime stores the value of a node in bf16, and does not hand it to the next node in registers: a batch norm
/// behind a convolution, activations and one operand of a sum are computed together with what they read. Networks of the zoo
/// have no other chains. Outputs are stored in f32.
fn stored(network: &Network) -> Vec<bool> {
    let nodes = network.nodes();
    let users = |idx: usize| {
        let reads = |node: &Node| node.inputs.iter().filter(|input| input.0 == idx).count();
        let users = nodes.iter().enumerate().flat_map(move |(user, node)| vec![user; reads(node)]);
        users.collect::<Vec<_>>()
    };
    let is_curve = |idx: usize| match nodes[idx].op {
        Op::Activation(activation) => !matches!(activation, Activation::Relu | Activation::Relu6),
        _ => false,
    };
    // Where the chain begins that a node belongs to.
    let mut begin: Vec<usize> = (0..nodes.len()).collect();
    let mut stored = vec![true; nodes.len()];
    for idx in 0..nodes.len() {
        let [user] = users(idx)[..] else { continue };
        let takes = match nodes[user].op {
            Op::BatchNorm(_) => matches!(nodes[idx].op, Op::Conv(_)),
            Op::Activation(_) => true,
            Op::Add => {
                let other = nodes[user].inputs.iter().find(|input| input.0 != idx).unwrap().0;
                users(other).len() > 1 || begin[idx] < begin[other]
            }
            _ => false,
        };
        if takes && idx > 0 && nodes[idx].op != Op::GlobalPool && !is_curve(idx) {
            stored[idx] = false;
            begin[user] = begin[idx];
        }
    }
    for output in network.outputs() {
        stored[output.node.0] = false;
    }
    stored
}

fn interpret(
    bundle: &Bundle,
    row: Subnet,
    (size, image): ([u32; 2], &[f32]),
    stored: &[bool],
) -> Vec<Vec<f64>> {
    let in_bf16 = stored.contains(&true);
    let network = bundle.network();
    let extent = [row.input.frames.get(), size[0], size[1]];
    let costs = network.costs_of_clip(row.width, extent).unwrap();
    let full = network.channels(network.widths().full()).unwrap();
    let stats = bundle.stats(row).unwrap();
    let norms: Vec<_> = network.batch_norms().collect();
    let mut maps: Vec<Map> = Vec::new();
    for (idx, (node, cost)) in network.nodes().iter().zip(costs).enumerate() {
        let [t, h, w] = cost.shape.extent.map(|n| n as usize);
        let (out, c) = ([t, h, w], cost.shape.channels);
        let input = |i: usize| &maps[node.inputs[i].0];
        let parameter = |suffix: &str| {
            let tensor = &bundle.weights()[&format!("{}.{suffix}", node.path)];
            (tensor.shape.clone(), tensor.data.clone())
        };
        let map = match &node.op {
            Op::Input { .. } => Map { t, h, w, c, data: image.iter().map(|&x| x.into()).collect() },
            Op::Conv(conv) => {
                let inputs: Vec<_> = node.inputs.iter().map(|input| &maps[input.0]).collect();
                // Where the channels of each input lie in the weight, which is that of the full network.
                let mut start = 0;
                let mut columns = Vec::new();
                for input in &node.inputs {
                    columns.extend(start..start + maps[input.0].c);
                    start += full[input.0];
                }
                let weight = (parameter("weight"), columns);
                let map = convolve(&concatenated(&inputs), conv, &weight, (out, c));
                let bias = if conv.bias { parameter("bias").1 } else { vec![0.0; c] };
                map.map(|x, i| x + f64::from(bias[i % c]))
            }
            Op::TransposedConv(conv) => {
                let map = spread(input(0), conv, &parameter("weight"), (out, c));
                let bias = if conv.bias { parameter("bias").1 } else { vec![0.0; c] };
                map.map(|x, i| x + f64::from(bias[i % c]))
            }
            Op::BatchNorm(BatchNorm { eps }) => {
                let stats = &stats[norms.iter().position(|id| id.0 == idx).unwrap()];
                let (gamma, beta) = (parameter("weight").1, parameter("bias").1);
                input(0).map(|x, i| {
                    let i = i % c;
                    let deviation = (f64::from(stats.var[i]) + eps).sqrt();
                    (x - f64::from(stats.mean[i])) / deviation * f64::from(gamma[i]) + f64::from(beta[i])
                })
            }
            Op::Activation(activation @ (Activation::Relu | Activation::Relu6)) => {
                input(0).map(|x, _| activate(*activation, x))
            }
            // It bends what was stored.
            Op::Activation(activation) => {
                input(0).map(|x, _| activate(*activation, if in_bf16 { to_bf16(x) } else { x }))
            }
            Op::Add => input(0).map(|x, i| x + input(1).data[i]),
            Op::Multiply => input(0).map(|x, i| x * input(1).data[i % c]),
            Op::MaxPool(pool) => max_pool(input(0), pool, out),
            Op::AvgPool(pool) => avg_pool(input(0), pool, out),
            Op::ResizeLike(resize) => resized(input(0), *resize, [h, w]),
            Op::GlobalPool => {
                let positions = input(0).extent().iter().product::<usize>() as f64;
                let mean = |i| input(0).data.iter().skip(i).step_by(c).sum::<f64>() / positions;
                Map { t, h, w, c, data: (0..c).map(mean).collect() }
            }
            Op::Linear(_) => {
                let ((shape, weight), bias) = (parameter("weight"), parameter("bias").1);
                let of = |o: usize| {
                    let row = weight[o * shape[1]..].iter().zip(&input(0).data);
                    row.map(|(&w, x)| f64::from(w) * x).sum::<f64>() + f64::from(bias[o])
                };
                Map { t, h, w, c, data: (0..c).map(of).collect() }
            }
            op => panic!("the interpreter does not know {op:?}"),
        };
        maps.push(if stored[idx] { map.map(|x, _| to_bf16(x)) } else { map });
    }
    network.outputs().iter().map(|output| maps[output.node.0].data.clone()).collect()
}

/// Maps of the same size, one behind the other along their channels.
fn concatenated(maps: &[&Map]) -> Map {
    let [t, h, w] = maps[0].extent();
    let pixel = |at: usize| maps.iter().flat_map(move |map| map.data[at * map.c..][..map.c].iter().copied());
    let data = (0..t * h * w).flat_map(pixel).collect();
    Map { t, h, w, c: maps.iter().map(|map| map.c).sum(), data }
}

/// All positions of an extent, in order.
fn positions(extent: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [t, h, w] = extent;
    (0..t * h * w).map(move |at| [at / (h * w), at / w % h, at % w])
}

/// The position that a tap of a window reads for an output, in front of the input if it is negative.
fn source(at: [usize; 3], tap: [usize; 3], [stride, padding, dilation]: [Extent; 3]) -> [isize; 3] {
    [0, 1, 2].map(|axis| {
        let to = at[axis] * stride[axis] as usize + tap[axis] * dilation[axis] as usize;
        to as isize - padding[axis] as isize
    })
}

fn avg_pool(input: &Map, pool: &AvgPool, out: [usize; 3]) -> Map {
    let kernel = pool.kernel.map(|n| n as usize);
    let moves = [pool.stride, pool.padding, Conv::NO_DILATION];
    let mut data = Vec::new();
    for at in positions(out) {
        for c in 0..input.c {
            let sum: f64 = positions(kernel).map(|tap| input.at(source(at, tap, moves), c)).sum();
            data.push(sum / kernel.iter().product::<usize>() as f64);
        }
    }
    let [t, h, w] = out;
    Map { t, h, w, c: input.c, data }
}

fn resized(input: &Map, resize: Resize, [h, w]: [usize; 2]) -> Map {
    let c = input.c;
    // Where an output lies, in pixels of the input: centers of pixels are at halves.
    let from = |at: usize, from: usize, to: usize| match resize {
        Resize::Nearest => (at * from / to) as f64,
        _ => ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64),
    };
    let mut data = Vec::new();
    for at in 0..h * w * c {
        let (y, x, c) = (at / (w * c), at / c % w, at % c);
        let (y, x) = (from(y, input.h, h), from(x, input.w, w));
        let pixel = |y: f64, x: f64| {
            let (y, x) = (y.min((input.h - 1) as f64), x.min((input.w - 1) as f64));
            input.at([0, y as isize, x as isize], c)
        };
        let along = |y: f64| {
            let right = x - x.floor();
            (1.0 - right) * pixel(y, x.floor()) + right * pixel(y, x.floor() + 1.0)
        };
        let down = y - y.floor();
        data.push((1.0 - down) * along(y.floor()) + down * along(y.floor() + 1.0));
    }
    Map { t: 1, h, w, c, data }
}

fn activate(activation: Activation, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let hard_sigmoid = (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Sigmoid => sigmoid,
        Activation::HardSigmoid => hard_sigmoid,
        Activation::Swish => x * sigmoid,
        Activation::HardSwish => x * hard_sigmoid,
        other => panic!("the interpreter does not know {other:?}"),
    }
}

fn max_pool(input: &Map, pool: &MaxPool, out: [usize; 3]) -> Map {
    let kernel = pool.kernel.map(|n| n as usize);
    let moves = [pool.stride, pool.padding, Conv::NO_DILATION];
    let is_inside =
        |at: &[isize; 3]| at.iter().zip(input.extent()).all(|(&at, size)| (0..size as isize).contains(&at));
    let mut data = Vec::new();
    for at in positions(out) {
        for c in 0..input.c {
            let inside = positions(kernel).map(|tap| source(at, tap, moves)).filter(is_inside);
            data.push(inside.map(|at| input.at(at, c)).fold(f64::NEG_INFINITY, f64::max));
        }
    }
    let [t, h, w] = out;
    Map { t, h, w, c: input.c, data }
}

/// A transposed convolution by its definition: every input is added, times the kernel, to the outputs under it.
fn spread(
    input: &Map,
    conv: &TransposedConv,
    (shape, weight): &(Vec<usize>, Vec<f32>),
    ([t, h, w], c): ([usize; 3], usize),
) -> Map {
    let mut data = vec![0.0; t * h * w * c];
    let [kh, kw] = [shape[shape.len() - 2], shape[shape.len() - 1]];
    for at in 0..t * input.h * input.w * kh * kw {
        let (kx, ky, x) = (at % kw, at / kw % kh, at / (kw * kh) % input.w);
        let (t, y) = (at / (kw * kh * input.w) / input.h, at / (kw * kh * input.w) % input.h);
        let to = |axis: usize, at: usize, k: usize, size: usize| {
            let to = (at * conv.stride[axis] as usize + k).checked_sub(conv.padding[axis] as usize);
            to.filter(|&to| to < size)
        };
        let (Some(oy), Some(ox)) = (to(1, y, ky, h), to(2, x, kx, w)) else { continue };
        for i in 0..input.c {
            for o in 0..c {
                let weight = weight[((i * shape[1] + o) * kh + ky) * kw + kx];
                let from = [t, y, x].map(|at| at as isize);
                data[((t * h + oy) * w + ox) * c + o] += f64::from(weight) * input.at(from, i);
            }
        }
    }
    Map { t, h, w, c, data }
}

/// A weight as shape and numbers, and the input channel of it that each channel of the input is.
type Weight = ((Vec<usize>, Vec<f32>), Vec<usize>);

fn convolve(
    input: &Map,
    conv: &Conv,
    ((shape, weight), columns): &Weight,
    (out, c): ([usize; 3], usize),
) -> Map {
    // Images have no axis of time.
    let kernel = if let [_, _, kh, kw] = shape[..] { [1, kh, kw] } else { [shape[2], shape[3], shape[4]] };
    let taps = kernel.iter().product::<usize>();
    let moves = [conv.stride, conv.padding, conv.dilation];
    let mut data = Vec::new();
    for at in positions(out) {
        for o in 0..c {
            let inputs = if conv.groups == Groups::Depthwise { o..o + 1 } else { 0..input.c };
            let mut sum = 0.0;
            for (idx, tap) in positions(kernel).enumerate() {
                let from = source(at, tap, moves);
                for i in inputs.clone() {
                    let column = if conv.groups == Groups::Depthwise { 0 } else { columns[i] };
                    let weight = weight[(o * shape[1] + column) * taps + idx];
                    sum += f64::from(weight) * input.at(from, i);
                }
            }
            data.push(sum);
        }
    }
    let [t, h, w] = out;
    Map { t, h, w, c, data }
}
