//! Reads arbitrary bytes as a packed data set.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_data::Split;
use mutualnet_fuzz::{init, read};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

fuzz_target!(init: init(), |bytes: &[u8]| {
    let path = DIR.path().join("data.mnpack");
    fs::write(&path, bytes).expect("a file can be written");
    for split in [Split::Train, Split::Val, Split::Test] {
        read(&path, split);
    }
});
