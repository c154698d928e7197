//! `bench train processes`: one process on all cores against one process per core, which share every batch.
//!
//! The processes are those of `mutualnet train`, with the loader and everything else, so that what is timed is a run.
//! Invariant: both take the same steps on the same images, with the same number of threads in all.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Report;
use super::interleave::{Spread, spread};
use crate::{process, product};

/// Steps of a run, and how many of them come before those that count.
const N_STEPS: usize = 15;
const N_WARM_UP: usize = 3;
const N_ROUNDS: usize = 7;
const BATCH: usize = 16;
const RECIPE: &str = r#"
seed = 1

[network]
name = "mobilenet_v1"
widths = [0.25, 1.0]
resolutions = [224, 192, 160, 128]

[data]
path = "data"

[train]
lr = 0.01
batch = 16
"#;

/// Makes images, trains on them in turn, and compares the time of steps.
pub(super) fn run(root: &Path) -> Result<Report> {
    let n = available_parallelism()?.get();
    ensure!(n > 1, "one process per core is the same as one process on all cores: there is only one core");
    ensure!(BATCH.is_multiple_of(n), "a batch of {BATCH} cannot be shared among {n} processes");
    let binary = product::build(root)?;
    let dir = std::env::temp_dir().join(format!("mutualnet-processes-{}", std::process::id()));
    let place = Place { binary, dir };
    place.prepare()?;
    let times = (0..N_ROUNDS).map(|round| {
        eprintln!("round {} of {N_ROUNDS}", round + 1);
        Ok([place.train(1, n)?, place.train(n, 1)?])
    });
    let times = times.collect::<Result<Vec<_>>>();
    fs::remove_dir_all(&place.dir)?;
    Ok(report(&times?, n, &super::processor()))
}

struct Place {
    binary: PathBuf,
    /// Where images and runs are.
    dir: PathBuf,
}

impl Place {
    fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        fs::write(self.dir.join("recipe.toml"), RECIPE)?;
        // As many batches as steps are timed, in an epoch.
        let images = (N_STEPS * BATCH).to_string();
        let make = ["data", "make", "shapes", "data", "--side", "224", "--train", &images, "--test", "12"];
        process::run_quietly(process::command(&self.binary, &self.dir).args(make))
    }

    /// Seconds that a run with so many processes takes for the steps that count.
    fn train(&self, processes: usize, threads: usize) -> Result<f64> {
        let run = self.dir.join("run");
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let start = |rank: usize| {
            let mut command: Command = process::command(&self.binary, &self.dir);
            command.args(["train", "recipe.toml", "--out", "run", "train.epochs=1"]);
            command.arg(format!("train.threads={threads}")).arg(format!("data.workers={threads}"));
            command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port.as_str())]);
            command.env("RANK", rank.to_string()).env("WORLD_SIZE", processes.to_string());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start mutualnet")
        };
        let started = (0..processes).map(start).collect::<Result<Vec<_>>>()?;
        for mut process in started {
            let status = process.wait()?;
            if !status.success() {
                bail!("`mutualnet train` with {processes} processes ended with {status}");
            }
        }
        seconds(&fs::read_to_string(run.join("events.jsonl"))?)
    }
}

/// Seconds of the steps that count, from the events of a run.
fn seconds(events: &str) -> Result<f64> {
    let events = events.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let speeds: Vec<f64> = events.iter().filter_map(|event| event["images_per_s"].as_f64()).collect();
    ensure!(speeds.len() == N_STEPS, "a run took {} steps instead of {N_STEPS}", speeds.len());
    Ok(speeds[N_WARM_UP..].iter().map(|speed| BATCH as f64 / speed).sum())
}

/// `times` has one pair per round: one process, and one per core.
fn report(times: &[[f64; 2]], n: usize, processor: &str) -> Report {
    let of = |which: usize| spread(&times.iter().map(|pair| pair[which]).collect::<Vec<_>>());
    let [one, several]: [Spread; 2] = [of(0), of(1)];
    let speed = spread(&times.iter().map(|[one, several]| one / several).collect::<Vec<_>>()).median;
    let n_timed = N_STEPS - N_WARM_UP;
    let mut table = format!(
        "{n_timed} mutual steps of mobilenet_v1, batch {BATCH}, 224/192/160/128 px, fp32, widths 0.25 to 1\n\
         {processor}, {n} threads in all, {N_ROUNDS} interleaved rounds\n\n\
         processes          threads each   median s   quartiles          time / one process\n"
    );
    table += &one.row("1", &n.to_string(), 1.0);
    table += &several.row(&n.to_string(), "1", several.median / one.median);
    table += &format!("\n{n} processes make {speed:.2} × as many images per second, median of rounds\n");
    let json = json!({
        "speed": speed,
        "seconds": { "one process": one.json(), "several processes": several.json() },
        "conditions": {
            "network": "mobilenet_v1", "batch": BATCH, "steps": n_timed, "processes": n, "rounds": N_ROUNDS,
            "processor": processor, "libtorch": crate::setup::VERSION,
        },
    });
    Report { table, json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_after_the_first_ones_count() {
        let step = |speed| format!("{{\"event\":\"step\",\"images_per_s\":{speed}}}\n");
        let events = format!("{{\"event\":\"start\"}}\n{}{}", step(1).repeat(N_WARM_UP), step(32).repeat(12));
        assert_eq!(seconds(&events).unwrap(), 6.0);
        assert!(seconds(&step(32)).is_err());
    }

    #[test]
    fn the_speed_is_the_median_of_rounds() {
        let report = report(&[[2.0, 1.0], [3.0, 2.0], [4.0, 4.0]], 2, "x");
        assert_eq!(report.json["speed"], json!(1.5));
        assert!(report.table.contains("2 processes make 1.50 ×"), "{}", report.table);
    }
}
