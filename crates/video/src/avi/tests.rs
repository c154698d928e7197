//! Files are written by [`AviWriter`], and changed byte by byte into what other programs and accidents leave.

use std::fs;
use std::io::Cursor;

use mutualnet_image::{Image, decode, encode_jpeg};
use proptest::prelude::*;

use super::{AviWriter, Movie, read};
use crate::{Ffmpeg, TimeBase, Video, VideoError};

const RATE: TimeBase = TimeBase { numerator: 1, denominator: 25 };

fn jpegs(n: usize) -> Vec<Vec<u8>> {
    let image = |frame: usize| {
        let pixels = (0..3 * 33 * 17).map(|i| (i * (frame + 3) % 251) as u8).collect();
        encode_jpeg(&Image::new(33, 17, pixels), 90)
    };
    (0..n).map(image).collect()
}

/// An AVI file of these frames.
fn avi(frames: &[Vec<u8>]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.avi");
    let mut writer = AviWriter::create(&path, [33, 17], RATE).unwrap();
    for frame in frames {
        writer.frame(frame).unwrap();
    }
    writer.finish().unwrap();
    fs::read(&path).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Option<Movie>, VideoError> {
    read(&mut Cursor::new(bytes))
}

fn frames_of(bytes: &[u8]) -> Vec<&[u8]> {
    let movie = parse(bytes).unwrap().unwrap();
    movie.frames.iter().map(|&(start, len)| &bytes[start as usize..][..len as usize]).collect()
}

#[test]
fn what_is_written_is_read() {
    let frames = jpegs(5);
    let bytes = avi(&frames);
    assert_eq!(frames_of(&bytes), frames);
    let index = parse(&bytes).unwrap().unwrap().index;
    assert_eq!((index.size, index.announced, index.n_frames()), ([33, 17], Some(5), 5));
    assert_eq!((index.seconds(4), index.frame_rate(), index.key_distance()), (0.16, Some(25.0), 1));
}

#[test]
fn frames_are_decoded_in_the_order_asked_for() {
    let frames = jpegs(4);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.avi");
    fs::write(&path, avi(&frames)).unwrap();
    let video = Video::open(&path, &Ffmpeg::at("no-such-program".as_ref())).unwrap();
    let wanted = [3, 0, 0, 2];
    let images = video.frames(&wanted).unwrap();
    let expected: Vec<_> = wanted.iter().map(|&n: &usize| decode::decode(&frames[n]).unwrap()).collect();
    assert_eq!(images, expected);
    let error = video.frames(&[4]).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "frame 4 of a video of 4 frames");
}

/// A dropped frame is written as a chunk without bytes; programs show the one before it again.
#[test]
fn a_frame_without_bytes_repeats_the_one_before() {
    let mut frames = jpegs(3);
    frames[1].clear();
    frames.insert(0, Vec::new());
    let bytes = avi(&frames);
    assert_eq!(frames_of(&bytes), [&frames[1][..], &frames[1], &frames[3]]);
}

/// A recording that is cut short keeps its whole frames, even if the lengths of its lists were never written.
#[test]
fn a_cut_file_keeps_its_whole_frames() {
    let frames = jpegs(3);
    let mut bytes = avi(&frames);
    let movi = bytes.windows(4).position(|word| word == b"movi").unwrap();
    bytes[4..8].fill(0);
    bytes[movi - 4..movi].fill(0);
    let mut seen = Vec::new();
    for end in 0..bytes.len() {
        let n = match parse(&bytes[..end]) {
            Ok(Some(movie)) => movie.frames.len(),
            Ok(None) | Err(VideoError::NoFrames | VideoError::Io { .. }) => 0,
            Err(error) => panic!("{end}: {error}"),
        };
        assert!(seen.last().is_none_or(|&last| n == last || n == last + 1), "{end}");
        seen.push(n);
    }
    assert_eq!(seen.last(), Some(&3));
}

/// Large files go on in further parts, and some programs group frames in lists of records.
#[test]
fn further_parts_and_records_are_followed() {
    let frames = jpegs(3);
    let mut bytes = avi(&frames);
    let list = |kind: &[u8; 4], id: &[u8; 4], content: &[u8]| {
        [&id[..], &(content.len() as u32 + 4).to_le_bytes(), kind, content].concat()
    };
    let chunk = |id: &[u8; 4], content: &[u8]| {
        [&id[..], &(content.len() as u32).to_le_bytes(), content, &[0][..content.len() % 2]].concat()
    };
    let records = [
        chunk(b"ix00", b"an index"),
        list(b"rec ", b"LIST", &[chunk(b"01wb", b"sound"), chunk(b"00dc", &frames[2])].concat()),
        chunk(b"00dc", &frames[0]),
    ];
    bytes.extend(list(b"AVIX", b"RIFF", &list(b"movi", b"LIST", &records.concat())));
    assert_eq!(frames_of(&bytes), [&frames[0][..], &frames[1], &frames[2], &frames[2], &frames[0]]);
}

#[test]
fn other_codecs_are_not_ours() {
    let mut bytes = avi(&jpegs(1));
    while let Some(at) = bytes.windows(4).position(|word| word == b"MJPG") {
        bytes[at..at + 4].copy_from_slice(b"H264");
    }
    assert!(parse(&bytes).unwrap().is_none());
    assert!(parse(b"RIFF\0\0\0\0WAVE").unwrap().is_none());
    assert!(parse(b"\0\0\0\x18ftypmp42\0\0\0\0isom").unwrap().is_none());
}

proptest! {
    /// Damage gives an error, or frames that lie in the file.
    #[test]
    fn damage_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        let mut bytes = avi(&jpegs(2));
        // Most of the structure is in front.
        for (at, value) in changes {
            let at = at.index(bytes.len().min(400));
            bytes[at] = value;
        }
        if let Ok(Some(movie)) = parse(&bytes) {
            for (start, len) in movie.frames {
                prop_assert!(start + u64::from(len) <= bytes.len() as u64);
            }
        }
    }
}
