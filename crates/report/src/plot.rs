//! Accuracy over cost as an SVG picture: every row a dot in the color of its resolution, the Pareto front a line.

use std::fmt::Write;

use mutualnet_bundle::{QueryTable, Row};
use mutualnet_core::{Macs, Resolution};

use crate::scale::Scale;

/// What the horizontal axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Multiply-accumulates.
    Macs,
    /// Median latency at a thread count.
    Latency {
        /// Threads of the run side.
        threads: usize,
    },
}

impl Cost {
    /// The cost of a row; `None` when it was not measured.
    fn of(self, row: &Row) -> Option<f64> {
        match self {
            Self::Macs => Some(row.macs.as_f64()),
            Self::Latency { threads } => row.latency_at(threads).map(|latency| latency.p50_ms),
        }
        .filter(|&cost| cost > 0.0)
    }

    fn title(self) -> String {
        match self {
            Self::Macs => "multiply-accumulates per image".to_owned(),
            Self::Latency { threads: 1 } => "median latency in ms, 1 thread".to_owned(),
            Self::Latency { threads } => format!("median latency in ms, {threads} threads"),
        }
    }

    fn label(self, cost: f64) -> String {
        match self {
            Self::Macs => {
                let text = Macs(cost.round() as u64).to_string();
                let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
                let number = if number.contains('.') {
                    number.trim_end_matches('0').trim_end_matches('.')
                } else {
                    number
                };
                format!("{number} {unit}").trim_end().to_owned()
            }
            Self::Latency { .. } => cost.to_string(),
        }
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 56.0;
/// Largest resolution first; told apart by people with any color vision (Okabe and Ito).
const COLORS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b"];

struct Dot<'a> {
    row: &'a Row,
    cost: f64,
    accuracy: f64,
    on_front: bool,
}

/// The picture; `None` when the table has no such cost.
///
/// The front is that of this cost: over latency it may hold other rows than over MACs.
pub fn plot(table: &QueryTable, cost: Cost) -> Option<String> {
    let mut dots: Vec<Dot<'_>> = table.rows().iter().filter_map(|row| dot(row, cost)).collect();
    mark_front(&mut dots);
    let low = |f: fn(&Dot<'_>) -> f64| dots.iter().map(f).fold(f64::INFINITY, f64::min);
    let high = |f: fn(&Dot<'_>) -> f64| dots.iter().map(f).fold(f64::NEG_INFINITY, f64::max);
    if dots.is_empty() {
        return None;
    }
    let x = Scale::log([low(|d| d.cost) / 1.1, high(|d| d.cost) * 1.1], [LEFT, WIDTH - RIGHT]);
    let accuracies = [low(|d| d.accuracy), high(|d| d.accuracy)];
    let margin = ((accuracies[1] - accuracies[0]) * 0.05).max(0.5);
    let y = Scale::linear([accuracies[0] - margin, accuracies[1] + margin], [HEIGHT - BOTTOM, TOP]);
    Some(draw(&dots, cost, x, y))
}

fn dot(row: &Row, cost: Cost) -> Option<Dot<'_>> {
    Some(Dot { cost: cost.of(row)?, accuracy: row.accuracy.value * 100.0, row, on_front: false })
}

/// Sorts by cost and marks every dot that is better than all cheaper ones.
fn mark_front(dots: &mut [Dot<'_>]) {
    dots.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.accuracy.total_cmp(&a.accuracy)));
    let mut best = f64::NEG_INFINITY;
    for dot in dots {
        dot.on_front = dot.accuracy > best;
        best = best.max(dot.accuracy);
    }
}

fn draw(dots: &[Dot<'_>], cost: Cost, x: Scale, y: Scale) -> String {
    let mut resolutions: Vec<Resolution> = dots.iter().map(|dot| dot.row.subnet.resolution).collect();
    resolutions.sort_unstable_by(|a, b| b.cmp(a));
    resolutions.dedup();
    let color = |resolution: Resolution| {
        let at = resolutions.iter().position(|&r| r == resolution).unwrap_or(0);
        COLORS[at % COLORS.len()]
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    axes(&mut svg, cost, x, y);
    let front = dots.iter().filter(|dot| dot.on_front);
    let line: Vec<_> =
        front.map(|dot| format!("{:.1},{:.1}", x.place(dot.cost), y.place(dot.accuracy))).collect();
    push(
        &mut svg,
        &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#999\" stroke-width=\"1.5\"/>",
            line.join(" ")
        ),
    );
    // Dots of the front last, on top of the others.
    for is_front in [false, true] {
        for dot in dots.iter().filter(|dot| dot.on_front == is_front) {
            mark(&mut svg, dot, (x, y), color(dot.row.subnet.resolution));
        }
    }
    for (line, &resolution) in resolutions.iter().enumerate() {
        let (at, height) = (WIDTH - RIGHT + 22.0, TOP + 16.0 + 20.0 * line as f64);
        push(
            &mut svg,
            &format!("<circle cx=\"{at}\" cy=\"{}\" r=\"5\" fill=\"{}\"/>", height - 4.5, color(resolution)),
        );
        push(&mut svg, &format!("<text x=\"{}\" y=\"{height}\">{resolution} px</text>", at + 12.0));
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, cost: Cost, x: Scale, y: Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for tick in y.ticks() {
        let at = y.place(tick);
        push(
            svg,
            &format!("<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e6e6e6\"/>"),
        );
        push(
            svg,
            &format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>", LEFT - 8.0, at + 4.5),
        );
    }
    for tick in x.ticks() {
        let at = x.place(tick);
        push(
            svg,
            &format!("<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#f0f0f0\"/>"),
        );
        let label = cost.label(tick);
        push(
            svg,
            &format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", bottom + 20.0),
        );
    }
    push(
        svg,
        &format!("<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#999\"/>"),
    );
    let middle = f64::midpoint(LEFT, right);
    push(
        svg,
        &format!(
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 44.0,
            cost.title()
        ),
    );
    let half = f64::midpoint(TOP, bottom);
    push(
        svg,
        &format!(
            "<text transform=\"translate(18 {half}) rotate(-90)\" text-anchor=\"middle\">accuracy in %</text>"
        ),
    );
}

fn mark(svg: &mut String, dot: &Dot<'_>, (x, y): (Scale, Scale), color: &str) {
    let (cx, cy) = (x.place(dot.cost), y.place(dot.accuracy));
    let (radius, opacity) = if dot.on_front { (5.0, "1") } else { (3.0, "0.45") };
    let Row { subnet, macs, accuracy, .. } = dot.row;
    let title = format!(
        "width {}, {} px: {:.1} % ({:.1}–{:.1}), {macs} MACs",
        subnet.width,
        subnet.resolution,
        accuracy.value * 100.0,
        accuracy.low * 100.0,
        accuracy.high * 100.0
    );
    push(
        svg,
        &format!(
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\" fill=\"{color}\" fill-opacity=\"{opacity}\"><title>{title}</title></circle>"
        ),
    );
}

fn push(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use mutualnet_bundle::{Accuracy, Latency};

    use super::*;

    fn table() -> QueryTable {
        let row = |subnet: &str, mega: u64, correct: u64, ms: f64| {
            let latency = Latency { threads: 1, p50_ms: ms, p99_ms: 2.0 * ms, n: 9 };
            let accuracy = Accuracy::new(correct, 100).unwrap();
            Row::new(subnet.parse().unwrap(), Macs(mega * 1_000_000), accuracy, vec![latency])
        };
        let rows = vec![row("0.25-20", 2, 60, 0.9), row("0.5-32", 9, 55, 0.5), row("1.0-32", 24, 93, 4.0)];
        QueryTable::new(rows).unwrap()
    }

    #[test]
    fn every_row_is_a_dot_and_the_front_a_line() {
        let svg = plot(&table(), Cost::Macs).unwrap();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert_eq!(svg.matches("r=\"3\"").count(), 1);
        assert!(svg.contains("32 px</text>") && svg.contains("width 0.25, 20 px: 60.0 %"), "{svg}");
        let line = svg.split("<polyline points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.split(' ').count(), 2);
    }

    #[test]
    fn latency_has_a_front_of_its_own_and_may_be_missing() {
        let svg = plot(&table(), Cost::Latency { threads: 1 }).unwrap();
        assert_eq!(svg.matches("r=\"3\"").count(), 0);
        assert!(plot(&table(), Cost::Latency { threads: 8 }).is_none());
    }
}
