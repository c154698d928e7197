//! Bare training steps on made-up images, for benchmarks: no recipe, no loader, no log.
//!
//! Separate from [`Trainer`](crate::training), which does what a recipe switches on.
//! Invariant: what is timed is [`mutual_step`] and the update, as in a run.

use mutualnet_core::network::Rank;
use mutualnet_core::sample::StepSubnets;
use mutualnet_core::{InputSize, Network, Task};
use mutualnet_data::{Batch, ImageBuffer, Targets};
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::{Net, Parameters};

use crate::Result;
use crate::mutual_step::mutual_step;
use crate::step_batch::{Images, StepBatch};
use crate::step_rules::StepRules;
use crate::task::{Objective, for_task};
use crate::update::{Decay, Optimizer, OptimizerConfig, Rule};

/// The optimizer with which the reference trains MobileNets on ImageNet.
const REFERENCE: OptimizerConfig = OptimizerConfig {
    rule: Rule::Sgd { momentum: 0.9, nesterov: true },
    weight_decay: 1e-4,
    decay: Decay::Weights,
    auxiliary_lr_factor: 1.0,
};
/// Small, so that the network stays as it began: how many regions a detector looks at depends on its weights.
const LEARNING_RATE: f64 = 1e-6;

/// A network that is trained on the same made-up batch, step after step.
pub trait BareSteps: std::fmt::Debug {
    /// Does a step, and waits until the device has done it.
    ///
    /// # Errors
    /// A sub-network does not fit, or the engine has no memory.
    fn step(&mut self, subnets: &StepSubnets) -> Result<()>;
}

/// Steps of a new network on `n` images or clips of a size, or of that of its [`Network::whole_clip`], for the first task
/// that the network fits.
///
/// # Errors
/// The network fits no task, or the engine has no memory.
pub fn bare_steps(
    network: Network,
    (n, input): (usize, InputSize),
    device: Device,
) -> Result<Box<dyn BareSteps>> {
    let fitting = Task::ALL.into_iter().find(|task| task.check(&network).is_ok());
    let task = fitting.unwrap_or_default();
    task.check(&network)?;
    for_task!(task, network, O => Ok(Box::new(Bare::<O>::new(network, (n, input), device)?)))
}

#[derive(Debug)]
struct Bare<O: Objective> {
    net: Net,
    parameters: Parameters,
    optimizer: Optimizer,
    batch: StepBatch<O>,
    device: Device,
}

impl<O: Objective> Bare<O> {
    fn new(network: Network, (n, input): (usize, InputSize), device: Device) -> Result<Self> {
        let parameters = Parameters::init(&network, 0, device)?;
        let (side, frames) = (input.resolution.get(), input.frames.get());
        let sample = network.whole_clip().unwrap_or([frames, side, side]).map(|n| n as usize);
        let pixels: Vec<f32> = (0..3 * n * sample.iter().product::<usize>()).map(noise).collect();
        let [frames, side, _] = sample;
        let dims = match network.rank() {
            Rank::Image => vec![n, side, side, 3],
            Rank::Clip => vec![n, frames, side, side, 3],
        };
        let batch = Batch {
            images: ImageBuffer::default(),
            targets: Targets::made_up(O::TASK, n, [side; 2], network.classes()),
            indices: (0..n as u32).collect(),
            n,
            views: 1,
            frames: None,
            size: [side; 2],
            resolution: input.resolution,
            seed: 0,
            epoch: 0,
            step: 0,
        };
        let batch = StepBatch {
            images: Images::with_full_sides(Tensor::from_channels_last(&pixels, &dims, device)?),
            targets: O::targets(&batch, device)?,
        };
        let optimizer = Optimizer::new(&parameters, &REFERENCE)?;
        Ok(Self { net: Net::new(network), parameters, optimizer, batch, device })
    }
}

impl<O: Objective> BareSteps for Bare<O> {
    fn step(&mut self, subnets: &StepSubnets) -> Result<()> {
        let rules = StepRules { student_labels: O::STUDENT_LABELS, ..StepRules::default() };
        let (gradients, _) = mutual_step(&self.net, &self.parameters, &self.batch, subnets, &rules)?;
        self.optimizer.step(&self.parameters, &gradients, LEARNING_RATE)?;
        Ok(mutualnet_engine::synchronize(self.device)?)
    }
}

/// A number in [-1, 1) that looks random.
fn noise(place: usize) -> f32 {
    let hashed = (place as u32).wrapping_mul(2_654_435_761);
    (hashed >> 8) as f32 / (1 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use mutualnet_core::{Subnet, Width, WidthRange};
    use mutualnet_zoo::{FAMILIES, NetworkConfig};

    use super::*;

    #[test]
    fn networks_of_every_family_do_steps() {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::new(0.5).unwrap()).unwrap();
        let config = NetworkConfig { classes: 4, widths, output_stride: None };
        for family in FAMILIES {
            let (full, student) = match family.rank() {
                Rank::Image => ("0.5-64", "0.4-48"),
                Rank::Clip => ("0.5-32-4", "0.4-24-2"),
            };
            let mut network = mutualnet_zoo::build(family.samples[0].name, &config).unwrap();
            if network.whole_clip().is_some() {
                network = network.with_whole_clip([8, 32, 32]).unwrap();
            }
            let full: Subnet = full.parse().unwrap();
            let mut steps = bare_steps(network, (2, full.input), Device::Cpu).unwrap();
            for students in [vec![], vec![student.parse().unwrap()]] {
                steps.step(&StepSubnets { full, students }).unwrap();
            }
        }
    }
}
