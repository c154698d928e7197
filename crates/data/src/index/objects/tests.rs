//! What a person may have in a directory of images with annotations.

use std::fs;

use mutualnet_core::network::Rank;
use mutualnet_core::{Fit, Preprocess, Resolution};
use mutualnet_detect::Extent;
use mutualnet_image::{Image, encode_png};

use super::*;
use crate::check::check_for;
use crate::order::Part;
use crate::scenes::{ScenesSpec, class_names, generate};
use crate::{Dataset, Loader, LoaderConfig, Progress, Targets, TrainCrop, TrainTransform};

/// Images of 20 × 10 pixels and annotations as COCO has them; the third image does not exist.
fn coco(dir: &Path) {
    fs::create_dir_all(dir.join("train2017")).unwrap();
    fs::create_dir_all(dir.join(ANNOTATIONS)).unwrap();
    let png = encode_png(&Image::new(20, 10, vec![90; 600]));
    for name in ["a.png", "b.png"] {
        fs::write(dir.join("train2017").join(name), &png).unwrap();
    }
    let json = r#"{
        "images": [
            {"id": 5, "file_name": "b.png", "width": 20, "height": 10},
            {"id": 3, "file_name": "a.png", "width": 20, "height": 10},
            {"id": 9, "file_name": "gone.png", "width": 20, "height": 10}
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 2, "name": "ant"}, {"id": 8, "name": "owl"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [2, 1, 4, 6], "area": 24, "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 2, "bbox": [0, 0, 20, 10], "area": 200, "iscrowd": 1},
            {"id": 3, "image_id": 5, "category_id": 2, "bbox": [15, 5, 9, 9], "area": 81, "iscrowd": 0},
            {"id": 4, "image_id": 3, "category_id": 7, "bbox": [3, 3, 0, 4], "area": 0, "iscrowd": 0}
        ]
    }"#;
    fs::write(dir.join(ANNOTATIONS).join("instances_train2017.json"), json).unwrap();
}

fn open(dir: &Path, split: &str) -> Result<Dataset> {
    Dataset::open_for(Task::Detect, Rank::Image, dir, split)
}

fn loader(dataset: Dataset, broken_limit: f64) -> Loader {
    let config =
        LoaderConfig { batch_size: 2, part: Part::default(), workers: 1, prefetch: 2, seed: 0, broken_limit };
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn preprocess(side: u32) -> Preprocess {
    let crop = Resolution::new(side).unwrap();
    Preprocess { fit: Fit::Square, ..Preprocess::center_crop(crop, [0.5; 3], [0.5; 3]) }
}

#[test]
fn annotations_of_coco_are_read_and_their_problems_are_told() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let dataset = open(dir.path(), "train2017").unwrap();
    assert_eq!(dataset.classes(), ["background", "ant", "cat", "owl"]);
    let names: Vec<_> = dataset.samples().iter().map(|sample| sample.place.name()).collect();
    assert_eq!(names, ["a.png", "b.png", "gone.png"].map(PathBuf::from));
    let notices: Vec<_> = dataset.notices().iter().map(ToString::to_string).collect();
    assert!(notices[0].starts_with("2 problems with annotations, such as annotation "), "{notices:?}");
}

#[test]
fn boxes_are_stretched_with_their_image_and_crowds_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let dataset = open(dir.path(), "train2017").unwrap();
    let transform = TrainTransform { crop: TrainCrop::Center, flip: false, ..TrainTransform::default() };
    let loader = loader(dataset, 0.5);
    let batch = loader.batch_of(transform, &preprocess(40), &[1, 0]).unwrap();
    let Targets::Objects { images, truth } = &batch.targets else { panic!("{:?}", batch.targets) };
    assert_eq!(truth.images()[images[0].image].file_name, "b.png");
    // The second object leaves the image; what is left of it has its center inside.
    assert_eq!(images[0].boxes, [[4.0, 4.0, 12.0, 28.0], [30.0, 20.0, 40.0, 40.0]]);
    assert_eq!(images[0].classes, [2, 1]);
    assert_eq!((images[1].boxes.len(), batch.size), (0, [40, 40]));
}

#[test]
fn a_missing_image_is_left_out_of_an_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let loader = loader(open(dir.path(), "train2017").unwrap(), 0.5);
    let batches: Vec<_> = loader.evaluate(&preprocess(16)).unwrap().map(Result::unwrap).collect();
    let seen = batches.iter().map(|batch| match &batch.targets {
        Targets::Objects { images, .. } => images.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(seen.collect::<Vec<_>>(), [2, 0]);
    assert_eq!(loader.broken_files().len(), 1);
}

#[test]
fn an_image_of_another_size_than_its_annotations_say_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    fs::write(dir.path().join("train2017/a.png"), encode_png(&Image::new(10, 20, vec![9; 600]))).unwrap();
    let report = check_for(Task::Detect, dir.path(), &Progress::default()).unwrap();
    let broken: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert_eq!(broken[0], "train2017/a.png: the image is 10x20, but its annotations are for 20x10");
    assert!(broken[1].starts_with("train2017/gone.png: "), "{broken:?}");
}

