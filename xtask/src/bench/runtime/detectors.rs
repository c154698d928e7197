//! Detectors, from a normalized image to objects with boxes and masks.
//!
//! Separate because a detector is more than one network: proposals, regions and suppression run in between, and all of it is
//! timed. The other programs are torchvision, and onnxruntime with torchvision's own export.
//! Invariant: nothing is timed before the programs find the same objects.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Bench, Measured, N_WARM_UP, Point, interleave};
use crate::bench::interleave::Program;
use crate::product;

const PEERS: [&str; 2] = ["onnxruntime", "torchvision"];

/// Fewer than of other networks, because a program may take many seconds.
pub(super) const N_ROUNDS: usize = 9;

/// Fewer objects would leave most of a detector idle.
const FEWEST_OBJECTS: usize = 20;
/// Boxes that overlap less are of other objects.
const SAME_BOX: f32 = 0.9;
/// The share of our objects that the other program must find too. Rounding decides which of two overlapping boxes is suppressed,
/// and made-up weights give many that do.
const SHARED: f32 = 0.9;
/// The largest difference of a score.
const SAME_SCORE: f32 = 0.01;

/// Width and resolution of the row that is measured; nothing for a network that finds no objects.
pub(super) fn row(network: &str) -> Option<[&'static str; 2]> {
    let side = match network {
        "ssdlite320_mobilenet_v3_large" => "320",
        "fasterrcnn_mobilenet_v3_large_fpn" | "maskrcnn_resnet50_fpn" => "800",
        _ => return None,
    };
    Some(["1.0", side])
}

/// An object that a program found.
#[derive(Debug, Clone, Copy)]
struct Object {
    class: u64,
    score: f32,
    corners: [f32; 4],
    /// Those of its mask.
    pixels: Option<u64>,
}

impl Bench {
    pub(super) fn measure_detector(&self, point: Point) -> Result<Measured> {
        let (bundle, threads) = (self.bundle(point.network), point.threads.to_string());
        let mut ours = Command::new(product::build_example(&self.root, "mutualnet-predict", "answers")?);
        ours.arg(&bundle).arg(point.row.join("-")).arg(&threads);
        let mut programs = vec![Program::start("ours", &mut ours)?];
        for peer in PEERS {
            let mut script = self.script("run_detector.py");
            programs.push(Program::start(peer, script.args([peer, &threads]).arg(&bundle))?);
        }
        let image = self.images(&point)?;
        let mut found = Vec::new();
        for program in &mut programs {
            let to = self.rows.join(format!("{}-{}.json", point.network, program.name));
            program.step(&format!("outputs {} {}", image.display(), to.display()))?;
            found.push(read(&to)?);
        }
        let (ours, others) = found.split_first().context("there is a program")?;
        ensure!(ours.len() >= FEWEST_OBJECTS, "we find only {} objects: {point:?}", ours.len());
        let mut differences = Vec::new();
        for (&peer, theirs) in PEERS.iter().zip(others) {
            let difference = difference(ours, theirs).with_context(|| format!("{peer}: {point:?}"))?;
            differences.push((peer, difference));
        }
        interleave(&mut programs, N_WARM_UP + N_ROUNDS)?;
        Ok(Measured::new(point, &programs, differences))
    }
}

fn read(path: &Path) -> Result<Vec<Object>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let objects: Vec<Value> = serde_json::from_slice(&text)?;
    let objects: Option<_> = objects.iter().map(Object::parse).collect();
    objects.with_context(|| format!("{} is not a list of objects", path.display()))
}

impl Object {
    fn parse(json: &Value) -> Option<Self> {
        let corners: Vec<_> =
            json["box"].as_array()?.iter().map(|side| side.as_f64()).collect::<Option<_>>()?;
        let [left, top, right, bottom] = corners[..] else { return None };
        Some(Self {
            class: json["class"].as_u64()?,
            score: json["score"].as_f64()? as f32,
            corners: [left, top, right, bottom].map(|side| side as f32),
            pixels: json["pixels"].as_u64(),
        })
    }
}

/// The largest difference between scores of the same object.
fn difference(ours: &[Object], theirs: &[Object]) -> Result<f32> {
    let same = |own: &Object, other: &&Object| {
        own.class == other.class && overlap(own.corners, other.corners) > SAME_BOX
    };
    let pairs = ours.iter().filter_map(|own| Some((own, theirs.iter().find(|other| same(own, other))?)));
    let pairs: Vec<_> = pairs.collect();
    let (n_shared, n_ours) = (pairs.len(), ours.len());
    ensure!(
        n_shared as f32 >= SHARED * n_ours.max(theirs.len()) as f32,
        "of {n_ours} objects that we find, it finds {n_shared}, and {} in all",
        theirs.len()
    );
    let mut largest: f32 = 0.0;
    for (own, other) in pairs {
        let score = (own.score - other.score).abs();
        ensure!(score <= SAME_SCORE, "scores differ: {own:?} and {other:?}");
        ensure!(own.pixels.is_some() == other.pixels.is_some(), "only one has a mask: {own:?} and {other:?}");
        largest = largest.max(score);
    }
    Ok(largest)
}

/// Intersection over union.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
    let both = side(0, 2) * side(1, 3);
    both / (area(a) + area(b) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: u64, score: f32, left: f32) -> Object {
        Object { class, score, corners: [left, 0.0, left + 10.0, 10.0], pixels: None }
    }

    #[test]
    fn objects_are_compared_with_those_at_the_same_place() {
        let ours = [object(1, 0.9, 0.0), object(2, 0.5, 50.0)];
        let theirs = [object(2, 0.505, 50.1), object(1, 0.899, 0.0)];
        let difference_of = |theirs: &[Object]| difference(&ours, theirs);
        assert!((difference_of(&theirs).unwrap() - 0.005).abs() < 1e-6);
        assert!(difference_of(&theirs[..1]).is_err(), "one is missing");
        assert!(difference_of(&[object(2, 0.4, 50.0), theirs[1]]).is_err(), "another score");
        assert!(difference_of(&[object(3, 0.5, 50.0), theirs[1]]).is_err(), "another class");
        let masked = Object { pixels: Some(3), ..theirs[0] };
        assert!(difference_of(&[masked, theirs[1]]).is_err(), "a mask");
    }

    #[test]
    fn boxes_overlap_by_their_shared_area() {
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 3.0, 2.0]), 0.0);
    }
}
