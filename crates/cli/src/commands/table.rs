//! `mutualnet table`: show the rows of a query table, or the one that a budget buys.

use std::path::Path;

use anyhow::{Context, Result};
use mutualnet_bundle::{QueryTable, Row, write_atomically};
use mutualnet_core::{Budget, InMs};
use mutualnet_report::{Cost, plot};

use super::open;
use crate::args::TableArgs;
use crate::text;

pub(super) fn run(args: &TableArgs) -> Result<()> {
    let table = open::table(&args.path)?;
    if let Some(path) = &args.plot {
        draw(&table, args, path)?;
    }
    if let Some(budget) = args.budget.get() {
        let row = table.choose(budget, args.threads)?;
        note_threads(&table, budget, args.threads);
        return if args.json { print_json(&table, row) } else { print(&table, &[row]) };
    }
    if args.json {
        return text::json_text(&table.to_json());
    }
    let rows: Vec<_> = table.rows().iter().filter(|row| args.all || row.pareto).collect();
    print(&table, &rows)
}

/// Says which of several latencies a budget was compared with.
fn note_threads(table: &QueryTable, budget: Budget, threads: Option<usize>) {
    if let (Budget::Latency(_), None, Some(n)) = (budget, threads, table.threads().last())
        && table.threads().count() > 1
    {
        text::note(&format!("note: compared with the 99th percentile on {n} threads; see --threads"));
    }
}

fn draw(table: &QueryTable, args: &TableArgs, path: &Path) -> Result<()> {
    let threads = args.threads.or_else(|| table.threads().last());
    let cost = match (args.budget.get(), threads) {
        (Some(Budget::Latency(_)), Some(threads)) => Cost::Latency { threads },
        _ => Cost::Macs,
    };
    let svg = plot(table, cost).context("the table has no latencies for that thread count")?;
    write_atomically(path, svg.as_bytes())?;
    text::note(&format!("plot: {}", path.display()));
    Ok(())
}

/// Prints the row as the table's file has it.
fn print_json(table: &QueryTable, row: &Row) -> Result<()> {
    let idx =
        table.rows().iter().position(|other| (other.subnet, other.precision) == (row.subnet, row.precision));
    let rows = serde_json::to_value(table)?["rows"].take();
    text::json(&idx.map(|idx| &rows[idx]))
}

fn print(table: &QueryTable, rows: &[&Row]) -> Result<()> {
    let threads: Vec<_> = table.threads().collect();
    let latencies: Vec<_> =
        threads.iter().flat_map(|n| [format!("p50 ms ({n} thr)"), "p99 ms".to_owned()]).collect();
    let quality = format!("{} %", table.metric());
    let others: Vec<_> = table.other_metrics().map(|metric| format!("{metric} %")).collect();
    let mut head = vec!["row", "MACs"];
    if table.has_backbone() {
        head.push("backbone");
    }
    head.extend([&*quality, "95 % interval", "n"]);
    head.extend(others.iter().map(String::as_str));
    head.extend(latencies.iter().map(String::as_str));
    head.push("Pareto");
    text::table(&head, &rows.iter().map(|row| cells(row)).collect::<Vec<_>>())?;
    if let Some(says) = table.regions_in_words() {
        text::note(&format!("note: {says}"));
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let percent = |share: f64| format!("{:.2}", share * 100.0);
    let mut cells = vec![row.name(), row.macs.to_string()];
    cells.extend(row.backbone.map(|macs| macs.to_string()));
    cells.extend([
        percent(row.quality.value),
        format!("{}–{}", percent(row.quality.low), percent(row.quality.high)),
        row.quality.n.to_string(),
    ]);
    cells.extend(row.others.values().map(|&share| percent(share)));
    for latency in &row.latency {
        cells.extend([latency.p50(), latency.p99()].map(|time| InMs(time).to_string()));
    }
    cells.push(if row.pareto { "yes" } else { "" }.to_owned());
    cells
}
