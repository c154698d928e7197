//! The `clips` data set: generated, labelled videos whose classes are motions, so that one frame does not tell them apart.
//!
//! A class is how a textured shape moves. Where it is, how large and how turned says nothing: motions go around the
//! borders of the picture, and growing and shrinking start at any size.
//! Invariant: as for [`shapes`](crate::shapes), the same seed gives the same bytes on every machine.

use std::fs;
use std::path::Path;

use mutualnet_core::rng::{Key, Purpose};
use mutualnet_image::{Image, encode_jpeg};
use mutualnet_video::{AviWriter, TimeBase};
use rayon::prelude::*;
use serde::Serialize;

use crate::shapes::{check_empty, render, write_with};
use crate::{Error, Result, Split};

mod motion;

use motion::{Motion, MovingShape};

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClipsSpec {
    /// Seed of all clips.
    pub seed: u64,
    /// Clips of the training split.
    pub train: usize,
    /// Clips of the test split.
    pub test: usize,
    /// Side of the frames, in pixels.
    pub side: u32,
    /// Frames of a clip.
    pub frames: u32,
}

const QUALITY: u8 = 90;
/// File in the data set that says how it was made.
pub(crate) const FILE: &str = "clips.json";

/// The time from one frame to the next, in seconds.
const FRAME_TIME: TimeBase = TimeBase { numerator: 1, denominator: 16 };

/// Names of the classes.
pub fn class_names() -> Vec<&'static str> {
    Motion::ALL.map(Motion::name).to_vec()
}

/// Writes the data set: a folder per class in `train` and `test`, with Motion JPEG in AVI, and a `clips.json` that says how
/// it was made.
///
/// Classes are equally large, to within one clip.
///
/// # Errors
/// The side is not from 16 to 1024, a clip has fewer than 2 or more than 1024 frames, a split has fewer clips than there are
/// classes, the directory is not empty, or it cannot be written.
pub fn generate(dir: &Path, spec: &ClipsSpec) -> Result<()> {
    check(dir, spec)?;
    for (split, n) in [(Split::Train, spec.train), (Split::Test, spec.test)] {
        let root = dir.join(split.folder());
        for class in class_names() {
            write_with(&root.join(class), |path| fs::create_dir_all(path))?;
        }
        (0..n).into_par_iter().try_for_each(|i| write_clip(&root, spec, split, i))?;
    }
    let made = serde_json::json!({ "generator": "clips", "version": 1, "quality": QUALITY, "spec": spec });
    write_with(&dir.join(FILE), |path| fs::write(path, format!("{made:#}\n")))
}

fn check(dir: &Path, spec: &ClipsSpec) -> Result<()> {
    let n_classes = Motion::ALL.len();
    let wrong = |setting, reason: String| Err(Error::Setting { setting, reason });
    match *spec {
        ClipsSpec { side, .. } if !(16..=1024).contains(&side) => {
            return wrong("side", format!("{side} is not from 16 to 1024"));
        }
        ClipsSpec { frames, .. } if !(2..=1024).contains(&frames) => {
            return wrong("frames", format!("{frames} is not from 2 to 1024"));
        }
        ClipsSpec { train, .. } if train < n_classes => {
            return wrong("train", format!("{train} clips are fewer than the {n_classes} classes"));
        }
        ClipsSpec { test, .. } if test < n_classes => {
            return wrong("test", format!("{test} clips are fewer than the {n_classes} classes"));
        }
        _ => {}
    }
    check_empty(dir)
}

fn write_clip(root: &Path, spec: &ClipsSpec, split: Split, i: usize) -> Result<()> {
    let n_classes = Motion::ALL.len();
    let path = root.join(Motion::ALL[i % n_classes].name()).join(format!("{:05}.avi", i / n_classes));
    let written = AviWriter::create(&path, [spec.side; 2], FRAME_TIME).and_then(|mut writer| {
        clip(spec, split, i).iter().try_for_each(|frame| writer.frame(&encode_jpeg(frame, QUALITY)))?;
        writer.finish()
    });
    Ok(written?)
}

/// The frames of clip number `i` of a split; its class is `i` modulo the number of classes.
pub fn clip(spec: &ClipsSpec, split: Split, i: usize) -> Vec<Image> {
    let key = Key::new(spec.seed, Purpose::Generate).epoch(split as u32).sample(i as u64);
    let mut rng = key.stream();
    let mut shape = MovingShape::draw(Motion::ALL[i % Motion::ALL.len()], &mut rng);
    let frames = (0..spec.frames).map(|_| {
        let frame = render::render_with(spec.side, shape.noise, &mut rng, |point| shape.color_at(point));
        shape.advance();
        frame
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use mutualnet_video::{Ffmpeg, Video};

    use super::*;
    use crate::shapes::tests::fnv;

    const SPEC: ClipsSpec = ClipsSpec { seed: 1, train: 16, test: 8, side: 32, frames: 6 };

    #[test]
    fn a_video_on_disk_has_the_frames_that_were_drawn() {
        let dir = tempfile::tempdir().unwrap();
        generate(dir.path(), &SPEC).unwrap();
        let path = dir.path().join("train").join(Motion::ALL[3].name()).join("00001.avi");
        let video = Video::open(&path, &Ffmpeg::default()).unwrap();
        let drawn = clip(&SPEC, Split::Train, 8 + 3);
        let read = video.frames(&[0, 1, 2, 3, 4, 5]).unwrap();
        for (drawn, read) in drawn.iter().zip(&read) {
            let difference: u64 =
                drawn.pixels().iter().zip(read.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            assert!(difference < 8 * drawn.pixels().len() as u64, "{difference}");
        }
        assert!(matches!(generate(dir.path(), &SPEC), Err(Error::NotEmpty { .. })));
    }

    /// Fails when the pictures change, on this or on another machine: results would no longer compare.
    #[test]
    fn the_clips_are_these() {
        let clips = (0..8).flat_map(|i| clip(&SPEC, Split::Train, i));
        let bytes: Vec<u8> = clips.flat_map(|frame| encode_jpeg(&frame, QUALITY)).collect();
        assert_eq!(fnv(&bytes), 0xdc5c_81e3_e4be_22ce, "{:#x}", fnv(&bytes));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |spec| generate(dir.path(), &spec).unwrap_err().to_string();
        assert_eq!(error(ClipsSpec { side: 8, ..SPEC }), "side: 8 is not from 16 to 1024");
        assert_eq!(error(ClipsSpec { frames: 1, ..SPEC }), "frames: 1 is not from 2 to 1024");
        assert_eq!(error(ClipsSpec { test: 3, ..SPEC }), "test: 3 clips are fewer than the 8 classes");
    }
}
