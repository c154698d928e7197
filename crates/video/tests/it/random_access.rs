//! Frames read at random equal those that are decoded from first to last.

use mutualnet_video::{Ffmpeg, Frame, Video};

use crate::files::{all_frames, have_ffmpeg, make, turn};

/// Name, size, frames, and arguments of `ffmpeg`: B-frames, long distances of key frames, variable frame rate, turned
/// pictures, odd sizes, clocks that do not start at 0, and packets that show nothing.
const FILES: &[(&str, &str, usize, &str)] = &[
    ("b_frames.mp4", "64x48", 60, "-c:v libx264 -bf 3 -g 12 -pix_fmt yuv420p"),
    (
        "open_gop.mkv",
        "64x48",
        60,
        "-c:v libx264 -x264-params open-gop=1:keyint=10:bframes=3 -pix_fmt yuv420p",
    ),
    ("one_key.mov", "64x48", 80, "-c:v libx264 -g 250 -pix_fmt yuv420p"),
    ("variable.mkv", "64x48", 60, "-vf select='mod(n,7)-3' -fps_mode vfr -c:v libx264 -g 8 -pix_fmt yuv420p"),
    ("late_start.ts", "64x48", 50, "-c:v libx264 -bf 2 -g 10 -pix_fmt yuv420p"),
    ("turned.mov", "64x48", 20, "-c:v libx264 -pix_fmt yuv420p"),
    ("odd.mkv", "63x47", 20, "-c:v libx264 -pix_fmt yuv444p"),
    ("vp8.webm", "64x48", 60, "-c:v libvpx -g 12 -auto-alt-ref 1 -lag-in-frames 12 -b:v 200k"),
    ("vp9.webm", "64x48", 40, "-c:v libvpx-vp9 -g 12 -b:v 200k"),
    ("b_frames.avi", "64x48", 40, "-c:v mpeg4 -bf 2 -g 12"),
    ("mpeg2.mpg", "64x48", 40, "-c:v mpeg2video -bf 2 -g 12"),
    ("cut_at_start.mp4", "64x48", 60, "-ss 0.5 -c:v libx264 -bf 3 -g 12 -pix_fmt yuv420p"),
    ("stretches.mp4", "64x48", 600, "-c:v libx264 -bf 3 -g 50 -pix_fmt yuv420p"),
    ("ten_bits.mkv", "64x48", 10, "-c:v libx264 -pix_fmt yuv420p10le"),
    ("sound.mp4", "64x48", 25, "-f lavfi -i sine=duration=1 -c:v libx264 -pix_fmt yuv420p -c:a aac"),
];

#[test]
fn any_frame_equals_the_one_of_a_whole_pass() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for &(name, size, frames, arguments) in FILES {
        let path = make(dir.path(), name, (size, frames), arguments);
        if name.starts_with("turned") {
            turn(&path);
        }
        let video = Video::open(&path, &Ffmpeg::default()).unwrap();
        let all = all_frames(&path, video.index().size);
        assert_eq!(video.index().n_frames(), all.len(), "{name}");
        let last = all.len() - 1;
        // Backward, so that no call goes on where the one before it ended.
        for numbers in [
            vec![last],
            vec![last / 2 + 1, last / 2 + 2],
            vec![last / 2],
            vec![last / 3, 2 * last / 3],
            vec![1],
            vec![0],
        ] {
            let images = video.frames(&numbers).unwrap();
            for (&number, image) in numbers.iter().zip(&images) {
                assert!(image.pixels() == all[number], "{name}: frame {number} of {}", all.len());
            }
        }
        let every: Vec<_> = (0..all.len()).collect();
        let images = video.frames(&every).unwrap();
        assert!(images.iter().zip(&all).all(|(image, pixels)| image.pixels() == pixels), "{name}");
        let mapped = video.map_frames(|frame| match frame {
            Frame::Decoded(image) => image.into_pixels(),
            Frame::File(_) => panic!("{name} is not Motion JPEG"),
        });
        assert!(mapped.unwrap() == all, "{name}");
    }
}

#[test]
fn pictures_are_upright() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), "a.mov", ("64x48", 3), "-c:v libx264 -pix_fmt yuv420p");
    turn(&path);
    let video = Video::open(&path, &Ffmpeg::default()).unwrap();
    let image = &video.frames(&[0]).unwrap()[0];
    assert_eq!((video.index().size, [image.width(), image.height()]), ([48, 64], [48, 64]));
}

/// Our own reader against `ffmpeg`: the same frames, and pixels that differ by rounding only.
#[test]
fn motion_jpeg_looks_as_ffmpeg_sees_it() {
    if !have_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), "a.avi", ("64x48", 12), "-c:v mjpeg -q:v 2 -pix_fmt yuvj444p");
    let video = Video::open(&path, &Ffmpeg::at("no-such-program".as_ref())).unwrap();
    let all = all_frames(&path, [64, 48]);
    assert_eq!(video.index().n_frames(), all.len());
    let images = video.frames(&(0..all.len()).collect::<Vec<_>>()).unwrap();
    for (image, pixels) in images.iter().zip(&all) {
        let differences = image.pixels().iter().zip(pixels).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.clone().max() <= Some(6), "{:?}", differences.max());
    }
}
