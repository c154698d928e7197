//! The `ffmpeg` program and its companion `ffprobe`: where they are, and the arguments that all calls share.
//!
//! A program instead of a library, because a decoder that crashes or hangs then ends one file only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

mod frames;
mod probe;

/// Formats that are opened. Playlists are not among them: they may name other files and addresses.
const FORMATS: &str =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,gif,h264,hevc";

/// The time that one file may take if nothing else is said.
const LIMIT: Duration = Duration::from_secs(60);

/// How other programs are called to decode videos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ffmpeg {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    limit: Duration,
}

impl Default for Ffmpeg {
    /// `ffmpeg` and `ffprobe` from the directories of `PATH`, a minute per call.
    fn default() -> Self {
        Self { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into(), limit: LIMIT }
    }
}

impl Ffmpeg {
    /// The program at a path, with the `ffprobe` beside it.
    pub fn at(ffmpeg: &Path) -> Self {
        let name = ffmpeg.file_name().map(|name| name.to_string_lossy().replace("ffmpeg", "ffprobe"));
        let ffprobe = ffmpeg.with_file_name(name.unwrap_or_else(|| "ffprobe".to_owned()));
        Self { ffmpeg: ffmpeg.to_owned(), ffprobe, limit: LIMIT }
    }

    /// The same with another limit for the time that a call may take.
    #[must_use]
    pub fn limited(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// A call of one of the programs that reads local files of known formats only.
    fn command(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["-v", "error", "-hide_banner"]);
        command.args(["-protocol_whitelist", "file", "-format_whitelist", FORMATS]);
        command
    }
}

/// A path as an argument that is never taken for an option or an address.
fn file_argument(path: &Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push(path);
    argument
}
