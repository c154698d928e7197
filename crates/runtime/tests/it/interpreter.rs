//! A naive interpreter of the list of nodes, in f64: one image, one loop per axis.

use mutualnet_bundle::Bundle;
use mutualnet_core::Subnet;
use mutualnet_core::network::{Activation, BatchNorm, Conv, Groups, MaxPool, Op};

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

/// Logits of an image of the row's own resolution.
pub(crate) fn logits(bundle: &Bundle, row: Subnet, image: &[f32]) -> Vec<f64> {
    let network = bundle.network();
    let costs = network.costs(row).unwrap();
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
                let map = convolve(input(0), conv, &parameter("weight"), [h, w, c]);
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
            Op::Activation(activation) => input(0).map(|x, _| activate(*activation, x)),
            Op::Add => input(0).map(|x, i| x + input(1).data[i]),
            Op::Multiply => input(0).map(|x, i| x * input(1).data[i % c]),
            Op::MaxPool(pool) => max_pool(input(0), pool, [h, w, c]),
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
        maps.push(map);
    }
    maps.pop().unwrap().data
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

fn convolve(input: &Map, conv: &Conv, (shape, weight): &(Vec<usize>, Vec<f32>), out: [usize; 3]) -> Map {
    let [h, w, c] = out;
    let mut data = Vec::new();
    for at in 0..h * w * c {
        let (y, x, o) = (at / (w * c), at / c % w, at % c);
        let inputs = if conv.groups == Groups::Depthwise { o..o + 1 } else { 0..input.c };
        let first = inputs.start;
        let mut sum = 0.0;
        for ky in 0..shape[2] {
            for kx in 0..shape[3] {
                let from = |axis: usize, at: usize, k: usize| {
                    (at * conv.stride[axis] as usize + k) as isize - conv.padding[axis] as isize
                };
                let (iy, ix) = (from(1, y, ky), from(2, x, kx));
                for i in inputs.clone() {
                    let weight = weight[((o * shape[1] + i - first) * shape[2] + ky) * shape[3] + kx];
                    sum += f64::from(weight) * input.at(iy, ix, i);
                }
            }
        }
        data.push(sum);
    }
    Map { h, w, c, data }
}
