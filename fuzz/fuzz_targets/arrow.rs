//! Any bytes as an Arrow file, a stream or one with a footer.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_data::check::check;
use mutualnet_data::{Dataset, Split};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

fuzz_target!(|bytes: &[u8]| {
    let path = DIR.path().join("train.arrow");
    fs::write(&path, bytes).expect("a file can be written");
    if let Ok(dataset) = Dataset::open_split(DIR.path(), Split::Train) {
        for i in 0..dataset.samples().len() {
            let _ = dataset.image(i);
        }
    }
    let _ = check(DIR.path());
    fs::remove_file(&path).expect("it was written");
});
