//! The results of studies as Markdown pages.
//!
//! Separate so that pages are tested without training anything.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;

use super::finished::{Finished, Spread};
use super::study::Study;

/// The first lines of every page.
fn head(title: &str, study: &Study) -> String {
    let mut command = format!("cargo xtask experiment {}", study.name);
    for key in &study.overrides {
        command += " ";
        command += key;
    }
    format!("# {title}\n\nWritten by `{command}`.\n")
}

/// What every arm was trained with.
fn arms<'a>(study: &Study, names: impl Iterator<Item = &'a str>) -> String {
    let mut text = "| arm | recipe and keys |\n|---|---|\n".to_owned();
    let mut told = std::collections::BTreeSet::new();
    for name in names {
        for arm in study.arms.iter().filter(|arm| arm.name == name) {
            if !told.insert((arm.name, arm.setting)) {
                continue;
            }
            let keys = arm.keys.iter().map(|keys| match keys.join(" ") {
                none if none.is_empty() => "as it is".to_owned(),
                keys => format!("`{keys}`"),
            });
            let keys = keys.collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "| {name} | [{0}](../../{0}): {keys} |", arm.recipe);
        }
    }
    text
}

/// Quality at equal MACs.
pub(super) fn methods(
    study: &Study,
    (title, metric): (&str, &str),
    finished: &[Finished<'_>],
    comparison: &str,
) -> Result<String> {
    let first = &finished[0].seeds[0].1[0];
    let mut costs =
        "| arm | epochs | cost of a step | seconds on one core |\n|---|---:|---:|---:|\n".to_owned();
    for one in finished {
        let sum = |key: &str| {
            let sums = one.seeds.iter().map(|(_, summaries)| {
                summaries.iter().map(|summary| summary.number(key)).sum::<Result<f64>>()
            });
            Ok::<_, anyhow::Error>(Spread::of(&sums.collect::<Result<Vec<_>>>()?).mean)
        };
        let n = one.arm.keys.len() as f64;
        let (epochs, cost, seconds) = (sum("epochs")? / n, sum("relative_cost")?, sum("seconds")?);
        let _ = writeln!(costs, "| {} | {epochs:.0} | {cost:.2} | {seconds:.0} |", one.arm.name);
    }
    Ok(format!(
        "{}\n{} training images (the same for all arms).\n\n{}\n\
         Test {metric} in % of the best row that costs at most that many MACs, mean ± standard deviation over the n \
         seeds:\n\n{comparison}\n\
         The last column is the area between a curve and the first one's over the logarithm of the MACs where both have \
         rows, divided by its length: the mean lead in percentage points.\n\n{}\
         The cost is relative to a step of plain training; that of several trainings is their sum:\n\n{costs}\n\
         ![{metric} over MACs]({}.svg)\n",
        head(title, study),
        first.number("n_train")?,
        arms(study, finished.iter().map(|one| one.arm.name)),
        alone(finished, metric)?,
        study.results,
    ))
}

/// Arms of one network against the arms of which each configuration was trained alone, at these configurations.
fn alone(finished: &[Finished<'_>], metric: &str) -> Result<String> {
    let mut text = String::new();
    for alone in finished.iter().filter(|one| one.arm.keys.len() > 1) {
        let others: Vec<_> = finished
            .iter()
            .filter(|one| one.arm.keys.len() == 1 && one.arm.recipe == alone.arm.recipe)
            .collect();
        let mut table = format!("| {metric} % of | {} |", alone.arm.name);
        for other in &others {
            let _ = write!(table, " {} | lead | pooled SD |", other.arm.name);
        }
        let columns = 1 + 3 * others.len();
        let _ = writeln!(table, "\n|---|{}", "---:|".repeat(columns));
        let subnets = alone.arm.keys.iter().flatten().filter_map(|key| key.strip_prefix("train.subnet="));
        for subnet in subnets {
            let Some(own) = alone.at(subnet)? else { continue };
            let _ = write!(table, "| {subnet} | {} |", percent(own));
            for other in &others {
                match other.at(subnet)? {
                    Some(theirs) => {
                        let lead = 100.0 * (theirs.mean - own.mean);
                        let has_spread = alone.seeds.len() > 1 && other.seeds.len() > 1;
                        let pooled = match has_spread {
                            true => format!("{:.2}", 100.0 * own.pooled(theirs)),
                            false => "–".to_owned(),
                        };
                        let _ = write!(table, " {} | {lead:+.2} | {pooled} |", percent(theirs));
                    }
                    None => table += " – | – | – |",
                }
            }
            table.push('\n');
        }
        let _ = write!(
            text,
            "At the configurations of `{}`, each a network of its own; a lead is in percentage points, and the pooled \
             standard deviation is the root of the mean of both variances:\n\n{table}\n",
            alone.arm.name
        );
    }
    Ok(text)
}

fn percent(Spread { mean, std }: Spread) -> String {
    format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * std)
}

/// The full network of every arm.
pub(super) fn full_width(study: &Study, series: &[Value], over_macs: &str) -> Result<String> {
    let mut table =
        "| network | widths | arm | n | accuracy % | gain | cheapest row | on training images | epochs | \
                     cost of a step | seconds |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for one in series {
        let number = |key: &str| one[key].as_f64().with_context(|| format!("a series has no {key}"));
        let plain =
            series.iter().find(|other| other["name"] == "plain" && other["network"] == one["network"]);
        let gain = plain.and_then(|plain| Some(number("mean").ok()? - plain["mean"].as_f64()?));
        let gain = gain.map_or_else(|| "–".to_owned(), |gain| format!("{gain:+.1}"));
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            table,
            "| {} | {}–1 | {} | {} | {:.1} ± {:.1} | {gain} | {:.1} | {:.1} | {} | {:.2} | {} |",
            text("network"),
            one["widths"][0].as_f64().context("a series has no widths")?,
            text("name"),
            number("n")?,
            number("mean")?,
            number("std")?,
            number("cheapest_mean")?,
            number("train_mean")?,
            number("epochs")?,
            number("relative_cost")?,
            number("seconds")?,
        );
    }
    let names: Vec<_> = series.iter().filter_map(|one| one["name"].as_str()).collect();
    Ok(format!(
        "{}\n5,000 training images of CIFAR-10, 10,000 test images. Accuracy is that of the full network at the largest \
         resolution, mean ± standard deviation over n seeds; the gain is in points above `plain` of the same network. \
         `on training images` is measured in the last epoch, on augmented images. The cost of a step is relative to a \
         step of plain training; seconds are those of the training on one core.\n\n{table}\n{}\n\
         Accuracy in % of the first network and its widest range at equal MACs:\n\n{over_macs}\n\
         ![accuracy over MACs]({}.svg)\n",
        head("The full network", study),
        arms(study, names.into_iter()),
        study.results,
    ))
}

