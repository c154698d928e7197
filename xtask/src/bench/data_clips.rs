//! `bench data clips`: clips of H.264 files on one core, from the files and from a packed copy, by us, and from the files by
//! torchcodec and PyAV.
//!
//! Invariant: all programs read clips of the same files, from memory, in the same order, and run on the same core, as do
//! the processes that ours starts.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::data::on_one_core;
use super::interleave::{self, Program, Spread};
use super::{Report, peers};
use crate::{process, product};

/// Files of ten seconds, and clips in a round: one of each file.
const FILES: usize = 8;
/// Names of each file, so that rounds have clips with different starts.
const NAMES: usize = 4;
/// In these, every name is read for the first time, which makes its index.
const N_WARM_UP: usize = NAMES;
const N_ROUNDS: usize = 16;
/// The most frames from one key frame to the next: as made for training, and as `x264` makes them if nothing is said.
const KEY_DISTANCES: [u32; 2] = [12, 250];
/// Frames of a clip, their distance, and the side that they are cropped to.
const CLIP: [&str; 3] = ["8", "8", "224"];
/// What the other programs need, with the libraries of CUDA that torchcodec loads wherever it decodes.
const PACKAGES: [&str; 6] =
    ["torch==2.11.0", "torchvision==0.26.0", "torchcodec==0.11.0", "av==18.1.0", "numpy", "nvidia-npp"];
const RECIPE: &str = "bench/clips224.toml";

/// What the programs took for files of one distance of key frames.
struct Comparison {
    key_distance: u32,
    programs: Vec<(&'static str, Spread)>,
    /// Our speed from files and from the packed copy, relative to the faster one of the others.
    files: f64,
    packed: f64,
}

/// Makes the files, once, and runs the programs in turn.
pub(super) fn run(root: &Path) -> Result<Report> {
    let python = peers::small_python("video", &PACKAGES)?;
    let mutualnet = product::build(root)?;
    let comparisons: Vec<_> = KEY_DISTANCES
        .into_iter()
        .map(|distance| compare(root, [&mutualnet, &python], distance))
        .collect::<Result<_>>()?;
    Ok(report(&comparisons, &super::processor()))
}

fn compare(root: &Path, [mutualnet, python]: [&Path; 2], key_distance: u32) -> Result<Comparison> {
    let videos = videos(key_distance)?;
    let packed = videos.with_extension("mnpack");
    if !packed.is_file() {
        let mut pack = Command::new(mutualnet);
        pack.args(["data", "pack"]).arg(&videos).arg(&packed).args(["--shorter-side", "256"]);
        process::run(pack.stdout(process::to_stderr()))?;
    }
    let ours = |name, data: &Path| {
        let mut ours = on_one_core(mutualnet);
        ours.args(["bench", "data", RECIPE, &format!("data.path={}", data.display()), "--lockstep"]);
        Program::start(name, ours.current_dir(root))
    };
    let theirs = |name| {
        let mut theirs = on_one_core(python);
        theirs
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OMP_NUM_THREADS", "1")
            .env("PYTHONWARNINGS", "ignore");
        theirs
            .arg(root.join("bench/peers/clip_loading.py"))
            .arg(name)
            .arg(videos.join("train/all"))
            .args(CLIP);
        Program::start(name, &mut theirs)
    };
    let mut programs =
        [ours("files", &videos)?, ours("packed", &packed)?, theirs("torchcodec")?, theirs("pyav")?];
    let requests: Vec<_> =
        (0..N_WARM_UP + N_ROUNDS).map(|round| format!("step {} {FILES}", FILES * round)).collect();
    interleave::run(&mut programs, &requests, N_WARM_UP)?;
    let [files, packed, others @ ..] = &programs;
    let against = |ours: &Program| others.iter().map(|other| other.times(ours)).fold(f64::INFINITY, f64::min);
    let (files, packed) = (against(files), against(packed));
    let programs = programs.iter().map(|program| (program.name, program.spread())).collect();
    Ok(Comparison { key_distance, programs, files, packed })
}

/// A data set of one class with files that differ in what they show: a flight into a fractal, which has details everywhere.
fn videos(key_distance: u32) -> Result<PathBuf> {
    let dir = peers::cache()?.join(format!("videos-{key_distance}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    let partial = dir.with_extension("partial");
    fs::create_dir_all(partial.join("train/all"))?;
    for number in 0..FILES {
        let at = -0.743_643_887 + 0.0003 * number as f64;
        let picture = format!("mandelbrot=size=640x360:rate=30:start_x={at}:end_scale=0.05:end_pts=300");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-t", "10"]);
        let distance = key_distance.to_string();
        ffmpeg.args(["-c:v", "libx264", "-g", &distance, "-keyint_min", &distance, "-sc_threshold", "0"]);
        let name = |of: usize| partial.join(format!("train/all/{of}-{number}.mp4"));
        process::run(ffmpeg.args(["-pix_fmt", "yuv420p"]).arg(name(0)).stdout(process::to_stderr()))?;
        (1..NAMES).try_for_each(|of| fs::hard_link(name(0), name(of)))?;
    }
    fs::rename(&partial, &dir)?;
    Ok(dir)
}

fn report(comparisons: &[Comparison], processor: &str) -> Report {
    let mut table = format!(
        "Clips per second on one core, {N_ROUNDS} interleaved rounds of {FILES} clips\n{processor}, files in memory\n"
    );
    let mut all = Vec::new();
    for Comparison { key_distance, programs, files, packed } in comparisons {
        write!(table, "\nkey frames {key_distance} frames apart\nprogram          clips/s   quartiles\n")
            .expect("writing to a string cannot fail");
        for (name, spread) in programs {
            let rate = |seconds: f64| FILES as f64 / seconds;
            writeln!(
                table,
                "{name:<14} {:9.2}   {:.2} to {:.2}",
                rate(spread.median),
                rate(spread.high),
                rate(spread.low)
            )
            .expect("writing to a string cannot fail");
        }
        writeln!(table, "against the faster one of the others: files {files:.2}, packed {packed:.2}")
            .expect("writing to a string cannot fail");
        let seconds: Value =
            programs.iter().map(|(name, spread)| ((*name).to_owned(), spread.json())).collect();
        all.push(json!({
            "key_distance": key_distance, "seconds": seconds, "ratios": { "files": files, "packed": packed },
        }));
    }
    let conditions = json!({
        "files": FILES, "rounds": N_ROUNDS, "processor": processor, "clip": CLIP,
        "videos": "H.264, 640x360, 30 frames per second, 10 s",
    });
    Report { table, json: json!({ "comparisons": all, "conditions": conditions }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_ratios_are_told() {
        let spread = Spread { low: 1.0, median: 2.0, high: 4.0 };
        let comparison =
            Comparison { key_distance: 12, programs: vec![("files", spread)], files: 0.5, packed: 3.0 };
        let Report { table, json } = report(&[comparison], "cpu");
        assert!(table.contains("files               4.00   2.00 to 8.00"), "{table}");
        assert!(table.contains("files 0.50, packed 3.00"), "{table}");
        assert_eq!(json["comparisons"][0]["ratios"]["packed"], 3.0);
    }
}
