//! Batches of whole images with objects, which share aspect ratios.

use mutualnet_core::network::Rank;
use mutualnet_core::{Fit, Task};
use serde_json::json;

use super::*;
use crate::Targets;

/// Columns and rows of the images: some upright, most wide, one of them very wide.
const SIZES: [[u32; 2]; 12] = [
    [64, 48],
    [48, 64],
    [96, 72],
    [64, 48],
    [30, 40],
    [72, 54],
    [66, 50],
    [240, 40],
    [48, 66],
    [80, 60],
    [60, 80],
    [64, 48],
];
const SIDE: u32 = 24;
const LONGEST: u32 = 40;

/// Grey images with a white box in the middle of the lower right quarter.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("train");
    fs::create_dir_all(train.join("images")).unwrap();
    let (mut images, mut annotations) = (vec![], vec![]);
    for (id, [columns, rows]) in SIZES.into_iter().enumerate() {
        let [left, top, width, height] = [columns / 2, rows / 2, columns / 4, rows / 4];
        let is_white = |x: u32, y: u32| (left..left + width).contains(&x) && (top..top + height).contains(&y);
        let pixels =
            (0..columns * rows).flat_map(|i| [if is_white(i % columns, i / columns) { 255 } else { 60 }; 3]);
        let name = format!("{id:02}.png");
        fs::write(train.join("images").join(&name), encode_png(&Image::new(columns, rows, pixels.collect())))
            .unwrap();
        images.push(json!({ "id": id, "file_name": name, "width": columns, "height": rows }));
        let outline = [left, top, left + width, top, left + width, top + height, left, top + height];
        annotations.push(json!({
            "id": id, "image_id": id, "category_id": 1, "bbox": [left, top, width, height],
            "area": width * height, "iscrowd": 0, "segmentation": [outline],
        }));
    }
    let categories = [json!({ "id": 1, "name": "box" })];
    let file = json!({ "images": images, "annotations": annotations, "categories": categories });
    fs::write(train.join("instances.json"), file.to_string()).unwrap();
    dir
}

fn open(dir: &Path, config: LoaderConfig) -> Loader {
    let dataset = Dataset::open_for(Task::Detect, Rank::Image, dir, "train").unwrap();
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn preprocess() -> Preprocess {
    let [crop, longest] = [SIDE, LONGEST].map(|side| Resolution::new(side).unwrap());
    let crop = Preprocess::center_crop(crop, [0.0; 3], [1.0; 3]);
    Preprocess { fit: Fit::Whole, longest_side: Some(longest), ..crop }
}

fn transform() -> TrainTransform {
    TrainTransform { crop: TrainCrop::Whole, ..TrainTransform::default() }
}

/// Checks that the box is where the image is white, and returns the size of the batch.
fn check(batch: &Batch) -> [usize; 2] {
    let [rows, columns] = batch.size;
    let Targets::Objects { images, .. } = &batch.targets else { panic!("{:?}", batch.targets) };
    for (pixels, objects) in batch.images.chunks_exact(3 * rows * columns).zip(images) {
        let [left, top, right, bottom] = objects.boxes[0];
        for (i, pixel) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = ((i % columns) as f32 + 0.5, (i / columns) as f32 + 0.5);
            let inside = (x - left).min(right - x).min(y - top).min(bottom - y);
            // Pixels at the border are mixed.
            if inside.abs() > 1.0 {
                assert_eq!(pixel[0] > 0.6, inside > 0.0, "{x} {y}: {:?} {:?}", objects.boxes, batch.size);
            }
        }
    }
    [columns, rows]
}

#[test]
fn whole_images_share_batches_of_similar_ratios() {
    let dir = data();
    let loader = open(dir.path(), LoaderConfig { batch_size: 3, ..config(2) });
    let batches = || loader.train(transform(), &preprocess(), Position::default(), 2).unwrap();
    let (mut sizes, mut counts) = (Vec::new(), [0; SIZES.len()]);
    for batch in batches().map(Result::unwrap) {
        sizes.push(check(&batch));
        assert_eq!((batch.n, batch.resolution.get()), (3, SIDE));
        let wide: Vec<_> =
            batch.indices.iter().map(|&i| SIZES[i as usize][0] > SIZES[i as usize][1]).collect();
        assert!(wide == [true; 3] || wide == [false; 3], "{:?}", batch.indices);
        batch.indices.iter().for_each(|&index| counts[index as usize] += 1);
    }
    assert_eq!(sizes.len(), 8);
    // 4:3 at a shorter side of 24, whatever the order.
    assert!(sizes.iter().all(|size| matches!(size, [32, 24] | [24, 32])), "{sizes:?}");
    assert!(counts.iter().filter(|&&count| count == 0).count() <= 2, "{counts:?}");

    let all: Vec<_> = batches().map(|batch| batch.unwrap().images.to_vec()).collect();
    let parts = [0, 1, 2].map(|index| {
        let config = LoaderConfig { part: Part { index, of: 3 }, batch_size: 3, ..config(1) };
        let part = open(dir.path(), config);
        let batches = part.train(transform(), &preprocess(), Position::default(), 2).unwrap();
        batches.map(|batch| batch.unwrap().images.to_vec()).collect::<Vec<_>>()
    });
    for (number, whole) in all.iter().enumerate() {
        assert_eq!(&parts.each_ref().map(|part| part[number].clone()).concat(), whole);
    }
}

#[test]
fn calibration_and_single_batches_are_shaped_alike() {
    let dir = data();
    let loader = open(dir.path(), LoaderConfig { batch_size: 4, ..config(1) });
    let batches: Vec<_> = loader.calibrate(transform(), &preprocess(), 9).unwrap().collect();
    assert_eq!(batches.len(), 3);
    batches.iter().for_each(|batch| {
        check(batch.as_ref().unwrap());
    });
    // Alone in its batch, an image is shaped as in one of four.
    let batch = loader.batch_of(transform(), &preprocess(), &[9]).unwrap();
    assert_eq!(check(&batch), [32, 24]);
}

#[test]
fn the_longer_side_is_limited() {
    let dir = data();
    let loader = open(dir.path(), LoaderConfig { batch_size: 1, ..config(1) });
    let batch = loader.batch_of(transform(), &preprocess(), &[7]).unwrap();
    assert_eq!(check(&batch), [LONGEST as usize, 6]);
}

#[test]
fn whole_images_are_for_detection_with_a_longest_side() {
    let square = Preprocess { fit: Fit::Square, longest_side: None, ..preprocess() };
    let classify = Preprocess { fit: Fit::CenterCrop, longest_side: None, ..preprocess() };
    for (task, preprocess) in
        [(Task::Detect, square), (Task::Segment, preprocess()), (Task::Classify, classify)]
    {
        let error = TrainPipeline::new_for(task, transform(), &preprocess).unwrap_err().to_string();
        assert!(error.contains("`whole` is for detection with data.longest_side"), "{error}");
    }
    let twice = TrainTransform { repeats: 2, ..transform() };
    let error = TrainPipeline::new_for(Task::Detect, twice, &preprocess()).unwrap_err().to_string();
    assert!(error.contains("must be 1 if images are whole"), "{error}");
}
