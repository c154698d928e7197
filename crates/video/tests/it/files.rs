//! Files that the tests make with `ffmpeg`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether `ffmpeg` is installed; says so if it is not.
pub(crate) fn have_ffmpeg() -> bool {
    let have = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !have {
        eprintln!("skipped: `ffmpeg` is not installed");
    }
    have
}

/// Makes a file from a moving test picture, with further arguments of `ffmpeg`.
pub(crate) fn make(dir: &Path, name: &str, (size, frames): (&str, usize), arguments: &str) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i"]);
    command.arg(format!("testsrc2=size={size}:rate=25:duration={}", frames as f64 / 25.0));
    command.args(arguments.split_whitespace()).arg("-y").arg(&path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

/// All frames of a file from first to last, as `ffmpeg` decodes them in one go.
pub(crate) fn all_frames(path: &Path, [width, height]: [u32; 2]) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(["-map", "0:V:0", "-fps_mode", "passthrough"]);
    command.args(["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact"]);
    command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
    let output = command.output().unwrap();
    output.stdout.chunks_exact(3 * (width * height) as usize).map(<[u8]>::to_vec).collect()
}

/// Writes into a QuickTime file that its picture is shown turned by a quarter, as telephones do.
pub(crate) fn turn(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let header = bytes.windows(4).position(|word| word == b"tkhd").unwrap();
    // The matrix begins 40 bytes after the version.
    let matrix: [u32; 9] = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 0, 0, 0x4000_0000];
    let matrix = matrix.map(u32::to_be_bytes).concat();
    bytes[header + 44..header + 80].copy_from_slice(&matrix);
    fs::write(path, bytes).unwrap();
}
