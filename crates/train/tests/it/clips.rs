//! Action recognition from videos to a prediction: clips → train → calibrate → sweep → bundle → run.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::{ClipSampling, Frames, Preprocess, Task, Views};
use mutualnet_data::clips::{ClipsSpec, class_names, generate};
use mutualnet_engine::{Device, Tensor, no_grad};
use mutualnet_nn::{Net, Norm, Parameters, Statistics};
use mutualnet_predict::{Clips, Config, Predictor};
use mutualnet_train::step_batch::{Images, Pyramid};
use mutualnet_train::{Plan, RunDir, tabulate};

use crate::fixture::{recipe_in, train_in};

/// Largest difference relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

const RECIPE: &str = r#"
    seed = 3
    network = { name = "x3d_xs", widths = [0.25, 0.5], resolutions = [32, 24], frames = [4, 2], output_stride = 16 }
    data = { path = "data", frame_stride = 2, augment = { crop = { kind = "center" }, flip = false } }
    train = { epochs = 1, batch = 8, lr = 0.05, threads = 1, zero_init_residual = true }
    tabulate = { width_step = 0.25, calibration_batches = 2, latency_runs = 2 }
"#;

/// The same with a Fast pathway.
const TWO_PATHWAYS: [&str; 2] = ["network.name=slowfast_r14_4x16", "network.fast_frames=8"];

fn clips(dir: &Path) {
    let spec = ClipsSpec { seed: 5, train: 24, test: 8, side: 32, frames: 9 };
    generate(&dir.join("data"), &spec).unwrap();
}

#[test]
fn from_videos_to_a_class() {
    goes_all_the_way(&[], ClipSampling { frames: Frames::new(4).unwrap(), stride: 2 });
}

#[test]
fn from_videos_to_a_class_by_two_pathways() {
    let keys = [&TWO_PATHWAYS[..], &["data.frame_stride=1"]].concat();
    goes_all_the_way(&keys, ClipSampling { frames: Frames::new(8).unwrap(), stride: 1 });
}

