//! Comparison of tables: the quality of every method at equal MACs, over several seeds.

use mutualnet_bundle::QueryTable;
use mutualnet_core::{Macs, Metric};
use serde::Serialize;

mod origin;
pub use origin::{Origin, differences};

use crate::cost::Cost;
use crate::picture::{COLORS, Frame, begin, end, legend, push};

/// Budgets that a comparison shows.
const N_BUDGETS: usize = 8;
/// Budgets that the area between two curves is summed over.
const N_FINE: usize = 128;

/// The tables of one method, one per seed.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its tables; at least one.
    pub tables: Vec<QueryTable>,
}

/// Qualities at equal MACs, in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The metric of all tables.
    pub metric: Metric,
    /// From the cheapest row of all tables to the most expensive, in equal factors, to three digits.
    pub budgets: Vec<Macs>,
    /// One entry per series, in their order.
    pub series: Vec<Compared>,
}

/// One series of a [`Comparison`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Its number of tables.
    pub n: usize,
    /// The best quality that each budget buys; `None` where some table has no row that is cheap enough.
    pub quality: Vec<Option<Spread>>,
    /// How many points it is above the first series on average: the area between both curves over the
    /// logarithm of the MACs, where both have rows, divided by its length. If both series have the same number of
    /// tables, the n-th table of one is paired with the n-th of the other.
    pub above_first: Option<Spread>,
}

/// Mean and sample standard deviation over seeds; a single seed has no deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation.
    pub std: Option<f64>,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Some(Self { mean, std: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) })
    }

    fn deviation(self) -> f64 {
        self.std.unwrap_or(0.0)
    }
}

/// `61.20 ± 0.31`, in percent or points.
impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mean, std } = self;
        write!(f, "{mean:.2}")?;
        std.map_or(Ok(()), |std| write!(f, " ± {std:.2}"))
    }
}

/// Best quality in percent among the rows that cost at most `macs`.
fn bought(table: &QueryTable, macs: f64) -> Option<f64> {
    let rows = table.rows().iter().filter(|row| row.macs.as_f64() <= macs);
    rows.map(|row| row.quality.value * 100.0).reduce(f64::max)
}

/// MACs of the cheapest and of the most expensive row.
fn ends<'a>(tables: impl Iterator<Item = &'a QueryTable>) -> [f64; 2] {
    let macs = tables.flat_map(|table| table.rows().iter().map(|row| row.macs.as_f64()));
    macs.fold([f64::INFINITY, 0.0], |[low, high], macs| [low.min(macs), high.max(macs)])
}

/// `n` whole budgets from `low` to `high` in equal factors.
fn budgets([low, high]: [f64; 2], n: usize) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| (low * (high / low).powf(i as f64 / (n - 1) as f64)).ceil().min(high))
}

/// Compares the series; the others are measured against the first one.
///
/// # Panics
/// There is no series, one without a table, or tables of several metrics.
pub fn compare(series: &[Series]) -> Comparison {
    assert!(series.iter().all(|series| !series.tables.is_empty()), "every series has a table");
    let metric = series[0].tables[0].metric();
    let mut tables = series.iter().flat_map(|series| &series.tables);
    assert!(tables.all(|table| table.metric() == metric), "all tables have the same metric");
    let shown = budgets(ends(series.iter().flat_map(|s| &s.tables)), N_BUDGETS);
    // Rounded as they are printed, so that the quality below a budget in the header is what it buys.
    let shown: Vec<_> = shown.map(|macs| Macs(macs as u64).rounded_up().as_f64()).collect();
    let compared = series.iter().map(|one| Compared {
        name: one.name.clone(),
        n: one.tables.len(),
        quality: shown.iter().map(|&budget| at(one, budget)).collect(),
        above_first: above(one, &series[0]),
    });
    let budgets = shown.iter().map(|&macs| Macs(macs as u64)).collect();
    Comparison { metric, series: compared.collect(), budgets }
}

fn at(series: &Series, budget: f64) -> Option<Spread> {
    let bought: Option<Vec<f64>> = series.tables.iter().map(|table| bought(table, budget)).collect();
    Spread::of(&bought?)
}

fn above(one: &Series, first: &Series) -> Option<Spread> {
    if one.tables.len() == first.tables.len() {
        let pairs = one.tables.iter().zip(&first.tables);
        return Spread::of(&pairs.map(|(a, b)| area(a, b)).collect::<Option<Vec<_>>>()?);
    }
    let all: Option<Vec<f64>> =
        one.tables.iter().flat_map(|a| first.tables.iter().map(|b| area(a, b))).collect();
    Some(Spread { std: None, ..Spread::of(&all?)? })
}

/// Mean difference between `a` and `b` over the logarithm of the MACs where both have rows.
fn area(a: &QueryTable, b: &QueryTable) -> Option<f64> {
    let ([low_a, high_a], [low_b, high_b]) = (ends([a].into_iter()), ends([b].into_iter()));
    let common = [low_a.max(low_b), high_a.min(high_b)];
    if common[0] > common[1] {
        return None;
    }
    let differences: Option<Vec<f64>> =
        budgets(common, N_FINE).map(|macs| Some(bought(a, macs)? - bought(b, macs)?)).collect();
    Spread::of(&differences?).map(|spread| spread.mean)
}

