//! Anchors, coding, matching, suppression, what is learned, decoding and pasting against torchvision.

use mutualnet_core::rng::{Key, Purpose};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::anchors::{Anchors, DefaultBoxes};
use crate::balanced::{Balance, LearnedAnchor, learned_anchors, learned_regions};
use crate::boxes::{Levels, overlap, resized};
use crate::decode::{Answers, DetectionRules, Found, ProposalRules};
use crate::drawn::Stream;
use crate::{
    BoxCoder, Corners, Extent, Matcher, ObjectMask, Rescue, Rle, RoiAlign, SquareMask, Target, suppress,
    suppress_in_groups,
};

fn golden(file: &str) -> Value {
    serde_json::from_str(file).unwrap()
}

fn part<T: DeserializeOwned>(golden: &Value, key: &str) -> T {
    serde_json::from_value(golden[key].clone()).unwrap()
}

/// Corners on multiples of a step, as `draw_boxes` of `golden/torchvision/make.py`.
fn draw_boxes(stream: &mut Stream, n: usize, side: i64, step: i64) -> Vec<Corners> {
    let cells = side / step;
    let mut draw = || {
        let (left, top) = (stream.between(0, cells - 1), stream.between(0, cells - 1));
        let (right, bottom) = (stream.between(left + 1, cells), stream.between(top + 1, cells));
        [left, top, right, bottom].map(|cell| (cell * step) as f32)
    };
    (0..n).map(|_| draw()).collect()
}

fn draw_numbers(stream: &mut Stream, n: usize, largest: f32) -> Vec<f32> {
    (0..n).map(|_| stream.between(-64, 64) as f32 * largest / 64.0).collect()
}

fn quadruples(numbers: &[f32]) -> Vec<[f32; 4]> {
    numbers.chunks(4).map(|chunk| chunk.try_into().unwrap()).collect()
}

fn close(what: &str, found: &[Corners], expected: &[Corners], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let is_close =
            |(found, expected): (&f32, &f32)| (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(found.iter().zip(expected).all(is_close), "{what} {i}: {found:?}, expected {expected:?}");
    }
}

fn near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-6 * largest, "{what} {i}: {found}, expected {expected}");
    }
}

#[test]
fn anchors_around_zero_are_torchvisions() {
    let golden = golden(include_str!("../golden/torchvision/anchors.json"));
    assert_eq!(Anchors::pyramid().levels(), part::<Vec<Vec<Corners>>>(&golden, "base_fpn"));
    let mobile = Anchors::mobile();
    assert_eq!(mobile.levels()[2], part::<Vec<Corners>>(&golden, "base_mobile"));
    assert_eq!((mobile.levels().len(), mobile.levels()[0].len()), (3, 15));
    assert_eq!(DefaultBoxes::ssdlite().levels()[5].len(), 6);
}

#[test]
fn grids_are_torchvisions() {
    let golden = golden(include_str!("../golden/torchvision/anchors.json"));
    let extent = |[height, width]: [u32; 2]| Extent { height, width };
    type Grid = dyn Fn(Extent, &[Extent]) -> Vec<Corners>;
    let grids: [(&str, &Grid, f32); 4] = [
        ("fpn", &|image, maps| Anchors::pyramid().grid(image, maps), 0.0),
        ("mobile", &|image, maps| Anchors::mobile().grid(image, maps), 0.0),
        ("ssdlite", &|image, maps| DefaultBoxes::ssdlite().grid(image, maps), 0.0),
        ("ssdlite_oblong", &|image, maps| DefaultBoxes::ssdlite().grid(image, maps), 0.0),
    ];
    for (name, grid, tolerance) in grids {
        let golden = &golden[name];
        let maps: Vec<_> = part::<Vec<[u32; 2]>>(golden, "maps").into_iter().map(extent).collect();
        let boxes = grid(extent(part(golden, "image")), &maps);
        assert_eq!(boxes.len(), part::<usize>(golden, "n"), "{name}");
        let some: Vec<_> = boxes.into_iter().step_by(97).collect();
        close(name, &some, &part::<Vec<Corners>>(golden, "boxes"), tolerance);
    }
}

