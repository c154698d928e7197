//! ONNX files against the run side, by an interpreter that reads nothing but the file.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::Bundle;
use mutualnet_core::network::{
    Activation, AvgPool, ChannelRule, Conv, Groups, MaxPool, NetworkBuilder, Rank, Resize,
};
use mutualnet_core::{Network, Subnet, Task, Tensor, Width, WidthRange};
use mutualnet_export::onnx::{Difference, Interpreter, compare, images, to_onnx};
use mutualnet_runtime::{Model, ModelConfig, Session};
use mutualnet_testkit::{bundle, parts, small_network, subnet};
use mutualnet_zoo::{FAMILIES, NetworkConfig, OutputStride, Purpose};

/// How far the file's outputs are from the row's, on all images of the check.
fn difference(bundle: &Bundle, row: Subnet) -> Difference {
    let file = Interpreter::parse(&to_onnx(bundle, row).unwrap()).unwrap();
    let config = ModelConfig::choose().unwrap().direct();
    let model = Arc::new(Model::with_config(bundle, config).unwrap());
    let mut session = Session::new(model, NonZeroUsize::MIN).unwrap();
    session.switch(row).unwrap();
    let mut difference = Difference::default();
    for images in images(bundle, row).unwrap() {
        session.run_at(&images.pixels, images.n, images.size).unwrap();
        let outputs = 0..bundle.network().outputs().len();
        let outputs: Vec<_> = outputs.map(|idx| session.output(idx)).collect();
        let outputs: Vec<_> = outputs.iter().map(|output| (output.name, output.data)).collect();
        difference = difference.max(compare(&file, &images, &outputs).unwrap());
    }
    difference
}

fn assert_near(name: &str, bundle: &Bundle, row: Subnet) {
    let Difference { largest, scale } = difference(bundle, row);
    assert!(scale > 1e-3, "{name} {row}: all outputs are {scale} or less");
    assert!(largest <= 2e-5 * scale.max(1.0), "{name} {row}: off by {largest} of {scale}");
}

fn widths() -> WidthRange {
    WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap()
}

#[test]
fn every_family_computes_what_its_rows_compute() {
    for name in mutualnet_zoo::samples_of(Task::Classify, Rank::Image) {
        let config = NetworkConfig { classes: 10, widths: widths(), output_stride: Some(OutputStride::S16) };
        let network = mutualnet_zoo::build_small(name, &config).unwrap();
        let rows = ["0.25-32", "0.6-24", "0.4-32"].map(subnet);
        let bundle = bundle(network, &rows);
        for row in rows {
            assert_near(name, &bundle, row);
        }
    }
}

/// The rows of a network that segments or detects, as a bundle of its task.
fn bundle_of<const N: usize>(network: Network, task: Task, rows: &[Subnet; N]) -> Bundle {
    let mut parts = parts(network, rows);
    parts.task = task;
    parts.preprocess.fit = task.sees();
    parts.table = parts.table.measuring(task.metric());
    Bundle::new(parts).unwrap()
}

#[test]
fn networks_that_segment_or_detect_compute_what_their_rows_compute() {
    let config = NetworkConfig { classes: 5, widths: widths(), output_stride: None };
    for (family, task) in FAMILIES.iter().map(|family| (family, family.task)) {
        for name in family.samples.iter().map(|sample| sample.name).filter(|_| task != Task::Classify) {
            let network = mutualnet_zoo::build_for(Purpose::Inference, name, &config).unwrap();
            // An ONNX file has one list.
            if network.lists().len() == 1 {
                let rows = ["0.25-64", "0.5-96"].map(subnet);
                let bundle = bundle_of(network, task, &rows);
                rows.into_iter().for_each(|row| assert_near(name, &bundle, row));
            }
        }
    }
}