/// Draws the curves: for every series, the mean over its tables of the quality that a budget buys, in steps, with bars
/// of one standard deviation at the budgets of the comparison.
pub fn plot(series: &[Series], comparison: &Comparison) -> String {
    let curves: Vec<Vec<(f64, f64)>> = series.iter().map(curve).collect();
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
    };
    let spreads = || comparison.series.iter().flat_map(|one| one.quality.iter().flatten());
    let ends =
        spreads().flat_map(|spread| [spread.mean - spread.deviation(), spread.mean + spread.deviation()]);
    let frame = Frame::around(
        range(&mut curves.iter().flatten().map(|point| point.0)),
        range(&mut curves.iter().flatten().map(|point| point.1).chain(ends)),
    );
    let color = |idx: usize| COLORS[idx % COLORS.len()];
    let mut svg = begin();
    frame.axes(&mut svg, Cost::Macs, comparison.metric);
    for (idx, (curve, compared)) in curves.iter().zip(&comparison.series).enumerate() {
        frame.line(&mut svg, steps(curve), color(idx));
        // Bars are shifted sideways, so that none hides another.
        let aside = 3.0 * (idx as f64 - (curves.len() - 1) as f64 / 2.0);
        for (budget, spread) in comparison.budgets.iter().zip(&compared.quality) {
            if let Some(spread) = spread {
                bar(&mut svg, frame, (budget.as_f64(), aside), *spread, color(idx));
            }
        }
    }
    let names = comparison.series.iter().enumerate().map(|(idx, one)| (one.name.clone(), color(idx)));
    legend(&mut svg, names);
    end(svg)
}

/// Mean quality at the MACs of every row of the series, where all its tables have a row that is cheap enough.
fn curve(series: &Series) -> Vec<(f64, f64)> {
    let rows = series.tables.iter().flat_map(|table| table.rows().iter().map(|row| row.macs.0));
    let macs: std::collections::BTreeSet<u64> = rows.collect();
    let points = macs.into_iter().map(|macs| macs as f64);
    points.filter_map(|macs| at(series, macs).map(|spread| (macs, spread.mean))).collect()
}

/// A curve that stays level until the next point: a budget between two rows buys the cheaper one.
fn steps(curve: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let rises = curve.windows(2).flat_map(|pair| [(pair[1].0, pair[0].1), pair[1]]);
    curve.first().copied().into_iter().chain(rises)
}

fn bar(svg: &mut String, frame: Frame, (macs, aside): (f64, f64), spread: Spread, color: &str) {
    let (x, y) = frame.place(macs, spread.mean);
    let [top, bottom] = [1.0, -1.0].map(|side| frame.place(macs, spread.mean + side * spread.deviation()).1);
    let x = x + aside;
    push(
        svg,
        &format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"{color}\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
        ),
    );
}

#[cfg(test)]
mod tests {
    use mutualnet_bundle::{Quality, Row};

    use super::*;

    /// Rows of 1, 10 and 100 M MACs, with these numbers of correct answers out of 1000.
    fn table(correct: [u64; 3]) -> QueryTable {
        let rows = correct.into_iter().zip([("0.25-20", 1), ("0.5-24", 10), ("1.0-32", 100)]);
        let rows = rows.map(|(correct, (subnet, mega))| {
            let accuracy = Quality::of_counts(correct, 1000).unwrap();
            Row::new(subnet.parse().unwrap(), Macs(mega * 1_000_000), accuracy, vec![])
        });
        QueryTable::new(rows.collect()).unwrap()
    }

    fn series(name: &str, tables: &[[u64; 3]]) -> Series {
        Series { name: name.to_owned(), tables: tables.iter().map(|&correct| table(correct)).collect() }
    }

    #[test]
    fn budgets_buy_the_best_row_they_can_pay() {
        let one = series("a", &[[500, 700, 650], [520, 700, 750]]);
        let Comparison { budgets, series, .. } = compare(&[one]);
        assert_eq!((budgets[0], budgets[7]), (Macs(1_000_000), Macs(100_000_000)));
        assert!(budgets.is_sorted());
        let accuracy: Vec<_> = series[0].quality.iter().map(|spread| spread.unwrap().mean).collect();
        // 1, 1.9, 3.7, 7.2, 13.9 … M: the row of 10 M from the fifth on; the most expensive row of seed 1 is no better.
        assert_eq!(accuracy[..4], [51.0; 4]);
        assert_eq!(accuracy[4..7], [70.0; 3]);
        assert_eq!(accuracy[7], 72.5);
        let std = series[0].quality[0].unwrap().std.unwrap();
        assert!((std - 2.0_f64.sqrt()).abs() < 1e-9, "{std}");
        assert_eq!(series[0].above_first, Some(Spread { mean: 0.0, std: Some(0.0) }));
    }

    #[test]
    fn the_area_is_the_mean_lead() {
        let first = series("a", &[[500, 600, 700], [500, 600, 700]]);
        let better = series("b", &[[510, 610, 710], [530, 630, 730]]);
        let narrow = series("c", &[[700, 700, 700]]);
        let Comparison { series, .. } = compare(&[first, better, narrow]);
        let above = series[1].above_first.unwrap();
        assert!((above.mean - 2.0).abs() < 1e-9 && (above.std.unwrap() - 2.0_f64.sqrt()).abs() < 1e-9);
        assert!(series[2].above_first.unwrap().std.is_none(), "no pairs");
    }

    #[test]
    fn every_series_is_a_curve_with_a_name() {
        let all = [series("mutual & more", &[[500, 600, 700]; 2]), series("us", &[[400, 600, 590]])];
        let svg = plot(&all, &compare(&all));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">mutual &amp; more</text>") && svg.contains(">us</text>"), "{svg}");
    }
}
