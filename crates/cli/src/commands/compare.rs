//! `mutualnet compare`: tables of several methods side by side, at equal MACs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use mutualnet_bundle::{QueryTable, write_atomically};
use mutualnet_core::Metric;
use mutualnet_report::compare::{Comparison, Origin, Series, Spread, compare, differences, plot};
use serde::Serialize;

use super::open;
use crate::args::CompareArgs;
use crate::text;

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    comparison: Comparison,
    /// Why the tables may not be comparable.
    warnings: Vec<String>,
}

pub(super) fn run(args: &CompareArgs) -> Result<()> {
    let mut origins = Vec::new();
    let series = args.series.iter().map(|text| read(text, &mut origins)).collect::<Result<Vec<_>>>()?;
    for (idx, Series { name, .. }) in series.iter().enumerate() {
        ensure!(series[..idx].iter().all(|other| other.name != *name), "two methods are called `{name}`");
    }
    check_metrics(&origins)?;
    let warnings = differences(&origins);
    for warning in &warnings {
        text::note(&format!("warning: {warning}"));
    }
    let comparison = compare(&series);
    if let Some(path) = &args.plot {
        let svg = plot(&series, &comparison);
        write_atomically(path, svg.as_bytes())?;
        text::note(&format!("plot: {}", path.display()));
    }
    if args.json {
        return text::json(&Report { comparison, warnings });
    }
    let (head, rows) = cells(&comparison);
    if args.markdown { text::markdown(&head, &rows) } else { text::table(&head, &rows) }
}

/// Reads `NAME=TABLE,TABLE,…`, where a table may be made of several (`RUN+RUN`), and adds where they come from.
fn read(text: &str, origins: &mut Vec<Origin>) -> Result<Series> {
    let (name, tables) = text
        .split_once('=')
        .with_context(|| format!("`{text}` does not have the form NAME=TABLE[,TABLE...]"))?;
    ensure!(!name.is_empty(), "`{text}` has no name in front of `=`");
    ensure!(!tables.is_empty(), "`{name}` has no table");
    let tables = tables.split(',').map(|parts| {
        let (mut rows, mut metric) = (Vec::new(), Metric::default());
        for path in parts.split('+') {
            let (table, origin) = open::table_with_origin(&PathBuf::from(path))?;
            rows.extend_from_slice(table.rows());
            metric = table.metric();
            origins.push(origin);
        }
        let joined =
            QueryTable::new(rows).with_context(|| format!("the tables of `{name}` cannot be joined"))?;
        Ok(joined.measuring(metric))
    });
    Ok(Series { name: name.to_owned(), tables: tables.collect::<Result<_>>()? })
}

fn check_metrics(origins: &[Origin]) -> Result<()> {
    let Some(other) = origins.iter().find(|origin| origin.metric != origins[0].metric) else { return Ok(()) };
    let (first, says) = (&origins[0], "tables of different tasks cannot be compared");
    bail!("{says}: {} has {}, {} has {}", first.name, first.metric, other.name, other.metric)
}

/// The head and the rows of the printed table.
fn cells(comparison: &Comparison) -> (Vec<String>, Vec<Vec<String>>) {
    let mut head = vec![format!("{} % at", comparison.metric), "n".to_owned()];
    head.extend(comparison.budgets.iter().map(ToString::to_string));
    head.push(format!("above {}", comparison.series[0].name));
    let cell = |spread: &Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string());
    let rows = comparison.series.iter().map(|one| {
        let mut row = vec![one.name.clone(), one.n.to_string()];
        row.extend(one.quality.iter().map(cell));
        row.push(cell(&one.above_first));
        row
    });
    (head, rows.collect())
}
