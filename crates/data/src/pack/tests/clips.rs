//! Packed videos against the files that they were packed from.

use std::process::Command;
use std::sync::Arc;

use mutualnet_core::{ClipSampling, Frames, Preprocess, Resolution, Task};
use mutualnet_video::{Ffmpeg, Video};

use super::*;
use crate::check::{check_videos, has_videos};
use crate::clips::{ClipsSpec, generate};
use crate::{Batch, Error, Loader, LoaderConfig, Part, Position, TrainTransform};

const CLIPS: PackOptions =
    PackOptions { splits: Vec::new(), rank: Rank::Clip, limit: None, store: Store::Jpeg, quality: 90 };

fn generated() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spec = ClipsSpec { seed: 3, train: 16, test: 8, side: 24, frames: 7 };
    generate(&dir.path().join("data"), &spec).unwrap();
    dir
}

fn pack_as(dir: &Path, name: &str, options: &PackOptions) -> PathBuf {
    let out = dir.join(name);
    pack(&dir.join("data"), &out, options, &Progress::default()).unwrap();
    out
}

fn loader(root: &Path, split: &str) -> Loader {
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, root, split).unwrap();
    let config = LoaderConfig {
        batch_size: 4,
        part: Part::default(),
        workers: 2,
        prefetch: 2,
        seed: 9,
        broken_limit: 0.5,
    };
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn preprocess(frames: u32, stride: u32) -> Preprocess {
    let clip = Some(ClipSampling { frames: Frames::new(frames).unwrap(), stride });
    Preprocess { clip, ..Preprocess::center_crop(Resolution::new(24).unwrap(), [0.5; 3], [0.25; 3]) }
}

fn trained(root: &Path) -> Vec<Batch> {
    let batches = loader(root, "train");
    let batches =
        batches.train(TrainTransform::default(), &preprocess(3, 2), Position::default(), 3).unwrap();
    batches.map(Result::unwrap).collect()
}

#[test]
fn training_and_evaluation_see_the_same_clips_from_a_pack() {
    let dir = generated();
    let data = dir.path().join("data");
    // Frames of Motion JPEG are kept as they are, so even pixels are the same.
    for (name, store) in [("jpeg.mnpack", Store::Jpeg), ("raw.mnpack", Store::Raw)] {
        let pack = pack_as(dir.path(), name, &PackOptions { store, ..CLIPS });
        for (file, packed) in trained(&data).iter().zip(trained(&pack)) {
            assert_eq!((&file.indices, file.images.to_vec()), (&packed.indices, packed.images.to_vec()));
        }
        let tests = |root: &Path| -> Vec<_> {
            let batches = loader(root, "test");
            let batches = batches.evaluate(&preprocess(4, 3)).unwrap();
            batches.map(|batch| batch.unwrap()).map(|batch| (batch.indices, batch.images.to_vec())).collect()
        };
        assert_eq!(tests(&data), tests(&pack), "{name}");
        // A copy of a copy is the same again.
        let again = dir.path().join("again.mnpack");
        crate::pack::pack(&pack, &again, &PackOptions { store, ..CLIPS }, &Progress::default()).unwrap();
        assert_eq!(fs::read(&pack).unwrap().len(), fs::read(&again).unwrap().len());
        assert_eq!(tests(&data), tests(&again), "{name}");
    }
}

/// A video whose frame times vary, with a key frame in every 20 frames; every frame has a grey of its own.
fn variable(path: &Path) -> bool {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "color=c=black:s=64x48:r=25:d=3"]);
    command.args(["-vf", "geq=lum='mod(37*N,220)+16':cb=128:cr=128,select='mod(n,7)-3'", "-fps_mode", "vfr"]);
    command.args(["-c:v", "libx264", "-g", "20", "-bf", "2", "-pix_fmt", "yuv420p"]).arg(path);
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn times_are_kept_so_that_the_same_frames_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let class = dir.path().join("data/train/a");
    fs::create_dir_all(&class).unwrap();
    if !variable(&class.join("1.mp4")) {
        eprintln!("skipped: `ffmpeg` is not installed");
        return;
    }
    let options = PackOptions { limit: Some(SideLimit::Shorter(24)), quality: 100, ..CLIPS };
    let pack = pack_as(dir.path(), "a.mnpack", &options);
    let video = Video::open(&class.join("1.mp4"), &Ffmpeg::default()).unwrap();
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, &pack, "train").unwrap();
    let Place::Packed(packed) = &dataset.samples()[0].place else { panic!("not packed") };
    let mut packed = PackedVideo::open(&pack, packed).unwrap();
    let (of_file, of_pack) = (video.index(), packed.index().clone());
    assert_eq!((&of_pack.times, of_pack.time_base), (&of_file.times, of_file.time_base));
    assert_eq!((of_pack.size, of_pack.key_distance()), ([32, 24], 1));
    for (frames, stride) in [(8, 2), (5, 7), (4, 40)] {
        let sampling = ClipSampling { frames: Frames::new(frames).unwrap(), stride };
        assert_eq!(of_file.last_start(sampling), of_pack.last_start(sampling));
        for start in 0..=of_file.last_start(sampling) {
            assert_eq!(of_file.clip(start, sampling), of_pack.clip(start, sampling));
        }
    }
    // Every packed frame shows the one of its number.
    let grey = |image: &Image| {
        image.pixels().iter().map(|&value| f64::from(value)).sum::<f64>() / image.pixels().len() as f64
    };
    let numbers: Vec<_> = (0..of_file.n_frames()).collect();
    let greys: Vec<_> = video.frames(&numbers).unwrap().iter().map(grey).collect();
    assert!(greys.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 20.0), "{greys:?}");
    for (number, expected) in greys.into_iter().enumerate() {
        let stored = packed.frame(number, &mut Vec::new(), &mut Vec::new()).unwrap().whole().unwrap();
        assert!((grey(&stored) - expected).abs() < 2.0, "frame {number}");
    }
}