#[test]
fn boxes_are_coded_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/coder.json"));
    let mut stream = Stream::new(1);
    let objects = draw_boxes(&mut stream, 60, 512, 1);
    let boxes = draw_boxes(&mut stream, 60, 512, 1);
    let codes = quadruples(&draw_numbers(&mut stream, 240, 6.0));
    for (name, coder) in [("regions", BoxCoder::REGIONS), ("anchors", BoxCoder::ANCHORS)] {
        let pairs = objects.iter().zip(&boxes);
        let encoded: Vec<_> = pairs.map(|(&object, &anchor)| coder.encode(object, anchor)).collect();
        close(name, &encoded, &part::<Vec<Corners>>(&golden, &format!("{name}_encoded")), 1e-6);
        let pairs = codes.iter().zip(&boxes);
        let decoded: Vec<_> = pairs.map(|(&codes, &anchor)| coder.decode(codes, anchor)).collect();
        close(name, &decoded, &part::<Vec<Corners>>(&golden, &format!("{name}_decoded")), 1e-6);
    }
    let back = BoxCoder::REGIONS.decode(BoxCoder::REGIONS.encode(objects[0], boxes[0]), boxes[0]);
    close("back", &[back], &[objects[0]], 1e-5);
    let grown = BoxCoder::ANCHORS.decode([0.0, 0.0, 100.0, f32::NAN], [0.0, 0.0, 16.0, 16.0]);
    assert_eq!(grown[2].round(), 508.0);
    assert!(grown[3].is_nan());
}

#[test]
fn regions_get_torchvisions_levels() {
    let golden = golden(include_str!("../golden/torchvision/coder.json"));
    let mut stream = Stream::new(1);
    draw_boxes(&mut stream, 60, 512, 1);
    let boxes = draw_boxes(&mut stream, 60, 512, 1);
    let quarters = boxes.iter().map(|corners| corners.map(|at| at * 0.25));
    let levels = Levels { finest: 2, coarsest: 5 };
    let found: Vec<_> = boxes.iter().copied().chain(quarters).map(|corners| levels.of(corners) - 2).collect();
    assert_eq!(found, part::<Vec<u32>>(&golden, "levels"));
    let edges = [112.0, 111.9, 224.0, 223.9, 448.0, 1.0, 5000.0];
    let found = edges.map(|side| levels.of([0.0, 0.0, side, side]) - 2);
    assert_eq!(found.as_slice(), part::<Vec<u32>>(&golden, "level_edges"));
    assert_eq!((levels.of([5.0, 5.0, 5.0, 5.0]), levels.of([9.0, 0.0, 5.0, 5.0])), (2, 2));
}

#[test]
fn objects_are_matched_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/matcher.json"));
    for (name, matcher) in
        [("anchors", Matcher::ANCHORS), ("regions", Matcher::REGIONS), ("ssd", Matcher::DEFAULT_BOXES)]
    {
        for (case, expected) in part::<Vec<Vec<i64>>>(&golden, name).into_iter().enumerate() {
            let mut stream = Stream::new(100 + case as u64);
            let side = [32, 512][case % 2];
            let n = stream.between(1, 6) as usize;
            let objects = draw_boxes(&mut stream, n, side, 8);
            let boxes = draw_boxes(&mut stream, 60, side, 8);
            let number = |target| match target {
                Target::Object(object) => object as i64,
                Target::Background => -1,
                Target::Ignored => -2,
            };
            let found: Vec<_> = matcher.targets(&objects, &boxes).into_iter().map(number).collect();
            assert_eq!(found, expected, "{name} {case}");
        }
    }
    let none = Matcher { rescue: Rescue::FirstBest, ..Matcher::ANCHORS }.targets(&[], &[[0.0; 4]; 2]);
    assert_eq!(none, [Target::Background; 2]);
}

