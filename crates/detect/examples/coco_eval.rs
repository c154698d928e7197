//! Evaluates a results file with COCO's measures.
//!
//! usage: coco_eval TRUTH RESULTS boxes|masks [--stats | --lockstep]
//! Prints every measure, and problems of the files on stderr. With `--stats` it prints the twelve numbers as pycocotools
//! has them in `stats`, as a JSON list. With `--lockstep` it prints `ready`, and for each line on stdin evaluates the files
//! from the disk to the numbers and prints the seconds it took, as `cargo xtask bench coco` asks for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use mutualnet_detect::coco::{Detections, Instances};
use mutualnet_detect::evaluate::{Compare, Summary, evaluate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str = "usage: coco_eval TRUTH RESULTS boxes|masks [--stats | --lockstep]";
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [truth, results, compare, mode @ ..] = args.as_slice() else {
        return Err(USAGE.into());
    };
    let compare = match compare.as_str() {
        "boxes" => Compare::Boxes,
        "masks" => Compare::Masks,
        _ => return Err(USAGE.into()),
    };
    match mode.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{}", summary(truth, results, compare)?),
        ["--stats"] => println!("{:?}", summary(truth, results, compare)?.stats()),
        ["--lockstep"] => lockstep(truth, results, compare)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn summary(truth: &str, results: &str, compare: Compare) -> mutualnet_detect::Result<Summary> {
    let truth = Instances::read(Path::new(truth))?;
    let detections = Detections::read(Path::new(results), &truth, compare)?;
    for problem in truth.problems().iter().chain(&detections.problems) {
        eprintln!("{problem}");
    }
    Ok(evaluate(&truth, &detections.found, compare)?.summary())
}

fn lockstep(truth: &str, results: &str, compare: Compare) -> Result<(), Box<dyn std::error::Error>> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let _ = summary(truth, results, compare)?;
        println!("{:.6}", start.elapsed().as_secs_f64());
    }
    Ok(())
}
