//! The query table against its definitions, by brute force.

use std::time::Duration;

use mutualnet_bundle::{Error, Latency, Quality, QueryTable, Row};
use mutualnet_core::{Budget, InMs, Macs, Precision};
use mutualnet_testkit::subnet;
use proptest::prelude::*;

/// Rows from (MACs, right answers of 20, milliseconds); few values, so that ties are common.
fn rows(numbers: &[(u64, u64, u32)]) -> Vec<Row> {
    let row = |(idx, &(macs, correct, ms)): (usize, &(u64, u64, u32))| {
        let latency = [4, 1].map(|threads| Latency {
            threads,
            p50_ms: f64::from(ms),
            p99_ms: f64::from(ms) + 1.0 / threads as f64,
            n: 9,
        });
        let accuracy = Quality::of_counts(correct, 20).unwrap();
        Row::new(subnet(&format!("1.0-{}", idx + 1)), Macs(macs), accuracy, latency.to_vec())
    };
    numbers.iter().enumerate().map(row).collect()
}

fn dominates(a: &Row, b: &Row) -> bool {
    let (better, cheaper) = (a.quality.value - b.quality.value, b.macs.0 as f64 - a.macs.0 as f64);
    better >= 0.0 && cheaper >= 0.0 && (better > 0.0 || cheaper > 0.0)
}

fn numbers() -> impl Strategy<Value = Vec<(u64, u64, u32)>> {
    prop::collection::vec((0_u64..12, 0_u64..=20, 1_u32..12), 1..24)
}

/// A table on disk has what its costs include.
#[test]
fn costs_of_a_backbone_are_those_of_all_rows_or_of_none() {
    let with = |backbone: [Option<u64>; 2]| {
        let rows = rows(&[(10, 1, 1), (20, 2, 2)]).into_iter().zip(backbone);
        QueryTable::new(rows.map(|(row, macs)| row.with_backbone(macs.map(Macs))).collect())
    };
    assert!(!with([None, None]).unwrap().has_backbone());
    let table = with([Some(10), Some(3)]).unwrap();
    assert!(table.has_backbone());
    assert_eq!(serde_json::from_str::<QueryTable>(&table.to_json()).unwrap(), table);
    for wrong in [[Some(1), None], [Some(11), Some(1)]] {
        assert!(with(wrong).unwrap_err().to_string().contains("MACs of its backbone"));
    }
}