#[test]
fn boxes_are_suppressed_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/nms.json"));
    for (case, expected) in part::<Vec<Vec<usize>>>(&golden, "nms").into_iter().enumerate() {
        let mut stream = Stream::new(200 + case as u64);
        let boxes = draw_boxes(&mut stream, 80, 64, 4);
        let scores = draw_numbers(&mut stream, 80, 1.0);
        assert_eq!(suppress(&boxes, &scores, [0.5, 0.7, 0.3][case % 3]), expected, "case {case}");
    }
    for (name, n) in [("few", 900), ("many", 1400)] {
        let mut stream = Stream::new(300 + n as u64);
        let boxes = draw_boxes(&mut stream, n, 300, 3);
        let boxes: Vec<_> = boxes.into_iter().map(|corners| corners.map(|at| at / 7.0)).collect();
        let scores = draw_numbers(&mut stream, n, 1.0);
        let groups: Vec<_> = (0..n).map(|_| stream.between(0, 79) as usize).collect();
        assert_eq!(
            suppress_in_groups(&boxes, &scores, &groups, 0.5),
            part::<Vec<usize>>(&golden, name),
            "{name}"
        );
    }
    assert_eq!(suppress_in_groups(&[], &[], &[], 0.5), Vec::<usize>::new());
    let nothing = [[1.0; 4]; 2];
    assert!(overlap(nothing[0], nothing[1]).is_nan());
    assert_eq!(suppress(&nothing, &[0.0, -0.0], 0.5), [0, 1]);
}

#[test]
fn proposals_are_torchvisions() {
    let golden = golden(include_str!("../golden/torchvision/proposals.json"));
    let sizes = [120, 40, 9];
    let mut stream = Stream::new(400);
    let boxes = sizes.map(|n| {
        let boxes = draw_boxes(&mut stream, n, 96, 4);
        boxes.into_iter().map(|corners| corners.map(|at| at - 8.0)).collect::<Vec<_>>()
    });
    let logits = sizes.map(|n| {
        let numbers = draw_numbers(&mut stream, n, 1.0).into_iter().enumerate();
        numbers.map(|(i, number)| number * 3.0 + i as f32 / 4096.0).collect::<Vec<_>>()
    });
    let levels: Vec<_> = boxes.iter().zip(&logits).map(|(boxes, logits)| (&boxes[..], &logits[..])).collect();
    let image = Extent { height: 80, width: 70 };
    for (name, rules) in [
        ("training", ProposalRules { before: 60, after: 50, ..ProposalRules::TRAINING }),
        ("testing", ProposalRules { before: 30, after: 25, score: 0.6, ..ProposalRules::TESTING }),
    ] {
        let found = rules.proposals(&levels, image);
        let corners: Vec<_> = found.iter().map(|found| found.corners).collect();
        assert_eq!(corners, part::<Vec<Corners>>(&golden[name], "boxes"), "{name}");
        let scores: Vec<f32> = part(&golden[name], "scores");
        assert!(found.iter().zip(scores).all(|(found, score)| (found.score - score).abs() < 1e-6), "{name}");
    }
}

