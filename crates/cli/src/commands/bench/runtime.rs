//! `mutualnet bench runtime`: where the time of a row goes on this machine, layer by layer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mutualnet_bundle::Row;
use mutualnet_core::network::Rank;
use mutualnet_core::{InMs, Subnet};
use mutualnet_runtime::{Bound, LayerTime, Model, ModelConfig, Peak, Session};
use serde::Serialize;

use crate::args::BenchRuntimeArgs;
use crate::commands::open;
use crate::commands::predict::choose;
use crate::text;

mod lockstep;

/// Runs that do not count.
const WARM_UP: usize = 10;

#[derive(Serialize)]
struct Report {
    network: String,
    row: Subnet,
    isa: &'static str,
    threads: usize,
    batch: usize,
    runs: usize,
    /// Median of a run, from the images or clips to the outputs.
    ms: f64,
    /// Clips, if the network reads clips.
    images_per_s: f64,
    macs: u64,
    gmacs_per_s: f64,
    /// What the threads can do at most, as measured just before.
    peak_gmacs_per_s: f64,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    path: String,
    op: &'static str,
    channels: usize,
    /// Frames, of a clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<usize>,
    /// Height and width.
    size: [usize; 2],
    macs: u64,
    bytes: u64,
    ms: f64,
    /// Share of the time of all layers.
    share: f64,
    gmacs_per_s: f64,
    gb_per_s: f64,
    /// The least time for its arithmetic or its bytes, as a share of its time.
    of_peak: f64,
    bound: &'static str,
}

pub(super) fn run(args: &BenchRuntimeArgs) -> Result<()> {
    let bundle = open::bundle(&args.bundle)?;
    let Row { subnet, precision, .. } = choose(&bundle, &args.row, (None, args.arithmetic.precision))?;
    let (convolution, precisions) =
        (args.arithmetic.convolution(), vec![args.arithmetic.precision.unwrap_or(precision)]);
    let config = ModelConfig { convolution, precisions, ..ModelConfig::choose()? };
    let model = Arc::new(Model::with_config(&bundle, config)?);
    drop(bundle);
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok());
    let mut session = Session::new(model, threads.unwrap_or(NonZeroUsize::MIN))?;
    session.switch(subnet)?;
    if args.lockstep {
        return lockstep::answer(&mut session, args.batch.get());
    }
    let report = report(&mut session, args)?;
    if args.json { text::json(&report) } else { print(&report) }
}

fn report(session: &mut Session, args: &BenchRuntimeArgs) -> Result<Report> {
    let (batch, runs) = (args.batch.get(), args.runs.get());
    let lens: Vec<_> = session.input_lens().map(|len| batch * len).collect();
    let numbers = vec![0.5; lens.iter().sum()];
    let inputs = lockstep::split(&numbers, &lens);
    let mut times = lockstep::times(session, &inputs, batch, WARM_UP + runs)?.split_off(WARM_UP);
    times.sort_unstable();
    let median = times[times.len() / 2];
    let timed = session.profile(&inputs, batch, runs)?;
    let peak = Peak::measure(session.model().isa(), session.threads());
    let total: Duration = timed.iter().map(|layer| layer.time).sum();
    let layers: Vec<_> = timed.iter().map(|layer| shown(layer, session.model(), &peak, total)).collect();
    let macs = layers.iter().map(|layer| layer.macs).sum();
    Ok(Report {
        network: session.model().network().name().to_owned(),
        row: session.subnet(),
        isa: session.model().isa().name(),
        threads: session.threads(),
        batch,
        runs,
        ms: median.as_secs_f64() * 1e3,
        images_per_s: batch as f64 / median.as_secs_f64(),
        macs,
        gmacs_per_s: per_ns(macs, median),
        peak_gmacs_per_s: peak.macs_per_s / 1e9,
        layers,
    })
}

fn shown(layer: &LayerTime, model: &Model, peak: &Peak, total: Duration) -> Layer {
    let node = model.network().node(layer.node);
    let (least, bound) = peak.least(layer);
    let share = |part: Duration, whole: Duration| part.as_secs_f64() / whole.as_secs_f64().max(1e-9);
    Layer {
        path: node.path.clone(),
        op: node.op.name(),
        channels: layer.channels,
        frames: (model.network().rank() == Rank::Clip).then_some(layer.frames),
        size: layer.size,
        macs: layer.macs,
        bytes: layer.bytes,
        ms: layer.time.as_secs_f64() * 1e3,
        share: share(layer.time, total),
        gmacs_per_s: per_ns(layer.macs, layer.time),
        gb_per_s: per_ns(layer.bytes, layer.time),
        of_peak: share(least, layer.time),
        bound: match bound {
            Bound::Arithmetic => "arithmetic",
            Bound::Bytes => "bytes",
        },
    }
}

/// So many per nanosecond, which is as many billions per second.
fn per_ns(n: u64, time: Duration) -> f64 {
    n as f64 / (time.as_secs_f64() * 1e9).max(1.0)
}

/// Channels, frames of a clip, height and width.
fn size_of(layer: &Layer) -> String {
    let frames = layer.frames.map_or(String::new(), |frames| format!("×{frames}"));
    format!("{}{frames}×{}×{}", layer.channels, layer.size[0], layer.size[1])
}

/// More than Winograd's method and bf16 can gain over the peak in f32.
const MOST_OF_PEAK: f64 = 4.0;

fn print(report: &Report) -> Result<()> {
    let rows = report.layers.iter().map(|layer| {
        vec![
            layer.path.clone(),
            layer.op.to_owned(),
            size_of(layer),
            InMs(Duration::from_secs_f64(layer.ms / 1e3)).to_string(),
            format!("{:.1}", layer.share * 100.0),
            format!("{:.1}", layer.gmacs_per_s),
            format!("{:.1}", layer.gb_per_s),
            format!("{:.0}", layer.of_peak * 100.0),
            layer.bound.to_owned(),
        ]
    });
    let head = ["layer", "operation", "output", "ms", "% of time", "GMAC/s", "GB/s", "% of peak", "bound by"];
    text::table(&head, &rows.collect::<Vec<_>>())?;
    text::line("")?;
    if report.layers.iter().any(|layer| layer.of_peak > MOST_OF_PEAK) {
        text::note(
            "warning: the machine was busy while its peak was measured, because no layer can be so far above it; run \
             this again when nothing else is running",
        );
    }
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let what = if report.layers.iter().any(|layer| layer.frames.is_some()) { "clip" } else { "image" };
    text::line(&format!(
        "{} at {}, {}, {}, {}: {:.3} ms per run (median of {}), {:.1} {what}s/s",
        report.network,
        report.row,
        plural(report.batch, what),
        plural(report.threads, "thread"),
        report.isa,
        report.ms,
        report.runs,
        report.images_per_s
    ))?;
    text::line(&format!(
        "{:.1} of at most {:.1} GMAC/s ({:.0} %)",
        report.gmacs_per_s,
        report.peak_gmacs_per_s,
        100.0 * report.gmacs_per_s / report.peak_gmacs_per_s
    ))
}
