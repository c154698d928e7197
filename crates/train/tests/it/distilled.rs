//! What students of detectors learn from a teacher: classes, boxes and masks at places that both look at.

use std::cell::RefCell;
use std::sync::Arc;

use mutualnet_core::network::List;
use mutualnet_core::{Width, WidthRange};
use mutualnet_data::Objects;
use mutualnet_data::scenes::{ScenesSpec, generate};
use mutualnet_detect::anchors::DefaultBoxes;
use mutualnet_detect::coco::Instances;
use mutualnet_detect::{BoxCoder, Corners, Extent, Rle, boxes};
use mutualnet_engine::{Device, Tensor};
use mutualnet_train::events::Event;
use mutualnet_train::task::{
    BoxAnswer, BoxTargets, Detect, Objective, Outputs, RegionAnswer, RunList, Staged,
};
use mutualnet_train::{Divergence, Recipe};
use mutualnet_zoo::NetworkConfig;

use crate::detect::{fill, keys};
use crate::fixture::{events, train_in};

const CLASSES: usize = 3;

fn square(side: u32) -> Extent {
    Extent { height: side, width: side }
}

/// One image of 128 pixels along a side for each list of objects, all of the class 2 and as large as their boxes.
fn targets(images: &[&[Corners]]) -> BoxTargets {
    let mask = Rle::encode(square(128), &vec![1; 128 * 128]).unwrap();
    let of_image = |objects: &&[Corners]| Objects {
        boxes: objects.to_vec(),
        classes: vec![2; objects.len()],
        masks: vec![Some(mask.clone()); objects.len()],
        ..Objects::default()
    };
    let truth = Instances::from_json(br#"{"images":[],"annotations":[],"categories":[]}"#).unwrap();
    let objects = images.iter().map(of_image).collect();
    BoxTargets::new(Arc::new(truth), (objects, keys(images.len())), square(128), Device::Cpu)
}

/// Maps `[n, c, side, side]` of numbers up to `scale`, and their names.
fn filled(
    kind: &str,
    seed: u32,
    scale: f32,
    (n, c): (usize, usize),
    sides: &[usize],
) -> Vec<(String, Tensor)> {
    let map = |(idx, &side): (usize, &usize)| {
        let shape = [n, c, side, side];
        let numbers = fill(seed + idx as u32, shape.iter().product());
        let numbers: Vec<_> = numbers.into_iter().map(|number| scale * number).collect();
        (format!("{kind}.{idx}"), Tensor::from_slice(&numbers, &shape).unwrap())
    };
    sides.iter().enumerate().map(map).collect()
}

fn outputs(maps: &[(String, Tensor)]) -> Outputs<'_> {
    Outputs::new(maps.iter().map(|(name, map)| (name.as_str(), map.alias())))
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exponents: Vec<_> = logits.iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = exponents.iter().sum();
    exponents.iter().map(|exponent| exponent / sum).collect()
}

/// The mean over rows of the divergence of two tables of logits.
fn divergence(student: &[f32], teacher: &[f32]) -> f64 {
    let rows = student.chunks_exact(CLASSES).zip(teacher.chunks_exact(CLASSES));
    let n = rows.len() as f64;
    let of_row = |(student, teacher): (&[f32], &[f32])| -> f64 {
        let (q, p) = (softmax(student), softmax(teacher));
        p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
    };
    rows.map(of_row).sum::<f64>() / n
}

/// What a network of made-up weights answers for images of a size, and what its heads said: logits of the classes, and the
/// logits of a mask, which is the same for all classes.
struct Answered {
    answer: RegionAnswer,
    scores: Vec<f32>,
    masks: Vec<f32>,
    n_with_object: usize,
    squares: Vec<f32>,
}

