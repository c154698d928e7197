//! The comparison as a page of Markdown.
//!
//! Separate so that it is tested without training anything.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;

/// The page of a comparison (as `mutualnet compare --json` prints it), with its conditions out of a run's plan.
pub(super) fn markdown(json: &str, plan: &str, overrides: &[String], ensemble: &[&str]) -> Result<String> {
    let comparison: Value =
        serde_json::from_str(json).context("`mutualnet compare --json` printed no JSON")?;
    let budgets = comparison["budgets"].as_array().context("the comparison has no `budgets`")?;
    let series = comparison["series"].as_array().context("the comparison has no `series`")?;
    let first = text(&series.first().context("the comparison has no series")?["name"]);
    let mut page = String::from("# Methods on CIFAR-10\n\n");
    writeln!(page, "Written by `{}`.\n", command(overrides))?;
    page.push_str(&conditions(plan, series)?);
    writeln!(page, "`mutual-ensemble` is `{}`.\n", ensemble.join(" "))?;
    page.push_str("Test accuracy in % of the best row that costs at most so many MACs, mean ± standard deviation over seeds:\n\n");
    let budgets: Vec<_> = budgets.iter().map(|macs| mega(macs.as_f64().unwrap_or_default())).collect();
    writeln!(page, "| method | {} | above `{first}` |", budgets.join(" | "))?;
    writeln!(page, "|---|{}---|", "---|".repeat(budgets.len()))?;
    for one in series {
        let accuracy = one["accuracy"].as_array().context("a series has no `accuracy`")?;
        let cells: Vec<_> = accuracy.iter().map(spread).collect();
        let name = text(&one["name"]);
        writeln!(page, "| `{name}` | {} | {} |", cells.join(" | "), spread(&one["above_first"]))?;
    }
    writeln!(
        page,
        "\nThe last column is the area between a method's curve and that of `{first}` over the logarithm of the MACs \
         where both have rows, divided by its length: the mean lead in points.\n\n\
         ![accuracy over MACs](cifar10-methods.svg)"
    )?;
    Ok(page)
}

fn command(overrides: &[String]) -> String {
    let words =
        ["cargo xtask experiment cifar-methods"].into_iter().chain(overrides.iter().map(String::as_str));
    words.collect::<Vec<_>>().join(" ")
}

/// What was trained on what: the lines of the plan that decide it.
fn conditions(plan: &str, series: &[Value]) -> Result<String> {
    let value = |key: &str| {
        let line = plan.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned()).with_context(|| format!("the plan has no {key}"))
    };
    let seeds = series[0]["n"].as_u64().unwrap_or_default();
    Ok(format!(
        "{}, widths {}, resolutions {}; {} training images (the same for all), {} test images; \
         {} epochs of {} steps of {} images, learning rate {}; {seeds} seeds.\n",
        value("name")?,
        value("widths")?,
        list(plan, "resolutions"),
        value("n_train")?,
        value("n_test")?,
        value("epochs")?,
        value("steps_per_epoch")?,
        value("batch")?,
        value("lr")?,
    ))
}

/// A list of the plan, which may stand on one line or on several.
fn list(plan: &str, key: &str) -> String {
    let start = plan.find(&format!("{key} = [")).unwrap_or(plan.len());
    let list = plan[start..].split(['[', ']']).nth(1).unwrap_or_default();
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn mega(macs: f64) -> String {
    format!("{:.2} M", macs / 1e6)
}

/// `61.2 ± 0.3`, or a dash where a method has no row.
fn spread(value: &Value) -> String {
    let Some(mean) = value["mean"].as_f64() else { return "–".to_owned() };
    match value["std"].as_f64() {
        Some(std) => format!("{mean:.1} ± {std:.1}"),
        None => format!("{mean:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "[derived]\nn_train = 10000\nn_test = 500\nsteps_per_epoch = 156\n[recipe.network]\n\
                        name = \"wide_resnet10_1\"\nwidths = [0.25, 1.0]\nresolutions = [\n    32,\n    20,\n]\n\
                        [recipe.train]\nepochs = 12\nbatch = 64\nlr = 0.05\n";

    #[test]
    fn a_page_has_a_line_for_every_method() {
        let json = r#"{"budgets": [1500000, 8000000], "series": [
            {"name": "us", "n": 3, "accuracy": [{"mean": 50.04, "std": 0.5}, {"mean": 60.0, "std": 0.26}],
             "above_first": {"mean": 0.0, "std": 0.0}},
            {"name": "plain", "n": 3, "accuracy": [null, {"mean": 61.0, "std": null}], "above_first": null}]}"#;
        let page = markdown(json, PLAN, &["train.epochs=2".to_owned()], &["train.ema=0.99"]).unwrap();
        for line in [
            "Written by `cargo xtask experiment cifar-methods train.epochs=2`.",
            "wide_resnet10_1, widths [0.25, 1.0], resolutions 32, 20; 10000 training images (the same \
             for all), 500 test images; 12 epochs of 156 steps of 64 images, learning rate 0.05; 3 seeds.",
            "| method | 1.50 M | 8.00 M | above `us` |",
            "| `us` | 50.0 ± 0.5 | 60.0 ± 0.3 | 0.0 ± 0.0 |",
            "| `plain` | – | 61.0 | – |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        assert!(markdown("{}", PLAN, &[], &[]).is_err());
    }
}
