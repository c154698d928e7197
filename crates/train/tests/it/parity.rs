//! Forward passes, one mutual step and three updates against PyTorch: `golden/mutual_step/make.py`.
//!
//! Ours computes in single precision, the reference in double.

use mutualnet_core::network::{Network, ParameterKind};
use mutualnet_core::sample::StepSubnets;
use mutualnet_core::{Subnet, Width, WidthRange};
use mutualnet_engine::{Device, Tensor, no_grad, set_threads};
use mutualnet_nn::{Net, Norm, Parameters, Statistics};
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::step_batch::{Images, StepBatch};
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::{Classify, Labels};
use mutualnet_train::update::{Decay, Optimizer, OptimizerConfig, Rule};
use mutualnet_zoo::golden::Folder;
use mutualnet_zoo::{NetworkConfig, OutputStride};
use safetensors::SafeTensors;

const BATCH: usize = 16;
const SIDE: usize = 32;
const CLASSES: usize = 10;
/// Largest difference relative to the largest number of the reference.
const TOLERANCE: f32 = 1e-4;
const STEPS: [[&str; 3]; 3] =
    [["0.8123-24", "0.41-32", "0.25-20"], ["0.95-32", "0.5-20", "0.25-28"], ["0.7-28", "0.3-24", "0.25-32"]];

/// The script's `fill`: uniform numbers in [-1, 1) out of an integer hash of seed and position.
fn fill(seed: u32, n: usize) -> Vec<f32> {
    let number = |i: usize| {
        let mut x = (i as u32)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(seed.wrapping_mul(40_503))
            .wrapping_add(12_345);
        x = (x ^ (x >> 15)).wrapping_mul(0x2C1B_3C6D);
        x = (x ^ (x >> 12)).wrapping_mul(0x297A_2D39);
        x ^= x >> 15;
        (f64::from(x >> 8) / f64::from(1 << 23) - 1.0) as f32
    };
    (0..n).map(number).collect()
}

/// A network and how the script treated it, which its file says.
#[derive(Clone, Copy)]
struct Member {
    name: &'static str,
    /// Its full width; the widths of all sub-networks are multiplied by it.
    full: f64,
    /// Numbers of a tensor that are kept at the most.
    n_numbers: usize,
    /// Learning rate.
    lr: f64,
}

impl Member {
    fn new(name: &'static str, bytes: &[u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let made = metadata.metadata().as_ref().unwrap();
        let number = |key: &str| made[key].parse::<f64>().unwrap();
        Self { name, full: number("full"), n_numbers: number("numbers") as usize, lr: number("lr") }
    }

    fn network(self) -> Network {
        let [smallest, full] = [0.25, 1.0].map(|width| Width::new(width * self.full).unwrap());
        let widths = WidthRange::new(smallest, full).unwrap();
        let config = NetworkConfig { classes: CLASSES, widths, output_stride: Some(OutputStride::S16) };
        mutualnet_zoo::build_small(self.name, &config).unwrap()
    }

    /// A sub-network whose width is a share of the full one.
    fn subnet(self, text: &str) -> Subnet {
        let subnet: Subnet = text.parse().unwrap();
        Subnet { width: Width::new(subnet.width.fraction() * self.full).unwrap(), ..subnet }
    }

    /// Every n-th number.
    fn some(self, tensor: &Tensor) -> Vec<f32> {
        let values = tensor.to_vec_f32().unwrap();
        let step = (values.len() / self.n_numbers).max(1);
        values.into_iter().step_by(step).take(self.n_numbers).collect()
    }
}

fn parameters(network: &Network) -> Parameters {
    let shapes = network.parameter_shapes(network.widths().full()).unwrap();
    let weights =
        network.parameters().into_iter().zip(shapes).enumerate().map(|(idx, (parameter, shape))| {
            let (scale, mean) = match parameter.kind {
                ParameterKind::ConvWeight
                | ParameterKind::DepthwiseWeight
                | ParameterKind::TransposedConvWeight => {
                    ((6.0 / (shape[2] * shape[3] * shape[0]) as f64).sqrt(), 0.0)
                }
                ParameterKind::Scale => (0.1, 0.4),
                ParameterKind::Shift => (0.3, 1.5),
                ParameterKind::LinearWeight => (0.05, 0.0),
                ParameterKind::Bias => (0.1, 0.0),
            };
            let values = fill(1000 + idx as u32, shape.iter().product()).into_iter();
            let data = values.map(|value| (f64::from(value) * scale + mean) as f32).collect();
            (parameter.name, mutualnet_core::Tensor { shape, data })
        });
    Parameters::from_weights(network, &weights.collect(), Device::Cpu).unwrap()
}

/// The script's images, row-major `[n, 3, h, w]`, in channels-last memory.
fn images(seed: u32) -> Tensor {
    let values: Vec<_> = fill(seed, BATCH * 3 * SIDE * SIDE).into_iter().map(|value| value * 1.7).collect();
    Tensor::from_slice(&values, &[BATCH, 3, SIDE, SIDE]).unwrap().channels_last().unwrap()
}

fn labels() -> Tensor {
    let labels: Vec<_> = (0..BATCH as i64).map(|i| i * 7 % CLASSES as i64).collect();
    Tensor::from_slice_i64(&labels, &[BATCH]).unwrap()
}