impl Answered {
    /// `seed` decides the maps, and `shift` is added to all codes of regions.
    fn new(seed: u32, side: u32, shift: f32, targets: &BoxTargets, teacher: Option<&RegionAnswer>) -> Self {
        const FEATURES: usize = 4;
        let sides = [16, 8, 4, 2, 1].map(|stride_4: usize| (stride_4 * side as usize / 64).max(1));
        let mut maps = filled("features", seed, 1.0, (2, FEATURES), &sides[..4]);
        maps.extend(filled("objects", seed + 10, 2.0, (2, 3), &sides));
        maps.extend(filled("codes", seed + 20, 0.5, (2, 12), &sides));
        let said = RefCell::new((Vec::new(), Vec::new(), 0, Vec::new()));
        let run: &mut RunList<'_> = &mut |list, squares: &Tensor| {
            let n = squares.shape()[0];
            if list == List::MASK {
                // The first feature at every cell, twice as fine.
                let cells = squares.contiguous().unwrap().to_vec_f32().unwrap();
                let logits = cells.chunks_exact(FEATURES * 14 * 14).flat_map(|cells| {
                    let fine: Vec<_> = (0..28 * 28).map(|at| cells[at / 28 / 2 * 14 + at % 28 / 2]).collect();
                    vec![fine; CLASSES].concat()
                });
                let logits: Vec<_> = logits.collect();
                let of_one_class = logits.chunks_exact(CLASSES * 28 * 28).flat_map(|all| &all[..28 * 28]);
                said.borrow_mut().1 = of_one_class.copied().collect();
                said.borrow_mut().2 = n;
                let logits = Tensor::from_slice(&logits, &[n, CLASSES, 28, 28]).unwrap();
                return Ok(Outputs::new([("masks", logits)]));
            }
            let numbers = squares.elements() / n;
            let flat = squares.reshape(&[n, numbers]).unwrap();
            let weight: Vec<_> = fill(97, CLASSES * numbers).into_iter().map(|x| 0.2 * x).collect();
            let weight = Tensor::from_slice(&weight, &[CLASSES, numbers]).unwrap();
            let scores = flat.linear(&weight, None).unwrap();
            said.borrow_mut().0 = scores.to_vec_f32().unwrap();
            said.borrow_mut().3 = flat.to_vec_f32().unwrap();
            let codes = Tensor::from_slice(&vec![shift; n * CLASSES * 4], &[n, CLASSES * 4]).unwrap();
            Ok(Outputs::new([("scores", scores), ("codes", codes)]))
        };
        let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
        let config = NetworkConfig { classes: CLASSES, widths, output_stride: None };
        let network = &mutualnet_zoo::build("maskrcnn_mobilenet_v2_fpn", &config).unwrap();
        let network = Staged { outputs: outputs(&maps), seen: square(side), network, run };
        let answer = RegionAnswer::new(network, targets, teacher).unwrap();
        let (scores, masks, n_with_object, squares) = said.into_inner();
        Self { answer, scores, masks, n_with_object, squares }
    }

    /// The four losses and that of masks.
    fn losses_from(&self, teacher: &Self) -> [f64; 5] {
        let (losses, masks) = self.answer.losses_from(&teacher.answer, Divergence::Kl).unwrap();
        let [a, b, c, d] = losses.map(|loss| loss.scalar().unwrap());
        [a, b, c, d, masks.unwrap().scalar().unwrap()]
    }
}

fn assert_near(what: &str, [ours, expected]: [f64; 2]) {
    assert!(
        (ours - expected).abs() <= 1e-5 * expected.abs().max(0.1),
        "{what}: {ours} instead of {expected}"
    );
}

