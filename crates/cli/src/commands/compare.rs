//! `mutualnet compare`: tables of several methods beside each other, at equal MACs.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use mutualnet_bundle::QueryTable;
use mutualnet_report::compare::{Comparison, Series, Spread, compare, plot};

use super::table;
use crate::args::CompareArgs;
use crate::text;

pub(super) fn run(args: &CompareArgs) -> Result<()> {
    let series = args.series.iter().map(|text| read(text)).collect::<Result<Vec<_>>>()?;
    let comparison = compare(&series);
    if let Some(path) = &args.plot {
        let svg = plot(&series, &comparison);
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        text::note(&format!("plot: {}", path.display()));
    }
    if args.json { text::json(&comparison) } else { print(&comparison) }
}

/// `NAME=TABLE,TABLE,…`, where a table can be put together from several: `RUN+RUN`.
fn read(text: &str) -> Result<Series> {
    let (name, tables) =
        text.split_once('=').with_context(|| format!("`{text}` is not of the form NAME=TABLE[,TABLE…]"))?;
    ensure!(!tables.is_empty(), "`{name}` has no table");
    let tables = tables.split(',').map(|parts| {
        let parts = parts.split('+').map(|path| table::read(&PathBuf::from(path)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let rows = parts.iter().flat_map(|part| part.rows().to_vec()).collect();
        QueryTable::new(rows).with_context(|| format!("the tables of `{name}` do not fit together"))
    });
    Ok(Series { name: name.to_owned(), tables: tables.collect::<Result<_>>()? })
}

fn print(comparison: &Comparison) -> Result<()> {
    let budgets: Vec<_> = comparison.budgets.iter().map(ToString::to_string).collect();
    let first = &comparison.series[0].name;
    let mut head = vec!["accuracy % at", "n"];
    head.extend(budgets.iter().map(String::as_str));
    let above = format!("above {first}");
    head.push(&above);
    let cell = |spread: &Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string());
    let rows = comparison.series.iter().map(|one| {
        let mut row = vec![one.name.clone(), one.n.to_string()];
        row.extend(one.accuracy.iter().map(cell));
        row.push(cell(&one.above_first));
        row
    });
    text::table(&head, &rows.collect::<Vec<_>>())
}