#[test]
fn as_much_is_learned_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/balanced.json"));
    let (anchors, regions): (Vec<Value>, Vec<Value>) = (part(&golden, "anchors"), part(&golden, "regions"));
    assert_eq!((anchors.len(), regions.len()), (12, 12));
    for (case, (of_anchors, of_regions)) in anchors.iter().zip(&regions).enumerate() {
        let mut stream = Stream::new(700 + case as u64);
        let side = [32, 512][case % 2];
        let n = stream.between(0, 5) as usize;
        let objects = draw_boxes(&mut stream, n, side, 8);
        let boxes = draw_boxes(&mut stream, 60, side, 8);
        let mut rng = Key::new(0, Purpose::Regions).sample(case as u64).stream();

        let learned = learned_anchors(&boxes, &objects, &mut rng);
        let (found, background): (Vec<_>, Vec<_>) =
            learned.into_iter().partition(|learned| learned.object.is_some());
        let indices = |learned: &[LearnedAnchor]| learned.iter().map(|one| one.anchor).collect::<Vec<_>>();
        assert_eq!(indices(&found), part::<Vec<usize>>(of_anchors, "found"), "case {case}");
        assert_eq!(indices(&background), part::<Vec<usize>>(of_anchors, "background"), "case {case}");
        let encode =
            |one: &LearnedAnchor| BoxCoder::ANCHORS.encode(objects[one.object.unwrap()], boxes[one.anchor]);
        let codes: Vec<_> = found.iter().map(encode).collect();
        close(&format!("anchors {case}"), &codes, &part::<Vec<Corners>>(of_anchors, "codes"), 1e-6);

        let learned = learned_regions(Balance::REGIONS, &boxes, &objects, &mut rng);
        let corners: Vec<_> = learned.iter().map(|learned| learned.corners).collect();
        assert_eq!(corners, part::<Vec<Corners>>(of_regions, "boxes"), "case {case}");
        let classes: Vec<_> = learned.iter().map(|one| one.object.map_or(0, |object| 1 + object)).collect();
        assert_eq!(classes, part::<Vec<usize>>(of_regions, "classes"), "case {case}");
        let with_object = learned.iter().filter_map(|one| one.object.map(|object| (object, one.corners)));
        let codes = with_object.map(|(object, corners)| BoxCoder::REGIONS.encode(objects[object], corners));
        let codes: Vec<_> = codes.collect();
        close(&format!("regions {case}"), &codes, &part::<Vec<Corners>>(of_regions, "codes"), 1e-6);
    }
    type Counts = ([usize; 3], [usize; 2], [usize; 2]);
    for (candidates, of_anchors, of_regions) in part::<Vec<Counts>>(&golden, "counts") {
        let kinds = [Target::Object(0), Target::Ignored, Target::Background];
        let targets: Vec<_> =
            kinds.into_iter().zip(candidates).flat_map(|(kind, n)| std::iter::repeat_n(kind, n)).collect();
        for (balance, expected) in [(Balance::ANCHORS, of_anchors), (Balance::REGIONS, of_regions)] {
            let mut rng = Key::new(0, Purpose::Regions).stream();
            let drawn = balance.draw(&targets, &mut rng);
            let [found, _, background] =
                kinds.map(|kind| drawn.iter().filter(|&&idx| targets[idx] == kind).count());
            assert_eq!([found, background], expected, "{balance:?} of {candidates:?}");
        }
    }
}

#[test]
fn detections_are_torchvisions() {
    let golden = golden(include_str!("../golden/torchvision/detections.json"));
    let (n, classes) = (200, 5);
    let mut stream = Stream::new(500);
    let boxes = draw_boxes(&mut stream, n, 120, 4);
    let logits = draw_numbers(&mut stream, n * classes, 4.0).into_iter().enumerate();
    let logits: Vec<_> = logits.map(|(i, logit)| logit + i as f32 / 4096.0).collect();
    let codes = quadruples(&draw_numbers(&mut stream, n * classes * 4, 4.0));
    let image = Extent { height: 90, width: 110 };
    let check = |name: &str, found: Vec<Found>| {
        let golden = &golden[name];
        let corners: Vec<_> = found.iter().map(|found| found.corners).collect();
        close(name, &corners, &part::<Vec<Corners>>(golden, "boxes"), 1e-6);
        let labels: Vec<_> = found.iter().map(|found| found.class).collect();
        assert_eq!(labels, part::<Vec<usize>>(golden, "labels"), "{name}");
        let scores: Vec<f32> = part(golden, "scores");
        assert!(found.iter().zip(scores).all(|(found, score)| (found.score - score).abs() < 1e-6), "{name}");
    };
    let all = DetectionRules::TWO_STAGE.two_stage(&boxes, &logits, &codes, image);
    assert_eq!(
        DetectionRules::TWO_STAGE.at_most(Some(3)).two_stage(&boxes, &logits, &codes, image),
        all[..3],
        "the surest three"
    );
    check("two_stage", all);
    let of_anchors: Vec<_> = codes.iter().copied().step_by(classes).collect();
    let answers = Answers { anchors: &boxes, logits: &logits, codes: &of_anchors };
    let rules = DetectionRules { most: 70, ..DetectionRules::SSDLITE };
    check("one_stage", rules.one_stage(answers, 60, image));
    assert_eq!(DetectionRules::TWO_STAGE.two_stage(&[], &[], &[], image), []);
    let nothing = Answers { anchors: &[], logits: &[], codes: &[] };
    assert_eq!(rules.one_stage(nothing, 60, image), []);
}

