//! Files that are no videos, or no more.

use std::error::Error as _;
use std::fs;
use std::time::{Duration, Instant};

use mutualnet_video::{Ffmpeg, Video};

use crate::files::{have_ffmpeg, make};

/// The reason why a file cannot be opened, or why its last frame cannot be decoded.
fn reason(path: &std::path::Path) -> String {
    let video = Video::open(path, &Ffmpeg::default());
    let error = video.and_then(|video| video.frames(&[video.index().n_frames() - 1])).unwrap_err();
    error.source().unwrap().to_string()
}

#[test]
fn what_is_no_video_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("empty.mp4"), b"").unwrap();
    assert_eq!(reason(&path("empty.mp4")), "the file is empty");
    assert_eq!(reason(dir.path()), "a folder without JPEG, PNG or WebP files");
    for (bytes, told) in [
        (&b"<html>not found</html>"[..], "an HTML page, not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "a text file, not a video"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image, not a video"),
    ] {
        fs::write(path("other.mp4"), bytes).unwrap();
        assert_eq!(reason(&path("other.mp4")), told);
    }
    if !have_ffmpeg() {
        return;
    }
    // A list of addresses that is not taken for text.
    fs::write(path("list.mp4"), b"#EXTM3U\n#\0\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n").unwrap();
    make(dir.path(), "sound.mp4", ("64x48", 25), "-f lavfi -i sine=duration=1 -map 1:a -c:a aac");
    let whole = make(dir.path(), "whole.mp4", ("64x48", 50), "-c:v libx264 -pix_fmt yuv420p");
    let bytes = fs::read(whole).unwrap();
    fs::write(path("cut.mp4"), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(reason(&path("sound.mp4")), "the file has no video stream");
    for name in ["list.mp4", "cut.mp4"] {
        let reason = reason(&path(name));
        assert!(reason.contains("Invalid data") || reason.contains("whitelist"), "{name}: {reason}");
    }
}

/// A file that is cut short keeps the frames that are there, where its format allows.
#[test]
fn a_cut_file_keeps_what_is_whole() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let whole = make(dir.path(), "whole.mkv", ("64x48", 50), "-c:v libx264 -g 5 -pix_fmt yuv420p");
    let bytes = fs::read(whole).unwrap();
    let cut = dir.path().join("cut.mkv");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let video = Video::open(&cut, &Ffmpeg::default()).unwrap();
    let n_frames = video.index().n_frames();
    assert!((10..45).contains(&n_frames), "{n_frames}");
    assert_eq!(video.frames(&[n_frames / 2]).unwrap().len(), 1);
}

/// Names that look like options, addresses or patterns are names of files.
#[test]
fn any_name_is_only_a_name() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), "a.mp4", ("64x48", 5), "-c:v libx264 -pix_fmt yuv420p");
    for name in ["-y.mp4", "concat:a.mp4", "%03d.mp4", "a b'c.mp4", "http:x.mp4"] {
        let renamed = dir.path().join(name);
        fs::copy(&path, &renamed).unwrap();
        let video = Video::open(&renamed, &Ffmpeg::default()).unwrap();
        assert_eq!(video.frames(&[4, 0]).unwrap().len(), 2, "{name}");
    }
}

#[test]
fn decoding_has_a_time_limit() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path =
        make(dir.path(), "a.mp4", ("640x480", 250), "-c:v libx264 -preset ultrafast -g 250 -pix_fmt yuv420p");
    let index = Video::open(&path, &Ffmpeg::default()).unwrap().index().clone();
    let hasty = Ffmpeg::default().limited(Duration::from_millis(1));
    let started = Instant::now();
    let error = Video::open_with(&path, &hasty, |_| Ok(index)).unwrap().frames(&[249]).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "decoding took longer than 0.001 s");
    assert!(started.elapsed() < Duration::from_secs(30));
}
