//! `bench train clips`: plain training steps of X3D and SlowFast by us and by PyTorch with pytorchvideo's models, on one thread.
//!
//! Invariant: both have the same batch, classes, frames and side.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::interleave::{self, Program, Spread};
use super::train::{MALLOC_CONF, peer};
use super::{Report, peers};
use crate::product;

/// A network with the frames and the side that it is published for, and a batch that takes seconds.
struct Case {
    network: &'static str,
    frames: u32,
    side: u32,
    batch: u32,
}

const CASES: [Case; 3] = [
    Case { network: "x3d_xs", frames: 4, side: 160, batch: 8 },
    Case { network: "x3d_s", frames: 13, side: 160, batch: 8 },
    // Its Fast pathway reads 32 frames of the same side.
    Case { network: "slowfast_r50_4x16", frames: 4, side: 224, batch: 2 },
];
/// Those of Kinetics-400.
const CLASSES: usize = 400;
const N_WARM_UP: usize = 2;
const N_ROUNDS: usize = 8;

/// What both programs took for a network.
struct Comparison {
    network: &'static str,
    ours: Spread,
    pytorchvideo: Spread,
    /// How many times as long the other program took, median over rounds.
    ratio: f64,
}

/// Prepares both programs for each network, runs them in turn and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let (python, jemalloc) = (peers::python_with(&["pytorchvideo"])?, peers::jemalloc()?);
    let mutualnet = product::build(root)?;
    let mut comparisons = Vec::new();
    for case in &CASES {
        let mut programs = start(root, case, [&mutualnet, &python, &jemalloc])?;
        let requests = vec!["plain".to_owned(); N_WARM_UP + N_ROUNDS];
        interleave::run(&mut programs, &requests, N_WARM_UP)?;
        let [ours, pytorchvideo] = &programs;
        comparisons.push(Comparison {
            network: case.network,
            ratio: pytorchvideo.times(ours),
            ours: ours.spread(),
            pytorchvideo: pytorchvideo.spread(),
        });
    }
    Ok(report(&comparisons, &super::processor()))
}

fn start(root: &Path, case: &Case, [mutualnet, python, jemalloc]: [&Path; 3]) -> Result<[Program; 2]> {
    let [batch, classes, frames, side] =
        [case.batch.to_string(), CLASSES.to_string(), case.frames.to_string(), case.side.to_string()];
    let mut ours = Command::new(mutualnet);
    ours.args(["bench", "train", "--network", case.network, "--lockstep", "--threads", "1"]);
    ours.args(["--batch", &batch, "--classes", &classes, "--resolutions", &side, "--frames", &frames]);
    let mut theirs = peer(python, &root.join("bench/peers/clip_step.py"), "1");
    theirs.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
    theirs.args(["1", case.network, &batch, &classes, &frames, &side]);
    Ok([Program::start("ours", &mut ours)?, Program::start("pytorchvideo", &mut theirs)?])
}

fn report(comparisons: &[Comparison], processor: &str) -> Report {
    let mut table = format!(
        "Plain training steps, {CLASSES} classes, fp32\n\
         {processor}, 1 thread, {N_ROUNDS} interleaved rounds\n\n\
         network            program        median s   quartiles          time / ours\n"
    );
    let (mut ratios, mut seconds) = (json!({}), json!({}));
    for Comparison { network, ours, pytorchvideo, ratio } in comparisons {
        for (name, spread, times) in [("ours", ours, 1.0), ("pytorchvideo", pytorchvideo, *ratio)] {
            table += &spread.row(network, name, times);
        }
        ratios[*network] = json!({ "pytorchvideo": ratio });
        seconds[*network] = json!({ "ours": ours.json(), "pytorchvideo": pytorchvideo.json() });
    }
    let size = |case: &Case| json!([case.network, case.batch, case.frames, case.side, case.side]);
    let sizes: Vec<_> = CASES.iter().map(size).collect();
    let conditions = json!({
        "classes": CLASSES, "rounds": N_ROUNDS, "threads": 1, "batches": sizes,
        "processor": processor, "libtorch": crate::setup::VERSION, "precision": "fp32",
    });
    Report { table, json: json!({ "ratios": ratios, "seconds": seconds, "conditions": conditions }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_ratio() {
        let spread = |median| Spread { low: median, median, high: median };
        let comparison =
            Comparison { network: "x3d_xs", ours: spread(1.0), pytorchvideo: spread(3.5), ratio: 3.5 };
        let report = report(&[comparison], "x");
        assert_eq!(report.json["ratios"], json!({ "x3d_xs": { "pytorchvideo": 3.5 } }));
        assert!(report.table.contains("x3d_xs             pytorchvideo      3.500"), "{}", report.table);
    }
}
