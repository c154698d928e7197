//! A folder of pictures as a video: one file for each frame.
//!
//! Separate because the files themselves do not say when they are shown.
//! Invariant: frames are in the order of the numbers in their names, and equally far apart.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use mutualnet_image::decode::{self, Undecoded};
use mutualnet_image::{Image, is_image_name, junk};

use crate::{FrameIndex, TimeBase, VideoError};

/// Frames per second of folders. No clip depends on it, because strides count frames.
const FRAME_RATE: u32 = 25;

/// The files of the frames, in order.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, VideoError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = PathBuf::from(entry?.file_name());
        if is_image_name(&name) && !junk::is_skipped(name.as_os_str()) {
            files.push(name);
        }
    }
    files.sort_by(|a, b| {
        let [first, second] = [a, b].map(|name| name.as_os_str().as_encoded_bytes());
        natural(first, second).then_with(|| first.cmp(second))
    });
    if files.is_empty() { Err(VideoError::NoPictures) } else { Ok(files) }
}

/// When the frames are shown. The size is that of the first one.
pub(crate) fn index(folder: &Path, files: &[PathBuf]) -> Result<FrameIndex, VideoError> {
    let failed = |source| VideoError::Picture { file: files[0].clone(), source };
    let mut first = read(folder, &files[0])?;
    let picture = Undecoded::new(&mut first, &mut Vec::new()).map_err(failed)?;
    let ending = files[0].extension().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(FrameIndex {
        container: "folder".to_owned(),
        codec: if ending == "jpg" { "jpeg".to_owned() } else { ending },
        size: [picture.width(), picture.height()],
        time_base: TimeBase { numerator: 1, denominator: FRAME_RATE },
        times: (0..files.len() as i64).collect(),
        keys: (0..files.len() as u32).collect(),
        announced: None,
    })
}

/// Reads the file of a frame.
pub(crate) fn read(folder: &Path, file: &Path) -> Result<Vec<u8>, VideoError> {
    let mut content = Vec::new();
    let read =
        decode::open_file(&folder.join(file)).and_then(|opened| decode::read_file(opened, &mut content));
    read.map_err(|source| VideoError::Picture { file: file.to_owned(), source })?;
    Ok(content)
}

pub(crate) fn decode(folder: &Path, file: &Path) -> Result<Image, VideoError> {
    let failed = |source| VideoError::Picture { file: file.to_owned(), source };
    decode::decode(&read(folder, file)?).map_err(failed)
}

/// Compares names by the numbers in them: `frame2` comes before `frame10`.
fn natural(mut first: &[u8], mut second: &[u8]) -> Ordering {
    loop {
        let (a, b) = match (first.first(), second.first()) {
            (Some(&a), Some(&b)) => (a, b),
            (a, b) => return a.cmp(&b),
        };
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let [x, y] = [number(&mut first), number(&mut second)];
            match (x.len(), x).cmp(&(y.len(), y)) {
                Ordering::Equal => {}
                different => return different,
            }
        } else if a == b {
            (first, second) = (&first[1..], &second[1..]);
        } else {
            return a.cmp(&b);
        }
    }
}

/// Takes the digits at the front, without leading zeros.
fn number<'a>(name: &mut &'a [u8]) -> &'a [u8] {
    let end = name.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(name.len());
    let (digits, rest) = name.split_at(end);
    *name = rest;
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use mutualnet_image::{encode_jpeg, encode_png};

    use super::*;
    use crate::{Ffmpeg, Video};

    fn grey(value: u8) -> Image {
        Image::new(6, 4, vec![value; 72])
    }

    #[test]
    fn numbers_in_names_say_the_order() {
        for (first, second) in [
            ("frame2.jpg", "frame10.jpg"),
            ("9.png", "00010.png"),
            ("a1b2.png", "a1b10.png"),
            ("x.png", "x1.png"),
            ("img_00001.jpg", "img_00002.jpg"),
            ("99999999999999999999998.jpg", "99999999999999999999999.jpg"),
        ] {
            let [a, b] = [first, second].map(str::as_bytes);
            assert_eq!(
                (natural(a, b), natural(b, a)),
                (Ordering::Less, Ordering::Greater),
                "{first} {second}"
            );
        }
        assert_eq!(natural(b"001.jpg", b"1.jpg"), Ordering::Equal);
    }

    #[test]
    fn a_folder_is_a_video() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        for number in 1..=12 {
            write(&format!("{number}.png"), &encode_png(&grey(20 * number)));
        }
        write("._1.png", b"junk");
        write("notes.txt", b"not a frame");
        let video = Video::open(dir.path(), &Ffmpeg::default()).unwrap();
        let index = video.index();
        assert_eq!((index.n_frames(), index.size, index.codec.as_str()), (12, [6, 4], "png"));
        assert_eq!((index.frame_rate(), index.key_distance()), (Some(25.0), 1));
        let greys: Vec<_> =
            video.frames(&[11, 0, 1, 1]).unwrap().iter().map(|image| image.pixel(0, 0)[0]).collect();
        assert_eq!(greys, [240, 20, 40, 40]);
        write("3.png", b"");
        assert!(video.frames(&[3]).is_ok());
        assert_eq!(video.frames(&[2]).unwrap_err().reason(), "3.png: the file is empty");
        write("0.jpg", &encode_jpeg(&grey(7), 90));
        assert_eq!(Video::open(dir.path(), &Ffmpeg::default()).unwrap().index().codec, "jpeg");
    }

    #[test]
    fn a_folder_without_pictures_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let error = Video::open(dir.path(), &Ffmpeg::default()).unwrap_err();
        assert_eq!(error.reason(), "a folder without JPEG, PNG or WebP files");
    }
}
