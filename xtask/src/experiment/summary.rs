//! What a finished training leaves: a small JSON file with what was trained and what came of it.
//!
//! Separate because summaries outlive the run directories, which lie outside the project.
//! Invariant: a summary counts only for the recipe and the keys that it was made with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::study::Training;

/// What came of a training.
pub(super) struct Summary {
    json: Value,
}

/// A row of a summary's table.
pub(super) struct Row {
    /// Width, side and, for clips, frames, as in `0.5-112`.
    pub(super) subnet: String,
    pub(super) macs: u64,
    /// From 0 to 1.
    pub(super) quality: f64,
}

impl Summary {
    /// The summary of `training`, if there is one for its recipe and keys as they are now.
    pub(super) fn find(root: &Path, summaries: &Path, training: &Training<'_>) -> Result<Option<Self>> {
        let path = summaries.join(format!("{}.json", training.name));
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let json: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        let is_current = json["recipe"] == recipe(root, training)?
            && json["keys"] == json!(training.keys)
            && json["seed"] == training.seed;
        Ok(is_current.then_some(Self { json }))
    }

    /// Makes the summary of a run that has its table.
    pub(super) fn of_run(root: &Path, dir: &Path, training: &Training<'_>) -> Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let plan = read("plan.toml")?;
        let number = |key: &str| {
            let line = plan.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            let value = line.with_context(|| format!("the plan has no {key}"))?;
            value.parse::<f64>().with_context(|| format!("{key} is not a number: {value}"))
        };
        let mut table: Value = serde_json::from_str(&read("table.json")?).context("the table is not JSON")?;
        // Timed beside other trainings: not worth keeping.
        for row in table["rows"].as_array_mut().context("the table has no rows")? {
            row["latency"] = json!([]);
        }
        let Events { seconds, train_accuracy } = Events::read(&read("events.jsonl")?);
        Ok(Self {
            json: json!({
                "recipe": recipe(root, training)?,
                "seed": training.seed,
                "keys": training.keys,
                "n_train": number("n_train")?,
                "epochs": number("epochs")?,
                "steps": number("total_steps")?,
                "relative_cost": number("relative_cost")?,
                "seconds": seconds.round(),
                "train_accuracy": train_accuracy,
                "table": table,
            }),
        })
    }

    /// Writes the summary among the others.
    pub(super) fn write(&self, summaries: &Path, name: &str) -> Result<()> {
        fs::create_dir_all(summaries)?;
        let path = summaries.join(format!("{name}.json"));
        fs::write(&path, format!("{}\n", self.json))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The query table, as `mutualnet compare` reads it.
    pub(super) fn table(&self) -> &Value {
        &self.json["table"]
    }

    /// A number of the summary.
    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.json[key].as_f64().with_context(|| format!("a summary has no `{key}`"))
    }

    /// The rows, the cheapest first.
    pub(super) fn rows(&self) -> Result<Vec<Row>> {
        let rows = self.table()["rows"].as_array().context("a summary has no rows")?;
        let row = |row: &Value| {
            // `accuracy` is what tables of format 1 call it.
            let quality = row.get("quality").or_else(|| row.get("accuracy"))?;
            let parts = ["width", "resolution", "frames"].map(|key| row[key].as_number());
            let [Some(width), Some(side), frames] = parts else { return None };
            let mut subnet = format!("{width}-{side}");
            if let Some(frames) = frames {
                subnet += &format!("-{frames}");
            }
            Some(Row { subnet, macs: row["macs"].as_u64()?, quality: quality["value"].as_f64()? })
        };
        let mut rows: Vec<_> =
            rows.iter().map(row).collect::<Option<_>>().context("a row has no MACs or quality")?;
        rows.sort_by_key(|row: &Row| row.macs);
        Ok(rows)
    }
}

/// The recipe without its comments, which decide nothing.
fn recipe(root: &Path, training: &Training<'_>) -> Result<String> {
    let path = root.join(training.recipe);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// What the log of a run says of it.
#[derive(Debug, PartialEq)]
struct Events {
    /// Time of training, over all interruptions, without the steps that were done again and without pauses.
    seconds: f64,
    /// Share of the augmented training images that the full network got right while it learned from them, in the last
    /// epoch.
    train_accuracy: f64,
}

impl Events {
    fn read(log: &str) -> Self {
        let (mut batch, mut steps) = (1.0, BTreeMap::new());
        for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            batch = event["batch"].as_f64().unwrap_or(batch);
            // A step that was done again after an interruption replaces the first try.
            if let (true, Some(step)) = (event["event"] == "step", event["step"].as_u64()) {
                steps.insert(step, event);
            }
        }
        let last = steps.last_key_value().and_then(|(_, step)| step["epoch"].as_u64());
        let in_last_epoch = steps.values().filter(|step| step["epoch"].as_u64() == last);
        let right: Vec<_> = in_last_epoch.filter_map(|step| step["full_accuracy"].as_f64()).collect();
        let speeds = steps.values().filter_map(|step| step["images_per_s"].as_f64());
        Self {
            seconds: without_pauses(speeds.filter(|&speed| speed > 0.0).map(|speed| batch / speed).collect()),
            train_accuracy: right.iter().sum::<f64>() / right.len().max(1) as f64,
        }
    }
}

/// The sum of the seconds of all steps. A step that took many times as long as half of them did was paused, and counts as
/// one of these.
fn without_pauses(mut seconds: Vec<f64>) -> f64 {
    const PAUSED: f64 = 10.0;
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    seconds.iter().map(|&step| if step > PAUSED * median { median } else { step }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_do_not_count() {
        let steps = vec![1.0, 2.0, 1.5, 120.0, 14.0];
        assert!((without_pauses(steps) - (1.0 + 2.0 + 1.5 + 2.0 + 14.0)).abs() < 1e-9);
        assert_eq!(without_pauses(Vec::new()), 0.0);
    }

    #[test]
    fn the_log_gives_time_and_training_accuracy() {
        let log = r#"{"event":"start","batch":32}
{"event":"step","step":0,"epoch":0,"full_accuracy":0.1,"images_per_s":64.0}
{"event":"step","step":1,"epoch":1,"full_accuracy":0.9,"images_per_s":1.0}
{"event":"start","batch":32}
{"event":"step","step":1,"epoch":1,"full_accuracy":0.5,"images_per_s":16.0}
{"event":"checkpoint","step":2}
{"event":"step","step":2,"epoch":1,"full_accuracy":0.7,"images_per_s":32.0}
"#;
        let Events { seconds, train_accuracy } = Events::read(log);
        assert!(
            (seconds - 3.5).abs() < 1e-9 && (train_accuracy - 0.6).abs() < 1e-9,
            "{seconds} {train_accuracy}"
        );
    }
}
