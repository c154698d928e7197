//! `bench train`: one mutual step by us, by the authors' code and by a tuned PyTorch program: how long it takes, and how much
//! memory.
//!
//! Invariant: all have the same batch, resolutions, threads and sub-networks.

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

/// A network at the widths of the authors' settings for it.
struct Case {
    network: &'static str,
    smallest: f64,
    /// Whether the tuned program has it.
    is_tuned: bool,
}

const CASES: [Case; 2] = [
    Case { network: "mobilenet_v1", smallest: 0.25, is_tuned: true },
    Case { network: "resnet50", smallest: 0.9, is_tuned: false },
];

/// What a program took for one network.
struct Measured {
    network: &'static str,
    program: &'static str,
    spread: Spread,
    /// How many times as long as ours it took, median over rounds.
    times: f64,
    peak_memory: Option<u64>,
}

/// Prepares all programs, runs them in turn and compares them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let n_threads = available_parallelism()?.get();
    let mutualnet = product::build(root)?;
    let mut measured = Vec::new();
    for case in &CASES {
        let mut programs = start_all((root, &mutualnet), case, n_threads)?;
        let requests = requests(N_WARM_UP + N_ROUNDS, RESOLUTIONS, case.smallest);
        interleave::run(&mut programs, &requests, N_WARM_UP)?;
        measured.extend(programs.iter().map(|program| Measured {
            network: case.network,
            program: program.name,
            spread: program.spread(),
            times: program.times(&programs[0]),
            peak_memory: program.peak_memory(),
        }));
    }
    Ok(report(&measured, n_threads, &super::processor()))
}

/// Ours is the first.
fn start_all((root, mutualnet): (&Path, &Path), case: &Case, n_threads: usize) -> Result<Vec<Program>> {
    let (python, authors, jemalloc) = (peers::python()?, peers::authors_code()?, peers::jemalloc()?);
    let (threads, batch) = (n_threads.to_string(), BATCH.to_string());
    let scripts = root.join("bench/peers");
    let peer = |script: &str| peer(&python, &scripts.join(script), &threads);
    let mut ours = Command::new(mutualnet);
    ours.args(["bench", "train", "--network", case.network, "--smallest", &case.smallest.to_string()]);
    ours.args(["--lockstep", "--batch", &batch, "--threads", &threads]);
    let mut theirs = peer("authors_step.py");
    theirs.arg(authors).args([case.network, &threads, &batch]);
    let mut programs = vec![Program::start("ours", &mut ours)?, Program::start("authors", &mut theirs)?];
    if case.is_tuned {
        let mut tuned = peer("tuned_step.py");
        tuned.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
        programs.push(Program::start("tuned_pytorch", tuned.args([&threads, &batch]))?);
    }
    Ok(programs)
}

/// A Python program that writes nothing into the tree and computes on that many threads.
pub(super) fn peer(python: &Path, script: &Path, threads: &str) -> Command {
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", threads).arg(script);
    command
}

/// One line per round with the students as `width-resolution`, widest first; always the same sequence. The last student has
/// the `smallest` width.
pub(super) fn requests(n: usize, resolutions: [u32; 4], smallest: f64) -> Vec<String> {
    let mut state = 1_u64;
    let mut draw = |n_values: u64| {
        // Constants of the MMIX linear congruential generator, whose high bits are the most random.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n_values
    };
    let smallest = (smallest * 1000.0).round() as u64;
    let mut line = |_| {
        let mut draw_width = || smallest + draw(1001 - smallest);
        let mut thousandths = [draw_width(), draw_width(), smallest];
        thousandths.sort_unstable_by(|a, b| b.cmp(a));
        let student = |width| format!(" {}-{}", width as f64 / 1000.0, resolutions[draw(4) as usize]);
        format!("step{}", thousandths.map(student).concat())
    };
    (0..n).map(&mut line).collect()
}

fn report(measured: &[Measured], n_threads: usize, processor: &str) -> Report {
    let mut table = format!(
        "One mutual step, batch {BATCH}, 224/192/160/128, fp32, widths {}\n\
         {processor}, {n_threads} threads, {N_ROUNDS} interleaved rounds\n\n\
         network            program        median s   quartiles          time / ours   peak MB  ours / its\n",
        CASES.map(|case| format!("{} to 1 ({})", case.smallest, case.network)).join(", ")
    );
    let mut json = json!({ "conditions": {
        "batch": BATCH, "rounds": N_ROUNDS, "threads": n_threads, "processor": processor,
        "libtorch": crate::setup::VERSION, "resolutions": RESOLUTIONS, "precision": "fp32",
    } });
    let mut ours = None;
    for Measured { network, program, spread, times, peak_memory } in measured {
        table += spread.row(network, program, *times).trim_end();
        if *program == "ours" {
            ours = *peak_memory;
        } else {
            json["ratios"][*network][*program] = json!(times);
        }
        json["seconds"][*network][*program] = spread.json();
        json["peak_memory_bytes"][*network][*program] = json!(peak_memory);
        if let (Some(ours), Some(its)) = (ours, *peak_memory) {
            let share = ours as f64 / its as f64;
            write!(table, "{:10.0} {share:11.2}", its as f64 / 1e6).expect("writing to a string cannot fail");
        }
        table.push('\n');
    }
    Report { table, json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_in_range_and_repeat() {
        assert_eq!(requests(50, RESOLUTIONS, 0.25), requests(50, RESOLUTIONS, 0.25));
        for request in requests(50, RESOLUTIONS, 0.25) {
            let students = request.strip_prefix("step ").unwrap().split(' ');
            let students: Vec<_> = students.map(|student| student.split_once('-').unwrap()).collect();
            let widths: Vec<f64> = students.iter().map(|(width, _)| width.parse().unwrap()).collect();
            assert!(widths[0] <= 1.0 && widths.is_sorted_by(|a, b| a >= b), "{request}");
            assert!(widths.len() == 3 && widths[2] == 0.25, "{request}");
            assert!(students.iter().all(|(_, r)| RESOLUTIONS.contains(&r.parse().unwrap())), "{request}");
        }
    }

    #[test]
    fn ratios_compare_programs_with_ours() {
        let measured = |program, median, peak| Measured {
            network: "mobilenet_v1",
            program,
            spread: Spread { low: median, median, high: median },
            times: median,
            peak_memory: Some(peak),
        };
        let measured = [measured("ours", 1.0, 500_000_000), measured("authors", 2.0, 1_000_000_000)];
        let report = report(&measured, 2, "x");
        assert_eq!(report.json["ratios"], json!({ "mobilenet_v1": { "authors": 2.0 } }));
        assert!(report.table.trim_end().ends_with("2.00      1000        0.50"), "{}", report.table);
    }
}