fn goes_all_the_way(keys: &[&str], clip: ClipSampling) {
    let dir = tempfile::tempdir().unwrap();
    clips(dir.path());
    let run = train_in(dir.path(), RECIPE, keys);
    let table = tabulate(&run, "test", &mut ()).unwrap();
    let names: Vec<_> = table.rows().iter().map(|row| row.subnet.to_string()).collect();
    assert_eq!(names.len(), 8);
    assert!(names.contains(&"0.5-32-4".to_owned()) && names.contains(&"0.25-24-2".to_owned()), "{names:?}");
    assert!(table.rows().iter().all(|row| row.quality.n == 8 && !row.latency.is_empty()));

    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!((bundle.task(), bundle.preprocess().clip), (Task::Classify, Some(clip)));
    let video = dir.path().join("data/test/left/00000.avi");
    check_rows(&bundle, &Clips::read(&video, bundle.preprocess(), (clip, Views::default())).unwrap());
    check_views(&bundle, &video, clip);
    measures_several_views(&run, &dir.path().join("data/test"));

    let mut predictor = Predictor::new(&bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    let cheapest = &table.rows()[0];
    predictor.session_mut().switch(cheapest.subnet).unwrap();
    let answer = predictor.predict(&video).unwrap();
    assert_eq!((answer.size, answer.macs), ([24, 24], cheapest.macs));
    assert!(class_names().iter().any(|class| answer.prediction.text().contains(class)));
    let error = predictor.predict(&dir.path().join("data/clips.json")).err().unwrap();
    assert!(error.to_string().starts_with("cannot read"), "{error}");

    refuses_other_sizes(bundle.into_parts());
}

/// Every row's logits on the run side are those of the engine.
fn check_rows(bundle: &Bundle, clip: &Clips) {
    let net = Net::new(bundle.network().clone());
    let parameters = Parameters::from_weights(net.network(), bundle.weights(), Device::Cpu).unwrap();
    let dims = [1, clip.frames(), 32, 32, 3];
    let clips = Tensor::from_channels_last(&clip.pixels, &dims, Device::Cpu).unwrap();
    let rows = bundle.table().rows();
    let pyramid =
        Pyramid::new(&Images::with_full_sides(clips), rows.iter().map(|row| row.subnet.input)).unwrap();
    let mut predictor = Predictor::new(bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    for row in rows {
        let layers = bundle.stats(row.subnet).unwrap().iter();
        let layers: Vec<_> = layers.map(|layer| (layer.mean.clone(), layer.var.clone())).collect();
        let statistics = Statistics::from_vecs(&layers, Device::Cpu).unwrap();
        let slice = net.slice(&parameters, row.subnet.width).unwrap();
        let inputs = pyramid.inputs(net.network(), row.subnet.input);
        let outputs = no_grad(|| net.run_all(&slice, &inputs, Norm::Fixed(&statistics), None)).unwrap();
        let engine = outputs[0].to_vec_f32().unwrap();

        predictor.session_mut().switch(row.subnet).unwrap();
        predictor.answer_clips(clip).unwrap();
        let ours = predictor.session().output(0).data;
        let scale = engine.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let difference = ours.iter().zip(&engine).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(difference <= TOLERANCE * scale, "{}: {}", row.subnet, difference / scale);
    }
}

/// Three views are the first, the middle and the last clip, and cost three times as much; a clip of 7 or 8 of the 9 frames
/// has two or three places.
fn check_views(bundle: &Bundle, video: &Path, clip: ClipSampling) {
    let views = Views { clips: 3, crops: 1 };
    let read = |views| Clips::read(video, bundle.preprocess(), (clip, views)).unwrap();
    let (one, three) = (read(Views::default()), read(views));
    assert_eq!(three.pixels[one.pixels.len()..2 * one.pixels.len()], one.pixels);
    let answer = |views| {
        let config = Config { views: Some(views), ..Config::default() };
        let mut predictor = Predictor::new(bundle, NonZeroUsize::MIN, config).unwrap();
        predictor.predict(video).unwrap()
    };
    let (once, thrice) = (answer(Views::default()), answer(views));
    assert_eq!(3 * once.macs.0, thrice.macs.0);
    assert_ne!(once.prediction.text(), thrice.prediction.text());
}

/// A table over several views has the accuracy that predictions over the same views have.
fn measures_several_views(run: &RunDir, test: &Path) {
    let views = Views { clips: 3, crops: 3 };
    let plan = fs::read_to_string(run.plan()).unwrap();
    fs::write(run.plan(), plan.replace("views = 1", "views = 3").replace("crops = 1", "crops = 3")).unwrap();
    let table = tabulate(run, "test", &mut ()).unwrap();
    let bundle = Bundle::read(&run.bundle()).unwrap();
    assert_eq!(bundle.preprocess().views, views);
    let mut predictor = Predictor::new(&bundle, NonZeroUsize::MIN, Config::default()).unwrap();
    for row in table.rows() {
        predictor.session_mut().switch(row.subnet).unwrap();
        let mut correct = 0;
        for class in class_names() {
            let answer = predictor.predict(&test.join(class).join("00000.avi")).unwrap();
            assert_eq!(answer.macs.0, 9 * row.macs.0);
            correct += usize::from(answer.prediction.text().starts_with(class));
        }
        assert_eq!((row.quality.value, row.quality.n), (correct as f64 / 8.0, 8), "{}", row.subnet);
    }
}

/// A bundle says which frames its network sees: no row sees more, and a Fast pathway sees all of them.
fn refuses_other_sizes(parts: BundleParts) {
    let with = |clip| {
        let preprocess = Preprocess { clip, ..parts.preprocess };
        Bundle::new(BundleParts { preprocess, ..parts.clone() }).err().unwrap().to_string()
    };
    let fewer = ClipSampling { frames: Frames::new(3).unwrap(), stride: 2 };
    let reason = match parts.network.whole_clip() {
        Some(_) => "clip: has 3 frames of 32×32 pixels, and the network reads 8 of 32×32",
        None => "it has more frames than a clip, which has 3",
    };
    assert!(with(Some(fewer)).contains(reason));
    assert!(with(None).contains("clip: is missing, and the network reads clips"));
}

#[test]
fn frames_are_for_networks_that_read_clips() {
    let dir = tempfile::tempdir().unwrap();
    clips(dir.path());
    let told = |overrides: &[&str]| {
        let made = recipe_in(dir.path(), RECIPE, overrides).and_then(|recipe| Plan::make(&recipe));
        let error = made.err().unwrap();
        (error.to_string(), error.hint().unwrap_or_default())
    };
    let (error, hint) = told(&["network.frames=[]", "data.frame_stride=1"]);
    assert_eq!(error, "network `x3d_xs` reads clips, but network.frames is not set");
    assert!(hint.contains("network.frames=[16,8,4]"), "{hint}");
    let (error, hint) = told(&["network.name=mobilenet_v2"]);
    assert_eq!(error, "network `mobilenet_v2` reads images, which have no frames, but network.frames is set");
    assert!(hint.contains("remove network.frames"), "{hint}");
    let (error, hint) = told(&["network.name=slowfast_r14_8x8"]);
    assert_eq!(error, "network `slowfast_r14_8x8` has a Fast pathway, but network.fast_frames is not set");
    assert!(hint.contains("network.fast_frames=32"), "{hint}");
    let (error, hint) = told(&["network.fast_frames=8"]);
    assert_eq!(error, "network `x3d_xs` has no Fast pathway, but network.fast_frames is set");
    assert!(hint.contains("remove network.fast_frames"), "{hint}");
    for (key, reason) in [
        ("network.fast_frames=3", "network.fast_frames: must be at least the first of network.frames"),
        ("network.frames=[2,4]", "network.frames: must be largest first, each of them once"),
        ("data.frame_stride=0", "data.frame_stride: must be from 1 to 256"),
        ("train.subnet=0.5-32-3", "train.subnet: must be a width within network.widths"),
    ] {
        let (error, _) = told(&[key]);
        assert!(error.contains(reason), "{error}");
    }
}
