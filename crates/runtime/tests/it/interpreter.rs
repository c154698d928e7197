//! A naive interpreter of the list of nodes, in f64: one image, one loop per axis.

use mutualnet_bundle::Bundle;
use mutualnet_core::network::{
    Activation, AvgPool, BatchNorm, Conv, Groups, MaxPool, Node, Op, Resize, TransposedConv,
};
use mutualnet_core::{Network, Subnet};

/// A feature map, `[h, w, c]`.
#[derive(Clone)]
struct Map {
    h: usize,
    w: usize,
    c: usize,
    data: Vec<f64>,
}

impl Map {
    /// 0 outside, as padding.
    fn at(&self, y: isize, x: isize, c: usize) -> f64 {
        let inside = (0..self.h as isize).contains(&y) && (0..self.w as isize).contains(&x);
        if inside { self.data[(y as usize * self.w + x as usize) * self.c + c] } else { 0.0 }
    }

    fn map(&self, mut of: impl FnMut(f64, usize) -> f64) -> Self {
        let data = self.data.iter().enumerate().map(|(i, &x)| of(x, i)).collect();
        Self { data, ..*self }
    }
}

/// The outputs for an image of the row's own resolution, each `[h, w, c]`.
pub(crate) fn outputs(bundle: &Bundle, row: Subnet, image: &[f32]) -> Vec<Vec<f64>> {
    outputs_at(bundle, row, [row.input.resolution.get(); 2], image)
}

/// The outputs for an image of any height and width, each `[h, w, c]`.
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
    let costs = network.costs_at(row.width, size).unwrap();
    let full = network.channels(network.widths().full()).unwrap();
    let stats = bundle.stats(row).unwrap();
    let norms: Vec<_> = network.batch_norms().collect();
    let mut maps: Vec<Map> = Vec::new();
    for (idx, (node, cost)) in network.nodes().iter().zip(costs).enumerate() {
        let [_, h, w] = cost.shape.extent.map(|n| n as usize);
        let c = cost.shape.channels;
        let input = |i: usize| &maps[node.inputs[i].0];
        let parameter = |suffix: &str| {
            let tensor = &bundle.weights()[&format!("{}.{suffix}", node.path)];
            (tensor.shape.clone(), tensor.data.clone())
        };
        let map = match &node.op {
            Op::Input { .. } => Map { h, w, c, data: image.iter().map(|&x| x.into()).collect() },
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
                let map = convolve(&concatenated(&inputs), conv, &weight, [h, w, c]);
                let bias = if conv.bias { parameter("bias").1 } else { vec![0.0; c] };
                map.map(|x, i| x + f64::from(bias[i % c]))
            }
            Op::TransposedConv(conv) => {
                let map = spread(input(0), conv, &parameter("weight"), [h, w, c]);
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
            Op::MaxPool(pool) => max_pool(input(0), pool, [h, w, c]),
            Op::AvgPool(pool) => avg_pool(input(0), pool, [h, w, c]),
            Op::ResizeLike(resize) => resized(input(0), *resize, [h, w]),
            Op::GlobalPool => {
                let positions = (input(0).h * input(0).w) as f64;
                let mean = |i| input(0).data.iter().skip(i).step_by(c).sum::<f64>() / positions;
                Map { h, w, c, data: (0..c).map(mean).collect() }
            }
            Op::Linear(_) => {
                let ((shape, weight), bias) = (parameter("weight"), parameter("bias").1);
                let of = |o: usize| {
                    let row = weight[o * shape[1]..].iter().zip(&input(0).data);
                    row.map(|(&w, x)| f64::from(w) * x).sum::<f64>() + f64::from(bias[o])
                };
                Map { h, w, c, data: (0..c).map(of).collect() }
            }
            op => panic!("the interpreter does not know {op:?}"),
        };
        maps.push(if stored[idx] { map.map(|x, _| to_bf16(x)) } else { map });
    }
    network.outputs().iter().map(|output| maps[output.node.0].data.clone()).collect()
}

/// Maps of the same size, one behind the other along their channels.
fn concatenated(maps: &[&Map]) -> Map {
    let (h, w) = (maps[0].h, maps[0].w);
    let pixel = |at: usize| maps.iter().flat_map(move |map| map.data[at * map.c..][..map.c].iter().copied());
    Map { h, w, c: maps.iter().map(|map| map.c).sum(), data: (0..h * w).flat_map(pixel).collect() }
}

