//! The table of all networks in `docs/networks.md`.
//!
//! Separate because it comes from the zoo's facts, not from doc comments.
//! Invariant: a row per name that a recipe may have, in the order of the zoo.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::networks::facts;

/// Name, cost, and whose names and checkpoints a network has.
pub(super) fn table(root: &Path) -> Result<String> {
    let networks: Vec<Value> = serde_json::from_str(&facts(root, &[])?)?;
    let mut text =
        "| network | task | million MACs | at | million parameters | names | import |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for network in &networks {
        let mega = |key: &str| network[key].as_f64().unwrap_or(f64::NAN) / 1e6;
        let word = |key: &str| network[key].as_str().unwrap_or_default();
        let torchvision = network["torchvision"].as_bool().unwrap_or_default();
        let timm = network["timm"].as_str().map(|name| format!("timm's `{name}`"));
        let pytorchvideo = network["pytorchvideo"].as_bool().unwrap_or_default();
        let same_name = [torchvision.then_some("torchvision"), pytorchvideo.then_some("pytorchvideo")];
        let others: Vec<_> = same_name.into_iter().flatten().map(str::to_owned).chain(timm).collect();
        let import = if others.is_empty() { "–".to_owned() } else { others.join(", ") };
        let (name, task, origin) = (word("name"), word("task"), word("origin"));
        let (macs, side, params) = (mega("macs"), &network["side"], mega("params"));
        let frames =
            network["frames"].as_u64().map(|frames| format!(", {frames} frames")).unwrap_or_default();
        writeln!(
            text,
            "| `{name}` | {task} | {macs:.0} | {side}{frames} | {params:.1} | {origin} | {import} |"
        )?;
    }
    text.push('\n');
    Ok(text)
}
