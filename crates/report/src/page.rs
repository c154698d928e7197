//! The page of a run: what was trained and what came out, as one self-contained HTML file.

use std::fmt::Write;

use mutualnet_bundle::QueryTable;
use mutualnet_core::{Frames, InMs};

use crate::cost::Cost;
use crate::markup::escape;
use crate::plot::plot;

/// What the page shows.
#[derive(Debug)]
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// Names and values: network, data, steps and so on.
    pub facts: &'a [(&'a str, String)],
    /// The query table.
    pub table: &'a QueryTable,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse}\
td,th{padding:.15rem .9rem .15rem 0;text-align:right;font-variant-numeric:tabular-nums}\
td:first-child,th:first-child{text-align:left}th{border-bottom:1px solid #bbb;font-weight:600}\
tr.front td{font-weight:600}svg{max-width:100%;height:auto}.facts td{text-align:left;font-weight:400}";

/// The HTML text.
pub fn page(page: &Page<'_>) -> String {
    let Page { title, facts, table } = page;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\n<h1>{0}</h1>\n<table class=\"facts\">\n",
        escape(title)
    );
    for (name, value) in *facts {
        push(&mut html, &format!("<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value)));
    }
    let metric = table.metric();
    push(&mut html, &format!("</table>\n<h2>{} over cost</h2>", metric.title()));
    let latencies = table.threads().map(|threads| Cost::Latency { threads });
    for cost in std::iter::once(Cost::Macs).chain(latencies) {
        if let Some(svg) = plot(table, cost) {
            html.push_str(&svg);
        }
    }
    push(
        &mut html,
        &format!(
            "<h2>Query table</h2>\n<p>Bold rows are the Pareto front of {metric} over MACs. \
             Costs are rounded up, so each is a large enough budget for its row.</p>\n<table>"
        ),
    );
    if let Some(says) = table.regions_in_words() {
        push(&mut html, &format!("<caption>{}.</caption>", escape(&says)));
    }
    rows(&mut html, table);
    push(&mut html, "</table>\n</html>");
    html
}

fn rows(html: &mut String, table: &QueryTable) {
    let backbone = if table.has_backbone() { "<th>backbone</th>" } else { "" };
    let has_frames = table.rows().iter().any(|row| row.subnet.input.frames > Frames::ONE);
    let frames = if has_frames { "-frames" } else { "" };
    write!(
        html,
        "<tr><th>width-resolution{frames}</th><th>MACs</th>{backbone}<th>{}</th><th>95 % interval</th><th>n</th>",
        table.metric()
    )
    .expect("writing to a string does not fail");
    for metric in table.other_metrics() {
        write!(html, "<th>{metric}</th>").expect("writing to a string does not fail");
    }
    for threads in table.threads() {
        write!(html, "<th>p50, {threads} thr.</th><th>p99</th>").expect("writing to a string does not fail");
    }
    push(html, "</tr>");
    for row in table.rows().iter().rev() {
        let quality = row.quality;
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let mut cells = vec![row.name(), row.macs.to_string()];
        cells.extend(row.backbone.map(|macs| macs.to_string()));
        cells.extend([
            format!("{} %", percent(quality.value)),
            format!("{}–{}", percent(quality.low), percent(quality.high)),
            quality.n.to_string(),
        ]);
        cells.extend(row.others.values().map(|&share| format!("{} %", percent(share))));
        for latency in &row.latency {
            cells.extend([latency.p50(), latency.p99()].map(|time| format!("{} ms", InMs(time))));
        }
        let class = if row.pareto { " class=\"front\"" } else { "" };
        push(html, &format!("<tr{class}><td>{}</td></tr>", cells.join("</td><td>")));
    }
}

fn push(html: &mut String, text: &str) {
    html.push_str(text);
    html.push('\n');
}

#[cfg(test)]
mod tests {
    use mutualnet_bundle::{Quality, Row};
    use mutualnet_core::{Macs, Metric};

    use super::*;

    #[test]
    fn the_page_holds_facts_pictures_and_rows() {
        let accuracy = Quality::of_counts(9, 10).unwrap();
        let row = Row::new("1.0-32".parse().unwrap(), Macs(24_500_000), accuracy, Vec::new());
        let row = row.with_backbone(Some(Macs(20_000_000)));
        let rows = vec![row.with_others([(Metric::PixelAccuracy, 0.5)].into())];
        let table = QueryTable::new(rows).unwrap();
        let facts = [("data", "12 & more \x1b[2J".to_owned())];
        let html = page(&Page { title: "a <run>", facts: &facts, table: &table });
        for part in [
            "a &lt;run&gt;",
            "12 &amp; more \\u{1b}[2J",
            "<svg",
            "<td>1.0-32</td><td>24.5 M</td><td>20.0 M</td><td>90.0 %</td>",
            "<td>10</td><td>50.0 %</td>",
            "<th>n</th><th>pixel accuracy</th>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}
