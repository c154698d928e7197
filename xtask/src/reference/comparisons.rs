//! The tables of `docs/compatibility.md`, made of what `cargo xtask compat` measured.
//!
//! Separate because their source is a file of results.
//! Invariant: every comparison of the file is in one of the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

const RESULTS: &str = "docs/results/compat.json";

/// What is compared with torchvision and timm, and with itself after sorting.
const OTHERS: [&str; 3] = ["torchvision", "timm", "sorted"];

/// Differences from the authors' code, with the sub-networks that were compared.
pub(super) fn with_authors(root: &Path) -> Result<String> {
    let comparisons = comparisons(root)?;
    let mut text =
        "| network | sub-networks | theirs to ours | ours to theirs |\n|---|---|---|---|\n".to_owned();
    for (key, into) in &comparisons {
        let Some(network) = key.strip_suffix(":into") else { continue };
        let rows = into["rows"].as_object().context("a comparison has no rows")?;
        let subnets: Vec<_> = rows.keys().map(String::as_str).collect();
        let back = worst(comparisons.get(&format!("{network}:back")));
        writeln!(text, "| `{network}` | {} | {} | {back} |", subnets.join(", "), worst(Some(into)))?;
    }
    text.push('\n');
    Ok(text)
}

/// Differences from torchvision and timm, and those that sorting makes.
pub(super) fn with_others(root: &Path) -> Result<String> {
    let comparisons = comparisons(root)?;
    let of_others =
        |key: &String| key.split_once(':').filter(|(source, _)| OTHERS.contains(source)).is_some();
    let names = comparisons.keys().filter(|key| of_others(key)).filter_map(|key| key.split(':').nth(1));
    let mut text = "| network | torchvision | timm | channels sorted |\n|---|---|---|---|\n".to_owned();
    for name in names.collect::<BTreeSet<_>>() {
        let cells = OTHERS.map(|source| worst(comparisons.get(&format!("{source}:{name}"))));
        writeln!(text, "| `{name}` | {} |", cells.join(" | "))?;
    }
    text.push('\n');
    Ok(text)
}

fn comparisons(root: &Path) -> Result<BTreeMap<String, Value>> {
    let text =
        std::fs::read_to_string(root.join(RESULTS)).with_context(|| format!("cannot read {RESULTS}"))?;
    let mut report: Value = serde_json::from_str(&text)?;
    let comparisons = report["comparisons"].take();
    serde_json::from_value(comparisons).with_context(|| format!("{RESULTS} has no comparisons"))
}

/// The largest difference, as Python writes it, or a dash.
fn worst(comparison: Option<&Value>) -> String {
    let Some(worst) = comparison.and_then(|comparison| comparison["worst"].as_f64()) else {
        return "–".to_owned();
    };
    let text = format!("{worst:.1e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, size) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
            format!("{digits}e{sign}{size:0>2}")
        }
        None => text,
    }
}
