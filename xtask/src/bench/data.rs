//! `bench data`: loading photographs on one core with our loader, with torchvision, and with the authors' transform.
//!
//! Invariant: all programs read the same files from memory, in the same order, and run on the same core.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::interleave::{self, Program, Spread};
use super::{Report, peers};
use crate::{process, product};

/// Images per round.
const BATCH: usize = 50;
const N_WARM_UP: usize = 2;
const N_ROUNDS: usize = 31;
const ARCHIVE: &str = "imagenet-sample.tar";

/// One comparison of programs that do the same work.
struct Measure {
    name: &'static str,
    what: &'static str,
    /// Our recipe, relative to the root.
    recipe: &'static str,
    /// Names of modes of `data_loading.py`.
    peers: &'static [&'static str],
}

const MEASURES: [Measure; 2] = [
    Measure {
        name: "rrc224",
        what: "decode, RandomResizedCrop(224), flip, normalize",
        recipe: "bench/rrc224.toml",
        peers: &["pil", "io_v1", "io_v2"],
    },
    Measure {
        name: "paper_four_resolutions",
        what: "the paper's training transform, at 224, 192, 160 and 128 px",
        recipe: "bench/paper224.toml",
        peers: &["authors"],
    },
];

/// Runs the programs of each comparison in turn and compares the medians.
pub(super) fn run(root: &Path) -> Result<Report> {
    let photographs = photographs(root)?;
    let (python, authors) = (peers::python()?, peers::authors_code()?);
    let mutualnet = product::build(root)?;
    let mut table = format!(
        "Images per second on one core, {N_ROUNDS} interleaved rounds of {BATCH} photographs\n{}, files in memory\n",
        super::processor()
    );
    let (mut ratios, mut seconds) = (json!({}), json!({}));
    for measure in MEASURES {
        let mut programs =
            vec![Program::start("ours", &mut ours(root, &mutualnet, measure.recipe, &photographs))?];
        for &name in measure.peers {
            let mut peer = on_one_core(&python);
            peer.env("PYTHONDONTWRITEBYTECODE", "1")
                .env("OMP_NUM_THREADS", "1")
                .env("PYTHONWARNINGS", "ignore");
            peer.arg(root.join("bench/peers/data_loading.py")).arg(name);
            peer.arg(photographs.join("train/all"));
            if name == "authors" {
                peer.arg(&authors);
            }
            programs.push(Program::start(name, &mut peer)?);
        }
        interleave::run(&mut programs, &requests(), N_WARM_UP)?;
        let timings = timings(&programs);
        table += &rows(measure.what, &timings);
        ratios[measure.name] = ratios_of(measure.name, &timings);
        seconds[measure.name] = medians(&timings);
    }
    let resolutions = by_resolutions(root, &mutualnet, &photographs)?;
    table +=
        &rows("ours, the paper's training transform: at 224 px, at 224, 192, 160 and 128 px", &resolutions);
    ratios["resolutions"] = json!({ "four": resolutions[1].times_ours });
    seconds["resolutions"] = medians(&resolutions);
    let own = own_variants(root, &mutualnet, &photographs)?;
    table += &rows(
        "ours, RandomResizedCrop(224): files, mixed, with RandAugment, packed pixels, with broken files",
        &own,
    );
    ratios["ours"] = own.iter().map(|own| (own.name.to_owned(), json!(own.times_ours))).collect();
    seconds["ours"] = medians(&own);
    let conditions = json!({
        "batch": BATCH, "rounds": N_ROUNDS, "processor": super::processor(), "torchvision": peers::TORCHVISION,
        "images": "250 ImageNet photographs, mean 474x392, 110 kB",
    });
    Ok(Report { table, json: json!({ "ratios": ratios, "seconds": seconds, "conditions": conditions }) })
}

/// Our loader, as a program for [`interleave`].
fn ours(root: &Path, mutualnet: &Path, recipe: &str, data: &Path) -> Command {
    let mut ours = on_one_core(mutualnet);
    let data = format!("data.path={}", data.display());
    ours.args(["bench", "data", recipe, &data, "--lockstep"]).current_dir(root);
    ours
}

/// Measures what three smaller resolutions cost.
fn by_resolutions(root: &Path, mutualnet: &Path, photographs: &Path) -> Result<Vec<Timing>> {
    let recipe = "bench/paper224.toml";
    let mut one = ours(root, mutualnet, recipe, photographs);
    let one = Program::start("one", one.arg("network.resolutions=[224]"))?;
    let four = Program::start("four", &mut ours(root, mutualnet, recipe, photographs))?;
    let mut programs = [one, four];
    interleave::run(&mut programs, &requests(), N_WARM_UP)?;
    Ok(timings(&programs))
}

/// Our loader on other forms of the same photographs.
fn own_variants(root: &Path, mutualnet: &Path, photographs: &Path) -> Result<Vec<Timing>> {
    let packed = peers::cache()?.join("photographs.mnpack");
    if !packed.is_file() {
        let mut pack = Command::new(mutualnet);
        pack.args(["data", "pack"]).arg(photographs).arg(&packed).args([
            "--max-side",
            "320",
            "--store",
            "raw",
        ]);
        process::run(pack.stdout(process::to_stderr()))?;
    }
    let mixing: &[&str] = &["data.augment.mixup=0.2", "data.augment.cutmix=1.0"];
    let variants = [
        ("files", photographs, &[][..]),
        ("mixed", photographs, mixing),
        ("rand_augment", photographs, &["data.augment.rand_augment={}"]),
        ("packed", packed.as_path(), &[]),
        ("broken_1_percent", &with_broken(photographs, 100)?, &["data.broken_limit=0.1"]),
        ("broken_5_percent", &with_broken(photographs, 20)?, &["data.broken_limit=0.1"]),
    ];
    let mut programs = Vec::new();
    for (name, data, overrides) in variants {
        let mut ours = ours(root, mutualnet, "bench/rrc224.toml", data);
        programs.push(Program::start(name, ours.args(overrides))?);
    }
    interleave::run(&mut programs, &requests(), N_WARM_UP)?;
    Ok(timings(&programs))
}

