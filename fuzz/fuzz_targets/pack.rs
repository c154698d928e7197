//! Any bytes as a packed data set.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_data::{Dataset, Split};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

fuzz_target!(|bytes: &[u8]| {
    let path = DIR.path().join("data.mnpack");
    fs::write(&path, bytes).expect("a file can be written");
    for split in [Split::Train, Split::Val, Split::Test] {
        if let Ok(dataset) = Dataset::open_split(&path, split) {
            for i in 0..dataset.samples().len() {
                let _ = dataset.image(i);
            }
        }
    }
});
