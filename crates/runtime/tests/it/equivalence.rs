//! Things that must not change the results, and do not, bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mutualnet_bundle::{Bundle, BundleParts, Provenance, Quality, QueryTable, Row};
use mutualnet_core::network::Rank;
use mutualnet_core::{Subnet, Task, Tensor};
use mutualnet_runtime::{Convolution, Isa, MeasureConfig, Model, Session, measure};
use mutualnet_zoo::{samples, samples_of};

use crate::allocation::allocations;
use crate::fixture::{
    self, bundle, clips, images, numbers, odd_clip_network, odd_network, rows_of, session, session_of,
    subnet, zoo,
};

const ROWS: [&str; 4] = ["1.0-32", "0.25-32", "0.6-24", "0.35-16"];

fn model(isa: Isa) -> Arc<Model> {
    model_of("mobilenet_v2", isa)
}

fn model_of(name: &str, isa: Isa) -> Arc<Model> {
    let network = zoo(name);
    let rows = rows_of(&network, ROWS);
    fixture::model_of(&bundle(&network, &rows.each_ref().map(String::as_str)), isa, Convolution::Fast)
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn run(session: &mut Session, row: Subnet, n: usize) -> Vec<u32> {
    session.switch(row).unwrap();
    bits(session.run(&clips(n, row.input), n).unwrap())
}

#[test]
fn models_are_shared_and_sessions_move() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Model>();
    moved::<Session>();
}

/// Several sessions of one model at once, each switching on its own.
#[test]
fn sessions_side_by_side() {
    let model = model(Isa::choose().unwrap());
    let expected = ROWS.map(|row| run(&mut session(&model, 1), subnet(row), 1));
    std::thread::scope(|scope| {
        for first in 0..ROWS.len() {
            let (model, expected) = (&model, &expected);
            scope.spawn(move || {
                let mut session = session(model, 1 + first % 2);
                for at in (0..ROWS.len()).cycle().skip(first).take(8) {
                    assert_eq!(run(&mut session, subnet(ROWS[at]), 1), expected[at]);
                }
            });
        }
    });
}

#[test]
fn number_of_threads() {
    for isa in Isa::available() {
        let model = model(isa);
        for row in ROWS.map(subnet) {
            let one = run(&mut session(&model, 1), row, 2);
            for threads in [2, 4] {
                let mut session = session(&model, threads);
                for _ in 0..4 {
                    assert_eq!(run(&mut session, row, 2), one, "{row} on {threads} threads, {isa}");
                }
            }
        }
    }
}

#[test]
fn number_of_threads_in_every_family() {
    for name in samples(Task::Classify) {
        for isa in Isa::available() {
            let model = model_of(name, isa);
            for row in rows_of(&zoo(name), ["0.6-24", "0.35-16"]).map(|row| subnet(&row)) {
                let one = run(&mut session(&model, 1), row, 3);
                assert_eq!(run(&mut session(&model, 3), row, 3), one, "{name} {row} on 3 threads, {isa}");
            }
        }
    }
}

#[test]
fn batch_or_singles() {
    for name in samples(Task::Classify) {
        let model = model_of(name, Isa::choose().unwrap());
        let mut session = session(&model, 2);
        for (row, n) in rows_of(&zoo(name), ROWS).into_iter().zip([3, 70, 2, 7]) {
            let row = subnet(&row);
            let all = run(&mut session, row, n);
            let input = clips(n, row.input);
            let singles = input.chunks_exact(input.len() / n);
            let singles: Vec<_> = singles.flat_map(|image| bits(session.run(image, 1).unwrap())).collect();
            assert_eq!(all, singles, "{name} {row}");
        }
    }
}

#[test]
fn rows_run_before() {
    let model = model(Isa::choose().unwrap());
    let fresh = ROWS.map(|row| run(&mut session(&model, 2), subnet(row), 1));
    let mut session = session(&model, 2);
    for turn in 0..12 {
        let at = turn * 5 % ROWS.len();
        assert_eq!(run(&mut session, subnet(ROWS[at]), 1), fresh[at], "turn {turn}");
    }
}

#[test]
fn switching_and_running_do_not_allocate() {
    for name in samples(Task::Classify) {
        let model = model_of(name, Isa::choose().unwrap());
        let mut session = session(&model, 1);
        let rows = rows_of(&zoo(name), ROWS).map(|row| subnet(&row));
        let inputs = rows.map(|row| (row, clips(2, row.input)));
        session.run(&inputs[0].1, 2).unwrap();
        let allocated = allocations(|| {
            for (row, input) in inputs.iter().chain(&inputs) {
                session.switch(*row).unwrap();
                session.run(input, 2).unwrap();
                session.run_list("main", &[input], 2).unwrap();
            }
        });
        assert_eq!(allocated, 0, "{name}");
    }
}

#[test]
fn switching_takes_no_time() {
    let model = model(Isa::choose().unwrap());
    let mut session = session(&model, 1);
    let start = Instant::now();
    for turn in 0..1000 {
        session.switch(subnet(ROWS[turn % ROWS.len()])).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(1), "below a millisecond each");
}

