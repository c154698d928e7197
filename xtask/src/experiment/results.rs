//! Writes the results of a study from the summaries that there are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::data;
use super::finished::{Finished, Spread, finished};
use super::page;
use super::study::{Page, Study};
use super::summary::Summary;
use crate::process;

/// Writes the results of what is finished.
pub(super) fn write(root: &Path, binary: &Path, study: &Study) -> Result<()> {
    let runs = data::runs()?;
    let summaries = study.summaries(root, &runs);
    let finished = finished(root, &summaries, study)?;
    if finished.is_empty() {
        bail!("no training of {} is finished", study.name);
    }
    let path = study.results_path(root, &runs);
    let tables = study.home(&runs).join("tables");
    let (json, page) = match study.page {
        Page::Methods { title, metric } => {
            let comparison = Comparison { root, binary, tables };
            let svg = path.with_extension("svg");
            let json = comparison.run(&finished, &["--json", "--plot", &svg.to_string_lossy()])?;
            (
                json,
                page::methods(
                    study,
                    (title, metric),
                    &finished,
                    &comparison.run(&finished, &["--markdown"])?,
                )?,
            )
        }
        Page::FullWidth => {
            let comparison = Comparison { root, binary, tables };
            let setting = finished[0].arm.setting;
            let (first, others): (Vec<_>, Vec<_>) =
                finished.into_iter().partition(|one| one.arm.setting == setting);
            let svg = path.with_extension("svg");
            let over_macs = comparison.run(&first, &["--markdown", "--plot", &svg.to_string_lossy()])?;
            let all: Vec<_> = first.into_iter().chain(others).collect();
            let series = all.iter().map(full_width).collect::<Result<Vec<_>>>()?;
            let page = page::full_width(study, &series, &over_macs)?;
            (pretty(&json!({ "series": series })), page)
        }
        Page::Seeds => {
            let runs = seeds(&finished)?;
            (pretty(&json!({ "runs": runs })), page::seeds(study, &runs)?)
        }
    };
    for (ending, text) in [("json", &json), ("md", &page)] {
        let path = path.with_extension(ending);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{page}");
    eprintln!("written: {}.md and .json", path.display());
    Ok(())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Calls of `mutualnet compare`.
struct Comparison<'a> {
    root: &'a Path,
    binary: &'a Path,
    /// Where the tables of summaries are put for it.
    tables: PathBuf,
}

impl Comparison<'_> {
    fn run(&self, arms: &[Finished<'_>], options: &[&str]) -> Result<String> {
        fs::create_dir_all(&self.tables)?;
        let mut command = process::command(self.binary, self.root);
        command.arg("compare");
        for Finished { arm, seeds } in arms {
            let mut tables = Vec::new();
            for (seed, summaries) in seeds {
                let parts = summaries.iter().enumerate().map(|(idx, summary)| {
                    let path = self.tables.join(format!("{}-{seed}-{idx}.json", arm.name));
                    fs::write(&path, summary.table().to_string())?;
                    Ok(path.display().to_string())
                });
                tables.push(parts.collect::<Result<Vec<_>>>()?.join("+"));
            }
            command.arg(format!("{}={}", arm.name, tables.join(",")));
        }
        process::output(command.args(options))
    }
}

/// The full network of an arm at the largest resolution, over the seeds.
fn full_width(Finished { arm, seeds }: &Finished<'_>) -> Result<Value> {
    let of_each = |number: &dyn Fn(&Summary) -> Result<f64>| {
        let numbers = seeds.iter().map(|(_, summaries)| number(&summaries[0]));
        Ok::<_, anyhow::Error>(Spread::of(&numbers.collect::<Result<Vec<_>>>()?))
    };
    let full = |summary: &Summary| Ok(summary.rows()?.last().context("a table has no rows")?.quality);
    let cheapest = |summary: &Summary| Ok(summary.rows()?.first().context("a table has no rows")?.quality);
    let (network, low) = arm.setting.rsplit_once('-').context("an arm has no setting")?;
    let percent = |share: f64| (share * 1e4).round() / 100.0;
    let accuracy = of_each(&full)?;
    let of = |key: &'static str| move |summary: &Summary| summary.number(key);
    Ok(json!({
        "name": arm.name,
        "network": network,
        "widths": [low.parse::<f64>()?, 1.0],
        "n": seeds.len(),
        "mean": percent(accuracy.mean),
        "std": percent(accuracy.std),
        "cheapest_mean": percent(of_each(&cheapest)?.mean),
        "train_mean": percent(of_each(&of("train_accuracy"))?.mean),
        "epochs": of_each(&of("epochs"))?.mean,
        "relative_cost": (of_each(&of("relative_cost"))?.mean * 100.0).round() / 100.0,
        "seconds": of_each(&of("seconds"))?.mean.round(),
    }))
}

/// The most expensive row, the cheapest and the mean over all rows, for every seed, in %.
fn seeds(finished: &[Finished<'_>]) -> Result<Vec<Value>> {
    let percent = |share: f64| (share * 1e4).round() / 100.0;
    let seeds = finished.iter().flat_map(|one| &one.seeds);
    seeds
        .map(|(seed, summaries)| {
            let rows = summaries[0].rows()?;
            let (Some(cheapest), Some(dearest)) = (rows.first(), rows.last()) else {
                bail!("a table has no rows");
            };
            let mean = rows.iter().map(|row| row.quality).sum::<f64>() / rows.len() as f64;
            Ok(json!({
                "seed": seed,
                "dearest": percent(dearest.quality),
                "cheapest": percent(cheapest.quality),
                "mean": percent(mean),
                "seconds": summaries[0].number("seconds")?,
                "relative_cost": summaries[0].number("relative_cost")?,
            }))
        })
        .collect()
}