/// A student sees images half as large as its teacher does.
#[test]
fn regions_are_the_teachers() {
    let targets =
        targets(&[&[[10.0, 20.0, 60.0, 90.0], [70.0, 8.0, 120.0, 60.0]], &[[4.0, 4.0, 100.0, 80.0]]]);
    let teacher = Answered::new(1, 128, 0.0, &targets, None);
    let (n, n_with_object) = (teacher.scores.len() / CLASSES, teacher.n_with_object);
    assert!(n > 100 && n_with_object >= 3, "{n} regions, {n_with_object} with an object");
    let (first, second) = (0.02, 0.05);
    let student = Answered::new(50, 64, first, &targets, Some(&teacher.answer));
    assert_eq!([student.scores.len() / CLASSES, student.n_with_object], [n, n_with_object]);
    let [objects, anchors, classes, boxes, masks] = student.losses_from(&teacher);
    // Proposals learn from the objects.
    let from_objects = student.answer.losses(0.0).unwrap().map(|loss| loss.scalar().unwrap());
    assert_eq!([objects, anchors], [from_objects[0], from_objects[1]]);
    assert_near("classes", [classes, divergence(&student.scores, &teacher.scores)]);
    // The distance of codes is quadratic below 1/9.
    let of_codes = |shift: f64| 4.5 * shift * shift * 4.0 * n_with_object as f64 / n as f64;
    assert_near("boxes", [boxes, of_codes(first.into())]);
    let other = Answered::new(50, 64, second, &targets, Some(&teacher.answer));
    assert_near("boxes", [other.losses_from(&teacher)[3], of_codes(second.into())]);
    let pixels = student.masks.iter().zip(&teacher.masks);
    let of_pixel = |(&student, &teacher): (&f32, &f32)| {
        let [student, teacher] = [student, teacher].map(f64::from);
        let target = 1.0 / (1.0 + (-teacher).exp());
        (1.0 + student.exp()).ln() - target * student
    };
    assert_near("masks", [masks, pixels.map(of_pixel).sum::<f64>() / student.masks.len() as f64]);

    // From maps that are those of its teacher, a student at the same resolution cuts the same regions.
    let twin = Answered::new(1, 128, 0.0, &targets, Some(&teacher.answer));
    assert_eq!(twin.squares, teacher.squares);
    let [_, _, classes, boxes, _] = twin.losses_from(&teacher);
    assert!(classes.abs() < 1e-6 && boxes == 0.0, "{classes} {boxes}");
}

/// The teacher's boxes are the object at all of its anchors, so the student's distance from it is that from the object, at
/// whatever resolution; and two networks without preferences agree about classes.
#[test]
fn a_one_stage_student_learns_the_boxes_of_the_nearest_anchors() {
    let object = [22.0, 30.0, 90.0, 100.0];
    let targets = targets(&[&[object]]);
    let sides = [8, 4, 2, 1, 1, 1];
    let extents = sides.map(square);
    let sides = sides.map(|side| side as usize);
    let classes = filled("scores", 0, 0.0, (1, 6 * CLASSES), &sides);
    let seen = square(128);
    let of_object: Vec<_> = DefaultBoxes::ssdlite()
        .grid(seen, &extents)
        .into_iter()
        .map(|anchor| BoxCoder::REGIONS.encode(object, anchor))
        .collect();
    let mut rest = &of_object[..];
    let codes = sides.iter().enumerate().map(|(idx, &side)| {
        let (of_map, after) = rest.split_at(side * side * 6);
        rest = after;
        let by_channel =
            (0..24).flat_map(|channel| of_map.chunks_exact(6).map(move |at| at[channel / 4][channel % 4]));
        let map = Tensor::from_slice(&by_channel.collect::<Vec<_>>(), &[1, 24, side, side]).unwrap();
        (format!("boxes.{idx}"), map)
    });
    let teacher: Vec<_> = classes.into_iter().chain(codes).collect();
    let teacher = BoxAnswer::new(&outputs(&teacher), seen, &targets).unwrap();
    for (side, sides) in [(128, sides), (64, [4, 2, 1, 1, 1, 1]), (96, [6, 3, 2, 1, 1, 1])] {
        let mut of_student = filled("scores", 0, 0.0, (1, 6 * CLASSES), &sides);
        of_student.extend(filled("boxes", 60, 2.0, (1, 24), &sides));
        let student = BoxAnswer::new(&outputs(&of_student), square(side), &targets).unwrap();
        let from_teacher = student.loss_from(&teacher, Divergence::Kl).unwrap().scalar().unwrap();
        let from_object = Detect::supervised_loss(&student, &targets, 0.0).unwrap().scalar().unwrap();
        // Each anchor with an object counts four times, with itself and three others.
        let of_classes = 4.0 * (CLASSES as f64).ln();
        assert!(from_teacher > 0.1);
        assert_near("boxes", [from_teacher, from_object - of_classes]);
    }
    let own = teacher.loss_from(&teacher, Divergence::Kl).unwrap().scalar().unwrap();
    assert!(own.abs() < 1e-6, "{own}");
}

