//! All numbers against pycocotools on generated cases, and what they mean.

use serde_json::{Value, json};

use super::*;
use crate::coco::Detections;
use crate::drawn::Stream;
use crate::{Extent, Rle};

/// What is special about a case, as in `golden/evaluate/make.py`.
const MANY_DETECTIONS: i64 = 1;
const NOTHING_DETECTED: i64 = 2;
const NO_OBJECTS: i64 = 3;
const ONLY_CROWDS: i64 = 4;

struct Image {
    id: i64,
    height: i64,
    width: i64,
}

fn draw_box(stream: &mut Stream, image: &Image) -> [i64; 4] {
    let left = 4 * stream.between(0, (image.width - 20) / 4);
    let top = 4 * stream.between(0, (image.height - 20) / 4);
    let width = 4 * stream.between(1, (image.width - left) / 4);
    [left, top, width, 4 * stream.between(1, (image.height - top) / 4)]
}

fn outline(is_triangle: bool, [left, top, width, height]: [i64; 4]) -> Vec<[i64; 2]> {
    let (right, bottom) = (left + width, top + height);
    let corners = [[left, top], [left, bottom], [right, bottom], [right, top]];
    corners[..if is_triangle { 3 } else { 4 }].to_vec()
}

fn draw_category(stream: &mut Stream, categories: &[i64]) -> i64 {
    categories[stream.between(0, categories.len() as i64 - 1) as usize]
}

fn draw_annotation(
    stream: &mut Stream,
    kind: i64,
    image: &Image,
    categories: &[i64],
) -> (Value, [i64; 4], i64) {
    let bounds = draw_box(stream, image);
    let is_triangle = stream.between(0, 2) == 0;
    let category = draw_category(stream, categories);
    let is_crowd = stream.between(0, 7) == 0 || kind == ONLY_CROWDS;
    let drawn = stream.between(1, 20_000);
    let area = [bounds[2] * bounds[3], 1024, 9216, drawn][stream.between(0, 3) as usize];
    let annotation = json!({
        "image_id": image.id, "category_id": category, "bbox": bounds, "area": area,
        "iscrowd": u8::from(is_crowd), "segmentation": [outline(is_triangle, bounds).concat()],
    });
    (annotation, bounds, category)
}

fn draw_detection(
    stream: &mut Stream,
    image: &Image,
    objects: &[([i64; 4], i64)],
    categories: &[i64],
) -> Value {
    let (bounds, category) = if !objects.is_empty() && stream.between(0, 3) > 0 {
        let (near, category) = objects[stream.between(0, objects.len() as i64 - 1) as usize];
        let [left, top, width, height] = near.map(|number| number + 4 * stream.between(-1, 1));
        ([left, top, width.max(4), height.max(4)], category)
    } else {
        (draw_box(stream, image), draw_category(stream, categories))
    };
    let is_triangle = stream.between(0, 2) == 0;
    let score = stream.between(0, 16) as f64 / 16.0;
    let extent = Extent { height: image.height as u32, width: image.width as u32 };
    let corners: Vec<_> =
        outline(is_triangle, bounds).iter().map(|corner| corner.map(|n| n as f64)).collect();
    let runs = Rle::from_polygon(extent, &corners).unwrap();
    json!({ "image_id": image.id, "category_id": category, "bbox": bounds, "score": score, "segmentation": runs })
}

/// Ground truth and results of a case.
fn draw(case: u64) -> (Value, Vec<Value>) {
    let mut stream = Stream::new(case);
    let kind = stream.between(0, 7);
    let categories: Vec<i64> = (0..stream.between(1, 3)).map(|k| 3 * k + 2).collect();
    let n_images = stream.between(1, 5);
    let images: Vec<_> = (0..n_images)
        .map(|i| Image { id: 100 - 7 * i, height: stream.between(40, 300), width: stream.between(40, 300) })
        .collect();
    let (mut annotations, mut found) = (vec![], vec![]);
    for image in &images {
        let n = if kind == NO_OBJECTS { 0 } else { stream.between(0, 6) };
        let mut objects = vec![];
        for _ in 0..n {
            let (mut annotation, bounds, category) = draw_annotation(&mut stream, kind, image, &categories);
            annotation["id"] = json!(annotations.len() + 1);
            annotations.push(annotation);
            objects.push((bounds, category));
        }
        let drawn = stream.between(0, 8);
        let n = match kind {
            MANY_DETECTIONS => 130,
            NOTHING_DETECTED => 0,
            _ => drawn,
        };
        found.extend((0..n).map(|_| draw_detection(&mut stream, image, &objects, &categories)));
    }
    let file = |image: &Image| {
        let Image { id, height, width } = image;
        json!({ "id": id, "file_name": format!("{id}.jpg"), "height": height, "width": width })
    };
    let truth = json!({
        "images": images.iter().map(file).collect::<Vec<_>>(),
        "categories": categories.iter().map(|id| json!({ "id": id, "name": format!("{id}") })).collect::<Vec<_>>(),
        "annotations": annotations,
    });
    (truth, found)
}

