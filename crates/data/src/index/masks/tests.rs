//! Folders of images and masks, lists of pairs, and what is missing in either.

use std::fs;

use mutualnet_core::network::Rank;

use super::*;
use crate::{Dataset, Split};

/// A directory with these files, all with the content `x`; `classes.txt` names two classes.
fn data(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    fs::write(dir.path().join(labels::FILE), "background\ncat\n").unwrap();
    dir
}

fn open(dir: &tempfile::TempDir) -> Result<Dataset> {
    Dataset::open_for(Task::Segment, Rank::Image, dir.path(), "train")
}

fn pairs(dataset: &Dataset) -> Vec<String> {
    let pair = |sample: &SampleRef| match &sample.label {
        Label::Mask(mask) => format!("{} {}", sample.place.name().display(), mask.display()),
        _ => panic!("{sample:?} has no mask"),
    };
    dataset.samples().iter().map(pair).collect()
}

const FOLDERS: [&str; 5] = [
    "train/images/b.png",
    "train/images/a/1.jpg",
    "train/masks/a/1.png",
    "train/masks/b.png",
    "train/masks/c.png",
];

#[test]
fn images_in_folders_have_the_mask_of_their_name() {
    let dir = data(&FOLDERS);
    let dataset = open(&dir).unwrap();
    assert_eq!(pairs(&dataset), ["images/a/1.jpg masks/a/1.png", "images/b.png masks/b.png"]);
    assert_eq!((dataset.task(), dataset.classes().join(" ")), (Task::Segment, "background cat".to_owned()));
    assert_eq!(dataset.class_range(0), 0..2);
    assert!(dataset.samples().iter().all(|sample| sample.class() == 0));
    let told: Vec<_> = dataset.notices().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["no image for 1 mask, such as masks/c.png"]);
}

#[test]
fn lists_name_images_and_masks() {
    let dir = data(&["i/1.jpg", "i/2.jpg", "m/1.png", "m/2.png"]);
    fs::write(
        dir.path().join("train.txt"),
        "# pairs\n./i/2.jpg m/2.png\ni\\1.jpg\tm\\1.png\ni/3.jpg m/3.png\n",
    )
    .unwrap();
    let dataset = open(&dir).unwrap();
    assert_eq!(pairs(&dataset), ["i/1.jpg m/1.png", "i/2.jpg m/2.png", "i/3.jpg m/3.png"]);
    for (list, says) in [
        ("i/1.jpg 0\n", "train.txt, line 1: `0` is not the path of a mask, which is a PNG file"),
        (
            "i/1.jpg m/1.png\ni/1.jpg m/2.png\n",
            "train.txt, line 2: `i/1.jpg` has a different label in line 1",
        ),
        ("x.jpg m/1.png\n", "none of the 1 files listed in"),
    ] {
        fs::write(dir.path().join("train.txt"), list).unwrap();
        let error = open(&dir).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_share_is_of_all_images_and_the_hash_knows_the_masks() {
    let dir = data(&FOLDERS);
    let whole = open(&dir).unwrap();
    let half = whole.share(0.5).unwrap();
    assert_eq!((pairs(&half), half.task()), (vec!["images/a/1.jpg masks/a/1.png".to_owned()], Task::Segment));
    let before = whole.hash();
    fs::write(dir.path().join("train/masks/b.png"), "longer").unwrap();
    assert_ne!(before, open(&dir).unwrap().hash(), "a mask has another size");
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let dir = data(&FOLDERS);
    fs::remove_file(dir.path().join("train/masks/b.png")).unwrap();
    assert_eq!(open(&dir).unwrap().samples().len(), 2, "the loader tells");
    let told = |dir: &tempfile::TempDir| {
        let error = open(dir).unwrap_err();
        (
            error.to_string().replace(&dir.path().display().to_string(), "ROOT"),
            error.hint().unwrap_or_default(),
        )
    };
    fs::write(dir.path().join(labels::FILE), "\n").unwrap();
    let (error, hint) = told(&dir);
    assert_eq!(error, "no names of classes in ROOT/classes.txt");
    assert!(hint.contains("the first line is class 0"), "{hint}");
    fs::write(dir.path().join(labels::FILE), "x\n".repeat(256)).unwrap();
    assert_eq!(told(&dir).0, "256 classes in ROOT/classes.txt, but masks have numbers for 255");
    let dir = data(&["train/images/1.jpg"]);
    let (error, hint) = told(&dir);
    assert_eq!(error, "no folder `masks` in ROOT/train");
    assert!(hint.contains("SPLIT/masks/NAME.png"), "{hint}");
    assert_eq!(told(&data(&["test/images/1.jpg"])).0, "no split `train` in ROOT");
    let dir = data(&FOLDERS);
    fs::write(dir.path().join("train.txt"), "i/1.jpg m/1.png\n").unwrap();
    assert!(told(&dir).0.starts_with("the split exists twice: "));
}

#[test]
fn the_task_decides_what_a_directory_is() {
    let dir = data(&FOLDERS);
    let classes = Dataset::open_for(Task::Classify, Rank::Image, dir.path(), "train").unwrap();
    assert_eq!((classes.task(), classes.classes().join(" ")), (Task::Classify, "images masks".to_owned()));
    let warning = classes.notices().iter().find(|notice| notice.is_warning()).unwrap();
    assert!(warning.to_string().contains("look like segmentation data"), "{warning}");
    assert_eq!(
        Split::held_out(data(&["test/images/1.jpg", "test/masks/1.png"]).path()).unwrap(),
        Split::Test
    );
}