#[test]
fn regions_are_cut_as_in_torchvision() {
    const CHANNELS: usize = 2;
    const IMAGES: usize = 2;
    let golden = golden(include_str!("../golden/torchvision/roi_align.json"));
    for name in ["pyramid", "mobile", "one"] {
        let golden = &golden[name];
        let side: usize = part(golden, "side");
        let extent = |[height, width]: [u32; 2]| Extent { height, width };
        let extents: Vec<_> = part::<Vec<_>>(golden, "maps").into_iter().map(extent).collect();
        let mut stream = Stream::new((800 + side + extents.len()) as u64);
        let pixels = |extent: &Extent| (extent.height * extent.width) as usize;
        let numbers = |extent| draw_numbers(&mut stream, IMAGES * pixels(extent) * CHANNELS, 4.0);
        let maps: Vec<_> = extents.iter().map(numbers).collect();
        let mut regions_of_image = || {
            let mut draw = |n, side, scale: f32, shift: f32| {
                let boxes = draw_boxes(&mut stream, n, side, 8);
                boxes.into_iter().map(move |corners| corners.map(|at| at * scale - shift)).collect::<Vec<_>>()
            };
            [draw(8, 400, 1.0, 40.0), draw(4, 400, 1.0 / 16.0, 0.0), draw(2, 64, 1.0, 300.0)].concat()
        };
        let regions = [regions_of_image(), regions_of_image()];

        let align = RoiAlign::new(&extents, extent(part(golden, "image")), side).unwrap();
        let of_image = |image: usize| {
            let map = |(map, extent): (&'_ Vec<f32>, _)| {
                let n = pixels(extent) * CHANNELS;
                map[image * n..][..n].to_vec()
            };
            let maps: Vec<_> = maps.iter().zip(&extents).map(map).collect();
            align.cut(&maps.iter().map(Vec::as_slice).collect::<Vec<_>>(), CHANNELS, &regions[image])
        };
        let squares = [of_image(0), of_image(1)].concat();
        let some: Vec<_> = squares.iter().copied().step_by(11).collect();
        near(name, &some, &part::<Vec<f32>>(golden, "squares"));

        // The gradient of a pixel sums what the cells that read it are given.
        let taps = align.taps(&regions);
        assert_eq!(taps.cells() * CHANNELS, squares.len());
        let upstream = draw_numbers(&mut stream, squares.len(), 1.0);
        let mut gradient = vec![0.0; IMAGES * align.pixels() * CHANNELS];
        let ends = taps.starts.iter().skip(1).copied().chain([taps.pixels.len() as i64]);
        for ((start, end), upstream) in taps.starts.iter().zip(ends).zip(upstream.chunks(CHANNELS)) {
            for tap in *start as usize..end as usize {
                let pixel = &mut gradient[taps.pixels[tap] as usize * CHANNELS..][..CHANNELS];
                pixel.iter_mut().zip(upstream).for_each(|(sum, one)| *sum += taps.weights[tap] * one);
            }
        }
        let mut first = 0;
        for (extent, expected) in extents.iter().zip(part::<Vec<Vec<f32>>>(golden, "gradients")) {
            let n = pixels(extent) * CHANNELS;
            let of_image =
                |image: usize| &gradient[image * align.pixels() * CHANNELS + first * CHANNELS..][..n];
            let some: Vec<_> = [of_image(0), of_image(1)].concat().into_iter().step_by(7).collect();
            near(&format!("gradient, {name}"), &some, &expected);
            first += pixels(extent);
        }
    }
}

