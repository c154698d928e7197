//! `bench train detect`: plain steps of two-stage detectors by us and by PyTorch with torchvision's models.
//!
//! Plain ones only, because torchvision has nothing to compare a mutual step with.
//! Invariant: both have the same batch, classes, objects, resolution and threads.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;

use super::interleave::{self, Program, Spread};
use super::train::{MALLOC_CONF, peer};
use super::{Report, peers};
use crate::product;

/// The networks, and the images of a step.
const NETWORKS: [(&str, usize); 2] = [("fasterrcnn_mobilenet_v3_large_fpn", 4), ("maskrcnn_resnet50_fpn", 2)];
const RESOLUTION: u32 = 320;
/// Those of COCO in torchvision, with the background.
const CLASSES: usize = 91;
const N_WARM_UP: usize = 2;
const N_ROUNDS: usize = 10;

/// What both programs took for the steps of one network.
struct Comparison {
    network: &'static str,
    ours: Spread,
    torchvision: Spread,
    /// How many times as long the other program took, median over rounds.
    ratio: f64,
}

/// Prepares both programs for one network after the other, runs them in turn, and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let n_threads = available_parallelism()?.get();
    let compare = |(network, batch)| {
        let mut programs = start(root, network, batch, n_threads)?;
        interleave::run(&mut programs, &vec!["plain".to_owned(); N_WARM_UP + N_ROUNDS], N_WARM_UP)?;
        let [ours, torchvision] = &programs;
        let ratio = torchvision.times(ours);
        Ok(Comparison { network, ours: ours.spread(), torchvision: torchvision.spread(), ratio })
    };
    let comparisons = NETWORKS.into_iter().map(compare).collect::<Result<Vec<_>>>()?;
    Ok(report(&comparisons, n_threads, &super::processor()))
}

fn start(root: &Path, network: &str, batch: usize, n_threads: usize) -> Result<[Program; 2]> {
    let (python, jemalloc, mutualnet) = (peers::python()?, peers::jemalloc()?, product::build(root)?);
    let [threads, batch, classes, side] =
        [n_threads, batch, CLASSES, RESOLUTION as usize].map(|number| number.to_string());
    let mut ours = Command::new(mutualnet);
    ours.args(["bench", "train", "--network", network, "--lockstep", "--threads", &threads]);
    ours.args(["--batch", &batch, "--classes", &classes, "--resolutions", &side]);
    let mut torchvision = peer(&python, &root.join("bench/peers/detect_step.py"), &threads);
    torchvision.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
    torchvision.args([network, &threads, &batch, &classes, &side]);
    Ok([Program::start("ours", &mut ours)?, Program::start("torchvision", &mut torchvision)?])
}

fn report(comparisons: &[Comparison], n_threads: usize, processor: &str) -> Report {
    let batches = NETWORKS.map(|(_, batch)| batch.to_string()).join(" and ");
    let mut table = format!(
        "Plain steps of detectors, batch {batches}, {CLASSES} classes, {RESOLUTION} px, fp32\n\
         {processor}, {n_threads} threads, {N_ROUNDS} interleaved rounds\n\n"
    );
    let (mut ratios, mut seconds) = (json!({}), json!({}));
    for Comparison { network, ours, torchvision, ratio } in comparisons {
        table += &format!("{network}\n");
        table += "step               program        median s   quartiles          time / ours\n";
        for (name, spread, times) in [("ours", ours, 1.0), ("torchvision", torchvision, *ratio)] {
            table += &spread.row("plain", name, times);
        }
        ratios[*network] = json!(ratio);
        seconds[*network] = json!({ "ours": ours.json(), "torchvision": torchvision.json() });
    }
    let conditions = json!({
        "batch": NETWORKS.map(|(_, batch)| batch), "classes": CLASSES, "rounds": N_ROUNDS, "threads": n_threads,
        "processor": processor, "libtorch": crate::setup::VERSION, "resolution": RESOLUTION, "precision": "fp32",
    });
    Report { table, json: json!({ "ratios": ratios, "seconds": seconds, "conditions": conditions }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_ratio() {
        let spread = |median| Spread { low: median, median, high: median };
        let of = |(network, _), ratio| Comparison {
            network,
            ours: spread(1.0),
            torchvision: spread(ratio),
            ratio,
        };
        let report = report(&[of(NETWORKS[0], 1.25), of(NETWORKS[1], 1.5)], 2, "x");
        assert_eq!(report.json["ratios"][NETWORKS[1].0], json!(1.5));
        assert!(report.table.contains("plain              torchvision       1.250"), "{}", report.table);
    }
}
