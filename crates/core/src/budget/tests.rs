//! Budgets: what is read, what is refused, and that printed costs buy what they belong to.

use proptest::prelude::*;

use super::*;

fn macs(text: &str) -> Macs {
    match text.parse() {
        Ok(Budget::Macs(macs)) => macs,
        other => panic!("{text}: {other:?}"),
    }
}

fn time(text: &str) -> Duration {
    match text.parse() {
        Ok(Budget::Latency(time)) => time,
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(text: &str) -> String {
    text.parse::<Budget>().unwrap_err().to_string()
}

#[test]
fn macs_are_read_as_people_write_them() {
    for text in [
        "12.5M",
        "12.5 M",
        "12.5 M MACs",
        "12.5MMACs",
        "12.5 MMACs",
        "12.5 mmacs",
        "12.5MFLOPs",
        "12.5 MFLOPS",
        "12.5 mflops",
        "12.5M FLOPs",
        "12.5 M Mult-Adds",
        "12.5\u{a0}M\u{202f}MACs",
        " 12.5M ",
        "0.0125G",
        "0.0125 B",
        "12500k",
        "12500K",
        "12500000",
        "12500000 MACs",
        "12,500,000",
        "12_500_000",
        "1.25e7",
        "1.25E+7 MACs",
        "125e-1M",
        "12.500M",
        "+12.5M",
        "0.0000125T",
        "12500000.0",
        "012.5M",
    ] {
        assert_eq!(macs(text), Macs(12_500_000), "{text}");
    }
    for (text, number) in [
        ("2.3G", 2_300_000_000),
        ("2.3 GMACs", 2_300_000_000),
        ("4.1B FLOPs", 4_100_000_000),
        ("150g", 150_000_000_000),
        (".5k", 500),
        ("5.k", 5_000),
        ("77", 77),
        ("7.0319999999k", 7_031),
        ("1,000", 1_000),
        ("9999999999999999999", 9_999_999_999_999_999_999),
        ("000000000000000000000000001M", 1_000_000),
        ("0.00000000000000000000000000001e35", 1_000_000),
    ] {
        assert_eq!(macs(text), Macs(number), "{text}");
    }
}

#[test]
fn latencies_are_read_as_people_write_them() {
    for text in [
        "500us",
        "500 us",
        "500µs",
        "500 µs",
        "500μs",
        "500 \u{3bc}s",
        "0.5ms",
        "0.5 ms",
        ".5ms",
        "0.0005s",
        "5e-4 s",
        "500 usec",
        "500 microseconds",
        "500000ns",
    ] {
        assert_eq!(time(text), Duration::from_micros(500), "{text}");
    }
    for text in ["5ms", "5 ms", "0.005s", "0.005 seconds", "5 milliseconds"] {
        assert_eq!(time(text), Duration::from_millis(5), "{text}");
    }
}

#[test]
fn what_is_no_budget_is_told_why() {
    for (text, problem) in [
        ("", "is not a budget"),
        (" ", "is not a budget"),
        ("M", "is not a budget"),
        ("fast", "is not a budget"),
        ("10 Hz", "is not a budget"),
        ("1.2.3M", "is not a budget"),
        ("--3M", "is not a budget"),
        ("5Ms", "is not a budget"),
        ("5 m/s", "is not a budget"),
        ("NaN", "is not a budget"),
        ("NaNms", "is not a budget"),
        ("inf", "is not a budget"),
        ("infms", "is not a budget"),
        ("7_03M", "is not a budget"),
        ("1-2", "is not a budget"),
        ("1e5e5", "is not a budget"),
        ("-3M", "is not above 0"),
        ("-1ms", "is not above 0"),
        ("0", "is not above 0"),
        ("0.0M", "is not above 0"),
        ("0ms", "is not above 0"),
        ("0.0001k", "is below one MAC"),
        ("1e-400000000000M", "is below one MAC"),
        ("1e30G", "is too large for a budget"),
        ("10000000000000000000", "is too large for a budget"),
        ("99999999999999999999999999999999999999999999", "is too large for a budget"),
        ("1e300s", "is too large for a budget"),
        ("150m", "could mean M (MACs) or ms"),
        ("7.03", "has no unit, and is not a whole number of MACs"),
        ("12,5M", "has a comma"),
        ("7,030M", "has a comma"),
        ("70,30", "has a comma"),
        ("0,5ms", "has a comma"),
    ] {
        let told = refused(text);
        assert!(told.contains(problem), "{text}: {told}");
        assert!(
            told.contains("150M, 2.3 GMACs or 7030000") && told.contains("10ms, 800us or 0.5s"),
            "{told}"
        );
    }
}

#[test]
fn a_latency_that_is_macs_is_told_where_it_belongs() {
    assert_eq!(Budget::latency_from_str("10 ms").unwrap(), Budget::Latency(Duration::from_millis(10)));
    for (text, problem) in [
        ("10M", "`10M` is a number of MACs, which `--budget` takes"),
        ("10 MMACs", "`10 MMACs` is a number of MACs, which `--budget` takes"),
        ("10", "`10` has no unit of time"),
        ("fast", "`fast` is not a budget"),
    ] {
        let told = Budget::latency_from_str(text).unwrap_err().to_string();
        assert!(told.starts_with(problem), "{told}");
    }
}

#[test]
fn costs_are_rounded_up_and_budgets_are_exact() {
    for (cost, shown, budget) in [
        (7, "7", "7 MACs"),
        (999, "999", "999 MACs"),
        (1_000, "1.00 k", "1 k MACs"),
        (5_400, "5.40 k", "5.4 k MACs"),
        (41_000_000, "41.0 M", "41 M MACs"),
        (568_740_352, "569 M", "568.740352 M MACs"),
        (7_031_296, "7.04 M", "7.031296 M MACs"),
        (9_990_001, "10.0 M", "9.990001 M MACs"),
        (999_000_001, "1.00 G", "999.000001 M MACs"),
        (4_089_284_608, "4.09 G", "4.089284608 G MACs"),
        (1_234_567_890_123, "1.24 T", "1.234567890123 T MACs"),
    ] {
        assert_eq!(Macs(cost).to_string(), shown);
        assert_eq!(Budget::Macs(Macs(cost)).to_string(), budget);
    }
    assert_eq!(format!("[{:>7}]", Macs(5_400)), "[ 5.40 k]");
    for (nanoseconds, shown, budget) in
        [(100_432, "0.101", "0.100432 ms"), (100_000, "0.100", "0.1 ms"), (12_000_000, "12.000", "12 ms")]
    {
        let time = Duration::from_nanos(nanoseconds);
        assert_eq!(
            (InMs(time).to_string().as_str(), Budget::Latency(time).to_string().as_str()),
            (shown, budget)
        );
    }
}

proptest! {
    #[test]
    fn a_printed_cost_is_enough_and_not_much_more(bits in 0_u32..60, low in any::<u64>()) {
        let cost = Macs((1 << bits) | (low & ((1 << bits) - 1)));
        for text in [cost.to_string(), format!("{cost} MACs"), cost.to_string().replace(' ', "")] {
            let bought = macs(&text);
            prop_assert!(cost <= bought && bought.as_f64() < cost.as_f64() * 1.0101, "{cost:?} {text}");
            prop_assert_eq!(bought, cost.rounded_up());
        }
        prop_assert_eq!(macs(&Budget::Macs(cost).to_string()), cost);
        prop_assert_eq!(macs(&cost.0.to_string()), cost);
    }

    #[test]
    fn a_printed_time_is_enough_and_not_much_more(ms in 1e-6_f64..1e9) {
        let cost = duration_of_ms(ms);
        let bought = time(&format!("{} ms", InMs(cost)));
        prop_assert!(cost <= bought && bought < cost + Duration::from_micros(1), "{cost:?} {bought:?}");
        prop_assert_eq!(time(&Budget::Latency(cost).to_string()), cost);
        // As JSON has it, to the last bit.
        prop_assert_eq!(time(&format!("{ms}ms")), cost);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+0-9.,_eE]{0,12}[ kKmMgGtTbBsuµμnacflop\u{a0}é]{0,8}") {
        if let Ok(budget) = text.parse::<Budget>() {
            prop_assert_eq!(budget.to_string().parse::<Budget>().unwrap(), budget);
        }
    }
}