fn read(truth: &Value, found: &[Value]) -> (Instances, Vec<Detection>) {
    let truth = Instances::from_json(truth.to_string().as_bytes()).unwrap();
    let found = Detections::from_json(json!(found).to_string().as_bytes(), &truth, Compare::Masks).unwrap();
    assert_eq!(found.problems, []);
    (truth, found.found)
}

fn solve(case: u64, compare: Compare) -> Evaluation {
    let (truth, mut found) = draw(case);
    let leave_out = match compare {
        Compare::Boxes => "segmentation",
        Compare::Masks if case % 2 == 1 => "bbox",
        Compare::Masks => "",
    };
    for found in &mut found {
        found.as_object_mut().unwrap().remove(leave_out);
    }
    let (truth, found) = read(&truth, &found);
    evaluate(&truth, &found, compare).unwrap()
}

#[test]
fn all_numbers_are_pycocotools_numbers() {
    let golden: Vec<[Vec<[f64; 12]>; 2]> =
        serde_json::from_str(include_str!("../../golden/evaluate/stats.json")).unwrap();
    for (case, golden) in golden.iter().enumerate() {
        for (compare, golden) in [Compare::Boxes, Compare::Masks].into_iter().zip(golden) {
            let evaluation = solve(case as u64, compare);
            let summaries: Vec<_> =
                std::iter::once(evaluation.summary()).chain(evaluation.by_category()).collect();
            assert_eq!(summaries.len(), golden.len());
            for (which, (found, golden)) in summaries.iter().zip(golden).enumerate() {
                let off = found.stats().into_iter().zip(golden).map(|(found, golden)| (found - golden).abs());
                let off = off.fold(0.0, f64::max);
                assert!(off < 1e-9, "case {case}, {compare:?}, {which}: {:?}\n{golden:?}", found.stats());
            }
        }
    }
}