fn avg_pool(input: &Map, pool: &AvgPool, [h, w, c]: [usize; 3]) -> Map {
    let mut data = Vec::new();
    for at in 0..h * w * c {
        let (y, x, c) = (at / (w * c), at / c % w, at % c);
        let from = |axis: usize, at: usize, k: u32| {
            (at * pool.stride[axis] as usize) as isize + k as isize - pool.padding[axis] as isize
        };
        let taps = (0..pool.kernel[1]).flat_map(|ky| (0..pool.kernel[2]).map(move |kx| (ky, kx)));
        let sum: f64 = taps.map(|(ky, kx)| input.at(from(1, y, ky), from(2, x, kx), c)).sum();
        data.push(sum / f64::from(pool.kernel[1] * pool.kernel[2]));
    }
    Map { h, w, c, data }
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
            input.at(y as isize, x as isize, c)
        };
        let along = |y: f64| {
            let right = x - x.floor();
            (1.0 - right) * pixel(y, x.floor()) + right * pixel(y, x.floor() + 1.0)
        };
        let down = y - y.floor();
        data.push((1.0 - down) * along(y.floor()) + down * along(y.floor() + 1.0));
    }
    Map { h, w, c, data }
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

fn max_pool(input: &Map, pool: &MaxPool, [h, w, c]: [usize; 3]) -> Map {
    let mut data = Vec::new();
    for at in 0..h * w * c {
        let (y, x, c) = (at / (w * c), at / c % w, at % c);
        let from = |axis: usize, at: usize, k: u32| {
            (at * pool.stride[axis] as usize + k as usize).checked_sub(pool.padding[axis] as usize)
        };
        let ys = (0..pool.kernel[1]).filter_map(|k| from(1, y, k).filter(|&y| y < input.h));
        let xs = |k: u32| from(2, x, k).filter(|&x| x < input.w);
        let inside = ys.flat_map(|y| (0..pool.kernel[2]).filter_map(xs).map(move |x| (y, x)));
        data.push(inside.map(|(y, x)| input.at(y as isize, x as isize, c)).fold(f64::NEG_INFINITY, f64::max));
    }
    Map { h, w, c, data }
}

/// A transposed convolution by its definition: every input is added, times the kernel, to the outputs under it.
fn spread(
    input: &Map,
    conv: &TransposedConv,
    (shape, weight): &(Vec<usize>, Vec<f32>),
    [h, w, c]: [usize; 3],
) -> Map {
    let mut data = vec![0.0; h * w * c];
    let [kh, kw] = [shape[2], shape[3]];
    for at in 0..input.h * input.w * kh * kw {
        let (kx, ky, x, y) = (at % kw, at / kw % kh, at / (kw * kh) % input.w, at / (kw * kh * input.w));
        let to = |axis: usize, at: usize, k: usize, size: usize| {
            let to = (at * conv.stride[axis] as usize + k).checked_sub(conv.padding[axis] as usize);
            to.filter(|&to| to < size)
        };
        let (Some(oy), Some(ox)) = (to(1, y, ky, h), to(2, x, kx, w)) else { continue };
        for i in 0..input.c {
            for o in 0..c {
                let weight = weight[((i * shape[1] + o) * kh + ky) * kw + kx];
                data[(oy * w + ox) * c + o] += f64::from(weight) * input.at(y as isize, x as isize, i);
            }
        }
    }
    Map { h, w, c, data }
}

/// A weight as shape and numbers, and the input channel of it that each channel of the input is.
type Weight = ((Vec<usize>, Vec<f32>), Vec<usize>);

fn convolve(input: &Map, conv: &Conv, ((shape, weight), columns): &Weight, out: [usize; 3]) -> Map {
    let [h, w, c] = out;
    let mut data = Vec::new();
    for at in 0..h * w * c {
        let (y, x, o) = (at / (w * c), at / c % w, at % c);
        let inputs = if conv.groups == Groups::Depthwise { o..o + 1 } else { 0..input.c };
        let mut sum = 0.0;
        for ky in 0..shape[2] {
            for kx in 0..shape[3] {
                let from = |axis: usize, at: usize, k: usize| {
                    (at * conv.stride[axis] as usize + k * conv.dilation[axis] as usize) as isize
                        - conv.padding[axis] as isize
                };
                let (iy, ix) = (from(1, y, ky), from(2, x, kx));
                for i in inputs.clone() {
                    let column = if conv.groups == Groups::Depthwise { 0 } else { columns[i] };
                    let weight = weight[((o * shape[1] + column) * shape[2] + ky) * shape[3] + kx];
                    sum += f64::from(weight) * input.at(iy, ix, i);
                }
            }
        }
        data.push(sum);
    }
    Map { h, w, c, data }
}
