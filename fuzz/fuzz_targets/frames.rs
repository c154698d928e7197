//! Reads arbitrary bytes as the index of a video, and as the file beside videos that keeps such indices.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_data::Dataset;
use mutualnet_fuzz::init;
use mutualnet_video::FrameIndex;

/// A data set of one video, which is never opened.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory can be made");
    fs::create_dir_all(dir.path().join("train/a")).expect("a directory can be made");
    fs::write(dir.path().join("train/a/1.mp4"), "").expect("a file can be written");
    dir
});

fuzz_target!(init: init(), |bytes: &[u8]| {
    if let Some(index) = FrameIndex::from_bytes(bytes) {
        assert_eq!(index.to_bytes(), bytes);
    }
    let file = DIR.path().join("train/.mutualnet-frames");
    fs::write(file, bytes).expect("a file can be written");
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, DIR.path(), "train");
    assert_eq!(dataset.map(|dataset| dataset.samples().len()).ok(), Some(1));
});
