//! Code that the fuzz targets share: which panics count as findings, and how to read a data set from one file.

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs, panic};

use mutualnet_data::check::check;
use mutualnet_data::{Dataset, Split};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

/// Sets what happens when a panic is caught and becomes an error: a search reports it, and a test lets it pass.
///
/// Every target calls this at its start. A panic that is not caught is always a finding.
pub fn init() {
    if env::var("FUZZ_CAUGHT_PANICS").is_ok_and(|value| value == "allow") {
        allow_caught_panics();
    }
}

/// Replaces [`init`] for code that is known to panic, and whose panics are caught.
pub fn allow_caught_panics() {
    // This replaces the hook that ends the process.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

/// Reads and checks a data set that consists of one file with the given name and content. Any result is accepted.
pub fn read_and_check(name: &str, bytes: &[u8]) {
    let path = DIR.path().join(name);
    fs::write(&path, bytes).expect("a file can be written");
    read(DIR.path(), Split::Train);
    let _ = check(DIR.path());
    fs::remove_file(&path).expect("it was written");
}

/// Decodes all images of a split, if it exists. Any result is accepted.
pub fn read(path: &Path, split: Split) {
    if let Ok(dataset) = Dataset::open_split(path, split) {
        for i in 0..dataset.samples().len() {
            let _ = dataset.image(i);
        }
    }
}