/// The ends of every seed's table.
pub(super) fn seeds(study: &Study, runs: &[Value]) -> Result<String> {
    let mut table =
        "| seed | most expensive row | cheapest row | mean over all rows |\n|---:|---:|---:|---:|\n"
            .to_owned();
    let mut means = Vec::new();
    for run in runs {
        let number = |key: &str| run[key].as_f64().with_context(|| format!("a run has no {key}"));
        means.push(number("mean")?);
        let ends = (number("dearest")?, number("cheapest")?, number("mean")?);
        let _ = writeln!(table, "| {} | {:.1} | {:.1} | {:.1} |", run["seed"], ends.0, ends.1, ends.2);
    }
    let spread =
        means.iter().fold(f64::MIN, |a, &b| a.max(b)) - means.iter().fold(f64::MAX, |a, &b| a.min(b));
    Ok(format!(
        "{}\nTest accuracy in % of the quickstart's table.\n\n{table}\n\
         The means differ by {spread:.1} points at most.\n",
        head("Quickstart with several seeds", study),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::studies;
    use super::*;

    #[test]
    fn a_page_names_its_command_and_what_was_trained() {
        let study =
            Study { overrides: vec!["train.epochs=2".to_owned()], ..studies::named("full-width").unwrap() };
        let series = |name: &str, mean: f64| {
            json!({
                "name": name, "network": "mobilenet_v2", "widths": [0.25, 1.0], "n": 3, "mean": mean, "std": 0.25,
                "cheapest_mean": 50.0, "train_mean": 75.0, "epochs": 20, "relative_cost": 2.1, "seconds": 300,
            })
        };
        let page = full_width(&study, &[series("plain", 60.0), series("mutual", 61.5)], "| x |\n").unwrap();
        for line in [
            "Written by `cargo xtask experiment full-width train.epochs=2`.",
            "| mobilenet_v2 | 0.25–1 | mutual | 3 | 61.5 ± 0.2 | +1.5 | 50.0 | 75.0 | 20 | 2.10 | 300 |",
            "| x |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }

    #[test]
    fn seeds_are_followed_by_their_range() {
        let study = studies::named("quickstart-seeds").unwrap();
        let run =
            |seed: u64, mean: f64| json!({ "seed": seed, "dearest": 99.0, "cheapest": 90.0, "mean": mean });
        let page = seeds(&study, &[run(1, 96.0), run(2, 97.25)]).unwrap();
        assert!(page.contains("| 1 | 99.0 | 90.0 | 96.0 |"), "{page}");
        assert!(page.ends_with("The means differ by 1.2 points at most.\n"), "{page}");
    }
}
