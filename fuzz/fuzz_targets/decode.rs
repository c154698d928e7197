//! Decodes arbitrary bytes as an image file, both whole and only the part that a crop needs, and as a mask.
//!
//! A panic, a hang or unbounded memory is a finding; an error is not.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use mutualnet_core::{Preprocess, Resolution};
use mutualnet_data::{Dataset, Loader, LoaderConfig, Part, TrainTransform};
use mutualnet_image::Mask;
use mutualnet_image::decode::decode;
use mutualnet_fuzz::init;

struct Place {
    _dir: tempfile::TempDir,
    file: PathBuf,
    loader: Loader,
}

/// A data set of one file, whose content changes while the loader uses it.
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("train/class/file.jpg");
    fs::create_dir_all(file.parent().expect("it lies in folders")).expect("folders can be made");
    fs::write(&file, b"x").expect("a file can be written");
    let dataset = Dataset::open(&dir.path().join("train")).expect("one file is a data set");
    let config = LoaderConfig {
        batch_size: 1,
        workers: 1,
        prefetch: 1,
        seed: 0,
        broken_limit: 1.0,
        part: Part::default(),
    };
    let loader = Loader::new(Arc::new(dataset), config).expect("the settings are right");
    Place { _dir: dir, file, loader }
});

fuzz_target!(init: init(), |bytes: &[u8]| {
    let whole = decode(bytes);
    if let Ok(mask) = Mask::decode(bytes) {
        let size = whole.as_ref().map(|image| [image.width(), image.height()]);
        // An image may be turned, or take more memory than its mask.
        assert!(size.is_err() || size.is_ok_and(|[x, y]| mask.size() == [x, y] || mask.size() == [y, x]));
    }
    fs::write(&PLACE.file, bytes).expect("a file can be written");
    let crop = Resolution::new(24).expect("24 is a resolution");
    let preprocess = Preprocess::center_crop(crop, [0.5; 3], [0.25; 3]);
    let batch = PLACE.loader.batch_of(TrainTransform::default(), &preprocess, &[0]);
    assert!(whole.is_err() || batch.is_ok(), "the whole can be decoded and its part cannot: {:?}", batch.err());
});
