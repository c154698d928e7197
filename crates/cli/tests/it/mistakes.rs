//! What is typed wrongly gets one clear sentence and exit code 1.

use insta::assert_snapshot;

use crate::program::Program;

#[test]
fn help_lists_the_commands() {
    assert!(Program::new().told(&["--help"]).starts_with("exit 0"));
    let told = Program::new().told(&[]);
    assert!(told.starts_with("exit 1") && told.contains("Usage: mutualnet"), "{told}");
}

#[test]
fn unknown_networks_are_answered_with_the_nearest() {
    let told = Program::new().told(&["inspect", "network", "mobilenetv2"]);
    let known = mutualnet_zoo::names().collect::<Vec<_>>().join(", ");
    assert_snapshot!(told.replace(&known, "[all of them]"), @r#"
    exit 1
    -- stdout
    -- stderr
    error: unknown network `mobilenetv2`
    hint: did you mean `mobilenet_v2`? known networks: [all of them], and wide ResNets of any depth 6n + 4 and widening
    "#);
}

#[test]
fn budgets_that_are_none() {
    assert_snapshot!(Program::new().told(&["table", "x.mnb", "--budget", "fast"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: invalid value 'fast' for '--budget <BUDGET>': `fast` is not a budget; write MACs as 150M, 2.3 GMACs or 7030000, a latency as 10ms, 800us or 0.5s

    For more information, try '--help'.
    "#);
    assert_snapshot!(Program::new().told(&["table", "x.mnb", "--latency", "10M"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: invalid value '10M' for '--latency <LATENCY>': `10M` is a number of MACs, which `--budget` takes; write a latency as 10ms, 800us or 0.5s

    For more information, try '--help'.
    "#);
    for budget in ["-3M", "0", "NaN", "inf", "", "150m", "7.03"] {
        let told = Program::new().told(&["table", "x.mnb", "--budget", budget]);
        assert!(told.starts_with("exit 1") && told.contains("write MACs as 150M"), "{budget}: {told}");
    }
}

#[test]
fn widths_and_resolutions_that_are_none() {
    assert_snapshot!(Program::new().told(&["inspect", "network", "mobilenet_v2", "--width", "0"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: invalid value '0' for '--width <WIDTH>': width 0 is out of range (above 0, at most 8)

    For more information, try '--help'.
    "#);
    assert_snapshot!(Program::new().told(&["predict", "x.mnb", "x.jpg", "--width", "0.5"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: the following required arguments were not provided:
      --resolution <RESOLUTION>

    Usage: mutualnet predict --width <WIDTH> --resolution <RESOLUTION> <BUNDLE> <IMAGES>...

    For more information, try '--help'.
    "#);
}
