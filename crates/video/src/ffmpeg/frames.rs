//! Decodes chosen frames: seeks to the key frame in front of the first one and stops after the last one.
//!
//! Frames come as PPM pictures through a pipe, since those say their own size.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use mutualnet_image::{Image, decode};

use super::{Ffmpeg, file_argument};
use crate::{FrameIndex, TimeBase, VideoError, process};

/// The most runs of frames of one call; the expression that selects them grows with their number.
const RUNS_PER_CALL: usize = 64;

impl Ffmpeg {
    /// The frames of these numbers, which increase.
    pub(crate) fn frames(
        &self,
        path: &Path,
        index: &FrameIndex,
        numbers: &[usize],
    ) -> Result<Vec<Image>, VideoError> {
        let mut frames = Vec::with_capacity(numbers.len());
        for runs in runs(numbers).chunks(RUNS_PER_CALL) {
            frames.extend(self.map(path, (index, runs), &mut |image| image)?);
        }
        Ok(frames)
    }

    /// Decodes runs of frames one after another, and keeps of each what `map` makes of it.
    pub(crate) fn map<T>(
        &self,
        path: &Path,
        (index, runs): (&FrameIndex, &[Range<usize>]),
        map: &mut dyn FnMut(Image) -> T,
    ) -> Result<Vec<T>, VideoError> {
        match self.decode(path, (index, runs), Start::AtKey, map) {
            // Some files cannot be searched, or not exactly.
            Err(VideoError::LostFrames { .. }) => self.decode(path, (index, runs), Start::AtBeginning, map),
            decoded => decoded,
        }
    }

    fn decode<T>(
        &self,
        path: &Path,
        (index, runs): (&FrameIndex, &[Range<usize>]),
        start: Start,
        map: &mut dyn FnMut(Image) -> T,
    ) -> Result<Vec<T>, VideoError> {
        let Some(first) = runs.first().map(|run| run.start) else { return Ok(Vec::new()) };
        let wanted: usize = runs.iter().map(Range::len).sum();
        let mut command = Self::command(&self.ffmpeg);
        // Data sets are decoded by many workers, each of which has a core.
        command.args(["-nostdin", "-threads", "1"]);
        if start == Start::AtKey && index.keys.iter().any(|&key| (1..=first).contains(&(key as usize))) {
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &seconds(index, first)]);
        }
        command.arg("-copyts").arg("-i").arg(file_argument(path));
        command.args(["-map", "0:V:0", "-vf", &selection(index, runs), "-fps_mode", "passthrough"]);
        command.args(["-frames:v", &wanted.to_string(), "-pix_fmt", "rgb24"]);
        command.args(["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact"]);
        command.args(["-c:v", "ppm", "-f", "image2pipe", "pipe:1"]);
        process::run(&mut command, self.limit, |stdout| {
            let mut stdout = BufReader::with_capacity(1 << 16, stdout);
            let mut frames = Vec::with_capacity(wanted);
            while let Some(frame) = read_ppm(&mut stdout, first)? {
                frames.push(map(frame));
                if frames.len() == wanted {
                    break;
                }
            }
            if frames.len() < wanted {
                return Err(VideoError::LostFrames { wanted, decoded: frames.len() });
            }
            Ok(frames)
        })
    }
}

/// Numbers that increase, as runs of consecutive ones.
fn runs(numbers: &[usize]) -> Vec<Range<usize>> {
    let consecutive = numbers.chunk_by(|a, b| a + 1 == *b);
    consecutive.map(|run| run[0]..run[0] + run.len()).collect()
}

/// Where decoding starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    AtKey,
    AtBeginning,
}

/// Time of a frame for a search that ends at the last key frame that does not come later.
fn seconds(index: &FrameIndex, frame: usize) -> String {
    let TimeBase { numerator, denominator } = index.time_base;
    // Half a tick more, so that rounding does not end in front of a key frame.
    format!("{:.6}", index.seconds(frame) + 0.5 * f64::from(numerator) / f64::from(denominator))
}

/// The filter that lets these frames pass, by their time.
fn selection(index: &FrameIndex, runs: &[Range<usize>]) -> String {
    let times = runs.iter().map(|run| match index.times[run.clone()] {
        [first, .., last] => format!("between(pts,{first},{last})"),
        [time] => format!("eq(pts,{time})"),
        [] => "0".to_owned(),
    });
    format!("select='{}'", times.collect::<Vec<_>>().join("+"))
}

/// Reads one picture; nothing at the end.
fn read_ppm(stdout: &mut impl BufRead, number: usize) -> Result<Option<Image>, VideoError> {
    let mut header = Vec::new();
    for _ in 0..3 {
        stdout.by_ref().take(32).read_until(b'\n', &mut header)?;
    }
    if header.is_empty() {
        return Ok(None);
    }
    let size = parse_header(&header)
        .ok_or_else(|| VideoError::Damaged { reason: "ffmpeg sent no picture".to_owned() })?;
    let bytes = 3 * u64::from(size[0]) * u64::from(size[1]);
    decode::check_memory(size, bytes).map_err(|source| VideoError::Frame { number, source })?;
    let mut pixels = vec![0; bytes as usize];
    stdout.read_exact(&mut pixels)?;
    Ok(Some(Image::new(size[0], size[1], pixels)))
}

/// Width and height from `P6\n640 480\n255\n`.
fn parse_header(header: &[u8]) -> Option<[u32; 2]> {
    let text = std::str::from_utf8(header).ok()?;
    let (width, height) = text.strip_prefix("P6\n")?.strip_suffix("\n255\n")?.split_once(' ')?;
    Some([width.parse().ok().filter(|&n| n > 0)?, height.parse().ok().filter(|&n| n > 0)?])
}
