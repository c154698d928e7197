//! What is kept, what no longer counts, and files that are damaged.

use std::process::Command;
use std::thread;

use proptest::prelude::*;

use super::*;

/// A directory with a video, or nothing without `ffmpeg`.
fn video() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2"]);
    command.args(["-c:v", "libx264", "-g", "12", "-pix_fmt", "yuv420p"]).arg(dir.path().join("a.mp4"));
    if command.status().is_ok_and(|status| status.success()) {
        return Some(dir);
    }
    eprintln!("skipped: `ffmpeg` is not installed");
    None
}

fn open(dir: &Path) -> (FrameCache, Vec<Notice>) {
    FrameCache::open_files([Some(dir.join(FILE)), None])
}

fn index_by(cache: &FrameCache, dir: &Path, ffmpeg: &Ffmpeg) -> Result<FrameIndex, VideoError> {
    cache.index(Path::new("a.mp4"), &dir.join("a.mp4"), ffmpeg)
}

/// Programs that cannot be started, so that only what is kept can be told.
fn no_program() -> Ffmpeg {
    Ffmpeg::at(Path::new("/no/such/ffmpeg"))
}

#[test]
fn a_second_start_asks_no_program() {
    let Some(dir) = video() else { return };
    let dir = dir.path();
    let first = index_by(&open(dir).0, dir, &Ffmpeg::default()).unwrap();
    assert_eq!((first.n_frames(), first.key_distance()), (50, 12));
    let (cache, notices) = open(dir);
    assert_eq!(index_by(&cache, dir, &no_program()).unwrap(), first);
    assert!(notices.is_empty() && fs::metadata(dir.join(FILE)).unwrap().len() < 200);
    // The same number of bytes, but written later.
    let bytes = fs::read(dir.join("a.mp4")).unwrap();
    let before = Stamp::of(&dir.join("a.mp4")).unwrap();
    while Stamp::of(&dir.join("a.mp4")).unwrap() == before {
        fs::write(dir.join("a.mp4"), &bytes).unwrap();
    }
    let error = index_by(&cache, dir, &no_program()).unwrap_err();
    assert!(error.is_missing_program(), "{error}");
    assert_eq!(index_by(&cache, dir, &Ffmpeg::default()).unwrap(), first);
    // The later one of two entries counts.
    assert_eq!(index_by(&open(dir).0, dir, &no_program()).unwrap(), first);
}

fn entry(name: &str, n_frames: i64) -> Entry {
    let index = FrameIndex {
        container: "mov".into(),
        codec: "h264".into(),
        size: [64, 48],
        time_base: mutualnet_video::TimeBase { numerator: 1, denominator: 25 },
        times: (0..n_frames).collect(),
        keys: vec![0],
        announced: None,
    };
    Entry { name: name.into(), stamp: Stamp { bytes: 5, modified: -7 }, index: index.to_bytes().into() }
}

fn frames(cache: &FrameCache, name: &str) -> Option<usize> {
    Some(cache.known_index(Path::new(name), Stamp { bytes: 5, modified: -7 })?.n_frames())
}

#[test]
fn damage_costs_what_comes_after_it_and_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (cache, _) = open(dir.path());
    cache.add(entry("a", 3));
    cache.add(entry("b", 4));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&path, &damaged).unwrap();
        let (cache, notices) = open(dir.path());
        assert_eq!(notices.len(), 1, "{at}");
        let (a, b) = (frames(&cache, "a"), frames(&cache, "b"));
        assert!(matches!((a, b), (None | Some(3), None)), "{at}: {a:?} {b:?}");
        cache.add(entry("c", 5));
        let foreign = at < MAGIC.len();
        let kept = frames(&open(dir.path()).0, "c");
        assert_eq!(kept, if foreign { None } else { Some(5) }, "{at}");
        assert_eq!(open(dir.path()).1.is_empty(), !foreign, "{at}");
    }
    for cut in 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (cache, _) = open(dir.path());
        assert_eq!(frames(&cache, "b"), None);
        cache.add(entry("b", 4));
        assert_eq!(frames(&cache, "b"), Some(4));
    }
}

#[test]
fn a_file_of_another_kind_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    for content in [&b"<html>"[..], b"mnframe\x02 and more", b"mnf"] {
        fs::write(&path, content).unwrap();
        let (cache, notices) = open(dir.path());
        assert!(notices[0].to_string().contains("another version of the format"), "{}", notices[0]);
        cache.add(entry("a", 3));
        assert_eq!((frames(&cache, "a"), fs::read(&path).unwrap().as_slice()), (Some(3), content));
    }
}

#[test]
fn another_place_is_taken_where_the_first_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    // A file where a folder would have to be.
    fs::write(dir.path().join("data"), "").unwrap();
    let paths = || [Some(dir.path().join("data").join(FILE)), Some(dir.path().join("cache/frames-1"))];
    let (cache, _) = FrameCache::open_files(paths());
    cache.add(entry("a", 3));
    assert_eq!(frames(&FrameCache::open_files(paths()).0, "a"), Some(3));
}

#[test]
fn several_programs_add_to_one_file() {
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for program in 0..4 {
            let (cache, _) = open(dir.path());
            scope.spawn(move || (0..20).for_each(|i| cache.add(entry(&format!("{program}/{i}"), 2 + i))));
        }
    });
    let (cache, notices) = open(dir.path());
    assert!(notices.is_empty());
    for program in 0..4 {
        assert!((0..20).all(|i| frames(&cache, &format!("{program}/{i}")) == Some(2 + i as usize)));
    }
}

proptest! {
    #[test]
    fn any_content_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), has_magic: bool) {
        let dir = tempfile::tempdir().unwrap();
        let start = if has_magic { &MAGIC[..] } else { &[] };
        fs::write(dir.path().join(FILE), [start, &bytes].concat()).unwrap();
        let (cache, _) = open(dir.path());
        cache.add(entry("a", 3));
        prop_assert_eq!(frames(&cache, "a"), Some(3));
    }
}
