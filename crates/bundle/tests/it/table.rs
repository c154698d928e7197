//! The query table against its definitions, by brute force.

use std::time::Duration;

use mutualnet_bundle::{Accuracy, Error, Latency, QueryTable, Row};
use mutualnet_core::{Budget, Macs};
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
        let accuracy = Accuracy::new(correct, 20).unwrap();
        Row::new(subnet(&format!("1.0-{}", idx + 1)), Macs(macs), accuracy, latency.to_vec())
    };
    numbers.iter().enumerate().map(row).collect()
}

fn dominates(a: &Row, b: &Row) -> bool {
    let (better, cheaper) = (a.accuracy.value - b.accuracy.value, b.macs.0 as f64 - a.macs.0 as f64);
    better >= 0.0 && cheaper >= 0.0 && (better > 0.0 || cheaper > 0.0)
}

fn numbers() -> impl Strategy<Value = Vec<(u64, u64, u32)>> {
    prop::collection::vec((0_u64..12, 0_u64..=20, 1_u32..12), 1..24)
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
                        prop_assert!(other.accuracy.value <= row.accuracy.value);
                        prop_assert!(other.accuracy.value < row.accuracy.value || other.macs >= row.macs);
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

    #[test]
    fn the_hint_of_a_small_budget_is_enough(macs in 1_u64..1 << 50, p99_ms in 1e-6_f64..1e6) {
        let latency = vec![Latency { threads: 1, p50_ms: 0.0, p99_ms, n: 1 }];
        let row = Row::new(subnet("1.0-1"), Macs(macs), Accuracy::new(1, 2).unwrap(), latency);
        let table = QueryTable::new(vec![row]).unwrap();
        for budget in [Budget::Macs(Macs(0)), Budget::Latency(Duration::ZERO)] {
            let hint = table.choose(budget, None).unwrap_err().hint().unwrap();
            let enough = hint.split(' ').nth(3).unwrap().parse().unwrap();
            prop_assert!(table.choose(enough, None).is_ok(), "{hint}");
        }
    }
}

#[test]
fn a_budget_below_the_cheapest_names_it() {
    let table = QueryTable::new(rows(&[(2_000_000, 10, 5), (9_000_000, 20, 3)])).unwrap();
    let error = table.choose(Budget::Macs(Macs(1_000_000)), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no row fits a budget of 1.00 M MACs: the cheapest, 1.0-1, costs 2.00 M MACs"
    );
    assert_eq!(error.hint().unwrap(), "a budget of 2000000 MACs is enough for it");
    let error = table.choose("2ms".parse().unwrap(), Some(1)).unwrap_err();
    assert_eq!(error.to_string(), "no row fits a budget of 2.000 ms: the cheapest, 1.0-2, costs 4.000 ms");
    let error = table.choose("2ms".parse().unwrap(), Some(3)).unwrap_err();
    assert_eq!(error.to_string(), "the table has no latencies at 3 threads (it has: 1, 4)");
    assert_eq!(error.hint().unwrap(), "use 1, 4 threads");
}

#[test]
fn a_table_without_latencies_knows_macs_only() {
    let mut rows = rows(&[(2, 10, 5), (9, 20, 3)]);
    rows.iter_mut().for_each(|row| row.latency.clear());
    let table = QueryTable::new(rows).unwrap();
    assert_eq!(table.choose(Budget::Macs(Macs(9)), None).unwrap().macs, Macs(9));
    let error = table.choose("1s".parse().unwrap(), None).unwrap_err();
    assert_eq!(error.to_string(), "the table has no latencies at any thread count (it has: none)");
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let refuses = |change: fn(&mut Vec<Row>), says: &str| {
        let mut rows = rows(&[(2, 10, 5), (9, 20, 3)]);
        change(&mut rows);
        let error = QueryTable::new(rows).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    refuses(|rows| rows.clear(), "from 1 to 4096 rows, got 0");
    refuses(|rows| rows[0].subnet = rows[1].subnet, "`1.0-2` occurs twice");
    refuses(|rows| rows[0].accuracy.value = f64::NAN, "accuracy must be");
    refuses(|rows| rows[0].accuracy.n = 0, "accuracy must be");
    refuses(|rows| rows[1].latency[0].p99_ms = f64::NAN, "p50 <= p99");
    refuses(|rows| rows[1].latency[0].p50_ms = 100.0, "p50 <= p99");
    refuses(|rows| rows[1].latency.truncate(1), "other thread counts than row 1.0-1");
    refuses(|rows| rows.iter_mut().for_each(|row| row.latency[0].threads = 1), "two latencies");
}
