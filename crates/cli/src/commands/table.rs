//! `mutualnet table`: the rows, or the one that a budget buys.

use std::path::Path;

use anyhow::{Context, Result, bail};
use mutualnet_bundle::{Bundle, QueryTable, Row};
use mutualnet_report::{Cost, plot};

use crate::args::TableArgs;
use crate::text;

pub(super) fn run(args: &TableArgs) -> Result<()> {
    let table = read(&args.path)?;
    if let Some(path) = &args.plot {
        draw(&table, args, path)?;
    }
    if let Some(budget) = args.budget.get() {
        let row = table.choose(budget, args.threads)?;
        return if args.json { print_json(&table, row) } else { print(&table, &[row]) };
    }
    if args.json {
        return text::line(&table.to_json());
    }
    let rows: Vec<_> = table.rows().iter().filter(|row| args.all || row.pareto).collect();
    print(&table, &rows)
}

/// The table of a run directory, a bundle or a table file.
pub(super) fn read(path: &Path) -> Result<QueryTable> {
    if path.is_dir() {
        let table = path.join("table.json");
        if !table.exists() {
            bail!("no table.json in {}: run `mutualnet tabulate` on it first", path.display());
        }
        return Ok(QueryTable::read(&table)?);
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Ok(QueryTable::read(path)?),
        _ => Ok(Bundle::read(path)?.table().clone()),
    }
}

fn draw(table: &QueryTable, args: &TableArgs, path: &Path) -> Result<()> {
    let threads = args.threads.or_else(|| table.threads().last());
    let cost = match (args.budget.latency, threads) {
        (Some(_), Some(threads)) => Cost::Latency { threads },
        _ => Cost::Macs,
    };
    let svg = plot(table, cost).context("the table has no such latencies")?;
    std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    text::note(&format!("plot: {}", path.display()));
    Ok(())
}

/// The row as it stands in the table's file.
fn print_json(table: &QueryTable, row: &Row) -> Result<()> {
    let idx = table.rows().iter().position(|other| other.subnet == row.subnet);
    let rows = serde_json::to_value(table)?["rows"].take();
    text::json(&idx.map(|idx| &rows[idx]))
}

fn print(table: &QueryTable, rows: &[&Row]) -> Result<()> {
    let threads: Vec<_> = table.threads().collect();
    let latencies: Vec<_> =
        threads.iter().flat_map(|n| [format!("p50 ms ({n} thr)"), "p99 ms".to_owned()]).collect();
    let mut head = vec!["row", "MACs", "accuracy %", "95 % interval", "n"];
    head.extend(latencies.iter().map(String::as_str));
    head.push("Pareto");
    text::table(&head, &rows.iter().map(|row| cells(row)).collect::<Vec<_>>())
}

fn cells(row: &Row) -> Vec<String> {
    let percent = |share: f64| format!("{:.2}", share * 100.0);
    let mut cells = vec![
        row.subnet.to_string(),
        row.macs.to_string(),
        percent(row.accuracy.value),
        format!("{}–{}", percent(row.accuracy.low), percent(row.accuracy.high)),
        row.accuracy.n.to_string(),
    ];
    for latency in &row.latency {
        cells.extend([latency.p50_ms, latency.p99_ms].map(|ms| format!("{ms:.3}")));
    }
    cells.push(if row.pareto { "yes" } else { "" }.to_owned());
    cells
}
