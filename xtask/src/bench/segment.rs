//! `bench train segment`: plain and mutual steps of LR-ASPP on MobileNetV3-Large by us and by PyTorch with torchvision's model.
//!
//! Invariant: both have the same batch, classes, resolutions, threads and sub-networks.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;

use super::interleave::{self, Program, Spread};
use super::train::{MALLOC_CONF, peer, requests};
use super::{Report, peers};
use crate::product;

const NETWORK: &str = "lraspp_mobilenet_v3_large";
const BATCH: usize = 16;
/// Those of `recipes/scenes_lraspp.toml`.
const RESOLUTIONS: [u32; 4] = [160, 128, 112, 96];
/// Those of PASCAL VOC, and torchvision's default.
const CLASSES: usize = 21;
const N_WARM_UP: usize = 3;
const N_ROUNDS: usize = 20;

/// What both programs took for one kind of step.
struct Comparison {
    kind: &'static str,
    ours: Spread,
    torchvision: Spread,
    /// How many times as long the other program took, median over rounds.
    ratio: f64,
}

/// Prepares both programs, runs them in turn, first plain steps and then mutual ones, and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let n_threads = available_parallelism()?.get();
    let mut programs = start(root, n_threads)?;
    let n = N_WARM_UP + N_ROUNDS;
    let kinds = [("plain", vec!["plain".to_owned(); n]), ("mutual", requests(n, RESOLUTIONS, 0.25))];
    let mut comparisons = Vec::new();
    for (kind, requests) in kinds {
        programs.iter_mut().for_each(Program::forget);
        interleave::run(&mut programs, &requests, N_WARM_UP)?;
        let [ours, torchvision] = &programs;
        let ratio = torchvision.times(ours);
        comparisons.push(Comparison { kind, ours: ours.spread(), torchvision: torchvision.spread(), ratio });
    }
    Ok(report(&comparisons, n_threads, &super::processor()))
}

fn start(root: &Path, n_threads: usize) -> Result<[Program; 2]> {
    let (python, jemalloc, mutualnet) = (peers::python()?, peers::jemalloc()?, product::build(root)?);
    let (threads, batch, classes) = (n_threads.to_string(), BATCH.to_string(), CLASSES.to_string());
    let sides = RESOLUTIONS.map(|side| side.to_string()).join(",");
    let mut ours = Command::new(mutualnet);
    ours.args(["bench", "train", "--network", NETWORK, "--lockstep", "--threads", &threads]);
    ours.args(["--batch", &batch, "--classes", &classes, "--resolutions", &sides]);
    let mut torchvision = peer(&python, &root.join("bench/peers/segment_step.py"), &threads);
    torchvision.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
    torchvision.args([&threads, &batch, &classes, &sides]);
    Ok([Program::start("ours", &mut ours)?, Program::start("torchvision", &mut torchvision)?])
}

fn report(comparisons: &[Comparison], n_threads: usize, processor: &str) -> Report {
    let mut table = format!(
        "Steps of {NETWORK}, batch {BATCH}, {CLASSES} classes, {} px, fp32, widths 0.25 to 1\n\
         {processor}, {n_threads} threads, {N_ROUNDS} interleaved rounds\n\n\
         step               program        median s   quartiles          time / ours\n",
        RESOLUTIONS.map(|side| side.to_string()).join("/")
    );
    let (mut ratios, mut seconds) = (json!({}), json!({}));
    for Comparison { kind, ours, torchvision, ratio } in comparisons {
        for (name, spread, times) in [("ours", ours, 1.0), ("torchvision", torchvision, *ratio)] {
            table += &spread.row(kind, name, times);
        }
        ratios[*kind] = json!(ratio);
        seconds[*kind] = json!({ "ours": ours.json(), "torchvision": torchvision.json() });
    }
    let conditions = json!({
        "network": NETWORK, "batch": BATCH, "classes": CLASSES, "rounds": N_ROUNDS, "threads": n_threads,
        "processor": processor, "libtorch": crate::setup::VERSION, "resolutions": RESOLUTIONS, "precision": "fp32",
    });
    Report { table, json: json!({ "ratios": ratios, "seconds": seconds, "conditions": conditions }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_step_has_its_ratio() {
        let spread = |median| Spread { low: median, median, high: median };
        let comparison =
            |kind, ratio| Comparison { kind, ours: spread(1.0), torchvision: spread(ratio), ratio };
        let report = report(&[comparison("plain", 1.25), comparison("mutual", 1.5)], 2, "x");
        assert_eq!(report.json["ratios"], json!({ "plain": 1.25, "mutual": 1.5 }));
        assert!(report.table.contains("plain              torchvision       1.250"), "{}", report.table);
    }
}