#[test]
fn anchors_are_nearest_in_the_image() {
    let boxes_of = DefaultBoxes::new(&vec![vec![2.0]; 2], 0.2, 0.9);
    let [fine, coarse] = [[6, 3], [4, 1]].map(|sides| sides.map(square));
    let seen = square(60);
    let [ours, theirs] = [&fine, &coarse].map(|maps| boxes_of.grid(seen, maps));
    let center =
        |corners: &Corners| [corners[0] + corners[2], corners[1] + corners[3]].map(|twice| twice / 2.0);
    for (own, nearest) in ours.iter().zip(boxes_of.nearest(&fine, &coarse)) {
        let sides = |corners: &Corners| boxes::left_top_sides(*corners)[2..].to_vec();
        let there = &theirs[nearest];
        assert!(sides(own).iter().zip(sides(there)).all(|(a, b)| (a - b).abs() < 1e-4));
        // Half the distance of the coarse anchors on the first map; the second has one in the middle.
        let limit = if nearest < 4 * 4 * 4 { 7.5 } else { 30.0 };
        assert!(center(own).iter().zip(center(there)).all(|(a, b)| (a - b).abs() <= limit + 1e-3));
    }
}

const RECIPE: &str = r#"
    seed = 3
    task = "detect"
    network = { name = "ssdlite320_mobilenet_v3_large", widths = [0.25, 0.5], resolutions = [96, 64] }
    data = { path = "data", mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }
    train = { epochs = 1, batch = 4, lr = 0.0005, optimizer = "adamw", weight_decay = 0.0, threads = 1 }
    tabulate = { width_step = 0.25 }
"#;
const SMALL: &str = "network.two_stage={ pyramid_channels = 16, regions = 16, box_features = 16, mask_layers = 1, \
                     mask_channels = 16 }";

/// Both kinds of detectors, without a teacher and with two kinds of it.
#[test]
fn recipes_choose_what_students_learn_from() {
    let networks = [
        vec![],
        vec!["network.name=maskrcnn_mobilenet_v2_fpn", SMALL, "network.two_stage.pyramid_batch_norm=true"],
    ];
    let teachers = [
        vec![],
        vec!["train.student_labels=0.5"],
        vec!["train.teacher=ema", "train.ema=0.9", "train.student_labels=0"],
    ];
    let mut seen = Vec::new();
    for network in networks {
        for teacher in &teachers {
            let dir = tempfile::tempdir().unwrap();
            let scenes = ScenesSpec { seed: 5, train: 8, test: 2, side: 96, min_object: 24 };
            generate(&dir.path().join("data"), &scenes).unwrap();
            let run = train_in(dir.path(), RECIPE, &[&network[..], teacher].concat());
            let losses = events(&run).into_iter().filter_map(|event| match event {
                Event::Step { students, .. } => Some(students.into_iter().map(|student| student.loss)),
                _ => None,
            });
            let losses: Vec<_> = losses.flatten().collect();
            assert!(losses.len() == 6 && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
            assert!(!seen.contains(&losses), "{teacher:?}: {losses:?}");
            seen.push(losses);
        }
    }
    let ensemble = ["train.student_labels=0.5", "train.teacher=ensemble"].map(str::to_owned);
    let error = Recipe::parse(RECIPE, &ensemble).unwrap_err().to_string();
    assert!(error.contains("looks at other boxes at every resolution"), "{error}");
}
