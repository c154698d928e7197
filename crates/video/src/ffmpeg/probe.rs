//! The index of a file, from what `ffprobe` says about its packets.
//!
//! Packets are read without decoding them. Where packets and frames differ, the frames are decoded once to be counted.

use std::io::Read;
use std::path::Path;
use std::process::ChildStdout;

use serde::Deserialize;

use super::{Ffmpeg, file_argument};
use crate::{FrameIndex, TimeBase, VideoError, process};

/// The most bytes of a description: about a day of video.
const MAX_BYTES: u64 = 256 << 20;

/// Codecs with packets that show nothing.
const HIDDEN_FRAMES: [&str; 1] = ["vp8"];

#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    packets: Vec<Packet>,
    #[serde(default)]
    frames: Vec<Frame>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    format_name: String,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    time_base: String,
    nb_frames: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<i32>,
}

#[derive(Deserialize)]
struct Packet {
    pts: Option<i64>,
    flags: String,
}

impl Packet {
    /// Whether an edit list leaves it out: it is decoded but not shown.
    fn is_hidden(&self) -> bool {
        self.flags.contains('D')
    }
}

#[derive(Deserialize)]
struct Frame {
    best_effort_timestamp: Option<i64>,
    key_frame: u8,
}

impl Ffmpeg {
    /// When the frames of a file are shown, of any format that `ffprobe` knows.
    ///
    /// # Errors
    /// The file is no video or is damaged, `ffprobe` is not installed, or it takes too long.
    pub fn index(&self, path: &Path) -> Result<FrameIndex, VideoError> {
        let described = self.describe(path, "packet=pts,flags", "-show_packets")?;
        let stream = described.streams.first().ok_or(VideoError::NoStream)?;
        let times =
            if HIDDEN_FRAMES.contains(&stream.codec_name.as_str()) { None } else { of_packets(&described) };
        let times = match times {
            Some(times) => times,
            None => {
                of_frames(&self.describe(path, "frame=best_effort_timestamp,key_frame", "-show_frames")?)?
            }
        };
        if times.is_empty() {
            return Err(VideoError::NoFrames);
        }
        let announced = stream.nb_frames.as_ref().and_then(|n| n.parse::<u64>().ok());
        let n_hidden = described.packets.iter().filter(|packet| packet.is_hidden()).count();
        let turned =
            stream.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0).rem_euclid(180) == 90;
        let [width, height] = [stream.width, stream.height];
        // Without times in the file, those that are guessed after a search differ.
        let has_times = described.packets.iter().all(|packet| packet.pts.is_some());
        let keys = times.iter().enumerate().filter(|&(number, (_, key))| number == 0 || *key && has_times);
        Ok(FrameIndex {
            // One demuxer reads `mov`, `mp4` and their relatives.
            container: described.format.map(|format| format.format_name).unwrap_or_default(),
            codec: stream.codec_name.clone(),
            size: if turned { [height, width] } else { [width, height] },
            time_base: time_base(&stream.time_base)?,
            keys: keys.map(|(number, _)| number as u32).collect(),
            announced: announced.map(|n| n.saturating_sub(n_hidden as u64)),
            times: times.into_iter().map(|(time, _)| time).collect(),
        })
    }

    fn describe(&self, path: &Path, entries: &str, show: &str) -> Result<Description, VideoError> {
        let mut command = Self::command(&self.ffprobe);
        // A capital V leaves out covers of music.
        command.args(["-select_streams", "V:0", show, "-of", "json", "-show_entries"]);
        command.arg(format!(
            "format=format_name:stream=codec_name,width,height,time_base,nb_frames:stream_side_data=rotation:{entries}"
        ));
        command.arg("-i").arg(file_argument(path));
        let text = process::run(&mut command, self.limit, read_text)?;
        serde_json::from_slice(&text)
            .map_err(|error| VideoError::Damaged { reason: format!("ffprobe does not describe it: {error}") })
    }
}

fn read_text(stdout: ChildStdout) -> Result<Vec<u8>, VideoError> {
    let mut text = Vec::new();
    stdout.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(VideoError::Damaged { reason: "it has too many packets".to_owned() });
    }
    Ok(text)
}

/// Time and kind of every packet in order of presentation; nothing if packets do not tell all frames.
fn of_packets(described: &Description) -> Option<Vec<(i64, bool)>> {
    let shown = described.packets.iter().filter(|packet| !packet.is_hidden());
    let mut times: Vec<_> =
        shown.map(|packet| Some((packet.pts?, packet.flags.starts_with('K')))).collect::<Option<_>>()?;
    times.sort_unstable_by_key(|&(time, _)| time);
    let increase = times.windows(2).all(|pair| pair[0].0 < pair[1].0);
    increase.then_some(times)
}

/// The same of decoded frames. A frame without a time follows the one before it at the distance of the last two, as
/// `ffmpeg` has it; some files have that at their end.
fn of_frames(described: &Description) -> Result<Vec<(i64, bool)>, VideoError> {
    let (mut times, mut step): (Vec<(i64, bool)>, i64) = (Vec::new(), 1);
    for frame in &described.frames {
        let last = times.last().map(|&(time, _)| time);
        let time =
            frame.best_effort_timestamp.unwrap_or_else(|| last.map_or(0, |last| last.saturating_add(step)));
        step = last.map_or(step, |last| time.saturating_sub(last)).max(1);
        times.push((time, frame.key_frame != 0));
    }
    times.sort_unstable_by_key(|&(time, _)| time);
    times.dedup_by_key(|(time, _)| *time);
    if times.is_empty() { Err(VideoError::NoFrames) } else { Ok(times) }
}

fn time_base(text: &str) -> Result<TimeBase, VideoError> {
    let parsed = text.split_once('/').and_then(|(numerator, denominator)| {
        let denominator = denominator.parse().ok().filter(|&denominator| denominator > 0)?;
        Some(TimeBase { numerator: numerator.parse().ok()?, denominator })
    });
    parsed.ok_or_else(|| VideoError::Damaged { reason: format!("its clock ticks every `{text}` seconds") })
}