/// The photographs, with every `nth` file empty, truncated, replaced by text, or missing.
fn with_broken(photographs: &Path, nth: usize) -> Result<PathBuf> {
    let copy = peers::cache()?.join(format!("photographs-broken-{nth}"));
    let class = copy.join("train/all");
    if class.is_dir() {
        return Ok(copy);
    }
    fs::create_dir_all(&class)?;
    let mut files: Vec<_> =
        fs::read_dir(photographs.join("train/all"))?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.sort();
    for (i, file) in files.iter().enumerate() {
        let to = class.join(file.file_name().context("a file has a name")?);
        let bytes = fs::read(file)?;
        match (i % nth == nth / 2).then_some(i / nth % 4) {
            None => fs::write(&to, &bytes)?,
            Some(0) => fs::write(&to, &bytes[..bytes.len() / 2])?,
            Some(1) => fs::write(&to, b"")?,
            Some(2) => fs::write(&to, b"404 not found")?,
            Some(_) => std::os::unix::fs::symlink("nowhere.jpg", &to)?,
        }
    }
    Ok(copy)
}

/// Every round reads the next files; all programs of a round read the same ones.
fn requests() -> Vec<String> {
    (0..N_WARM_UP + N_ROUNDS).map(|round| format!("step {} {BATCH}", round * BATCH)).collect()
}

/// Runs a program on one core, if the system has `taskset`.
pub(super) fn on_one_core(program: &Path) -> Command {
    let has_taskset = process::output(Command::new("taskset").arg("--version")).is_ok();
    if !has_taskset {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// How long a program took.
struct Timing {
    name: &'static str,
    spread: Spread,
    /// Time relative to the first program, which is ours.
    times_ours: f64,
}

fn timings(programs: &[Program]) -> Vec<Timing> {
    let timing = |program: &Program| Timing {
        name: program.name,
        spread: program.spread(),
        times_ours: program.times(&programs[0]),
    };
    programs.iter().map(timing).collect()
}

fn medians(timings: &[Timing]) -> serde_json::Value {
    timings.iter().map(|timing| (timing.name.to_owned(), json!(timing.spread.median))).collect()
}

fn rows(what: &str, timings: &[Timing]) -> String {
    let mut rows = format!("\n{what}\nprogram          images/s   quartiles          ours / it\n");
    let per_s = |seconds: f64| BATCH as f64 / seconds;
    for Timing { name, spread, times_ours } in timings {
        let (rate, low, high) = (per_s(spread.median), per_s(spread.high), per_s(spread.low));
        writeln!(rows, "{name:<16} {rate:8.0}   {low:.0} to {high:.0} {times_ours:15.2}")
            .expect("writing to a string cannot fail");
    }
    rows
}

/// Our speed relative to the authors, or relative to torchvision on PIL and to torchvision's fastest mode.
fn ratios_of(measure: &str, timings: &[Timing]) -> serde_json::Value {
    let of = |name: &str| timings.iter().find(|timing| timing.name == name).map(|timing| timing.times_ours);
    if measure == "rrc224" {
        let best = timings[1..].iter().map(|timing| timing.times_ours).min_by(f64::total_cmp);
        return json!({ "pil_torchvision": of("pil"), "best_torchvision": best });
    }
    json!({ "authors": of("authors") })
}

/// An image folder of one class with the photographs: `MUTUALNET_PHOTOGRAPHS`; else the archive of `MUTUALNET_DATA`
/// (or of `../shared/data`), unpacked once.
fn photographs(root: &Path) -> Result<PathBuf> {
    if let Some(given) = env::var_os("MUTUALNET_PHOTOGRAPHS").map(PathBuf::from) {
        if given.join("train/all").is_dir() {
            return Ok(given);
        }
        bail!("MUTUALNET_PHOTOGRAPHS is {}, which has no folder train/all with JPEG files", given.display());
    }
    let unpacked = peers::cache()?.join("photographs");
    if unpacked.join("train/all").is_dir() {
        return Ok(unpacked);
    }
    let beside = || root.join("../shared/data");
    let archive = env::var_os("MUTUALNET_DATA").map_or_else(beside, PathBuf::from).join(ARCHIVE);
    if !archive.is_file() {
        bail!(
            "photographs are missing: set MUTUALNET_PHOTOGRAPHS to a folder with JPEG files in train/all, or \
             MUTUALNET_DATA to the folder of {ARCHIVE}"
        );
    }
    let partial = peers::cache()?.join("photographs.partial");
    fs::create_dir_all(partial.join("train/all"))?;
    process::run(Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(partial.join("train/all")))?;
    fs::rename(&partial, &unpacked).context("cannot finish unpacking the photographs")?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_means_that_we_are_faster() {
        let spread = Spread { low: 1.0, median: 1.0, high: 1.0 };
        let timing = |name, times_ours| Timing { name, spread, times_ours };
        let timings = [timing("ours", 1.0), timing("pil", 3.0), timing("io_v2", 2.0)];
        assert_eq!(ratios_of("rrc224", &timings), json!({ "pil_torchvision": 3.0, "best_torchvision": 2.0 }));
        assert_eq!(
            ratios_of("paper_four_resolutions", &[timing("ours", 1.0), timing("authors", 4.0)]),
            json!({ "authors": 4.0 })
        );
        assert!(rows("x", &timings).contains("io_v2"));
    }
}
