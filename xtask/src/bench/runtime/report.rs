//! The result of `bench runtime` as a table and as JSON.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::Point;
use crate::bench::Report;
use crate::bench::interleave::{Program, Spread};

/// What was measured at a point.
pub(super) struct Measured {
    point: Point,
    programs: Vec<Timing>,
}

/// How long a program took.
struct Timing {
    name: &'static str,
    spread: Spread,
    /// Time relative to ours: above 1 means that we are faster.
    ratio: f64,
    /// The largest difference of its output from ours, relative to our largest one.
    difference: f32,
}

impl Measured {
    pub(super) fn new(point: Point, programs: &[Program], differences: Vec<(&'static str, f32)>) -> Self {
        let timing = |program: &Program| Timing {
            name: program.name,
            spread: program.spread(),
            ratio: program.times(&programs[0]),
            difference: differences.iter().find(|(name, _)| *name == program.name).map_or(0.0, |(_, d)| *d),
        };
        Self { point, programs: programs.iter().map(timing).collect() }
    }

    fn key(&self) -> String {
        let Point { row, batch, threads, .. } = &self.point;
        format!("{} batch {batch} threads {threads}", row.join("-"))
    }

    fn ratios(&self) -> Value {
        self.programs[1..].iter().map(|timing| (timing.name.to_owned(), json!(timing.ratio))).collect()
    }

    fn seconds(&self) -> Value {
        let of = |timing: &Timing| {
            let Spread { low, median, high } = timing.spread;
            (timing.name.to_owned(), json!({ "median": median, "p25": low, "p75": high }))
        };
        self.programs.iter().map(of).collect()
    }

    fn differences(&self) -> Value {
        self.programs[1..].iter().map(|timing| (timing.name.to_owned(), json!(timing.difference))).collect()
    }
}

pub(super) fn report(measured: &[Measured], conditions: Value) -> Result<Report> {
    let mut json = json!({ "ratios": {}, "points": {}, "conditions": conditions });
    let mut table = format!("{}\n\nms per run, and the time of each program relative to ours\n", conditions);
    writeln!(table, "{:<26} {:<4} {:<26} {:>10} others", "network", "", "point", "ours")?;
    for measured in measured {
        let (network, key) = (measured.point.network, measured.key());
        let arithmetic = measured.point.arithmetic.name();
        if measured.point.is_main() {
            json["ratios"][arithmetic][network] = measured.ratios();
        }
        let points = &mut json["points"][&key][arithmetic];
        points["ratios"][network] = measured.ratios();
        points["seconds"][network] = measured.seconds();
        points["differences"][network] = measured.differences();
        write!(
            table,
            "{network:<26} {arithmetic:<4} {key:<26} {:10.3}",
            measured.programs[0].spread.median * 1e3
        )?;
        for timing in &measured.programs[1..] {
            write!(table, "  {} {:.3} ({:.2})", timing.name, timing.spread.median * 1e3, timing.ratio)?;
        }
        table.push('\n');
    }
    Ok(Report { table, json })
}

#[cfg(test)]
mod tests {
    use super::super::Arithmetic::{Bf16, F32};
    use super::*;

    #[test]
    fn the_main_point_has_its_ratios_at_the_top() {
        let timing = |name, ratio| Timing {
            name,
            spread: Spread { low: 0.01, median: 0.01, high: 0.01 },
            ratio,
            difference: 0.0,
        };
        let measured = |arithmetic, batch, ratio| Measured {
            point: Point { network: "resnet18", row: ["1.0", "224"], batch, threads: 1, arithmetic },
            programs: vec![timing("ours", 1.0), timing("ncnn", ratio)],
        };
        let all = [(F32, 1, 1.5), (F32, 16, 0.5), (Bf16, 1, 0.9)];
        let all = all.map(|(arithmetic, batch, ratio)| measured(arithmetic, batch, ratio));
        let report = report(&all, json!({ "processor": "x" })).unwrap();
        let main = json!({ "f32": { "resnet18": { "ncnn": 1.5 } }, "bf16": { "resnet18": { "ncnn": 0.9 } } });
        assert_eq!(report.json["ratios"], main);
        let other = &report.json["points"]["1.0-224 batch 16 threads 1"]["f32"]["ratios"]["resnet18"]["ncnn"];
        assert_eq!(other, 0.5);
        assert!(report.table.contains("ncnn 10.000 (1.50)"), "{}", report.table);
    }
}