#[test]
fn a_check_names_every_annotation_with_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let report = check_for(Task::Detect, dir.path(), &Progress::default()).unwrap();
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    for (problem, says) in
        report.problems.iter().zip(["annotation 3: the box leaves", "annotation 4: the box is 0 wide"])
    {
        let start = format!("annotations/instances_train2017.json: {says}");
        assert!(problem.starts_with(&start), "{problem}");
    }
    let counts: Vec<_> = report.in_images.iter().map(|count| (&count.class[..], count.images)).collect();
    assert_eq!(counts, [("ant", 1), ("cat", 1), ("owl", 0)]);
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let error = open(&dir.path().join("train2017"), "val2017").unwrap_err();
    assert!(matches!(error, Error::NoSplit { .. }), "{error}");
    // COCO's splits have the year in their names.
    let hint = open(dir.path(), "train").unwrap_err().hint().unwrap();
    assert!(hint.ends_with("these have annotations: train2017"), "{hint}");
    fs::create_dir(dir.path().join("val2017")).unwrap();
    let error = open(dir.path(), "val2017").unwrap_err();
    assert!(error.to_string().contains("`val2017` has no annotations") && error.hint().is_some(), "{error}");
    fs::write(dir.path().join("val2017/instances.json"), "[1]").unwrap();
    let error = open(dir.path(), "val2017").unwrap_err();
    assert!(error.to_string().contains("not COCO instances") && error.hint().is_some(), "{error}");
    fs::write(dir.path().join("train2017/instances.json"), "{}").unwrap();
    assert!(matches!(open(dir.path(), "train2017").unwrap_err(), Error::TwoLayouts { .. }));
}

/// In every batch of scenes, what is seen of an object lies in its moved box, and touches all sides of the box that are not the
/// image's.
#[test]
fn masks_take_the_way_of_their_boxes() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 8, train: 12, test: 1, side: 96, min_object: 24 }).unwrap();
    let transform = TrainTransform { flip: true, ..TrainTransform::default() };
    let loader = loader(open(&data, "train").unwrap().with_object_masks(), 0.0);
    let all: Vec<_> = (0..12).collect();
    let batch = loader.batch_of(transform, &preprocess(64), &all).unwrap();
    let Targets::Objects { images, .. } = &batch.targets else { panic!("{:?}", batch.targets) };
    let mut n_whole = 0;
    for objects in images {
        assert_eq!(objects.masks.len(), objects.boxes.len());
        for (mask, corners) in objects.masks.iter().zip(&objects.boxes) {
            let mask = mask.as_ref().unwrap();
            assert_eq!(mask.extent(), Extent { height: 64, width: 64 });
            let [left, top, width, height] = mask.bounds().map(|number| number as f32);
            let bounds = [left, top, left + width, top + height];
            let off = bounds.iter().zip(corners).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // An outline that a crop cuts may lie in a part of its box.
            let is_cut = corners.iter().any(|&at| at == 0.0 || at == 64.0);
            assert!(is_cut || off <= 1.5, "{bounds:?} and {corners:?}");
            n_whole += u32::from(!is_cut);
        }
    }
    assert!(n_whole > 5, "{n_whole}");
    let batches: Vec<_> = loader.evaluate(&preprocess(64)).unwrap().map(Result::unwrap).collect();
    for batch in &batches {
        let Targets::Objects { images, .. } = &batch.targets else { panic!("{:?}", batch.targets) };
        assert!(images.iter().all(|objects| objects.masks.is_empty()));
    }
}

/// The boxes of scenes follow crop and flip as their masks do: around what is seen of an object lies its moved box.
#[test]
fn boxes_take_the_way_of_their_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    generate(&data, &ScenesSpec { seed: 8, train: 12, test: 1, side: 96, min_object: 24 }).unwrap();
    let dataset = open(&data, "train").unwrap();
    assert_eq!(dataset.classes(), class_names());
    let truth = Arc::clone(dataset.truth().unwrap());
    let transform = TrainTransform { flip: true, ..TrainTransform::default() };
    let loader = loader(dataset, 0.0);
    let all: Vec<_> = (0..12).collect();
    let batch = loader.batch_of(transform, &preprocess(64), &all).unwrap();
    let Targets::Objects { images, .. } = &batch.targets else { panic!("{:?}", batch.targets) };
    let n_seen: usize = images.iter().map(|objects| objects.boxes.len()).sum();
    assert!(n_seen > 12 && n_seen <= truth.annotations().len(), "{n_seen}");
    for objects in images {
        assert_eq!(objects.boxes.len(), objects.classes.len());
        for [left, top, right, bottom] in &objects.boxes {
            assert!(0.0 <= *left && left < right && *right <= 64.0, "{objects:?}");
            assert!(0.0 <= *top && top < bottom && *bottom <= 64.0, "{objects:?}");
        }
    }
}

