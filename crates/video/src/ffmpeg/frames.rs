//! Decodes chosen frames: seeks to the key frame in front of the first one and stops after the last one.
//!
//! Frames come as PPM pictures through a pipe, since those say their own size.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use mutualnet_image::{Image, decode};

use super::{Ffmpeg, file_argument};
use crate::{FrameIndex, TimeBase, VideoError, process};

/// The most frames of one call; the expression that selects them grows with their number.
const FRAMES_PER_CALL: usize = 64;

impl Ffmpeg {
    /// The frames of these numbers, which increase.
    pub(crate) fn frames(
        &self,
        path: &Path,
        index: &FrameIndex,
        numbers: &[usize],
    ) -> Result<Vec<Image>, VideoError> {
        let mut frames = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(FRAMES_PER_CALL) {
            let part = match self.decode(path, (index, numbers), Start::AtKey) {
                // Some files cannot be searched, or not exactly.
                Err(VideoError::LostFrames { .. }) => self.decode(path, (index, numbers), Start::AtBeginning),
                part => part,
            };
            frames.extend(part?);
        }
        Ok(frames)
    }

    fn decode(
        &self,
        path: &Path,
        (index, numbers): (&FrameIndex, &[usize]),
        start: Start,
    ) -> Result<Vec<Image>, VideoError> {
        let Some(&first) = numbers.first() else { return Ok(Vec::new()) };
        let mut command = Self::command(&self.ffmpeg);
        // Data sets are decoded by many workers, each of which has a core.
        command.args(["-nostdin", "-threads", "1"]);
        if start == Start::AtKey && index.keys.iter().any(|&key| (1..=first).contains(&(key as usize))) {
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &seconds(index, first)]);
        }
        command.arg("-copyts").arg("-i").arg(file_argument(path));
        command.args(["-map", "0:V:0", "-vf", &selection(index, numbers), "-fps_mode", "passthrough"]);
        command.args(["-frames:v", &numbers.len().to_string(), "-pix_fmt", "rgb24"]);
        command.args(["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact"]);
        command.args(["-c:v", "ppm", "-f", "image2pipe", "pipe:1"]);
        process::run(&mut command, self.limit, |stdout| {
            let mut stdout = BufReader::with_capacity(1 << 16, stdout);
            let mut frames = Vec::with_capacity(numbers.len());
            while let Some(frame) = read_ppm(&mut stdout, first)? {
                frames.push(frame);
                if frames.len() == numbers.len() {
                    break;
                }
            }
            if frames.len() < numbers.len() {
                return Err(VideoError::LostFrames { wanted: numbers.len(), decoded: frames.len() });
            }
            Ok(frames)
        })
    }
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
fn selection(index: &FrameIndex, numbers: &[usize]) -> String {
    let times = numbers.iter().map(|&number| format!("eq(pts,{})", index.times[number]));
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