proptest! {
    #[test]
    fn the_pareto_front_is_minimal_and_complete(numbers in numbers()) {
        let table = QueryTable::new(rows(&numbers)).unwrap();
        prop_assert_eq!(table.rows().len(), numbers.len());
        for row in table.rows() {
            prop_assert_eq!(row.pareto, !table.rows().iter().any(|other| dominates(other, row)), "{:?}", row);
        }
        prop_assert!(table.rows().iter().all(|row| table.pareto().any(|p| p == row || dominates(p, row))));
        prop_assert!(table.rows().is_sorted_by_key(|row| row.macs));
    }

    #[test]
    fn the_chosen_row_is_the_best_within_the_budget(numbers in numbers(), macs in 0_u64..13, ms in 0_u32..14) {
        let table = QueryTable::new(rows(&numbers)).unwrap();
        let latency = Duration::from_millis(u64::from(ms));
        for (budget, threads) in [
            (Budget::Macs(Macs(macs)), None),
            (Budget::Latency(latency), Some(1)),
            (Budget::Latency(latency), Some(4)),
            (Budget::Latency(latency), None),
        ] {
            let fits = |row: &&Row| match budget {
                Budget::Macs(limit) => row.macs <= limit,
                Budget::Latency(_) => row.latency_at(threads.unwrap_or(4)).unwrap().p99_ms <= f64::from(ms),
            };
            let fitting: Vec<_> = table.rows().iter().filter(fits).collect();
            match table.choose(budget, threads) {
                Ok(row) => {
                    prop_assert!(fits(&row));
                    for other in fitting {
                        prop_assert!(other.quality.value <= row.quality.value);
                        prop_assert!(other.quality.value < row.quality.value || other.macs >= row.macs);
                    }
                }
                Err(error) => {
                    prop_assert!(fitting.is_empty());
                    prop_assert!(matches!(error, Error::Budget { .. }), "{error}");
                }
            }
        }
    }

    #[test]
    fn tables_come_back(numbers in numbers()) {
        let table = QueryTable::new(rows(&numbers)).unwrap();
        let text = table.to_json();
        let read = QueryTable::from_json(&text).unwrap();
        prop_assert_eq!(read.to_json(), text);
        prop_assert_eq!(read, table);
    }

    /// A cost that is copied from any output buys its row, and nothing that costs more than what was copied.
    #[test]
    fn a_copied_cost_buys_its_row(
        costs in prop::collection::vec((1_u64..1 << 60, 0_u32..60, 0_u64..=20, 1e-6_f64..1e6), 1..12),
        spaces in any::<bool>(),
    ) {
        let rows = costs.iter().enumerate().map(|(idx, &(macs, shift, correct, p99_ms))| {
            let latency = [2, 1].map(|threads| Latency { threads, p50_ms: 0.0, p99_ms: p99_ms * threads as f64, n: 1 });
            let accuracy = Quality::of_counts(correct, 20).unwrap();
            Row::new(subnet(&format!("1.0-{}", idx + 1)), Macs((macs >> shift).max(1)), accuracy, latency.to_vec())
        });
        let table = QueryTable::new(rows.collect()).unwrap();
        let tight = |text: String| if spaces { text } else { text.replace(' ', "") };
        for row in table.rows() {
            for text in [row.macs.to_string(), format!("{} MACs", row.macs), row.macs.0.to_string()] {
                let budget = tight(text).parse().unwrap();
                let chosen = table.choose(budget, None).unwrap();
                prop_assert!(chosen.quality.value >= row.quality.value, "{budget}");
                prop_assert!(matches!(budget, Budget::Macs(limit) if chosen.macs <= limit), "{budget}");
            }
            for latency in &row.latency {
                for text in [format!("{} ms", InMs(latency.p99())), format!("{}ms", latency.p99_ms)] {
                    let budget = tight(text).parse().unwrap();
                    let chosen = table.choose(budget, Some(latency.threads)).unwrap();
                    prop_assert!(chosen.quality.value >= row.quality.value, "{budget}");
                    let cost = chosen.latency_at(latency.threads).unwrap().p99();
                    prop_assert!(matches!(budget, Budget::Latency(limit) if cost <= limit), "{budget}");
                }
            }
        }
    }

    #[test]
    fn the_hint_of_a_small_budget_is_enough(macs in 1_u64..1 << 60, p99_ms in 1e-6_f64..1e6) {
        let latency = vec![Latency { threads: 1, p50_ms: 0.0, p99_ms, n: 1 }];
        let row = Row::new(subnet("1.0-1"), Macs(macs), Quality::of_counts(1, 2).unwrap(), latency);
        let table = QueryTable::new(vec![row]).unwrap();
        for budget in [Budget::Macs(Macs(0)), Budget::Latency(Duration::ZERO)] {
            let error = table.choose(budget, None).unwrap_err();
            let hint = error.hint().unwrap();
            let hinted = hint.strip_prefix("a budget of ").unwrap().strip_suffix(" is enough for it").unwrap();
            prop_assert!(table.choose(hinted.parse().unwrap(), None).is_ok(), "{hint}");
            let told = error.to_string();
            let cost = told.split("costs ").nth(1).unwrap().split(" (").next().unwrap();
            prop_assert_eq!(cost, hinted);
        }
    }
}