#[test]
fn maps_that_do_not_fit_regions_are_refused() {
    let extent = |side| Extent { height: side, width: side };
    for sides in [&[][..], &[64, 8], &[8, 16], &[8, 0]] {
        let maps: Vec<_> = sides.iter().copied().map(extent).collect();
        assert_eq!(RoiAlign::new(&maps, extent(256), 7), None, "{sides:?}");
    }
}

#[test]
fn masks_are_projected_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/project.json"));
    let cells: Vec<Vec<f32>> = part(&golden, "cells");
    assert_eq!(cells.len(), 8);
    for (case, cells) in cells.iter().enumerate() {
        let mut stream = Stream::new(700 + case as u64);
        let side = [28, 5][case % 2];
        let [height, width] = [(); 2].map(|()| stream.between(20, 60) as u32);
        let numbers = draw_numbers(&mut stream, (height * width) as usize, 1.0);
        let pixels: Vec<_> = numbers.into_iter().map(|number| u8::from(number > 0.0)).collect();
        let mask = ObjectMask::new(&Rle::encode(Extent { height, width }, &pixels).unwrap());
        let boxes = draw_boxes(&mut stream, 4, 72, 3).into_iter();
        let boxes = boxes.map(|corners| corners.map(|at| at / [1.0, 4.0][case / 4] - 4.0));
        let ours: Vec<_> = boxes.flat_map(|corners| mask.project(corners, side)).step_by(7).collect();
        near(&format!("case {case}"), &ours, cells);
    }
}

#[test]
fn masks_are_pasted_as_in_torchvision() {
    let golden = golden(include_str!("../golden/torchvision/paste.json"));
    let (sums, runs): (Vec<Vec<f64>>, Vec<String>) = (part(&golden, "sums"), part(&golden, "runs"));
    for (case, (sums, runs)) in sums.iter().zip(&runs).enumerate() {
        let mut stream = Stream::new(600 + case as u64);
        let side = [28, 14][case % 2];
        let [height, width] = [(); 2].map(|()| stream.between(20, 60) as u32);
        let numbers = draw_numbers(&mut stream, side * side, 0.5);
        let mask: Vec<_> = numbers.into_iter().map(|number| number + 0.5).collect();
        let corners = draw_boxes(&mut stream, 1, 60, 3)[0].map(|at| at / [1.0, 4.0][case / 4] - 4.0);
        let image = Extent { height, width };
        let mask = SquareMask::new(&mask);
        let pixels = mask.paste(corners, image);
        for (scanline, sum) in pixels.chunks(width as usize).zip(sums) {
            let found: f64 = scanline.iter().map(|&pixel| f64::from(pixel)).sum();
            assert!((found - sum).abs() < 1e-5, "case {case}: {found} {sum}");
        }
        assert_eq!(mask.paste_runs(corners, image).unwrap().to_text(), *runs, "case {case}");
    }
    let image = Extent { height: 3, width: 4 };
    for at in [f32::NAN, f32::INFINITY, f32::MIN] {
        assert_eq!(SquareMask::new(&[1.0]).paste([at, 0.0, 2.0, 2.0], image).len(), 12);
    }
}

#[test]
fn boxes_follow_their_image() {
    let (from, to) = (Extent { height: 10, width: 20 }, Extent { height: 5, width: 60 });
    assert_eq!(resized([1.0, 2.0, 20.0, 10.0], from, to), [3.0, 1.0, 60.0, 5.0]);
}
