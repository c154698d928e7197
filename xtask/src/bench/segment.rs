//! `bench train segment`: plain and mutual steps of LR-ASPP on MobileNetV3-Large by us and by PyTorch with torchvision's model.
//!
//! Invariant: both have the same batch, classes, resolutions, threads and sub-networks.

use std::path::Path;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;

use super::train::requests;
use super::versus::{self, Comparison, Setting};
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

/// Prepares both programs, runs them in turn, first plain steps and then mutual ones, and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let threads = available_parallelism()?.get();
    let (python, mutualnet) = (peers::python()?, product::build(root)?);
    let [batch, classes] = [BATCH, CLASSES].map(|number| number.to_string());
    let [commas, slashes] = [",", "/"].map(|between| RESOLUTIONS.map(|side| side.to_string()).join(between));
    let ours = ["--network", NETWORK, "--batch", &batch, "--classes", &classes, "--resolutions", &commas];
    let theirs = [&*batch, &classes, &commas];
    let mut programs = versus::start(
        root,
        (&mutualnet, &ours),
        ("torchvision", &python, "segment_step.py", &theirs),
        threads,
    )?;
    let n = N_WARM_UP + N_ROUNDS;
    let kinds = [("plain", vec!["plain".to_owned(); n]), ("mutual", requests(n, RESOLUTIONS, 0.25))];
    let compare = |(kind, requests): (_, Vec<_>)| Comparison::run(kind, &mut programs, &requests, N_WARM_UP);
    let comparisons = kinds.into_iter().map(compare).collect::<Result<Vec<_>>>()?;
    let setting = Setting {
        head: format!(
            "Steps of {NETWORK}, batch {BATCH}, {CLASSES} classes, {slashes} px, fp32, widths 0.25 to 1"
        ),
        column: "step",
        peer: "torchvision",
        rounds: N_ROUNDS,
        threads,
        conditions: json!({
            "network": NETWORK, "batch": BATCH, "classes": CLASSES, "resolutions": RESOLUTIONS,
        }),
    };
    Ok(versus::report(setting, &comparisons, &super::processor()))
}