#[test]
fn a_budget_below_the_cheapest_names_it() {
    let table = QueryTable::new(rows(&[(2_000_000, 10, 5), (9_000_000, 20, 3)])).unwrap();
    let error = table.choose(Budget::Macs(Macs(1_000_000)), None).unwrap_err();
    assert_eq!(error.to_string(), "no row fits a budget of 1 M MACs: the cheapest, 1.0-1, costs 2.00 M MACs");
    assert_eq!(error.hint().unwrap(), "a budget of 2.00 M MACs is enough for it");
    let error = table.choose("2ms".parse().unwrap(), Some(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no row fits a budget of 2 ms: the cheapest, 1.0-2, costs 4.000 ms (99th percentile, 1 thread)"
    );
    let error = table.choose("2ms".parse().unwrap(), Some(3)).unwrap_err();
    assert_eq!(error.to_string(), "the table has no latencies for 3 threads, only for 1 and 4");
    assert_eq!(error.hint().unwrap(), "choose 1 or 4 threads");
}

#[test]
fn a_table_without_latencies_knows_macs_only() {
    let mut rows = rows(&[(2, 10, 5), (9, 20, 3)]);
    rows.iter_mut().for_each(|row| row.latency.clear());
    let table = QueryTable::new(rows).unwrap();
    assert_eq!(table.choose(Budget::Macs(Macs(9)), None).unwrap().macs, Macs(9));
    let error = table.choose("1s".parse().unwrap(), None).unwrap_err();
    assert_eq!(error.to_string(), "the table has no latencies");
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let refuses = |change: fn(&mut Vec<Row>), says: &str| {
        let mut rows = rows(&[(2, 10, 5), (9, 20, 3)]);
        change(&mut rows);
        let error = QueryTable::new(rows).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    refuses(|rows| rows.clear(), "1 to 4096 rows, got 0");
    refuses(|rows| rows[0].subnet = rows[1].subnet, "`1.0-2` occurs twice");
    refuses(|rows| rows[0].quality.value = f64::NAN, "the quality must be");
    refuses(|rows| rows[0].quality.n = 0, "the quality must be");
    refuses(|rows| rows[1].latency[0].p99_ms = f64::NAN, "p50 <= p99");
    refuses(|rows| rows[1].latency[0].p50_ms = 100.0, "p50 <= p99");
    refuses(|rows| rows[1].latency.truncate(1), "different thread counts than those of row 1.0-1");
    refuses(|rows| rows.iter_mut().for_each(|row| row.latency[0].threads = 1), "it has two latencies");
}

/// Two sub-networks in f32 and in bf16, which is half as slow and a little worse.
fn in_both_precisions() -> QueryTable {
    let rows = rows(&[(5, 10, 8), (10, 20, 10)]).into_iter().flat_map(|row| {
        let mut half = row.clone().at(Precision::Bf16);
        half.quality = Quality::of_counts(if row.macs.0 == 5 { 10 } else { 19 }, 20).unwrap();
        half.latency.iter_mut().for_each(|time| *time = Latency { p50_ms: 3.0, p99_ms: 4.0, ..*time });
        [half, row]
    });
    QueryTable::new(rows.collect()).unwrap()
}

#[test]
fn budgets_choose_the_precision_too() {
    let table = in_both_precisions();
    let names = |table: &QueryTable| table.rows().iter().map(Row::name).collect::<Vec<_>>();
    assert_eq!(names(&table), ["1.0-1", "1.0-1 bf16", "1.0-2", "1.0-2 bf16"]);
    let chosen = |budget: &str| table.choose(budget.parse().unwrap(), None).unwrap().name();
    // Of equally good rows f32 is the first.
    assert_eq!(
        [chosen("7"), chosen("10"), chosen("5ms"), chosen("12ms")],
        ["1.0-1", "1.0-2", "1.0-2 bf16", "1.0-2"]
    );
    let only = |precision| table.choose_in(&[precision], "10".parse().unwrap(), None).unwrap().name();
    assert_eq!([only(Precision::F32), only(Precision::Bf16)], ["1.0-2", "1.0-2 bf16"]);
    assert!(table.choose_in(&[Precision::F32], "5ms".parse().unwrap(), None).is_err());
    assert_eq!(table.row(table.rows()[0].subnet).unwrap().precision, Precision::F32);
}

#[test]
fn precisions_are_kept_in_files() {
    let table = in_both_precisions();
    let json = table.to_json();
    assert_eq!(json.matches("\"precision\": \"bf16\"").count(), 2);
    assert!(!json.contains("f32"));
    assert_eq!(QueryTable::from_json(&json).unwrap(), table);
    let twice = json.replacen("\"precision\": \"bf16\",", "", 1);
    let error = QueryTable::from_json(&twice).unwrap_err().to_string();
    assert!(error.contains("1.0-1"), "{error}");
}

#[test]
fn a_precision_without_rows_cannot_be_chosen() {
    let table = QueryTable::new(rows(&[(5, 10, 8)])).unwrap();
    let error = table.choose_in(&[Precision::Bf16], "10".parse().unwrap(), None).unwrap_err();
    assert_eq!(error.to_string(), "the table has rows in f32 only");
}