/// One image of 100 by 100 pixels, one category, and boxes `[left, top, width, height]`.
fn one_image(objects: &[[f64; 4]], found: &[([f64; 4], f64)]) -> Evaluation {
    let annotation = |(bounds, id): (&[f64; 4], i64)| json!({ "id": id, "image_id": 1, "category_id": 1, "bbox": bounds, "area": bounds[2] * bounds[3] });
    let truth = json!({
        "images": [{"id": 1, "file_name": "a.jpg", "height": 100, "width": 100}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": objects.iter().zip(0..).map(annotation).collect::<Vec<_>>(),
    });
    let detection = |(bounds, score): &([f64; 4], f64)| json!({ "image_id": 1, "category_id": 1, "bbox": bounds, "score": score });
    let (truth, found) = read(&truth, &found.iter().map(detection).collect::<Vec<_>>());
    evaluate(&truth, &found, Compare::Boxes).unwrap()
}

#[test]
fn what_is_found_exactly_has_a_precision_of_one() {
    // The id of the first annotation is 0, which pycocotools takes for not found.
    let objects = [[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 40.0, 40.0]];
    let summary = one_image(&objects, &objects.map(|bounds| (bounds, 0.5))).summary();
    assert!((summary.get(Measure::Ap).unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(summary.get(Measure::Ar1), Some(0.5));
    assert_eq!(summary.get(Measure::ApLarge), None);
    assert_eq!(summary.stats()[5], -1.0);
}

#[test]
fn a_measure_without_objects_says_so() {
    let text = one_image(&[[0.0, 0.0, 10.0, 10.0]], &[]).summary().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "AP         0.0000");
    assert_eq!(lines[5], "AP large   -      the ground truth has no large objects (at least 96x96 pixels)");
    let none = one_image(&[], &[([0.0, 0.0, 5.0, 5.0], 1.0)]);
    assert_eq!(none.summary().stats(), [-1.0; 12]);
    assert_eq!((none.n_objects(0), none.n_images(), none.resampled_ap(&[1])), (0, 1, 0.0));
}

#[test]
fn zero_and_minus_zero_are_equal_scores() {
    let object = [0.0, 0.0, 10.0, 10.0];
    let miss = [50.0, 50.0, 10.0, 10.0];
    let ap = |first: f64, second: f64| {
        one_image(&[object], &[(miss, first), (object, second)]).summary().get(Measure::Ap)
    };
    assert_eq!(ap(0.0, 0.0), Some(0.5));
    assert_eq!(ap(-0.0, 0.0), Some(0.5));
    assert_eq!(ap(0.0, -0.0), Some(0.5));
}

#[test]
fn higher_scores_come_first() {
    let scores = [f64::MAX, 2.0, 1.0, 1e-300, 0.0, -1e-300, -1.0, -2.0, f64::MIN];
    assert!(scores.map(rank_key).is_sorted_by(|a, b| a < b));
}

#[test]
fn masks_that_are_missing_are_an_error() {
    let (mut truth, mut found) = draw(3);
    let fails = |truth: &Value, found: &[Value]| {
        let (truth, found) = read(truth, found);
        evaluate(&truth, &found, Compare::Masks).unwrap_err().to_string()
    };
    let with_masks = found.clone();
    found[0].as_object_mut().unwrap().remove("segmentation");
    assert_eq!(fails(&truth, &found), "detections have no masks");
    for annotation in truth["annotations"].as_array_mut().unwrap() {
        annotation.as_object_mut().unwrap().remove("segmentation");
    }
    assert_eq!(fails(&truth, &with_masks), "annotations have no masks");
}

/// Counting an image several times is the same as having it as often, under other ids, if no scores are equal.
#[test]
fn resampling_counts_images_as_often_as_given() {
    for case in 0..40 {
        let (truth, mut found) = draw(case);
        for (number, found) in found.iter_mut().enumerate() {
            found["score"] = json!(found["score"].as_f64().unwrap() + 1e-6 * number as f64);
        }
        let n_images = truth["images"].as_array().unwrap().len();
        let (read_truth, read_found) = read(&truth, &found);
        let evaluation = evaluate(&read_truth, &read_found, Compare::Boxes).unwrap();
        let all = evaluation.resampled_ap(&vec![1; n_images]);
        assert!((all - evaluation.summary().get(Measure::Ap).unwrap_or(0.0)).abs() < 1e-12);
        let mut stream = Stream::new(500 + case);
        let counts: Vec<_> = (0..n_images).map(|_| stream.between(0, 3) as u32).collect();
        let (mut more, mut more_found) = (truth.clone(), vec![]);
        for list in ["images", "annotations"] {
            more[list] = json!([]);
        }
        for (image, &count) in read_truth.images().iter().zip(&counts) {
            for copy in 0..i64::from(count) {
                // The copies of an image follow each other, as they do when it counts several times.
                let id = 10 * image.id + copy;
                let is_of = |part: &&Value, key: &str| part[key] == image.id;
                let parts = |list: &str, key: &'static str| {
                    let parts = truth[list].as_array().unwrap().iter().filter(move |part| is_of(part, key));
                    parts
                        .cloned()
                        .map(move |mut part| {
                            part[key] = json!(id);
                            part
                        })
                        .collect::<Vec<_>>()
                };
                more["images"].as_array_mut().unwrap().extend(parts("images", "id"));
                for mut annotation in parts("annotations", "image_id") {
                    let annotations = more["annotations"].as_array_mut().unwrap();
                    annotation["id"] = json!(annotations.len());
                    annotations.push(annotation);
                }
                more_found.extend(found.iter().filter(|found| is_of(found, "image_id")).cloned().map(
                    |mut found| {
                        found["image_id"] = json!(id);
                        found
                    },
                ));
            }
        }
        let (more, more_found) = read(&more, &more_found);
        let expected = evaluate(&more, &more_found, Compare::Boxes).unwrap();
        let expected = expected.summary().get(Measure::Ap).unwrap_or(0.0);
        assert!((evaluation.resampled_ap(&counts) - expected).abs() < 1e-12, "case {case}: {counts:?}");
    }
}
