//! `bench train clips`: plain training steps of X3D and SlowFast by us and by PyTorch with pytorchvideo's models, on one thread.
//!
//! Invariant: both have the same batch, classes, frames and side.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::versus::{self, Comparison, Setting};
use super::{Report, peers};
use crate::product;

/// A network with the frames and the side that it is published for, and a batch that takes seconds.
struct Case {
    network: &'static str,
    frames: usize,
    side: usize,
    batch: usize,
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

/// Prepares both programs for each network, runs them in turn and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let (python, mutualnet) = (peers::python_with(&["pytorchvideo"])?, product::build(root)?);
    let compare = |&Case { network, frames, side, batch }: &Case| {
        let [batch, classes, frames, side] = [batch, CLASSES, frames, side].map(|number| number.to_string());
        let mut ours = vec!["--network", network, "--batch", &batch, "--classes", &classes];
        ours.extend(["--resolutions", &side, "--frames", &frames]);
        let theirs = [network, &batch, &classes, &frames, &side];
        let peer = ("pytorchvideo", &*python, "clip_step.py", &theirs[..]);
        let mut programs = versus::start(root, (&mutualnet, &ours), peer, 1)?;
        let requests = vec!["plain".to_owned(); N_WARM_UP + N_ROUNDS];
        Comparison::run(network, &mut programs, &requests, N_WARM_UP)
    };
    let comparisons = CASES.iter().map(compare).collect::<Result<Vec<_>>>()?;
    let size = |case: &Case| json!([case.network, case.batch, case.frames, case.side, case.side]);
    let setting = Setting {
        head: format!("Plain training steps, {CLASSES} classes, fp32"),
        column: "network",
        peer: "pytorchvideo",
        rounds: N_ROUNDS,
        threads: 1,
        conditions: json!({ "classes": CLASSES, "batches": CASES.iter().map(size).collect::<Vec<_>>() }),
    };
    Ok(versus::report(setting, &comparisons, &super::processor()))
}
