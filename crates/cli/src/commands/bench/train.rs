//! `mutualnet bench train`: seconds per mutual step on random images.

use std::io::BufRead;
use std::time::Instant;

use anyhow::{Result, ensure};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::{InputChoice, StepSubnets, SubnetSampler, WidthChoice};
use mutualnet_core::{InputSize, Width, WidthRange};
use mutualnet_engine::{Device, Tensor};
use mutualnet_nn::{Net, Parameters};
use mutualnet_train::mutual_step::mutual_step;
use mutualnet_train::step_batch::StepBatch;
use mutualnet_train::step_rules::StepRules;
use mutualnet_train::task::{Classify, Labels};
use mutualnet_train::update::{Decay, Optimizer, OptimizerConfig, Rule};
use mutualnet_zoo::NetworkConfig;
use serde::Serialize;

use crate::args::BenchTrainArgs;
use crate::text;

/// Steps that are not timed, in which memory pools fill and kernels are chosen.
const WARM_UP: usize = 2;
const CLASSES: usize = 1000;
/// The optimizer with which the reference trains MobileNets on ImageNet.
const REFERENCE: OptimizerConfig = OptimizerConfig {
    rule: Rule::Sgd { momentum: 0.9, nesterov: true },
    weight_decay: 1e-4,
    decay: Decay::Weights,
};

#[derive(Serialize)]
struct Report {
    network: String,
    device: String,
    threads: usize,
    batch: usize,
    /// Median of the timed steps.
    seconds_per_step: f64,
    images_per_s: f64,
    steps: Vec<f64>,
}

pub(super) fn run(args: &BenchTrainArgs) -> Result<()> {
    ensure!(args.steps > 0, "--steps must be at least 1");
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    mutualnet_engine::set_threads(threads)?;
    mutualnet_engine::flush_denormals()?;
    let mut bench = Bench::new(args)?;
    for _ in 0..WARM_UP {
        bench.draw_and_step()?;
    }
    if args.lockstep {
        return lockstep(&mut bench);
    }
    let mut steps = (0..args.steps).map(|_| bench.draw_and_step()).collect::<Result<Vec<_>>>()?;
    let in_order = steps.clone();
    steps.sort_by(f64::total_cmp);
    let median = steps[steps.len() / 2];
    let report = Report {
        network: args.network.clone(),
        device: args.device.clone(),
        threads,
        batch: args.batch,
        seconds_per_step: median,
        images_per_s: args.batch as f64 / median,
        steps: in_order,
    };
    if args.json {
        return text::json(&report);
    }
    text::line(&format!(
        "{} on {}, batch {}, {} threads: {median:.3} s per mutual step, {:.1} images/s (median of {})",
        report.network, report.device, report.batch, report.threads, report.images_per_s, args.steps
    ))
}

/// Prints `ready`, then runs a step for every line `step 0.9-224 0.5-160 0.25-128` and prints its seconds.
///
/// The request names the students, widest first, so that programs that take turns do the same work; a bare `step`
/// draws them.
fn lockstep(bench: &mut Bench) -> Result<()> {
    text::line("ready")?;
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let mut words = request.split_whitespace();
        ensure!(words.next() == Some("step"), "a request is `step`, or `step` followed by its students");
        let mut subnets = bench.draw();
        let students = words.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if !students.is_empty() {
            subnets.students = students;
        }
        text::line(&bench.step(&subnets)?.to_string())?;
    }
    Ok(())
}

struct Bench {
    net: Net,
    parameters: Parameters,
    optimizer: Optimizer,
    sampler: SubnetSampler,
    batch: StepBatch<Classify>,
    device: Device,
    n_done: u64,
}

impl Bench {
    fn new(args: &BenchTrainArgs) -> Result<Self> {
        let device = Device::parse(&args.device)?;
        let widths = WidthRange::new(args.smallest, Width::ONE)?;
        let config = NetworkConfig { classes: CLASSES, widths, output_stride: None };
        let network = mutualnet_zoo::build(&args.network, &config)?;
        let parameters = Parameters::init(&network, 0, device)?;
        let side = args.resolutions[0].get() as usize;
        let images = made_up(args.batch * side * side * 3);
        let labels: Vec<_> = (0..args.batch).map(|i| (i * 37 % CLASSES) as i64).collect();
        Ok(Self {
            optimizer: Optimizer::new(&parameters, &REFERENCE)?,
            net: Net::new(network),
            parameters,
            sampler: SubnetSampler {
                widths: WidthChoice::Continuous(widths),
                inputs: args.resolutions.iter().copied().map(InputSize::image).collect(),
                input_choice: InputChoice::Own,
                n_random: Some(2),
            },
            batch: StepBatch {
                images: Tensor::from_nhwc(&images, [args.batch, side, side, 3], device)?,
                targets: Labels {
                    labels: Tensor::from_slice_i64(&labels, &[args.batch])?.to_device(device)?,
                    second: None,
                },
            },
            device,
            n_done: 0,
        })
    }

    fn draw(&self) -> StepSubnets {
        self.sampler.sample(Key::new(0, Purpose::Sample).step(self.n_done), None)
    }

    fn draw_and_step(&mut self) -> Result<f64> {
        let subnets = self.draw();
        self.step(&subnets)
    }

    /// Does a step and returns its seconds.
    fn step(&mut self, subnets: &StepSubnets) -> Result<f64> {
        let begun = Instant::now();
        let rules = StepRules::default();
        let (gradients, _) = mutual_step(&self.net, &self.parameters, &self.batch, subnets, &rules)?;
        self.optimizer.step(&self.parameters, &gradients, 0.01)?;
        mutualnet_engine::synchronize(self.device)?;
        self.n_done += 1;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// Random numbers in [-1, 1).
fn made_up(n: usize) -> Vec<f32> {
    use rand::Rng;
    let mut rng = Key::new(0, Purpose::Generate).stream();
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}