#[test]
fn what_boxes_cannot_follow_is_refused() {
    use crate::TrainPipeline;
    let refused = |transform: TrainTransform| {
        TrainPipeline::new_for(Task::Detect, transform, &preprocess(32)).unwrap_err().to_string()
    };
    let erased = refused(TrainTransform { random_erasing: 0.5, ..TrainTransform::default() });
    assert!(erased.contains("random_erasing"), "{erased}");
    let crop = TrainCrop::RandomShortSide { shorter: [40, 80] };
    let short = refused(TrainTransform { crop, ..TrainTransform::default() });
    assert!(short.contains("crop") && short.contains("stretched to a square"), "{short}");
}

fn check(dir: &Path) -> crate::check::CheckReport {
    check_for(Task::Detect, dir, &Progress::default()).unwrap()
}

/// The annotations of [`coco`] with other text in some places.
fn rewrite(dir: &Path, changes: &[(&str, &str)]) {
    let path = dir.join(ANNOTATIONS).join("instances_train2017.json");
    let mut json = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(json.contains(from), "{from}");
        json = json.replace(from, to);
    }
    fs::write(path, json).unwrap();
}

#[test]
fn a_check_finds_what_is_on_the_list_again() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    for listed_before in [0, 1] {
        let report = check(dir.path());
        assert_eq!((report.n_images, report.broken.len()), (3, 1), "{report:?}");
        let change = crate::check::write_quarantine(dir.path(), &report).unwrap();
        assert_eq!((change.listed, change.removed), (1, 0), "{listed_before}");
        assert_eq!(open(dir.path(), "train2017").unwrap().samples().len(), 2);
    }
    assert_eq!(crate::check::task_of(dir.path()), Task::Detect);
}

#[test]
fn a_split_of_which_nothing_can_be_used_is_not_put_on_the_list() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    rewrite(dir.path(), &[(r#""width": 20, "height": 10"#, r#""width": 10, "height": 20"#)]);
    let error = crate::check::write_quarantine(dir.path(), &check(dir.path())).unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with("no image in ") && told.contains("train2017 can be used, of 3; "), "{told}");
    assert!(told.contains("train2017/a.png: "), "{told}");
    assert!(!dir.path().join(crate::quarantine_list::FILE).exists());
}

#[test]
fn annotations_without_images_are_named() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    let told = |dir: &Path| open(dir, "train2017").unwrap_err().to_string();
    rewrite(dir.path(), &[("a.png", "x/a.png"), ("b.png", "x/b.png")]);
    let message = told(dir.path());
    assert!(message.contains("instances_train2017.json names exists; the first is "), "{message}");
    assert!(message.ends_with("train2017/gone.png"), "{message}");
    rewrite(
        dir.path(),
        &[(r#"{"id": 5,"#, r#"{"id": "5","#), (r#"{"id": 3, "f"#, r#"{"f"#), (r#"{"id": 9,"#, "{")],
    );
    let message = told(dir.path());
    assert!(
        message
            .contains("json can be used; the first problem: image number 1 of the list: its `id` is missing"),
        "{message}"
    );
}

#[test]
fn categories_of_one_name_are_one_class() {
    let dir = tempfile::tempdir().unwrap();
    coco(dir.path());
    rewrite(
        dir.path(),
        &[("\"owl\"", "\"ant\""), (r#""category_id": 7, "bbox": [2"#, r#""category_id": 8, "bbox": [2"#)],
    );
    let dataset = open(dir.path(), "train2017").unwrap();
    assert_eq!(dataset.classes(), ["background", "ant", "cat"]);
    let truth = dataset.truth().unwrap();
    assert!(truth.annotations().iter().all(|object| object.category == 0), "{truth:?}");
    let counts: Vec<_> = check(dir.path()).in_images.iter().map(|of| (of.class.clone(), of.images)).collect();
    assert_eq!(counts, [("ant".to_owned(), 1), ("cat".to_owned(), 0)]);
}

#[test]
fn boxes_in_other_units_are_warned_of() {
    for (boxes, expected) in [
        (
            ["[0.1, 0.1, 0.2, 0.5]", "[0, 0, 1, 1]", "[0.5, 0.2, 0.3, 0.1]"],
            "all 3 boxes are smaller than a pixel",
        ),
        (["[12, 1, 16, 6]", "[0, 0, 20, 10]", "[11, 5, 19, 9]"], "2 of 3 boxes leave their image"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        coco(dir.path());
        let before = ["[2, 1, 4, 6]", "[0, 0, 20, 10]", "[15, 5, 9, 9]"];
        rewrite(dir.path(), &before.into_iter().zip(boxes).collect::<Vec<_>>());
        let dataset = open(dir.path(), "train2017").unwrap();
        let warnings: Vec<_> = dataset.notices().iter().filter(|notice| notice.is_warning()).collect();
        assert!(warnings.len() == 1 && warnings[0].to_string().starts_with(expected), "{warnings:?}");
    }
}
