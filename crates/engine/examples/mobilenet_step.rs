//! Times one mutual training step of MobileNetV1, written with only the engine.
//!
//! Comparing it with `mutualnet bench` shows how much of a step the engine takes.
//! Run: `MALLOC_CONF=thp:always,dirty_decay_ms:-1 cargo run -p mutualnet-engine --example mobilenet_step [batch] [steps] [apart]`;
//! With `apart`, norm, activation and convolution are separate operations.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use mutualnet_engine::{
    Activation, Affine, ConvGeometry, Device, FusedSgd, NormStatistics, Result, SgdStep, Tensor,
};

/// The same allocator as the command line's, because libtorch's large, short-lived buffers cause most page faults.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Output channels and stride of each depthwise-separable block.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// The width and resolution of each pass of a step.
const PASSES: [(f64, usize); 4] = [(1.0, 224), (0.7, 192), (0.45, 160), (0.25, 128)];

struct Layer {
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    stride: usize,
    depthwise: bool,
}

struct Net {
    fused: bool,
    layers: Vec<Layer>,
    head: Tensor,
    head_bias: Tensor,
}

fn uniform(shape: &[usize], bound: f32, seed: &mut u64) -> Result<Tensor> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_slice(&values, shape)?.channels_last()?.require_grad()
}

