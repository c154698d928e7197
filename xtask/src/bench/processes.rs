//! `bench train processes`: one process on all cores against one process per core, which share every batch, and against one
//! that writes a checkpoint after every step.
//!
//! The processes are those of `mutualnet train`, with the loader and everything else, so that what is timed is a run.
//! Invariant: all take the same steps on the same images, with the same number of threads in all.

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
        let [one, several] = [place.train(1, n, &[])?, place.train(n, 1, &[])?];
        Ok([one, several, place.train(1, n, &["train.checkpoint_steps=1"])?])
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

    /// Trains with so many processes, and with further keys of the recipe.
    fn train(&self, processes: usize, threads: usize, keys: &[&str]) -> Result<Timed> {
        let run = self.dir.join("run");
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let start = |rank: usize| {
            let mut command: Command = process::command(&self.binary, &self.dir);
            command.args(["train", "recipe.toml", "--out", "run", "train.epochs=1"]).args(keys);
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
        Timed::of(&fs::read_to_string(run.join("events.jsonl"))?)
    }
}

/// Seconds of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Timed {
    /// Of all steps that count.
    steps: f64,
    /// That training waited for a checkpoint between two of them, the median.
    waited: f64,
}

impl Timed {
    /// From the events of a run.
    fn of(events: &str) -> Result<Self> {
        let events = events.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        let all = |key: &str| events.iter().filter_map(|event| event[key].as_f64()).collect::<Vec<_>>();
        let (speeds, mut waited) = (all("images_per_s"), all("waited_s"));
        ensure!(speeds.len() == N_STEPS, "a run took {} steps instead of {N_STEPS}", speeds.len());
        // The last one is waited for to its end.
        ensure!(waited.pop().is_some(), "a run saved no checkpoint");
        let steps = speeds[N_WARM_UP..].iter().map(|speed| BATCH as f64 / speed).sum();
        Ok(Self { steps, waited: if waited.is_empty() { 0.0 } else { spread(&waited).median } })
    }
}

/// `times` has for every round: one process, one per core, and one process with a checkpoint after every step.
fn report(times: &[[Timed; 3]], n: usize, processor: &str) -> Report {
    let of = |number: &dyn Fn(&[Timed; 3]) -> f64| spread(&times.iter().map(number).collect::<Vec<_>>());
    let [one, several, saving]: [Spread; 3] = [0, 1, 2].map(|which| of(&|round| round[which].steps));
    let speed = of(&|[one, several, _]| one.steps / several.steps).median;
    let n_timed = N_STEPS - N_WARM_UP;
    let waited = of(&|[.., saving]| saving.waited).median;
    let share = of(&|[.., saving]| saving.waited / (saving.steps / n_timed as f64)).median;
    let slower = of(&|[one, _, saving]| saving.steps / one.steps).median;
    let mut table = format!(
        "{n_timed} mutual steps of mobilenet_v1, batch {BATCH}, 224/192/160/128 px, fp32, widths 0.25 to 1\n\
         {processor}, {n} threads in all, {N_ROUNDS} interleaved rounds\n\n\
         processes          threads each   median s   quartiles          time / one process\n"
    );
    table += &one.row("1", &n.to_string(), 1.0);
    table += &several.row(&n.to_string(), "1", several.median / one.median);
    table += &format!("\n{n} processes make {speed:.2} × as many images per second, median of rounds\n");
    table += &format!(
        "with a checkpoint after every step, a step waits {:.1} ms for it, {:.1} % of its time, and takes {slower:.2} × as long\n",
        1e3 * waited,
        100.0 * share,
    );
    let json = json!({
        "speed": speed,
        "seconds": {
            "one process": one.json(), "several processes": several.json(), "checkpoints": saving.json(),
        },
        "checkpoint": { "waited_s": waited, "share_of_step": share, "time_of_step": slower },
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
        let saved = |seconds| format!("{{\"event\":\"checkpoint\",\"waited_s\":{seconds}}}\n");
        let steps = format!("{{\"event\":\"start\"}}\n{}{}", step(1).repeat(N_WARM_UP), step(32).repeat(12));
        let once = Timed::of(&(steps.clone() + &saved(9))).unwrap();
        assert_eq!(once, Timed { steps: 6.0, waited: 0.0 });
        assert_eq!(Timed::of(&(steps.clone() + &saved(2).repeat(3) + &saved(9))).unwrap().waited, 2.0);
        assert!(Timed::of(&step(32)).is_err() && Timed::of(&steps).is_err());
    }

    #[test]
    fn the_speed_is_the_median_of_rounds() {
        let timed = |[one, several]: [f64; 2]| [one, several, one].map(|steps| Timed { steps, waited: 0.01 });
        let report = report(&[[2.0, 1.0], [3.0, 2.0], [4.0, 4.0]].map(timed), 2, "x");
        assert_eq!(report.json["speed"], json!(1.5));
        assert!(report.table.contains("2 processes make 1.50 ×"), "{}", report.table);
    }
}