#[test]
fn a_damaged_frame_breaks_its_video_alone() {
    let dir = generated();
    let data = dir.path().join("data");
    fs::write(data.join("train/left/00000.avi"), b"").unwrap();
    let out = dir.path().join("a.mnpack");
    let report = pack(&data, &out, &CLIPS, &Progress::default()).unwrap();
    assert_eq!((report.n_samples, report.splits[0].1), (23, 15));
    assert_eq!(report.broken[0].to_string(), "train/left/00000.avi: the file is empty");
    assert!(has_videos(&out) && !has_videos(dir.path().join("no.mnpack").as_path()));
    let checked = check_videos(&out, &Ffmpeg::default(), &Progress::default()).unwrap();
    assert_eq!((checked.n_videos, checked.videos.len(), checked.broken.len()), (23, 23, 0));
    assert_eq!(checked.videos[0].index.frame_rate(), Some(16.0));
    let hash = loader(&out, "train").dataset().hash();
    let whole = fs::read(&out).unwrap();
    let mut damaged = whole.clone();
    // In the first frame of the first video, behind the header.
    damaged[HEADER_BYTES + 100] ^= 1;
    fs::write(&out, &damaged).unwrap();
    let checked = check_videos(&out, &Ffmpeg::default(), &Progress::default()).unwrap();
    let reasons: Vec<_> = checked.broken.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 1);
    assert!(
        reasons[0]
            .ends_with("frame 0: the checksum does not match: the image has changed since it was packed")
    );
    let loader = loader(&out, "train");
    assert_eq!(loader.dataset().hash(), hash, "the index is as before");
    let n: usize = loader.evaluate(&preprocess(7, 1)).unwrap().map(|batch| batch.unwrap().n).sum();
    assert_eq!((n, loader.broken_files().len()), (14, 1));
}

#[test]
fn a_changed_byte_of_a_video_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ClipsSpec { seed: 3, train: 8, test: 8, side: 16, frames: 2 };
    generate(&dir.path().join("data"), &spec).unwrap();
    let out = pack_as(dir.path(), "a.mnpack", &PackOptions { splits: vec!["test".into()], ..CLIPS });
    let whole = fs::read(&out).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&out, &damaged).unwrap();
        let intact = check_videos(&out, &Ffmpeg::default(), &Progress::default())
            .is_ok_and(|report| report.broken.is_empty());
        // Four bytes of the header mean nothing.
        assert!(!intact || (28..32).contains(&at), "{at}");
    }
}

#[test]
fn a_list_of_frames_that_lies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let record = |offset, bytes| Record { offset, bytes, crc32: 0, width: 0, height: 0 };
    let index = |times: &[i64], denominator| mutualnet_video::FrameIndex {
        container: String::new(),
        codec: String::new(),
        size: [1, 1],
        time_base: mutualnet_video::TimeBase { numerator: 1, denominator },
        times: times.to_vec(),
        keys: vec![0],
        announced: None,
    };
    let frame = record(40, 10);
    let cases = [
        (frames::bytes(&index(&[0, 5], 1), &[frame, frame]), true),
        (frames::bytes(&index(&[i64::MIN, i64::MAX], 1), &[frame, frame]), true),
        (frames::bytes(&index(&[5, 5], 1), &[frame, frame]), false),
        (frames::bytes(&index(&[0], 0), &[frame]), false),
        (frames::bytes(&index(&[0], 1), &[record(31, 10)]), false),
        (frames::bytes(&index(&[0], 1), &[record(95, 10)]), false),
        (frames::bytes(&index(&[], 1), &[]), false),
        (vec![0; 7], false),
        (vec![1; 41], false),
    ];
    for (bytes, fits) in cases {
        fs::write(&path, [&[0; 100][..], &bytes].concat()).unwrap();
        let crc32 = crc32fast::hash(&bytes);
        let record = Record { offset: 100, bytes: bytes.len() as u32, crc32, width: 1, height: 1 };
        let opened = PackedVideo::open(&path, &Packed { name: "x".into(), record });
        assert_eq!(opened.is_ok(), fits, "{bytes:?}: {opened:?}");
    }
}

#[test]
fn images_and_videos_in_packs_are_told_apart() {
    let dir = generated();
    let clips = pack_as(dir.path(), "clips.mnpack", &CLIPS);
    let error = Dataset::open_split(&clips, Split::Train).unwrap_err();
    assert!(error.to_string().ends_with("clips.mnpack has clips, but the network reads images"), "{error}");
    let images = folder();
    let (images, _) = packed(images.path(), &JPEG);
    let error = Dataset::open_for(Task::Classify, Rank::Clip, &images, "train").unwrap_err();
    assert!(error.to_string().ends_with("out.mnpack has images, but the network reads clips"), "{error}");
    let error = Dataset::open_for(Task::Classify, Rank::Clip, &clips, "val").unwrap_err();
    assert!(matches!(error, Error::NotPacked { .. }), "{error}");
}
