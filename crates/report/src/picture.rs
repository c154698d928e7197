//! What all pictures share: size, colors, axes, lines and legend.

use std::fmt::Write;

use mutualnet_core::Metric;

use crate::cost::Cost;
use crate::markup::escape;
use crate::scale::Scale;

const WIDTH: f64 = 790.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 56.0;
/// Colors that people with any color vision can tell apart (Okabe and Ito).
pub(crate) const COLORS: [&str; 7] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b"];

/// Places costs and qualities in the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    /// A frame with a margin around costs, which must be positive, and qualities in percent.
    pub(crate) fn around(costs: [f64; 2], qualities: [f64; 2]) -> Self {
        let margin = ((qualities[1] - qualities[0]) * 0.05).max(0.5);
        let (low, high) = (qualities[0] - margin, qualities[1] + margin);
        Self {
            x: Scale::log([costs[0] / 1.1, costs[1] * 1.1], [LEFT, WIDTH - RIGHT]),
            y: Scale::linear([low, high], [HEIGHT - BOTTOM, TOP]),
        }
    }

    /// The coordinates of a point.
    pub(crate) fn place(self, cost: f64, quality: f64) -> (f64, f64) {
        (self.x.place(cost), self.y.place(quality))
    }

    /// Draws a line through points.
    pub(crate) fn line(self, svg: &mut String, points: impl Iterator<Item = (f64, f64)>, color: &str) {
        let points = points.map(|(cost, quality)| {
            let (x, y) = self.place(cost, quality);
            format!("{x:.1},{y:.1}")
        });
        let points = points.collect::<Vec<_>>().join(" ");
        push(
            svg,
            &format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"),
        );
    }

    /// Draws grid, numbers and titles.
    pub(crate) fn axes(self, svg: &mut String, cost: Cost, metric: Metric) {
        let Self { x, y } = self;
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in y.ticks() {
            let at = y.place(tick);
            push(
                svg,
                &format!(
                    "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e6e6e6\"/>"
                ),
            );
            push(
                svg,
                &format!(
                    "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                    LEFT - 8.0,
                    at + 4.5
                ),
            );
        }
        for tick in x.ticks() {
            let at = x.place(tick);
            push(
                svg,
                &format!(
                    "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#f0f0f0\"/>"
                ),
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
                "<text transform=\"translate(18 {half}) rotate(-90)\" text-anchor=\"middle\">{metric} in %</text>"
            ),
        );
    }
}

/// The start of a picture.
pub(crate) fn begin() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    )
}

/// Draws a dot and a name for every color, to the right of the frame.
pub(crate) fn legend(svg: &mut String, names: impl Iterator<Item = (String, &'static str)>) {
    for (line, (name, color)) in names.enumerate() {
        let (at, height) = (WIDTH - RIGHT + 22.0, TOP + 16.0 + 20.0 * line as f64);
        push(svg, &format!("<circle cx=\"{at}\" cy=\"{}\" r=\"5\" fill=\"{color}\"/>", height - 4.5));
        push(svg, &format!("<text x=\"{}\" y=\"{height}\">{}</text>", at + 12.0, escape(&name)));
    }
}

/// The finished picture.
pub(crate) fn end(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

pub(crate) fn push(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("writing to a string does not fail");
}
