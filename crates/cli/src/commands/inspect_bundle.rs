//! `mutualnet inspect bundle`: what is in the file.

use anyhow::Result;
use mutualnet_bundle::Provenance;
use mutualnet_core::text::counted;
use mutualnet_core::{Macs, Preprocess, Task, Views};
use serde::Serialize;

use super::open;
use crate::args::InspectBundleArgs;
use crate::text;

#[derive(Serialize)]
struct Report<'a> {
    task: Task,
    network: &'a str,
    classes: &'a [String],
    params: u64,
    rows: usize,
    pareto_rows: usize,
    cheapest: Macs,
    most_expensive: Macs,
    preprocess: &'a Preprocess,
    provenance: &'a Provenance,
}

pub(super) fn run(args: &InspectBundleArgs) -> Result<()> {
    let bundle = open::bundle(&args.bundle)?;
    let (network, table) = (bundle.network(), bundle.table());
    let report = Report {
        task: bundle.task(),
        network: network.name(),
        classes: bundle.classes(),
        params: network.params(network.widths().full())?,
        rows: table.rows().len(),
        pareto_rows: table.pareto().count(),
        cheapest: table.rows().iter().map(|row| row.macs).min().unwrap_or_default(),
        most_expensive: table.rows().iter().map(|row| row.macs).max().unwrap_or_default(),
        preprocess: bundle.preprocess(),
        provenance: bundle.provenance(),
    };
    if args.json {
        return text::json(&report);
    }
    for (what, value) in [
        ("task", report.task.to_string()),
        ("network", format!("{}, {} parameters", report.network, report.params)),
        ("classes", format!("{}: {}", report.classes.len(), report.classes.join(", "))),
        (
            "rows",
            format!(
                "{} ({} on the Pareto front), {} to {} MACs",
                report.rows, report.pareto_rows, report.cheapest, report.most_expensive
            ),
        ),
        (
            "input",
            format!(
                "{} px{}, mean {:?}, std {:?}",
                report.preprocess.crop,
                report.preprocess.clip.map_or(String::new(), |clip| {
                    let Views { clips, crops } = report.preprocess.views;
                    let views = if clips * crops == 1 {
                        String::new()
                    } else {
                        format!(
                            ", mean of {} with {} each",
                            counted(clips as usize, "clip"),
                            counted(crops as usize, "crop")
                        )
                    };
                    format!(", {} frames with a stride of {}{views}", clip.frames, clip.stride)
                }),
                report.preprocess.mean,
                report.preprocess.std
            ),
        ),
        (
            "made",
            format!(
                "{} by {}, seed {}",
                report.provenance.created, report.provenance.commit, report.provenance.seed
            ),
        ),
        ("recipe", report.provenance.recipe_sha256.clone()),
        ("data", report.provenance.data_sha256.clone()),
    ] {
        text::line(&format!("{what:<10}{value}"))?;
    }
    Ok(())
}