/// The network that a width is, by itself, with weights sliced by hand.
fn narrowed(bundle: &Bundle, row: Subnet) -> Bundle {
    let network = bundle.network().narrowed(row.width).unwrap();
    let shapes = network.parameter_shapes(row.width).unwrap();
    let slice = |full: &Tensor, shape: Vec<usize>| {
        let mut data = Vec::new();
        for at in 0..shape.iter().product() {
            let (mut rest, mut from, mut step) = (at, 0, 1);
            for (&narrow, &full) in shape.iter().zip(&full.shape).rev() {
                from += rest % narrow * step;
                rest /= narrow;
                step *= full;
            }
            data.push(full.data[from]);
        }
        Tensor { shape, data }
    };
    let weights = network.parameters().into_iter().zip(shapes);
    let weights = weights
        .map(|(parameter, shape)| (parameter.name.clone(), slice(&bundle.weights()[&parameter.name], shape)));
    let macs = network.macs(row).unwrap();
    Bundle::new(BundleParts {
        task: Task::Classify,
        weights: weights.collect(),
        classes: bundle.classes().to_vec(),
        preprocess: *bundle.preprocess(),
        table: QueryTable::new(vec![Row::new(row, macs, Quality::of_counts(1, 2).unwrap(), Vec::new())])
            .unwrap(),
        stats: BTreeMap::from([(row, bundle.stats(row).unwrap().clone())]),
        provenance: Provenance::default(),
        network,
    })
    .unwrap()
}

#[test]
fn a_slice_is_the_narrow_network() {
    let odd = (odd_network(), ["1.0-32", "0.25-31", "0.6-24", "0.35-16"]);
    // In this wide ResNet the first shortcut is the input.
    let families =
        samples_of(Task::Classify, Rank::Image).chain(["wide_resnet10_1"]).map(|name| (zoo(name), ROWS));
    let clips = samples_of(Task::Classify, Rank::Clip).map(zoo).chain([odd_clip_network()]);
    let clips = clips.map(|network| (network, ["0.6-20", "0.25-19", "0.5-16", "0.35-9"]));
    for (network, rows) in families.chain([odd]).chain(clips) {
        let rows = rows_of(&network, rows);
        let bundle = bundle(&network, &rows.each_ref().map(String::as_str));
        for row in rows.map(|row| subnet(&row)) {
            for isa in Isa::available() {
                let slice = run(&mut session_of(&bundle, isa), row, 1);
                let alone = run(&mut session_of(&narrowed(&bundle, row), isa), row, 1);
                assert_eq!(slice, alone, "{} {row} {isa}", network.name());
            }
        }
    }
}

#[test]
fn an_input_of_the_largest_resolution_is_resized() {
    let model = model(Isa::choose().unwrap());
    let mut session = session(&model, 1);
    let row = subnet("0.35-16");
    let largest = images(2, subnet(ROWS[0]).input.resolution);
    session.switch(row).unwrap();
    let got = session.run(&largest, 2).unwrap().to_vec();
    let mut small = Vec::new();
    for (image, y, x, c) in (0..2 * 16 * 16 * 3).map(|at| (at / 768, at / 48 % 16, at / 3 % 16, at % 3)) {
        let (fy, fx) = (y as f64 * 31.0 / 15.0, x as f64 * 31.0 / 15.0);
        let pixel = |y: f64, x: f64| {
            let (y, x) = (y.min(31.0) as usize, x.min(31.0) as usize);
            f64::from(largest[((image * 32 + y) * 32 + x) * 3 + c])
        };
        let mix =
            |y: f64| pixel(y, fx.floor()) * (1.0 - fx.fract()) + pixel(y, fx.floor() + 1.0) * fx.fract();
        small.push((mix(fy.floor()) * (1.0 - fy.fract()) + mix(fy.floor() + 1.0) * fy.fract()) as f32);
    }
    let expected = session.run(&small, 2).unwrap();
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-3, "{got} {expected}");
    }
}

/// Every frame of a clip of the largest resolution is resized as an image is.
#[test]
fn a_clip_of_the_largest_resolution_is_resized() {
    let model = model_of("x3d_xs", Isa::choose().unwrap());
    let mut session = session(&model, 1);
    let row = subnet("0.35-16-3");
    session.switch(row).unwrap();
    // Linear over each frame, so that what lies between pixels is known.
    let value = |clip: usize, frame: usize, y: f64, x: f64, c: usize| {
        let slopes = numbers("slopes", 2 * 3 * 3 * 3);
        let at = ((clip * 3 + frame) * 3 + c) * 3;
        let [start, down, right] = [0, 1, 2].map(|i| f64::from(slopes[at + i]));
        (start + (down * y + right * x) / 31.0) as f32
    };
    let pixels = |side: usize| {
        let step = 31.0 / (side - 1) as f64;
        let of = |at: usize| {
            let (frame, y, x) = (at / (side * side), at / side % side, at % side);
            [0, 1, 2].map(|c| value(frame / 3, frame % 3, y as f64 * step, x as f64 * step, c))
        };
        (0..2 * 3 * side * side).flat_map(of).collect::<Vec<_>>()
    };
    let got = session.run(&pixels(32), 2).unwrap().to_vec();
    let expected = session.run(&pixels(16), 2).unwrap();
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-3, "{got} {expected}");
    }
}

#[test]
fn latency_is_measured() {
    let model = model(Isa::choose().unwrap());
    let mut session = session(&model, 2);
    let config = MeasureConfig { warmup: 1, runs: 5, time: Duration::from_secs(5) };
    let latency = measure(&mut session, subnet("0.35-16"), config).unwrap();
    assert_eq!(latency.n, 5);
    assert!(0.0 < latency.p50_ms && latency.p50_ms <= latency.p99_ms, "{latency:?}");
    assert!(measure(&mut session, subnet("0.5-16"), config).is_err());
    let mut clips = fixture::session(&model_of("x3d_xs", Isa::choose().unwrap()), 1);
    assert_eq!(measure(&mut clips, subnet("0.35-16-3"), config).unwrap().n, 5);
}
