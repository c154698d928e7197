//! Any bytes as a shard (the first says of which kind) and as a list of labels.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_data::check::check;
use mutualnet_data::{Dataset, Split};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

fn place(dir: &Path, kind: u8) -> PathBuf {
    let name = ["train.tar", "train.zip", "train.txt"][usize::from(kind) % 3];
    dir.join(name)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let path = place(DIR.path(), kind);
    fs::write(&path, bytes).expect("a file can be written");
    if let Ok(dataset) = Dataset::open_split(DIR.path(), Split::Train) {
        for i in 0..dataset.samples().len() {
            let _ = dataset.image(i);
        }
    }
    let _ = check(DIR.path());
    fs::remove_file(&path).expect("it was written");
});
