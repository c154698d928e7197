//! Regions of feature maps, what is learned from them, and what is found with them, against torchvision.

use std::collections::BTreeMap;
use std::sync::Arc;

use mutualnet_core::network::{List, ParameterKind};
use mutualnet_core::{Network, Task, Weights, Width, WidthRange};
use mutualnet_data::Objects;
use mutualnet_detect::boxes::left_top_sides;
use mutualnet_detect::coco::Instances;
use mutualnet_detect::decode::ProposalRules;
use mutualnet_detect::{Corners, Extent, Proposer, Rle, RoiAlign};
use mutualnet_engine::{ConvGeometry, Device, Tensor, no_grad};
use mutualnet_nn::{Net, Norm, Parameters};
use mutualnet_predict::Step;
use mutualnet_runtime::Output;
use mutualnet_train::regions::cut;
use mutualnet_train::task::{BoxTargets, Objective, Outputs, RegionAnswer, Regions, RunList, Staged};
use mutualnet_zoo::NetworkConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::detect::{fill, keys};

const CHANNELS: usize = 5;

/// Reads what `golden/regions/make.py` wrote.
fn golden<T: DeserializeOwned>(file: &str) -> T {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/regions/").to_owned() + file;
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Cut {
    image: [u32; 2],
    side: usize,
    regions: Vec<Vec<Corners>>,
    maps: Vec<[u32; 2]>,
    squares: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

fn extent([height, width]: [u32; 2]) -> Extent {
    Extent { height, width }
}

/// Compares the numbers that the script keeps: at most 256 at equal distances, row-major.
fn assert_every(what: &str, tensor: &Tensor, expected: &[f32]) {
    let numbers = tensor.contiguous().unwrap().to_vec_f32().unwrap();
    let some = numbers.iter().step_by((numbers.len() / 256).max(1)).take(256);
    assert_eq!(some.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    for (i, (ours, theirs)) in some.zip(expected).enumerate() {
        assert!((ours - theirs).abs() <= 1e-5 * largest, "{what} {i}: {ours} and {theirs}");
    }
}

#[test]
fn regions_and_their_gradients_are_torchvisions() {
    let golden: Cut = golden("cut.json");
    let extents: Vec<_> = golden.maps.iter().copied().map(extent).collect();
    let map = |(seed, size): (u32, &[u32; 2])| {
        let shape = [2, CHANNELS, size[0] as usize, size[1] as usize];
        let map = Tensor::from_slice(&fill(seed, shape.iter().product()), &shape).unwrap();
        map.channels_last().unwrap().require_grad().unwrap()
    };
    let maps: Vec<_> = (70..).zip(&golden.maps).map(map).collect();
    let align = RoiAlign::new(&extents, extent(golden.image), golden.side).unwrap();
    let squares = cut(&align, &maps, &golden.regions).unwrap();
    assert_eq!(squares.shape(), [8, CHANNELS, golden.side, golden.side]);
    assert!(squares.is_channels_last());
    assert_every("squares", &squares, &golden.squares);
    let upstream = Tensor::from_slice(&fill(80, squares.elements()), &squares.shape()).unwrap();
    squares.multiply(&upstream).unwrap().sum().unwrap().backward().unwrap();
    for (level, (map, expected)) in maps.iter().zip(&golden.gradients).enumerate() {
        assert_every(&format!("gradient {level}"), &map.grad().unwrap().unwrap(), expected);
    }

    // The run side cuts the same.
    let of_image = |image: usize| {
        let maps = maps.iter().map(|map| {
            let one = map.detach().unwrap().narrow(0, image, 1).unwrap();
            one.by_pixel().unwrap().to_vec_f32().unwrap()
        });
        let maps: Vec<_> = maps.collect();
        let maps: Vec<_> = maps.iter().map(Vec::as_slice).collect();
        align.cut(&maps, CHANNELS, &golden.regions[image])
    };
    let on_run_side = [of_image(0), of_image(1)].concat();
    let on_run_side = Tensor::from_slice(&on_run_side, &squares.shape()).unwrap();
    assert_every("on the run side", &on_run_side, &golden.squares);
}

#[test]
fn there_may_be_no_regions() {
    let map = Tensor::zeros(&[2, 3, 4, 4], Device::Cpu).unwrap();
    let align = RoiAlign::new(&[extent([4, 4])], extent([64, 64]), 7).unwrap();
    assert_eq!(cut(&align, &[map], &[vec![], vec![]]).unwrap().shape(), [0, 3, 7, 7]);
}

#[derive(Deserialize)]
struct Losses {
    classes: usize,
    side: u32,
    sides: Vec<usize>,
    features: usize,
    boxes: Vec<Vec<Corners>>,
    labels: Vec<Vec<u32>>,
    losses: [f64; 4],
    /// Of a network that draws masks.
    mask_loss: Option<f64>,
    gradients: BTreeMap<String, Vec<f32>>,
    sums: BTreeMap<String, f64>,
    proposals: Vec<Corners>,
}

/// Filled maps `[n, c, side, side]` that collect gradients, of numbers up to `scale`.
fn maps(seed: u32, scale: f32, (n, c): (usize, usize), sides: &[usize]) -> Vec<Tensor> {
    let map = |(seed, &side): (u32, &usize)| {
        let shape = [n, c, side, side];
        let values: Vec<_> = fill(seed, shape.iter().product()).into_iter().map(|x| scale * x).collect();
        Tensor::from_slice(&values, &shape).unwrap().channels_last().unwrap().require_grad().unwrap()
    };
    (seed..).zip(sides).map(map).collect()
}

/// What is proposed for the first image.
fn assert_proposals(objects: &[Tensor], codes: &[Tensor], golden: &Losses) {
    let numbers = |maps: &[Tensor]| -> Vec<f32> {
        let of_first = |map: &Tensor| map.detach().unwrap().narrow(0, 0, 1).unwrap().by_pixel().unwrap();
        maps.iter().flat_map(|map| of_first(map).to_vec_f32().unwrap()).collect()
    };
    let extents: Vec<_> = golden.sides.iter().map(|&side| extent([side as u32; 2])).collect();
    let proposer = Proposer::new(extent([golden.side; 2]), &extents, 15).unwrap();
    let codes = numbers(codes);
    let found = proposer.proposals(ProposalRules::TRAINING, &numbers(objects), codes.as_chunks().0);
    assert_eq!(found.len(), golden.proposals.len());
    for (ours, theirs) in found.iter().flatten().zip(golden.proposals.iter().flatten()) {
        assert!((ours - theirs).abs() <= 1e-3, "{ours} and {theirs}");
    }
    assert_eq!(Proposer::new(extent([64; 2]), &extents, 3), None);
}

#[test]
fn losses_and_gradients_are_torchvisions() {
    assert_losses(golden("losses.json"));
}

#[test]
fn losses_and_gradients_of_masks_are_torchvisions() {
    let golden: Losses = golden("mask_losses.json");
    assert!(golden.mask_loss.is_some());
    assert_losses(golden);
}

/// The script's masks of an image's objects.
fn masks(image: usize, n: usize, side: usize) -> Vec<Option<Rle>> {
    let numbers = fill(200 + image as u32, n * side * side);
    let mask = |numbers: &[f32]| {
        let pixels: Vec<_> = numbers.iter().map(|&number| u8::from(number > -0.2)).collect();
        Rle::encode(extent([side as u32; 2]), &pixels).unwrap()
    };
    numbers.chunks_exact(side * side).map(|numbers| Some(mask(numbers))).collect()
}

fn assert_losses(golden: Losses) {
    let n = golden.boxes.len();
    let images = golden.boxes.iter().zip(&golden.labels);
    let images: Vec<_> = images
        .enumerate()
        .map(|(image, (boxes, classes))| Objects {
            image: 0,
            boxes: boxes.clone(),
            classes: classes.clone(),
            masks: masks(image, boxes.len(), golden.side as usize),
        })
        .collect();
    let truth = Instances::from_json(br#"{"images":[],"annotations":[],"categories":[]}"#).unwrap();
    let seen = extent([golden.side; 2]);
    let targets = BoxTargets::new(Arc::new(truth), (images, keys(n)), seen, Device::Cpu);
    // Regions are cut from all maps but the last.
    let features = maps(90, 1.0, (n, golden.features), &golden.sides[..golden.sides.len() - 1]);
    let objects = maps(100, 2.0, (n, 15), &golden.sides);
    let codes = maps(110, 0.5, (n, 60), &golden.sides);
    let kinds = [("features", &features), ("objects", &objects), ("codes", &codes)];
    let names = kinds.map(|(kind, maps)| (0..maps.len()).map(move |idx| format!("{kind}.{idx}")));
    let names: Vec<_> = names.into_iter().flatten().collect();
    let maps = kinds.into_iter().flat_map(|(_, maps)| maps);
    let main = Outputs::new(names.iter().map(String::as_str).zip(maps.map(Tensor::alias)));
    let numbers = golden.features * 7 * 7;
    let run: &mut RunList<'_> = &mut |list, squares: &Tensor| {
        if list == List::MASK {
            let weight = fill(99, golden.classes * golden.features);
            let weight = Tensor::from_slice(&weight, &[golden.classes, golden.features, 1, 1]).unwrap();
            let geometry = ConvGeometry { stride: &[1; 2], padding: &[0; 2], dilation: &[1; 2], groups: 1 };
            let masks = squares.convolution(&weight, None, &geometry).unwrap();
            return Ok(Outputs::new([("masks", masks)]));
        }
        let flat = squares.reshape(&[squares.shape()[0], numbers]).unwrap();
        let linear = |seed, out: usize| {
            let weight: Vec<_> = fill(seed, out * numbers).into_iter().map(|x| 0.2 * x).collect();
            flat.linear(&Tensor::from_slice(&weight, &[out, numbers]).unwrap(), None).unwrap()
        };
        Ok(Outputs::new([("scores", linear(97, golden.classes)), ("codes", linear(98, 4 * golden.classes))]))
    };
    assert_proposals(&objects, &codes, &golden);
    let name = match golden.mask_loss {
        Some(_) => "maskrcnn_mobilenet_v3_large_fpn",
        None => "fasterrcnn_mobilenet_v3_large_fpn",
    };
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = NetworkConfig { classes: golden.classes, widths, output_stride: None };
    let network = &mutualnet_zoo::build(name, &config).unwrap();
    let network = Staged { outputs: main, seen, network, run };
    let answer = RegionAnswer::new(network, &targets, None).unwrap();
    let losses = answer.losses(0.0).unwrap().map(|loss| loss.scalar().unwrap());
    for (ours, theirs) in losses.into_iter().zip(golden.losses) {
        assert!((ours / theirs - 1.0).abs() < 1e-5, "{losses:?} and {:?}", golden.losses);
    }
    let of_masks = answer.mask_loss().unwrap().map(|loss| loss.scalar().unwrap());
    assert_eq!(of_masks.is_some(), golden.mask_loss.is_some());
    for (ours, theirs) in of_masks.iter().zip(&golden.mask_loss) {
        assert!((ours / theirs - 1.0).abs() < 1e-5, "{ours} and {theirs}");
    }
    let loss = Regions::supervised_loss(&answer, &targets, 0.0).unwrap();
    let sum = golden.losses.iter().chain(&golden.mask_loss).sum::<f64>();
    assert!((loss.scalar().unwrap() / sum - 1.0).abs() < 1e-5);
    loss.backward().unwrap();
    for (kind, maps) in kinds {
        for (idx, map) in maps.iter().enumerate() {
            let name = format!("{kind}.{idx}");
            let gradient = map.grad().unwrap().unwrap();
            assert_every(&name, &gradient, &golden.gradients[&name]);
            let numbers = gradient.contiguous().unwrap().to_vec_f32().unwrap();
            let sum: f64 = numbers.into_iter().map(|x| f64::from(x.abs())).sum();
            assert!((sum - golden.sums[&name]).abs() <= 1e-5 * golden.sums[&name], "{name}: {sum}");
        }
    }
}

#[derive(Deserialize)]
struct Detections {
    classes: usize,
    side: usize,
    n_proposals: Vec<usize>,
    images: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    boxes: Vec<Corners>,
    labels: Vec<usize>,
    scores: Vec<f32>,
    /// Compressed runs, of a network that draws masks.
    #[serde(default)]
    masks: Vec<String>,
}

/// The script's weights.
fn weights(network: &Network) -> Weights {
    let shapes = network.parameter_shapes(Width::ONE).unwrap();
    let mut parameters: Vec<_> = network.parameters().into_iter().zip(shapes).collect();
    parameters.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let tensors = (1000..).zip(parameters).map(|(seed, (parameter, shape))| {
        let of_output: usize = shape[1..].iter().product();
        let (scale, mean) = match parameter.kind {
            _ if parameter.name.ends_with("fc6.weight") => ((6.0 / of_output as f32).sqrt(), 0.0),
            ParameterKind::LinearWeight => ((6.0 / of_output as f32).sqrt(), 0.0),
            ParameterKind::ConvWeight
            | ParameterKind::DepthwiseWeight
            | ParameterKind::TransposedConvWeight => {
                ((6.0 / (shape[2] * shape[3] * shape[0]) as f32).sqrt(), 0.0)
            }
            ParameterKind::Scale => (0.1, 0.4),
            _ => (0.3, 0.5),
        };
        let factor = match &parameter.name {
            name if name.contains("bbox_pred") => 0.05,
            name if name.contains("cls_logits") => 0.1,
            _ => 1.0,
        };
        let data = fill(seed, shape.iter().product()).into_iter().map(|x| factor * (x * scale + mean));
        (parameter.name, mutualnet_core::Tensor { data: data.collect(), shape })
    });
    tensors.collect()
}

/// Outputs of the engine for one image as those of the run side.
fn outputs<'a>(
    list: &'a List,
    network: &'a Network,
    numbers: &'a [(Vec<usize>, Vec<f32>)],
) -> Vec<Output<'a>> {
    let outputs = network.outputs_of(list).zip(numbers);
    let output =
        |(output, (shape, data)): (&'a mutualnet_core::network::Output, &'a (Vec<usize>, Vec<f32>))| {
            let size = if let [_, _, height, width] = shape[..] { [height, width] } else { [1, 1] };
            Output { name: &output.name, size, channels: shape[1], data }
        };
    outputs.map(output).collect()
}

/// Proposals, regions, answers and detections together: what torchvision finds with the same weights, the decoder of the run
/// side finds in the engine's outputs.
#[test]
fn detections_are_torchvisions() {
    assert_detections(&golden("detections.json"), "fasterrcnn_mobilenet_v3_large_fpn");
}

#[test]
fn masks_of_detections_are_torchvisions() {
    let golden: Detections = golden("mask_detections.json");
    assert!(golden.images.iter().all(|image| image.masks.len() == image.boxes.len()));
    assert_detections(&golden, "maskrcnn_mobilenet_v3_large_fpn");
}

fn assert_detections(golden: &Detections, name: &str) {
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = NetworkConfig { classes: golden.classes, widths, output_stride: None };
    let network = mutualnet_zoo::build(name, &config).unwrap();
    let net = Net::new(network);
    let parameters = Parameters::from_weights(net.network(), &weights(net.network()), Device::Cpu).unwrap();
    let slice = net.slice(&parameters, Width::ONE).unwrap();
    let side = golden.side;
    let shape = [2, 3, side, side];
    let pixels: Vec<_> = fill(7, shape.iter().product()).into_iter().map(|x| 1.7 * x).collect();
    let images = Tensor::from_slice(&pixels, &shape).unwrap().channels_last().unwrap();
    let run = |name: &str, input: &Tensor| {
        let list = net.network().list(name).unwrap();
        no_grad(|| net.run_list(&slice, (list, &[input]), Norm::Batch, None)).unwrap()
    };
    let main = run(List::MAIN, &images);
    let classes: Vec<_> = (0..golden.classes).map(|class| class.to_string()).collect();
    let decoder = mutualnet_predict::decoder(
        Task::Detect,
        net.network(),
        &classes,
        mutualnet_predict::Config::default(),
    );
    for (image, (expected, n)) in golden.images.iter().zip(&golden.n_proposals).enumerate() {
        let of_image = |map: &Tensor| {
            let one = map.narrow(0, image, 1).unwrap();
            (one.shape(), one.by_pixel().unwrap().to_vec_f32().unwrap())
        };
        let maps: Vec<_> = main.iter().map(of_image).collect();
        let of_main = outputs(net.network().main(), net.network(), &maps);
        let regions = decoder.regions(&of_main, [side; 2]).unwrap().unwrap();
        // The overlap of two boxes may be on the other side of the limit in single precision.
        assert!(regions.n().abs_diff(*n) <= 2, "{} and {n} proposals", regions.n());
        let input = Tensor::from_slice(regions.input(), &[regions.n(), 256 * 49, 1, 1]).unwrap();
        let answers = run(List::BOX, &input);
        let answers: Vec<_> =
            answers.iter().map(|answer| (answer.shape(), answer.to_vec_f32().unwrap())).collect();
        let of_regions = outputs(net.network().list(List::BOX).unwrap(), net.network(), &answers);
        let size = [side as u32; 2];
        let mut step = decoder.decode_regions(regions, &of_regions, size).unwrap();
        if let Step::Regions(found) = step {
            assert_eq!((found.list(), found.n()), (List::MASK, expected.boxes.len()));
            let input = Tensor::from_nhwc(found.input(), [found.n(), 14, 14, 256], Device::Cpu).unwrap();
            let masks = run(List::MASK, &input);
            let masks = [(masks[0].shape(), masks[0].by_pixel().unwrap().to_vec_f32().unwrap())];
            let of_masks = outputs(net.network().list(List::MASK).unwrap(), net.network(), &masks);
            step = decoder.decode_regions(found, &of_masks, size).unwrap();
        }
        let Step::Answer(prediction) = step else { panic!("there is no fourth list") };
        let json = prediction.json();
        let found: Vec<FoundJson> = serde_json::from_value(json["objects"].clone()).unwrap();
        for idx in 0..expected.boxes.len() {
            let (corners, class, score) = (expected.boxes[idx], expected.labels[idx], expected.scores[idx]);
            let is_same = |found: &FoundJson| {
                let close = left_top_sides(corners).iter().zip(found.bbox).all(|(a, b)| (a - b).abs() < 0.02);
                let is_box = close && found.class == class.to_string() && (found.score - score).abs() < 1e-3;
                is_box
                    && expected.masks.get(idx).is_none_or(|runs| {
                        let theirs = Rle::from_text(extent(size), runs).unwrap();
                        let ours = Rle::from_text(extent(size), &found.segmentation.as_ref().unwrap().counts);
                        let ours = ours.unwrap();
                        // A probability may be on the other side of one half in single precision.
                        ours.area().abs_diff(theirs.area()) <= 4
                            && (ours == theirs || ours.iou(&theirs).unwrap() > 0.95)
                    })
            };
            assert!(found.iter().any(is_same), "image {image}: no {class} with {score} at {corners:?}");
        }
    }
}

#[derive(Deserialize)]
struct FoundJson {
    class: String,
    score: f32,
    bbox: [f32; 4],
    segmentation: Option<Segmentation>,
}

#[derive(Deserialize)]
struct Segmentation {
    counts: String,
}
