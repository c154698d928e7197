//! `bench train`: one mutual step of MobileNetV1 by us, by the authors' code and by a tuned PyTorch program.
//!
//! Invariant: all three have the same batch, resolutions, threads and sub-networks.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;

use super::interleave::{self, Program, Spread};
use super::{Report, peers};
use crate::product;

const BATCH: usize = 16;
const RESOLUTIONS: [u32; 4] = [224, 192, 160, 128];
const N_WARM_UP: usize = 3;
const N_ROUNDS: usize = 20;

/// jemalloc keeps freed memory and uses huge pages; our binary has the same setting built in.
pub(super) const MALLOC_CONF: &str = "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always";

/// Prepares all three, runs them in turn and compares the medians.
pub(super) fn run(root: &Path) -> Result<Report> {
    let n_threads = available_parallelism()?.get();
    let mut programs = start_all(root, n_threads)?;
    interleave::run(&mut programs, &requests(N_WARM_UP + N_ROUNDS, RESOLUTIONS), N_WARM_UP)?;
    let spreads: Vec<(&str, Spread)> = programs.iter().map(|p| (p.name, p.spread())).collect();
    Ok(report(&spreads, n_threads, &super::processor()))
}

fn start_all(root: &Path, n_threads: usize) -> Result<Vec<Program>> {
    let (python, authors, jemalloc) = (peers::python()?, peers::authors_code()?, peers::jemalloc()?);
    let mutualnet = product::build(root)?;
    let (threads, batch) = (n_threads.to_string(), BATCH.to_string());
    let scripts = root.join("bench/peers");
    let peer = |script: &str| peer(&python, &scripts.join(script), &threads);
    let mut ours = Command::new(mutualnet);
    ours.args(["bench", "train", "--network", "mobilenet_v1", "--lockstep"]);
    ours.args(["--batch", &batch, "--threads", &threads]);
    let mut tuned = peer("tuned_step.py");
    tuned.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
    Ok(vec![
        Program::start("ours", &mut ours)?,
        Program::start("authors", peer("authors_step.py").arg(authors).args([&threads, &batch]))?,
        Program::start("tuned_pytorch", tuned.args([&threads, &batch]))?,
    ])
}

/// A Python program that writes nothing into the tree and computes on that many threads.
pub(super) fn peer(python: &Path, script: &Path, threads: &str) -> Command {
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", threads).arg(script);
    command
}

/// One line per round with the students as `width-resolution`, widest first; always the same sequence.
pub(super) fn requests(n: usize, resolutions: [u32; 4]) -> Vec<String> {
    let mut state = 1_u64;
    let mut draw = |n_values: u64| {
        // Constants of the MMIX linear congruential generator, whose high bits are the most random.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n_values
    };
    let mut line = |_| {
        let mut thousandths = [250 + draw(751), 250 + draw(751), 250];
        thousandths.sort_unstable_by(|a, b| b.cmp(a));
        let student = |width| format!(" {}-{}", width as f64 / 1000.0, resolutions[draw(4) as usize]);
        format!("step{}", thousandths.map(student).concat())
    };
    (0..n).map(&mut line).collect()
}

fn report(spreads: &[(&str, Spread)], n_threads: usize, processor: &str) -> Report {
    let ours = spreads.iter().find(|(name, _)| *name == "ours").map_or(f64::NAN, |(_, s)| s.median);
    let mut table = format!(
        "One mutual step of MobileNetV1, batch {BATCH}, 224/192/160/128, fp32, widths 0.25 to 1\n\
         {processor}, {n_threads} threads, {N_ROUNDS} interleaved rounds\n\n\
         program          median s   quartiles          time / ours\n"
    );
    let mut ratios = json!({});
    let mut seconds = json!({});
    for (name, spread) in spreads {
        let ratio = spread.median / ours;
        writeln!(
            table,
            "{name:<16} {:8.3}   {:.3} to {:.3} {ratio:13.2}",
            spread.median, spread.low, spread.high
        )
        .expect("writing to a string cannot fail");
        seconds[*name] = spread.json();
        if *name != "ours" {
            ratios[*name] = json!(ratio);
        }
    }
    let conditions = json!({
        "batch": BATCH, "rounds": N_ROUNDS, "threads": n_threads, "processor": processor,
        "libtorch": crate::setup::VERSION, "resolutions": RESOLUTIONS, "precision": "fp32",
    });
    let json = json!({
        "ratios": { "mobilenet_v1": ratios }, "seconds": { "mobilenet_v1": seconds }, "conditions": conditions,
    });
    Report { table, json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_in_range_and_repeat() {
        assert_eq!(requests(50, RESOLUTIONS), requests(50, RESOLUTIONS));
        for request in requests(50, RESOLUTIONS) {
            let students = request.strip_prefix("step ").unwrap().split(' ');
            let students: Vec<_> = students.map(|student| student.split_once('-').unwrap()).collect();
            let widths: Vec<f64> = students.iter().map(|(width, _)| width.parse().unwrap()).collect();
            assert!(widths[0] <= 1.0 && widths.is_sorted_by(|a, b| a >= b), "{request}");
            assert!(widths.len() == 3 && widths[2] == 0.25, "{request}");
            assert!(students.iter().all(|(_, r)| RESOLUTIONS.contains(&r.parse().unwrap())), "{request}");
        }
    }

    #[test]
    fn a_ratio_above_one_means_that_we_are_faster() {
        let spread = |median| Spread { low: median, median, high: median };
        let report = report(&[("ours", spread(1.0)), ("authors", spread(2.0))], 2, "x");
        assert_eq!(report.json["ratios"], json!({ "mobilenet_v1": { "authors": 2.0 } }));
        assert!(report.table.contains("authors"));
    }
}
