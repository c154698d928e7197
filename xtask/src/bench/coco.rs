//! `bench coco`: evaluating 5,000 images with COCO's measures, against pycocotools and hotcoco.
//!
//! Separate from the tests because it needs these programs, and also compares all numbers on real images if they are there.
//! Invariant: nothing is timed before all programs agree.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::interleave::{self, Program};
use super::{Report, peers};
use crate::{process, product};

const N_IMAGES: usize = 5000;
const N_ROUNDS: usize = 7;
const PEERS: [&str; 2] = ["pycocotools", "hotcoco"];
/// The largest difference of two numbers that are the same.
const TOLERANCE: f64 = 1e-6;
const ARCHIVE: &str = "coco-tiny.tar";

/// Ground truth and what was found in it.
struct Case {
    name: String,
    truth: PathBuf,
    results: PathBuf,
}

/// Compares the numbers of all programs, then times them.
pub(super) fn run(root: &Path) -> Result<Report> {
    let python = peers::small_python("coco", &["pycocotools==2.0.11", "hotcoco==1.3.0"])?;
    let ours = build(root)?;
    let make = |args: &[&str], out: &Path| -> Result<()> {
        if !out.is_file() {
            eprintln!("making {}", out.display());
            let mut make = Command::new(&python);
            process::run(make.arg("-B").arg(root.join("bench/peers/coco_make.py")).args(args).arg(out))?;
        }
        Ok(())
    };
    let large = peers::cache()?.join("coco-5000.json");
    make(&["truth", &N_IMAGES.to_string()], &large)?;
    let mut cases = real_images(root)?;
    cases.push(Case { name: "generated".to_owned(), results: large.with_extension("results"), truth: large });
    let mut differences = json!({});
    for case in &cases {
        let truth = case.truth.to_str().context("the cache has a name that is not UTF-8")?;
        make(&["results", truth], &case.results)?;
        for compare in ["boxes", "masks"] {
            let largest = largest_difference(root, &python, &ours, case, compare)?;
            differences[&case.name][compare] = json!(largest);
        }
    }
    let timed = cases.last().context("there is a generated case")?;
    let mut table = format!(
        "Evaluating {N_IMAGES} generated images, from files to numbers: median of {N_ROUNDS} interleaved rounds\n{}\n",
        super::processor()
    );
    let mut ratios = json!({});
    for compare in ["boxes", "masks"] {
        let mut programs = vec![Program::start("ours", ours_on(&ours, timed, compare).arg("--lockstep"))?];
        for peer in PEERS {
            programs.push(Program::start(peer, &mut peer_on(root, &python, peer, timed, compare))?);
        }
        interleave::run(&mut programs, &vec!["step".to_owned(); N_ROUNDS + 1], 1)?;
        writeln!(table, "\n{compare}\nprogram        s   quartiles       it / ours")?;
        for program in &programs {
            let (spread, times) = (program.spread(), program.times(&programs[0]));
            let (name, median, low, high) = (program.name, spread.median, spread.low, spread.high);
            writeln!(table, "{name:<11} {median:6.2}   {low:.2} to {high:.2} {times:10.2}")?;
            if name != "ours" {
                ratios[compare][name] = json!(times);
            }
        }
    }
    let conditions = json!({ "images": N_IMAGES, "rounds": N_ROUNDS, "processor": super::processor() });
    Ok(Report {
        table,
        json: json!({ "ratios": ratios, "differences": differences, "conditions": conditions }),
    })
}

fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--release", "--package", "mutualnet-detect", "--example", "coco_eval"]);
    let messages = process::output_showing_stderr(cargo.arg("--message-format=json-render-diagnostics"))?;
    product::executable(&messages).context("cargo succeeded but reported no program")
}

/// The results file for boxes or for masks, whose detections have no boxes.
fn results(case: &Case, compare: &str) -> PathBuf {
    let mut path = case.results.clone().into_os_string();
    if compare == "masks" {
        path.push(".masks");
    }
    path.into()
}

fn ours_on(ours: &Path, case: &Case, compare: &str) -> Command {
    let mut command = Command::new(ours);
    command.arg(&case.truth).arg(results(case, compare)).arg(compare).stderr(std::process::Stdio::null());
    command
}

fn peer_on(root: &Path, python: &Path, peer: &str, case: &Case, compare: &str) -> Command {
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("bench/peers/coco_eval.py")).arg(peer);
    command.arg(&case.truth).arg(results(case, compare)).arg(compare);
    command
}

/// The largest difference between our twelve numbers and those of pycocotools.
fn largest_difference(root: &Path, python: &Path, ours: &Path, case: &Case, compare: &str) -> Result<f64> {
    let stats = |command: &mut Command| -> Result<Vec<f64>> {
        Ok(serde_json::from_value(serde_json::from_str::<Value>(&process::output(command.arg("--stats"))?)?)?)
    };
    let ours = stats(&mut ours_on(ours, case, compare))?;
    let theirs = stats(&mut peer_on(root, python, PEERS[0], case, compare))?;
    let pairs = ours.iter().zip(&theirs);
    let largest = pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
    if ours.len() != theirs.len() || largest > TOLERANCE {
        bail!("{compare} of {}: our numbers are {ours:?}, those of pycocotools {theirs:?}", case.name);
    }
    eprintln!("{compare} of {}: the largest difference is {largest:.1e}", case.name);
    Ok(largest)
}

/// Both splits of the archive with photographs, if it is there.
fn real_images(root: &Path) -> Result<Vec<Case>> {
    let Some(unpacked) = photographs(root)? else {
        eprintln!("{ARCHIVE} is not in MUTUALNET_DATA: only generated images are compared");
        return Ok(vec![]);
    };
    let case = |split: &str| {
        let truth = unpacked.join("annotations").join(format!("instances_{split}.json"));
        Case { name: split.to_owned(), results: truth.with_extension("results"), truth }
    };
    Ok(["train2017", "val2017"].map(case).into())
}

/// The folder with photographs of COCO and their annotations, unpacked from the archive of `MUTUALNET_DATA` (or of
/// `../shared/data`), if it is there.
pub(crate) fn photographs(root: &Path) -> Result<Option<PathBuf>> {
    let beside = || root.join("../shared/data");
    let archive = env::var_os("MUTUALNET_DATA").map_or_else(beside, PathBuf::from).join(ARCHIVE);
    if !archive.is_file() {
        return Ok(None);
    }
    let unpacked = peers::cache()?.join("coco-tiny");
    fs::create_dir_all(&unpacked)?;
    process::run(Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&unpacked))?;
    Ok(Some(unpacked))
}
