//! Quality over cost as an SVG picture: rows are dots in the color of their resolution, the Pareto front is a line.

use mutualnet_bundle::{QueryTable, Row};
use mutualnet_core::{Frames, Metric, Resolution};

use crate::cost::Cost;
use crate::picture::{COLORS, Frame, begin, end, legend, push};

struct Dot<'a> {
    row: &'a Row,
    cost: f64,
    /// In percent.
    quality: f64,
    on_front: bool,
}

/// Draws the table; `None` if the table does not have this cost.
///
/// The front is that of this cost: over latency it may consist of other rows than over MACs.
pub fn plot(table: &QueryTable, cost: Cost) -> Option<String> {
    let mut dots: Vec<Dot<'_>> = table.rows().iter().filter_map(|row| dot(row, cost)).collect();
    mark_front(&mut dots);
    let low = |f: fn(&Dot<'_>) -> f64| dots.iter().map(f).fold(f64::INFINITY, f64::min);
    let high = |f: fn(&Dot<'_>) -> f64| dots.iter().map(f).fold(f64::NEG_INFINITY, f64::max);
    if dots.is_empty() {
        return None;
    }
    let frame = Frame::around([low(|d| d.cost), high(|d| d.cost)], [low(|d| d.quality), high(|d| d.quality)]);
    Some(draw(&dots, cost, (frame, table.metric())))
}

fn dot(row: &Row, cost: Cost) -> Option<Dot<'_>> {
    Some(Dot { cost: cost.of(row)?, quality: row.quality.value * 100.0, row, on_front: false })
}

/// Sorts by cost and marks every dot that is better than all cheaper ones.
fn mark_front(dots: &mut [Dot<'_>]) {
    dots.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
    let mut best = f64::NEG_INFINITY;
    for dot in dots {
        dot.on_front = dot.quality > best;
        best = best.max(dot.quality);
    }
}

fn draw(dots: &[Dot<'_>], cost: Cost, (frame, metric): (Frame, Metric)) -> String {
    let mut resolutions: Vec<Resolution> = dots.iter().map(|dot| dot.row.subnet.input.resolution).collect();
    resolutions.sort_unstable_by(|a, b| b.cmp(a));
    resolutions.dedup();
    let color = |resolution: Resolution| {
        let at = resolutions.iter().position(|&r| r == resolution).unwrap_or(0);
        COLORS[at % COLORS.len()]
    };
    let mut svg = begin();
    frame.axes(&mut svg, cost, metric);
    let front = dots.iter().filter(|dot| dot.on_front);
    frame.line(&mut svg, front.map(|dot| (dot.cost, dot.quality)), "#999");
    // Dots on the front are drawn last, above the others.
    for is_front in [false, true] {
        for dot in dots.iter().filter(|dot| dot.on_front == is_front) {
            mark(&mut svg, dot, frame, color(dot.row.subnet.input.resolution));
        }
    }
    let names = resolutions.iter().map(|&resolution| (format!("{resolution} px"), color(resolution)));
    legend(&mut svg, names);
    end(svg)
}

fn mark(svg: &mut String, dot: &Dot<'_>, frame: Frame, color: &str) {
    let (cx, cy) = frame.place(dot.cost, dot.quality);
    let (radius, opacity) = if dot.on_front { (5.0, "1") } else { (3.0, "0.45") };
    let Row { subnet, precision, macs, quality, .. } = dot.row;
    let precision = if precision.is_f32() { String::new() } else { format!(", {precision}") };
    let frames = match subnet.input.frames {
        Frames::ONE => String::new(),
        frames => format!(", {frames} frames"),
    };
    let title = format!(
        "width {}, {} px{frames}{precision}: {:.1} % ({:.1}–{:.1}), {macs} MACs",
        subnet.width,
        subnet.input.resolution,
        quality.value * 100.0,
        quality.low * 100.0,
        quality.high * 100.0
    );
    push(
        svg,
        &format!(
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\" fill=\"{color}\" fill-opacity=\"{opacity}\"><title>{title}</title></circle>"
        ),
    );
}

#[cfg(test)]
mod tests {
    use mutualnet_bundle::{Latency, Quality};
    use mutualnet_core::Macs;

    use super::*;

    fn table() -> QueryTable {
        let row = |subnet: &str, mega: u64, correct: u64, ms: f64| {
            let latency = Latency { threads: 1, p50_ms: ms, p99_ms: 2.0 * ms, n: 9 };
            let accuracy = Quality::of_counts(correct, 100).unwrap();
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
