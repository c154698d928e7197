//! Our program beside one other: what both take for several kinds of work, and how that is reported.
//!
//! Separate because every comparison of training steps with a single peer reads the same.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::Report;
use super::interleave::{self, Program, Spread};
use super::peers;
use super::train::{MALLOC_CONF, peer};

/// The two programs, ours first.
pub(super) type Programs = [Program; 2];

/// What both programs took for one kind of work.
pub(super) struct Comparison {
    what: &'static str,
    ours: Spread,
    theirs: Spread,
    /// How many times as long the other program took, median over rounds.
    ratio: f64,
}

/// What was compared, for a report.
pub(super) struct Setting {
    /// The first lines: the work and its conditions.
    pub(super) head: String,
    /// What [`Comparison`]s tell apart: `step` or `network`.
    pub(super) column: &'static str,
    pub(super) peer: &'static str,
    pub(super) rounds: usize,
    pub(super) threads: usize,
    /// Conditions that this comparison alone has.
    pub(super) conditions: Value,
}

/// Starts `mutualnet bench train` with the arguments `ours`, and a script of `bench/peers` with `theirs` after the number of
/// threads. The script gets the allocator that makes PyTorch fastest.
pub(super) fn start(
    root: &Path,
    (mutualnet, ours): (&Path, &[&str]),
    (name, python, script, theirs): (&'static str, &Path, &str, &[&str]),
    n_threads: usize,
) -> Result<Programs> {
    let (threads, jemalloc) = (n_threads.to_string(), peers::jemalloc()?);
    let mut own = Command::new(mutualnet);
    own.args(["bench", "train", "--lockstep", "--threads", &threads]).args(ours);
    let mut other = peer(python, &root.join("bench/peers").join(script), &threads);
    other.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF).arg(&threads).args(theirs);
    Ok([Program::start("ours", &mut own)?, Program::start(name, &mut other)?])
}

impl Comparison {
    /// Sends the same requests to both programs in turn; those of the warm-up do not count.
    pub(super) fn run(
        what: &'static str,
        programs: &mut Programs,
        requests: &[String],
        n_warm_up: usize,
    ) -> Result<Self> {
        programs.iter_mut().for_each(Program::forget);
        interleave::run(programs, requests, n_warm_up)?;
        let [ours, theirs] = &*programs;
        Ok(Self { what, ours: ours.spread(), theirs: theirs.spread(), ratio: theirs.times(ours) })
    }
}

/// The table of all comparisons, and the same as JSON.
pub(super) fn report(setting: Setting, comparisons: &[Comparison], processor: &str) -> Report {
    let Setting { head, column, peer, rounds, threads, mut conditions } = setting;
    let plural = if threads == 1 { "" } else { "s" };
    let mut table = format!(
        "{head}\n{processor}, {threads} thread{plural}, {rounds} interleaved rounds\n\n\
         {column:<34} {:<14} median s   quartiles          time / ours\n",
        "program"
    );
    let (mut ratios, mut seconds) = (json!({}), json!({}));
    for Comparison { what, ours, theirs, ratio } in comparisons {
        for (name, spread, times) in [("ours", ours, 1.0), (peer, theirs, *ratio)] {
            table += &spread.row(&format!("{what:<34}"), name, times);
        }
        ratios[*what] = json!(ratio);
        seconds[*what] = json!({ "ours": ours.json(), peer: theirs.json() });
    }
    conditions["peer"] = json!(peer);
    conditions["rounds"] = json!(rounds);
    conditions["threads"] = json!(threads);
    conditions["processor"] = json!(processor);
    conditions["libtorch"] = json!(crate::setup::VERSION);
    conditions["precision"] = json!("fp32");
    Report { table, json: json!({ "ratios": ratios, "seconds": seconds, "conditions": conditions }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_has_its_ratio() {
        let spread = |median| Spread { low: median, median, high: median };
        let of = |what, ratio| Comparison { what, ours: spread(1.0), theirs: spread(ratio), ratio };
        let setting = Setting {
            head: "Steps".to_owned(),
            column: "step",
            peer: "torchvision",
            rounds: 20,
            threads: 1,
            conditions: json!({ "batch": 16 }),
        };
        let report = report(setting, &[of("plain", 1.25), of("mutual", 1.5)], "x");
        assert_eq!(report.json["ratios"], json!({ "plain": 1.25, "mutual": 1.5 }));
        assert_eq!(report.json["seconds"]["mutual"]["torchvision"]["median"], json!(1.5));
        assert_eq!(report.json["conditions"]["batch"], json!(16));
        assert!(
            report.table.starts_with("Steps\nx, 1 thread, 20 interleaved rounds\n\n"),
            "{}",
            report.table
        );
        let line =
            report.table.lines().find(|line| line.starts_with("plain") && line.contains("torchvision"));
        assert!(line.unwrap().ends_with("1.25"), "{}", report.table);
    }
}