fn layer(shape: [usize; 4], stride: usize, depthwise: bool, seed: &mut u64) -> Result<Layer> {
    let bound = (6.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt();
    Ok(Layer {
        weight: uniform(&shape, bound, seed)?,
        scale: Tensor::ones(&shape[..1], Device::Cpu)?.require_grad()?,
        shift: Tensor::zeros(&shape[..1], Device::Cpu)?.require_grad()?,
        stride,
        depthwise,
    })
}

impl Net {
    fn new(fused: bool) -> Result<Self> {
        let mut seed = 1;
        let mut layers = vec![layer([32, 3, 3, 3], 2, false, &mut seed)?];
        let mut channels = 32;
        for (out, stride) in BLOCKS {
            layers.push(layer([channels, 1, 3, 3], stride, true, &mut seed)?);
            layers.push(layer([out, channels, 1, 1], 1, false, &mut seed)?);
            channels = out;
        }
        let head = uniform(&[1000, 1024], 0.03, &mut seed)?;
        Ok(Self { fused, layers, head, head_bias: Tensor::zeros(&[1000], Device::Cpu)?.require_grad()? })
    }

    fn params(&self) -> Vec<&Tensor> {
        let layers = self.layers.iter().flat_map(|l| [&l.weight, &l.scale, &l.shift]);
        layers.chain([&self.head, &self.head_bias]).collect()
    }

    fn convolve(
        &self,
        x: &Tensor,
        affine: Affine<'_>,
        kernel: &Tensor,
        geometry: &ConvGeometry<'_>,
    ) -> Result<Tensor> {
        let (statistics, activation) = (NormStatistics::Batch, Activation::Relu6);
        if self.fused {
            return x.batch_norm_activation_convolution(affine, statistics, activation, kernel, geometry);
        }
        x.batch_norm(affine, statistics)?.activation(activation)?.convolution(kernel, None, geometry)
    }

    /// The logits, and the leaves that the pass used, in the order of `params`.
    fn forward(&self, images: &Tensor, width: f64) -> Result<(Tensor, Vec<Tensor>)> {
        let slim = |channels: usize| (channels as f64 * width / 8.0).round().max(1.0) as usize * 8;
        let mut leaves: Vec<Tensor> = Vec::new();
        let mut x = images.alias();
        for (index, layer) in self.layers.iter().enumerate() {
            let shape = layer.weight.shape();
            let c_out = slim(shape[0]);
            let c_in = if index == 0 || layer.depthwise { shape[1] } else { x.shape()[1] };
            let kernel = layer.weight.leaf_prefix(&[c_out, c_in])?;
            let (stride, padding) = ([layer.stride; 2], [shape[2] / 2; 2]);
            let groups = if layer.depthwise { c_out } else { 1 };
            let geometry = ConvGeometry { stride: &stride, padding: &padding, dilation: &[1, 1], groups };
            x = match leaves.as_slice() {
                [.., scale, shift] => {
                    let affine = Affine { weight: scale, bias: shift, eps: 1e-5 };
                    self.convolve(&x, affine, &kernel, &geometry)?
                }
                _ => x.convolution(&kernel, None, &geometry)?,
            };
            leaves.extend([kernel, layer.scale.leaf_prefix(&[c_out])?, layer.shift.leaf_prefix(&[c_out])?]);
        }
        let [.., scale, shift] = leaves.as_slice() else { unreachable!("there are layers") };
        let affine = Affine { weight: scale, bias: shift, eps: 1e-5 };
        let activated = x.batch_norm_activation(affine, NormStatistics::Batch, Activation::Relu6)?;
        let pooled = activated.global_average()?;
        let head = self.head.leaf_prefix(&[1000, pooled.shape()[1]])?;
        let bias = self.head_bias.leaf_prefix(&[1000])?;
        let flat = pooled.reshape(&pooled.shape()[..2])?;
        let logits = flat.linear(&head, Some(&bias))?;
        leaves.extend([head, bias]);
        Ok((logits, leaves))
    }
}

/// Adds the gradients of a pass to the full ones, which are those of the first pass.
fn collect(grads: &mut Vec<Tensor>, leaves: &[Tensor]) -> Result<()> {
    let first = grads.is_empty();
    for (index, leaf) in leaves.iter().enumerate() {
        let grad = leaf.grad()?.expect("every leaf was used");
        if first {
            grads.push(grad);
        } else {
            grads[index].add_prefix_(&grad)?;
        }
    }
    Ok(())
}

struct Times {
    forward: [f64; 4],
    backward: [f64; 4],
    update: f64,
}

fn step(net: &Net, sgd: &mut FusedSgd, images: &Tensor, labels: &Tensor) -> Result<Times> {
    let mut times = Times { forward: [0.0; 4], backward: [0.0; 4], update: 0.0 };
    let (mut grads, mut teacher) = (Vec::new(), None);
    for (index, (width, resolution)) in PASSES.into_iter().enumerate() {
        let start = Instant::now();
        let resized = images.resize_bilinear(resolution)?;
        let (logits, leaves) = net.forward(&resized, width)?;
        let loss = match &teacher {
            None => logits.cross_entropy(labels, 0.0)?,
            Some(teacher) => logits.kl_divergence(teacher)?,
        };
        times.forward[index] = start.elapsed().as_secs_f64();
        let start = Instant::now();
        loss.backward()?;
        teacher.get_or_insert(logits.detach()?);
        collect(&mut grads, &leaves)?;
        times.backward[index] = start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    let settings = SgdStep { lr: 0.01, momentum: 0.9, weight_decay: 1e-4, nesterov: true };
    sgd.step(&net.params(), &grads.iter().collect::<Vec<_>>(), &settings)?;
    times.update = start.elapsed().as_secs_f64();
    Ok(times)
}

fn main() -> Result<()> {
    let argument = |at: usize, default: usize| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (batch, steps) = (argument(1, 16), argument(2, 8));
    let net = Net::new(std::env::args().nth(3).as_deref() != Some("apart"))?;
    let mut sgd = FusedSgd::new(&net.params())?;
    let pixels: Vec<f32> = (0..batch * 224 * 224 * 3).map(|i| (i % 255) as f32 / 128.0 - 1.0).collect();
    let images = Tensor::from_nhwc(&pixels, [batch, 224, 224, 3], Device::Cpu)?;
    let labels: Vec<i64> = (0..batch as i64).collect();
    let labels = Tensor::from_slice_i64(&labels, &[batch])?;
    let mut best = f64::INFINITY;
    for _ in 0..steps {
        let start = Instant::now();
        let times = step(&net, &mut sgd, &images, &labels)?;
        let total = start.elapsed().as_secs_f64();
        best = best.min(total);
        let ms = |list: &[f64]| list.iter().map(|t| format!("{:.0}", t * 1e3)).collect::<Vec<_>>().join(" ");
        println!(
            "{:.0} ms: forward {}, backward {}, update {:.1}",
            total * 1e3,
            ms(&times.forward),
            ms(&times.backward),
            times.update * 1e3
        );
    }
    println!("best {:.0} ms", best * 1e3);
    Ok(())
}
