//! `bench train detect`: plain steps of two-stage detectors by us and by PyTorch with torchvision's models.
//!
//! Plain ones only, because torchvision has nothing to compare a mutual step with.
//! Invariant: both have the same batch, classes, objects, resolution and threads.

use std::path::Path;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;

use super::versus::{self, Comparison, Setting};
use super::{Report, peers};
use crate::product;

/// The networks, and the images of a step.
const NETWORKS: [(&str, usize); 2] = [("fasterrcnn_mobilenet_v3_large_fpn", 4), ("maskrcnn_resnet50_fpn", 2)];
const RESOLUTION: usize = 320;
/// Those of COCO in torchvision, with the background.
const CLASSES: usize = 91;
const N_WARM_UP: usize = 2;
const N_ROUNDS: usize = 10;

/// Prepares both programs for one network after the other, runs them in turn, and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let threads = available_parallelism()?.get();
    let (python, mutualnet) = (peers::python()?, product::build(root)?);
    let compare = |(network, batch): (&'static str, usize)| {
        let [batch, classes, side] = [batch, CLASSES, RESOLUTION].map(|number| number.to_string());
        let ours = ["--network", network, "--batch", &batch, "--classes", &classes, "--resolutions", &side];
        let theirs = [network, &batch, &classes, &side];
        let peer = ("torchvision", &*python, "detect_step.py", &theirs[..]);
        let mut programs = versus::start(root, (&mutualnet, &ours), peer, threads)?;
        let requests = vec!["plain".to_owned(); N_WARM_UP + N_ROUNDS];
        Comparison::run(network, &mut programs, &requests, N_WARM_UP)
    };
    let comparisons = NETWORKS.into_iter().map(compare).collect::<Result<Vec<_>>>()?;
    let batches = NETWORKS.map(|(_, batch)| batch);
    let setting = Setting {
        head: format!(
            "Plain steps of detectors, batch {} and {}, {CLASSES} classes, {RESOLUTION} px, fp32",
            batches[0], batches[1]
        ),
        column: "network",
        peer: "torchvision",
        rounds: N_ROUNDS,
        threads,
        conditions: json!({ "batch": batches, "classes": CLASSES, "resolution": RESOLUTION }),
    };
    Ok(versus::report(setting, &comparisons, &super::processor()))
}