fn resized(images: &Tensor, subnet: Subnet) -> Tensor {
    let side = subnet.input.resolution.get() as usize;
    images.resize_bilinear(side).unwrap()
}

fn norms(tensors: &[Tensor]) -> Vec<f32> {
    let norm =
        |tensor: &Tensor| tensor.to_vec_f32().unwrap().iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    tensors.iter().map(|tensor| norm(tensor).sqrt() as f32).collect()
}

struct Golden<'a> {
    name: &'static str,
    tensors: SafeTensors<'a>,
}

impl Golden<'_> {
    fn get(&self, name: &str) -> Vec<f32> {
        let view = self.tensors.tensor(name).unwrap_or_else(|error| panic!("{} {name}: {error}", self.name));
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Which maximum of a pool wins, and on which side of a kink a number falls, is a matter of rounding: PyTorch in
    /// single precision is up to 2e-4 off in the same gradients of the first layers of VGG.
    fn tolerance(&self, name: &str) -> f32 {
        match self.name {
            "vgg16_bn" if name.starts_with("grad/") => 20.0 * TOLERANCE,
            "efficientnet_b0" if name.starts_with("grad/") => 2.0 * TOLERANCE,
            _ => TOLERANCE,
        }
    }

    /// Relative difference, bounded; numbers that are all but zero count from the scale `floor` on.
    fn check(&self, name: &str, ours: &[f32], floor: f32) {
        let theirs = self.get(name);
        assert_eq!(ours.len(), theirs.len(), "{} {name}", self.name);
        let scale = theirs.iter().fold(floor, |max, value| max.max(value.abs()));
        let difference = ours.iter().zip(&theirs).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(
            difference <= self.tolerance(name) * scale,
            "{} {name}: {} relative",
            self.name,
            difference / scale
        );
    }
}

fn check_forward(golden: &Golden<'_>, net: &Net) {
    let parameters = parameters(net.network());
    let names: Vec<_> = golden
        .tensors
        .names()
        .iter()
        .filter_map(|name| name.strip_prefix("logits/train/"))
        .map(str::to_owned)
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let subnet: Subnet = name.parse().unwrap();
        let slice = net.slice(&parameters, subnet.width).unwrap();
        let input = resized(&images(1), subnet);
        let logits = no_grad(|| net.forward(&slice, &input, Norm::Batch)).unwrap();
        golden.check(&format!("logits/train/{name}"), &logits.to_vec_f32().unwrap(), 0.0);

        let mut statistics = Statistics::new(net.network(), subnet.width, Device::Cpu).unwrap();
        for t in 0..3 {
            let momentum = 1.0 / f64::from(t + 1);
            let batch = resized(&images(10 + t), subnet);
            let collect = Norm::Collect { statistics: &mut statistics, momentum };
            no_grad(|| net.forward(&slice, &batch, collect)).unwrap();
        }
        let logits = no_grad(|| net.forward(&slice, &input, Norm::Fixed(&statistics))).unwrap();
        golden.check(&format!("logits/calibrated/{name}"), &logits.to_vec_f32().unwrap(), 0.0);
    }
}

fn check_steps(golden: &Golden<'_>, member: Member, net: &Net) {
    let parameters = parameters(net.network());
    let config = OptimizerConfig {
        rule: Rule::Sgd { momentum: 0.9, nesterov: true },
        weight_decay: 1e-3,
        decay: Decay::Weights,
        auxiliary_lr_factor: 1.0,
    };
    let mut optimizer = Optimizer::new(&parameters, &config).unwrap();
    let mut losses = Vec::new();
    for (step, students) in STEPS.into_iter().enumerate() {
        let subnets = StepSubnets {
            full: member.subnet("1.0-32"),
            students: students.map(|name| member.subnet(name)).to_vec(),
        };
        let batch = StepBatch::<Classify> {
            images: Images::with_full_sides(images(20 + step as u32)),
            targets: Labels { labels: labels(), second: None, views: None },
        };
        let (gradients, found) =
            mutual_step(net, &parameters, &batch, &subnets, &StepRules::default()).unwrap();
        losses.push(found.full as f32);
        losses.extend(found.students.iter().map(|student| student.loss as f32));
        if step == 0 {
            golden.check("grad_norm", &norms(&gradients), 0.0);
            for (gradient, parameter) in gradients.iter().zip(parameters.list()) {
                golden.check(&format!("grad/{}", parameter.name), &member.some(gradient), 1e-3);
            }
        }
        optimizer.step(&parameters, &gradients, member.lr).unwrap();
    }
    golden.check("losses", &losses, 0.0);
    golden.check("weight_norm", &norms(parameters.tensors()), 0.0);
    for (tensor, parameter) in parameters.tensors().iter().zip(parameters.list()) {
        golden.check(&format!("weight/{}", parameter.name), &member.some(tensor), 0.0);
    }
}

#[test]
fn every_family_is_what_pytorch_computes() {
    set_threads(1).unwrap();
    for name in Folder::Steps.networks() {
        let path = format!("{}/golden/mutual_step/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes =
            std::fs::read(&path).unwrap_or_else(|_| panic!("no {path}: run `cargo xtask golden {name}`"));
        let member = Member::new(name, &bytes);
        let golden = Golden { name, tensors: SafeTensors::deserialize(&bytes).unwrap() };
        let net = Net::new(member.network());
        check_forward(&golden, &net);
        check_steps(&golden, member, &net);
    }
}
