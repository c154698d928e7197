//! `mutualnet data check` for a directory of videos.

use std::collections::BTreeMap;

use anyhow::Result;
use mutualnet_core::text::{counted, shown};
use mutualnet_data::check::{VideoFile, VideoReport, check_videos, quarantine_videos};
use serde::Serialize;

use super::{Broken, note_change, written};
use crate::args::CheckArgs;
use crate::{text, watch};

#[derive(Serialize)]
struct Checked {
    videos: usize,
    other_files: usize,
    bytes: u64,
    broken: Vec<Broken>,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    container: String,
    codec: String,
    width_px: u32,
    height_px: u32,
    frames: usize,
    /// Mean frames per second; none for a single frame.
    frame_rate: Option<f64>,
    /// The most frames from one key frame to the next.
    key_distance: usize,
    /// Fewer frames than the header announces.
    cut: bool,
    slow: bool,
}

impl From<&VideoFile> for File {
    fn from(video: &VideoFile) -> Self {
        let index = &video.index;
        Self {
            path: shown(&video.path),
            container: index.container.clone(),
            codec: index.codec.clone(),
            width_px: index.size[0],
            height_px: index.size[1],
            frames: index.n_frames(),
            frame_rate: index.frame_rate(),
            key_distance: index.key_distance(),
            cut: video.is_cut(),
            slow: video.is_slow(),
        }
    }
}

pub(super) fn run(args: &CheckArgs) -> Result<()> {
    let report = watch::watched("videos", |progress| check_videos(&args.dir, &Default::default(), progress))?;
    let VideoReport { n_videos, others, bytes, videos, broken } = report.clone();
    let checked = Checked {
        videos: n_videos,
        other_files: others.n(),
        bytes,
        broken: broken.into_iter().map(Broken::from).collect(),
        files: videos.iter().map(File::from).collect(),
    };
    if args.json {
        text::json(&checked)?;
    } else {
        print(&checked)?;
    }
    // Findings are printed first, because the directory may be read-only.
    let change = written(quarantine_videos(&args.dir, &report))?;
    if !args.json {
        note_change(change, "video");
    }
    Ok(())
}

fn print(checked: &Checked) -> Result<()> {
    for file in &checked.broken {
        text::line(&format!("{}: {}", file.path, file.reason))?;
    }
    text::note(&format!("{} checked, {} broken", counted(checked.videos, "video"), checked.broken.len()));
    note_codecs(&checked.files);
    note_odd(&checked.files);
    Ok(())
}

/// Tells which codecs there are, at which frame rates.
fn note_codecs(files: &[File]) {
    let mut codecs: BTreeMap<&str, (usize, Vec<f64>)> = BTreeMap::new();
    for file in files {
        let (n, rates) = codecs.entry(&file.codec).or_default();
        *n += 1;
        // A single frame has no rate.
        rates.extend(file.frame_rate);
    }
    for (codec, (n, rates)) in codecs {
        let [least, most] = [rates.iter().copied().reduce(f64::min), rates.iter().copied().reduce(f64::max)];
        let rates = match (least, most) {
            (Some(least), Some(most)) => {
                let (least, most) = (format!("{least:.1}"), format!("{most:.1}"));
                let rates = if least == most { least } else { format!("{least} to {most}") };
                format!(", {rates} frames per second")
            }
            _ => String::new(),
        };
        text::note(&format!("{codec}: {}{rates}", counted(n, "video")));
    }
}

/// Warns of what is shorter than announced, and of what will be slow.
fn note_odd(files: &[File]) {
    let some = |is_odd: fn(&File) -> bool| {
        let odd: Vec<_> = files.iter().filter(|file| is_odd(file)).collect();
        odd.first().map(|first| (counted(odd.len(), "video"), first.path.clone()))
    };
    if let Some((videos, first)) = some(|file| file.cut) {
        text::note(&format!(
            "warning: {videos} with fewer frames than announced, such as {first}: cut short?"
        ));
    }
    if let Some((videos, first)) = some(|file| file.slow) {
        text::note(&format!(
            "warning: {videos} with more than 64 frames from one key frame to the next, such as {first}: reading a \
             clip decodes all frames since the last key frame, so training will be slow; \
             `ffmpeg -i IN -g 12 OUT` shortens the distance"
        ));
    }
}