/// What no family has: several inputs, a norm that is not folded, one that has two readers, a node that is two outputs, a
/// layer with the name of an output.
fn odd_network() -> Network {
    let conv = |out: ChannelRule, size: u32, groups| Conv {
        out,
        kernel: [1, size, size],
        stride: [1, 1, 1],
        padding: [0, size / 2, size / 2],
        dilation: Conv::NO_DILATION,
        groups,
        bias: groups == Groups::Dense,
    };
    let pool = |kernel: u32| ([1, kernel, kernel], [1, 2, 2], [0, kernel / 2, kernel / 2]);
    let slim = ChannelRule::slim(16);
    let mut net = NetworkBuilder::new("odd", Rank::Image, widths());
    let input = net.input(3);
    let stem = net.conv("logits", input, conv(slim, 3, Groups::Dense));
    let norm = net.batch_norm("bn", stem);
    let both = net.add("both", stem, norm);
    let a = net.activation("swish", both, Activation::Swish);
    let (kernel, stride, padding) = pool(3);
    let low = net.max_pool("max", a, MaxPool { kernel, stride, padding });
    let (kernel, stride, padding) = pool(2);
    let mean = net.avg_pool("mean", a, AvgPool { kernel, stride, padding });
    let near = net.resize_like("near", mean, low, Resize::Nearest);
    let x = net.conv_over("joined", &[low, near], conv(ChannelRule::whole(24), 1, Groups::Dense));
    let x = net.batch_norm("joined_bn", x);
    let x = net.activation("hard_swish", x, Activation::HardSwish);
    let pooled = net.global_pool("pool", x);
    let gate = net.conv("gate", pooled, conv(ChannelRule::whole(24), 1, Groups::Dense));
    let gate = net.activation("hard_sigmoid", gate, Activation::HardSigmoid);
    let back = net.conv("back", gate, conv(ChannelRule::whole(24), 1, Groups::Dense));
    let x = net.multiply("gated", x, back);
    let x = net.activation("sigmoid", x, Activation::Sigmoid);
    let last = net.global_pool("last_pool", x);
    let x = net.add("sum", last, gate);
    let x = net.linear("fc", x, 5);
    let x = net.activation("relu6", x, Activation::Relu6);
    let x = net.batch_norm("last_bn", x);
    net.output("logits", x);
    net.output("again", x);
    net.finish().unwrap()
}

#[test]
fn what_no_family_has() {
    let rows = ["0.25-16", "0.7-19"].map(subnet);
    let bundle = bundle(odd_network(), &rows);
    for row in rows {
        assert_near("odd", &bundle, row);
    }
}

#[test]
fn metadata_say_how_to_use_the_file() {
    let rows = ["0.25-8", "0.5-16"].map(subnet);
    let bundle = bundle(small_network(), &rows);
    let file = Interpreter::parse(&to_onnx(&bundle, rows[0]).unwrap()).unwrap();
    let json = |key: &str| -> serde_json::Value {
        serde_json::from_str(file.metadata(key).unwrap_or_else(|| panic!("no {key}"))).unwrap()
    };
    assert_eq!(
        (json("task"), json("row"), json("network")),
        ("classify".into(), "0.25-8".into(), "small".into())
    );
    assert_eq!(json("classes").as_array().unwrap().len(), 5);
    assert_eq!(json("preprocess")["crop"], 16);
    assert_eq!(json("preprocess")["mean"].as_array().unwrap().len(), 3);
    assert_eq!(json("smaller_resolutions"), "bilinear_aligned_corners");
    assert_eq!(json("table")["rows"].as_array().unwrap().len(), 1);
    assert_eq!(file.metadata("none"), None);
}

#[test]
fn a_file_that_is_changed_computes_something_else() {
    let row = subnet("0.5-16");
    let bundle = bundle(small_network(), &[row]);
    let good = to_onnx(&bundle, row).unwrap();
    let plain = Interpreter::parse(&good).unwrap();
    let image =
        || Tensor { shape: vec![1, 3, 16, 16], data: (0..768).map(|i| (i % 17) as f32 - 8.0).collect() };
    let before = plain.run(image()).unwrap();
    // The bytes of the last bias, which are the last numbers of the file before the names of its ends.
    let bias = &bundle.weights()["classifier.0.bias"].data;
    let bytes: Vec<u8> = bias.iter().flat_map(|x| x.to_le_bytes()).collect();
    let place = good.windows(bytes.len()).position(|window| window == bytes).unwrap();
    let mut bad = good.clone();
    bad[place..place + 4].copy_from_slice(&7.5_f32.to_le_bytes());
    let after = Interpreter::parse(&bad).unwrap().run(image()).unwrap();
    assert_ne!(before, after);
    assert!(Interpreter::parse(&good[..good.len() / 2]).is_err());
    let error = plain.run(Tensor { shape: vec![1, 2, 16, 16], data: vec![0.0; 512] }).unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
}

#[test]
fn only_rows_are_exported() {
    let bundle = bundle(small_network(), &["0.25-8"].map(subnet));
    let error = to_onnx(&bundle, subnet("0.5-8")).unwrap_err();
    assert!(error.hint().unwrap().contains("0.25-8"));
}
