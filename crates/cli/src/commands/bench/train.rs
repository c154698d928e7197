//! `mutualnet bench train`: seconds per training step on random images.

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use mutualnet_core::network::Rank;
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::sample::{InputChoice, StepSubnets, SubnetSampler, WidthChoice};
use mutualnet_core::{Frames, InputSize, Network, Width, WidthRange};
use mutualnet_engine::Device;
use mutualnet_train::bench::{BareSteps, bare_steps};
use mutualnet_zoo::NetworkConfig;
use serde::Serialize;

use crate::args::BenchTrainArgs;
use crate::text;

/// Steps that are not timed, in which memory pools fill and kernels are chosen.
const WARM_UP: usize = 2;

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
    let threads =
        args.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
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
        "{} on {}, batch {}, {} threads: {median:.3} s per {} step, {:.1} samples/s (median of {})",
        report.network,
        report.device,
        report.batch,
        report.threads,
        if args.plain { "plain" } else { "mutual" },
        report.images_per_s,
        args.steps
    ))
}

/// Prints `ready`, then runs a step for every line `step 0.9-224 0.5-160 0.25-128` or `plain` and prints its seconds.
///
/// The request names the students, widest first, so that programs that take turns do the same work; a bare `step`
/// draws them, and `plain` is a step without any.
fn lockstep(bench: &mut Bench) -> Result<()> {
    text::line("ready")?;
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let words: Vec<_> = request.split_whitespace().collect();
        let drawn = bench.draw();
        let students = match words[..] {
            ["plain"] => Vec::new(),
            ["step"] => drawn.students,
            ["step", ref students @ ..] => students.iter().map(|s| s.parse()).collect::<Result<_, _>>()?,
            _ => bail!("a request is `plain`, `step`, or `step` followed by its students"),
        };
        text::line(&bench.step(&StepSubnets { students, ..drawn })?.to_string())?;
    }
    Ok(())
}

struct Bench {
    steps: Box<dyn BareSteps>,
    sampler: SubnetSampler,
    /// Whether steps have no students.
    is_plain: bool,
    n_done: u64,
}

impl Bench {
    fn new(args: &BenchTrainArgs) -> Result<Self> {
        let widths = WidthRange::new(args.smallest, Width::ONE)?;
        let config = NetworkConfig { classes: args.classes, widths, output_stride: None };
        let network = with_fast_frames(mutualnet_zoo::build(&args.network, &config)?, args)?;
        let inputs = inputs(&network, args)?;
        Ok(Self {
            steps: bare_steps(network, (args.batch, inputs[0]), Device::parse(&args.device)?)?,
            sampler: SubnetSampler {
                widths: WidthChoice::Continuous(widths),
                inputs,
                input_choice: InputChoice::Own,
                n_random: Some(2),
            },
            is_plain: args.plain,
            n_done: 0,
        })
    }

    fn draw(&self) -> StepSubnets {
        let mut subnets = self.sampler.sample(Key::new(0, Purpose::Sample).step(self.n_done), None);
        if self.is_plain {
            subnets.students.clear();
        }
        subnets
    }

    fn draw_and_step(&mut self) -> Result<f64> {
        let subnets = self.draw();
        self.step(&subnets)
    }

    /// Does a step and returns its seconds.
    fn step(&mut self, subnets: &StepSubnets) -> Result<f64> {
        let begun = Instant::now();
        self.steps.step(subnets)?;
        self.n_done += 1;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// The network with a Fast pathway for clips of the largest resolution, if it has one.
fn with_fast_frames(network: Network, args: &BenchTrainArgs) -> Result<Network> {
    let frames = match (network.whole_clip(), args.fast_frames) {
        (Some([published, ..]), frames) => frames.map_or(published, Frames::get),
        (None, None) => return Ok(network),
        (None, Some(_)) => bail!("{} has no Fast pathway: leave out --fast-frames", network.name()),
    };
    let side = args.resolutions[0].get();
    Ok(network.with_whole_clip([frames, side, side])?)
}

/// The sizes of inputs, largest first; only clips have frames.
fn inputs(network: &Network, args: &BenchTrainArgs) -> Result<Vec<InputSize>> {
    let name = network.name();
    match network.rank() {
        Rank::Image => ensure!(args.frames.is_empty(), "{name} reads images, which have no frames"),
        Rank::Clip => {
            ensure!(!args.frames.is_empty(), "{name} reads clips: give --frames, such as --frames 16,8,4")
        }
    }
    let frames = if args.frames.is_empty() { &[Frames::ONE][..] } else { &args.frames };
    let of = |&resolution| frames.iter().map(move |&frames| InputSize { resolution, frames });
    Ok(args.resolutions.iter().flat_map(of).collect())
}
