//! Every family matches the figures of the reference exactly.

use std::path::Path;

use mutualnet_core::network::{Lists, Op, ParameterKind};
use mutualnet_core::{Frames, Resolution, Subnet, Task, Width, WidthRange};
use mutualnet_testkit::assert_same;

use super::*;

fn config(smallest: f64, full: f64) -> NetworkConfig {
    let [smallest, full] = [smallest, full].map(|width| Width::new(width).unwrap());
    let widths = WidthRange::new(smallest, full).unwrap();
    NetworkConfig { classes: 1000, widths, output_stride: None }
}

fn subnet(width: f64, resolution: u32) -> Subnet {
    Subnet::image(Width::new(width).unwrap(), Resolution::new(resolution).unwrap())
}

/// Millions of MACs, rounded, for each of `widths` at one resolution.
fn mega_macs(net: &Network, widths: &[f64], resolution: u32) -> Vec<u64> {
    widths.iter().map(|&width| net.macs(subnet(width, resolution)).unwrap().0 / 1_000_000).collect()
}

fn is_printed_as(net: &Network, width: f64, resolution: u32, mega: u64) -> bool {
    let macs = net.macs(subnet(width, resolution)).unwrap().0;
    mega == macs / 1_000_000 || mega == (macs + 500_000) / 1_000_000
}

fn steps(from: u32, to: u32) -> Vec<f64> {
    (from..=to).step_by(5).map(|percent| f64::from(percent) / 100.0).collect()
}

#[test]
fn mobilenet_v1_grid() {
    let net = build("mobilenet_v1", &config(0.25, 1.0)).unwrap();
    let widths = steps(25, 100);
    for (resolution, expected) in [
        (224, [41, 64, 80, 100, 124, 149, 177, 217, 249, 287, 325, 366, 421, 466, 517, 568]),
        (192, [30, 47, 59, 73, 91, 109, 130, 159, 183, 211, 239, 269, 309, 342, 380, 418]),
        (160, [21, 32, 41, 51, 63, 76, 90, 111, 127, 146, 166, 187, 215, 238, 264, 290]),
        (128, [13, 21, 26, 32, 40, 49, 58, 71, 81, 94, 106, 120, 138, 152, 169, 186]),
    ] {
        assert_eq!(mega_macs(&net, &widths, resolution), expected, "{resolution}");
    }
}

#[test]
fn mobilenet_v2_grid() {
    let net = build("mobilenet_v2", &config(0.7, 1.0)).unwrap();
    let widths = steps(70, 100);
    for (resolution, expected) in [
        (224, [173, 209, 222, 254, 269, 284, 300]),
        (192, [127, 153, 163, 187, 198, 209, 221]),
        (160, [89, 107, 114, 130, 137, 145, 154]),
        (128, [57, 69, 73, 83, 88, 93, 99]),
    ] {
        assert_eq!(mega_macs(&net, &widths, resolution), expected, "{resolution}");
    }
}

#[test]
fn query_tables_of_the_paper() {
    let v1 = build("mobilenet_v1", &config(0.25, 1.0)).unwrap();
    let widths = [
        1.0, 0.95, 0.9, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.45, 0.35,
        0.25, 0.25, 0.25,
    ];
    let sides = [[224; 3].as_slice(), &[192; 6], &[160; 9], &[192, 160, 128]].concat();
    // As printed in the reference's README, which rounds some figures and floors others.
    let macs =
        [569, 518, 466, 418, 380, 342, 309, 269, 239, 215, 187, 166, 146, 127, 111, 76, 63, 41, 30, 21, 13];
    for ((width, side), macs) in widths.into_iter().zip(sides).zip(macs) {
        assert!(is_printed_as(&v1, width, side, macs), "{width}-{side}");
    }
    let v2 = build("mobilenet_v2", &config(0.7, 1.0)).unwrap();
    let widths = [1.0, 0.95, 0.9, 0.85, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.75, 0.7, 0.85, 0.7];
    let sides = [[224; 4].as_slice(), &[192; 7], &[160; 2], &[128; 2]].concat();
    let macs = [300, 284, 269, 254, 221, 209, 198, 187, 164, 154, 128, 107, 89, 84, 57];
    for ((width, side), macs) in widths.into_iter().zip(sides).zip(macs) {
        assert!(is_printed_as(&v2, width, side, macs), "{width}-{side}");
    }
}

/// The counts that `golden/macs/make.py` took from the authors' code.
#[derive(serde::Deserialize)]
struct Golden {
    network: String,
    /// Names and shapes of the learnable tensors.
    parameters: Vec<(String, Vec<usize>)>,
    rows: Vec<GoldenRow>,
}

#[derive(serde::Deserialize)]
struct GoldenRow {
    width: f64,
    resolution: u32,
    macs: u64,
}

fn read_golden(name: &str) -> Golden {
    let path = format!("{}/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The networks that the authors have, under their name and ours.
const AUTHORS: [(&str, &str); 4] = [
    ("mobilenet_v1", "mobilenet_v1"),
    ("mobilenet_v2", "mobilenet_v2"),
    ("resnet50", "resnet50"),
    ("wideresnet", "wide_resnet28_10"),
];

/// Names and shapes of a network's parameters at width 1, in the order of the nodes.
fn parameters(net: &Network) -> Vec<(String, Vec<usize>)> {
    let shapes = net.parameter_shapes(Width::ONE).unwrap();
    net.parameters().into_iter().map(|parameter| parameter.name).zip(shapes).collect()
}

#[test]
fn the_authors_networks_to_the_last_mac_and_name() {
    for (file, name) in AUTHORS {
        let golden = read_golden(&format!("macs/{file}"));
        assert_eq!(golden.network, file);
        let classes = golden.parameters.last().unwrap().1[0];
        let net = build(name, &NetworkConfig { classes, ..config(golden.rows[0].width, 1.0) }).unwrap();
        for row in golden.rows {
            assert_eq!(net.macs(subnet(row.width, row.resolution)).unwrap().0, row.macs, "{name}");
        }
        assert_same(name, &parameters(&net), &golden.parameters);
    }
}

/// What no golden file says can only be wrong by agreement.
#[test]
fn every_golden_file_is_there() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in golden::Folder::ALL {
        for name in folder.networks() {
            let file = folder.file(name);
            assert!(crates.join(&file).is_file(), "no crates/{file}: run `cargo xtask golden {name}`");
        }
    }
}

#[test]
fn every_family_is_compared_with_somebody_elses() {
    for family in FAMILIES {
        let is_authors = |name: &&str| AUTHORS.iter().any(|(_, ours)| ours == name);
        let is_compared = family.results != golden::Folder::Steps
            || !family.torchvision.is_empty()
            || family.names.iter().any(is_authors);
        assert!(is_compared, "{:?}", family.names);
        for sample in family.samples {
            assert!(golden::folders(sample.name).contains(&family.results), "{}", sample.name);
        }
    }
}

#[test]
fn torchvisions_networks_to_the_last_mac_and_name() {
    for name in golden::Folder::Torchvision.networks() {
        let golden = read_golden(&format!("torchvision/{name}"));
        let net = build(name, &config(0.25, 1.0)).unwrap();
        for row in golden.rows {
            let ours = net.macs(subnet(row.width, row.resolution)).unwrap().0;
            assert_eq!(ours, row.macs, "{name} at {}", row.resolution);
        }
        let (ours, mut theirs) = (parameters(&net), golden.parameters);
        if origin(name) == Origin::Authors {
            // The names are the authors', in torchvision's order.
            theirs = ours.iter().zip(theirs).map(|((path, _), (_, shape))| (path.clone(), shape)).collect();
        }
        assert_same(name, &ours, &theirs);
    }
}

/// The paper's detection results count only the convolutions of VGG-16, for a square with the image's shorter side.
#[test]
fn vgg_16_as_the_papers_backbone() {
    let [net, detector] =
        ["vgg16_bn", "maskrcnn_vgg16_bn_fpn"].map(|name| build(name, &config(0.25, 1.0)).unwrap());
    let path = backbone(detector.name()).unwrap().path;
    for (width, side, billions) in [
        (1.0, 600, "109.8"),
        (0.95, 600, "99.8"),
        (0.9, 600, "88.2"),
        (1.0, 480, "70.5"),
        (0.95, 480, "64.0"),
        (0.9, 480, "56.6"),
        (0.8, 480, "44.9"),
        (0.7, 480, "34.9"),
        (0.8, 360, "25.1"),
        (0.65, 360, "16.5"),
        (0.55, 360, "11.9"),
        (0.4, 360, "6.2"),
        (0.25, 480, "4.5"),
        (0.25, 360, "2.5"),
        (0.25, 240, "1.1"),
    ] {
        let costs = net.costs(subnet(width, side)).unwrap();
        let convolutions = net.nodes().iter().zip(costs).filter(|(node, _)| matches!(node.op, Op::Conv(_)));
        let macs: u64 = convolutions.map(|(_, cost)| cost.macs.0).sum();
        assert_eq!(format!("{:.1}", macs as f64 / 1e9), billions, "{width}-{side}");
        let of_backbone = detector.macs_below(path, subnet(width, side)).unwrap();
        assert_eq!(of_backbone.0, macs, "{width}-{side}");
    }
}

#[test]
fn gates_are_prefixes_at_every_width() {
    for (name, first, at_one) in [
        ("mobilenet_v3_large", ".fc1", vec![24, 32, 32, 120, 168, 168, 240, 240]),
        ("efficientnet_b0", ".fc1", vec![8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]),
        ("x3d_m", ".norm_b.1.block.0", [[8; 5].as_slice(), &[16; 6], &[32; 4]].concat()),
    ] {
        let net = build(name, &config(0.25, 2.0)).unwrap();
        let squeezed = |width: f64| {
            let channels = net.channels(Width::new(width).unwrap()).unwrap();
            let nodes = net.nodes().iter().zip(channels).filter(|(node, _)| node.path.ends_with(first));
            nodes.map(|(_, channels)| channels).collect::<Vec<_>>()
        };
        assert_eq!(squeezed(1.0), at_one, "{name}");
        let mut narrower = squeezed(0.25);
        assert_eq!(narrower.len(), at_one.len());
        for percent in 26..=200 {
            let wider = squeezed(f64::from(percent) / 100.0);
            assert!(narrower.iter().zip(&wider).all(|(a, b)| a <= b), "{name} at {percent} %");
            narrower = wider;
        }
    }
}

#[test]
fn resnet_50_of_the_authors_profiler() {
    let net = build("resnet50", &config(0.9, 1.0)).unwrap();
    assert_eq!(net.macs(subnet(1.0, 224)).unwrap().0, 4_089_284_608);
    assert_eq!(net.macs(subnet(0.9, 224)).unwrap().0, 3_338_064_192);
    assert_eq!((net.parameters().len(), net.params(Width::ONE).unwrap()), (161, 25_557_032));
    for (width, expected) in [(1.0, [4089, 3004, 2087, 1336]), (0.9, [3338, 2452, 1703, 1091])] {
        assert_eq!([224, 192, 160, 128].map(|side| mega_macs(&net, &[width], side)[0]), expected);
    }
    let channels = net.channels(Width::new(0.9).unwrap()).unwrap();
    let of = |path: &str| channels[net.nodes().iter().position(|node| node.path == path).unwrap()];
    assert_eq!(of("features.0.0"), 58);
    assert_eq!([1, 4, 8, 14].map(|block| of(&format!("features.{block}.body.3"))), [58, 116, 230, 460]);
    assert_eq!([1, 4, 8, 14].map(|block| of(&format!("features.{block}.shortcut.0"))), [232, 464, 920, 1840]);
}

/// Billions of MACs of a clip, without the elements that average pools read, which the paper does not count.
fn giga_macs(name: &str, width: f64, input: [u32; 2]) -> f64 {
    giga_macs_of(&build(name, &NetworkConfig { classes: 400, ..config(0.63, 1.0) }).unwrap(), width, input)
}

fn giga_macs_of(net: &Network, width: f64, [side, frames]: [u32; 2]) -> f64 {
    let mut subnet = subnet(width, side);
    subnet.input.frames = Frames::new(frames).unwrap();
    let costs = net.nodes().iter().zip(net.costs(subnet).unwrap());
    let counted = costs.filter(|(node, _)| node.op != Op::GlobalPool);
    counted.map(|(_, cost)| cost.macs.0).sum::<u64>() as f64 / 1e9
}

#[test]
fn full_networks_of_the_papers_video_tables() {
    for (name, input, giga, tolerance) in [
        ("slow_r50_8x8", [256, 8], 54.518, 1e-3),
        ("slow_r50_8x8", [224, 8], 41.7, 5e-3),
        ("slow_r50_4x16", [256, 4], 27.3, 5e-3),
        ("x3d_m", [224, 16], 4.732, 1e-3),
        ("x3d_s", [160, 13], 1.96, 5e-3),
        ("x3d_xs", [160, 4], 0.6, 1e-2),
    ] {
        let ours = giga_macs(name, 1.0, input);
        assert!((ours / giga - 1.0).abs() < tolerance, "{name} at {input:?}: {ours}");
    }
}

/// Both pathways of the full network read the test crop of 256 pixels.
#[test]
fn the_full_slowfast_of_the_papers_video_tables() {
    let config = NetworkConfig { classes: 400, ..config(0.63, 1.0) };
    let net = build("slowfast_r50_4x16", &config).unwrap().with_whole_clip([32, 256, 256]).unwrap();
    let ours = giga_macs_of(&net, 1.0, [256, 4]);
    assert!((ours / 36.098 - 1.0).abs() < 1e-3, "{ours}");
}

/// Whatever the sub-network, the Fast pathway and all that it tells have the same channels, frames and pixels; what it
/// tells arrives on the grid of the Slow pathway, where at full size nothing is left to resize.
#[test]
fn only_the_slow_pathway_is_slimmed() {
    for name in slowfast::NAMES {
        let net = build(name, &config(0.25, 1.0)).unwrap();
        let clip = family(name).unwrap().clip(name).unwrap();
        let all = net.costs(Subnet { width: Width::ONE, input: clip.input().unwrap() }).unwrap();
        let mut small = subnet(0.25, 96);
        small.input.frames = Frames::new(2).unwrap();
        let few = net.costs(small).unwrap();
        let mut n_resized = 0;
        for (node, (full, small)) in net.nodes().iter().zip(all.iter().zip(&few)) {
            let is_fast = node.path.contains("multipathway_blocks.1") || node.path.contains("fusion");
            if matches!(node.op, Op::ResizeLike(_)) {
                let [told, slow] = [0, 1].map(|n| node.inputs[n].0);
                assert_eq!(full.shape, all[told].shape, "{}", node.path);
                assert_eq!(small.shape.extent, few[slow].shape.extent, "{}", node.path);
                assert_eq!(small.shape.channels, full.shape.channels, "{}", node.path);
                n_resized += 1;
            } else if is_fast {
                assert_eq!(small, full, "{}", node.path);
            }
        }
        assert_eq!(n_resized, 4, "{name}");
    }
}

/// The paper prints only the billions, in a figure, with two or three digits; widths and sides were found from them.
#[test]
fn sub_networks_of_the_papers_video_tables() {
    for (name, width, input, giga) in [
        ("slow_r50_8x8", 0.83, [224, 8], 29.3),
        ("slow_r50_8x8", 0.73, [224, 8], 22.5),
        ("slow_r50_8x8", 0.63, [224, 8], 16.56),
        ("slow_r50_8x8", 0.63, [224, 5], 10.4),
        ("slow_r50_8x8", 0.63, [182, 5], 7.3),
        ("slow_r50_8x8", 0.63, [182, 3], 4.4),
        ("slow_r50_8x8", 0.63, [144, 3], 2.7),
        ("x3d_m", 1.0, [224, 13], 3.85),
        ("x3d_m", 1.0, [224, 10], 2.96),
        ("x3d_m", 1.0, [224, 6], 1.78),
        ("x3d_m", 0.84, [192, 6], 0.99),
        ("x3d_m", 0.735, [192, 6], 0.74),
        ("x3d_m", 0.63, [192, 6], 0.59),
        ("x3d_m", 0.735, [160, 6], 0.51),
        ("x3d_m", 0.63, [160, 6], 0.41),
        ("x3d_m", 0.63, [144, 6], 0.35),
        ("slowfast_r50_4x16", 1.0, [224, 4], 27.65),
        ("slowfast_r50_4x16", 1.0, [224, 3], 22.1),
        ("slowfast_r50_4x16", 0.83, [224, 3], 17.35),
        ("slowfast_r50_4x16", 0.73, [224, 3], 14.7),
        ("slowfast_r50_4x16", 0.63, [224, 3], 12.4),
        ("slowfast_r50_4x16", 0.63, [224, 2], 10.2),
        ("slowfast_r50_4x16", 0.63, [182, 2], 8.8),
        ("slowfast_r50_4x16", 0.63, [144, 2], 7.6),
    ] {
        let ours = giga_macs(name, width, input);
        assert!((ours / giga - 1.0).abs() < 0.015, "{name} {width} at {input:?}: {ours}");
    }
}

#[test]
fn wide_resnet_28_10_of_the_paper() {
    let net = build("wide_resnet28_10", &NetworkConfig { classes: 100, ..config(0.9, 1.0) }).unwrap();
    assert_eq!((net.parameters().len(), net.params(Width::ONE).unwrap()), (80, 36_536_884));
    for (width, expected) in [(1.0, [5243, 4014, 2949, 2048]), (0.9, [4249, 3253, 2390, 1660])] {
        assert_eq!([32, 28, 24, 20].map(|side| mega_macs(&net, &[width], side)[0]), expected);
    }
    let channels = net.channels(Width::new(0.9).unwrap()).unwrap();
    let of = |path: &str| channels[net.nodes().iter().position(|node| node.path == path).unwrap()];
    assert_eq!(of("conv1"), 16);
    assert_eq!([1, 2, 3].map(|group| of(&format!("block{group}.layer.0.conv1"))), [144, 288, 576]);
}

#[test]
fn wide_resnets_of_any_depth_and_widening() {
    for (name, convolutions) in [("wide_resnet10_1", 9), ("wide_resnet16_8", 16), ("wide_resnet40_4", 40)] {
        let net = build(name, &config(0.25, 2.0)).unwrap();
        let n = net.parameters().iter().filter(|p| p.kind == ParameterKind::ConvWeight).count();
        assert_eq!((net.name(), n), (name, convolutions));
    }
    for (name, hint) in [("wide_resnet27_10", "28"), ("wide_resnet50_2", "52"), ("wide_resnet4_1", "10")] {
        let error = build(name, &config(0.25, 1.0)).unwrap_err();
        assert!(error.to_string().contains("6n + 4"), "{error}");
        assert!(error.hint().unwrap().ends_with(hint), "{:?}", error.hint());
    }
    for name in ["wide_resnet", "wide_resnet28", "wide_resnet28_x"] {
        assert!(matches!(build(name, &config(0.25, 1.0)).unwrap_err(), Error::Unknown { .. }), "{name}");
    }
    let strided = NetworkConfig { output_stride: Some(OutputStride::S16), ..config(0.25, 1.0) };
    let error = build("wide_resnet10_2", &strided).unwrap_err();
    assert!(matches!(error, Error::FixedOutputStride { stride: 4, .. }), "{error}");
}

#[test]
fn scale_up() {
    let wide = build("mobilenet_v1", &config(1.0, 2.0)).unwrap();
    assert_eq!(mega_macs(&wide, &[1.6], 288), [2352]);
    assert_eq!(mega_macs(&wide, &[2.0], 320), [4521]);
    for name in samples(Task::Classify) {
        let wide = build(name, &config(1.0, 2.0)).unwrap();
        let published = build(name, &config(0.25, 1.0)).unwrap();
        assert_eq!(wide.macs(subnet(1.0, 64)).unwrap(), published.macs(subnet(1.0, 64)).unwrap(), "{name}");
        assert!(wide.macs(subnet(2.0, 64)).unwrap().0 > 2 * wide.macs(subnet(1.0, 64)).unwrap().0, "{name}");
    }
}

#[test]
fn channels_of_the_reference() {
    let net = build("mobilenet_v2", &config(0.7, 1.0)).unwrap();
    let channels = net.channels(Width::new(0.75).unwrap()).unwrap();
    let last = |block: usize, layer: usize| {
        let path = format!("features.{block}.body.{layer}");
        channels[net.nodes().iter().position(|node| node.path == path).unwrap()]
    };
    let outs = [last(1, 3), last(2, 6), last(4, 6), last(7, 6), last(11, 6), last(14, 6), last(17, 6)];
    assert_eq!(outs, [16, 24, 24, 48, 72, 120, 240]);
    let shapes = net.parameter_shapes(Width::new(0.75).unwrap()).unwrap();
    let parameters = net.parameters();
    let shape = |name: &str| &shapes[parameters.iter().position(|p| p.name == name).unwrap()];
    assert_eq!(shape("features.0.0.weight"), &[24, 3, 3, 3]);
    assert_eq!(shape("features.18.0.weight"), &[1280, 240, 1, 1]);
    assert_eq!(shape("features.18.1.weight"), &[1280]);
    assert_eq!(shape("features.2.body.3.weight"), &[96, 1, 3, 3]);
    assert_eq!(shape("classifier.0.weight"), &[1000, 1280]);
    let decayed = parameters.iter().filter(|p| p.kind.decays()).count();
    assert_eq!(decayed, 1 + 1 + 2 * 16 + 1 + 1);
    assert_eq!(parameters.iter().filter(|p| p.kind == ParameterKind::DepthwiseWeight).count(), 17);
}

#[test]
fn small_images_keep_their_detail() {
    for name in names_of(Task::Classify).filter(|name| !name.starts_with(wide_resnet::PREFIX)) {
        let published = build(name, &config(0.25, 1.0)).unwrap();
        for (output_stride, side) in [(OutputStride::S32, 1), (OutputStride::S16, 2), (OutputStride::S8, 4)] {
            let config = NetworkConfig { output_stride: Some(output_stride), ..config(0.25, 1.0) };
            let net = build(name, &config).unwrap();
            let costs = net.costs(subnet(1.0, 32)).unwrap();
            let pool = net.nodes().iter().rposition(|node| node.op == Op::GlobalPool).unwrap();
            let last = net.nodes()[pool].inputs[0];
            assert_eq!(costs[last.0].shape.extent, [1, side, side], "{name}");
            assert_eq!(u32::from(output_stride) * side, 32);
            assert_same(name, &parameters(&net), &parameters(&published));
        }
    }
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = build("mobilnet2", &config(0.25, 1.0)).unwrap_err();
    assert!(error.hint().unwrap().contains("did you mean `mobilenet_v2`"), "{:?}", error.hint());
}

#[test]
fn every_name_is_built_and_every_family_has_a_sample() {
    for family in FAMILIES {
        let first = family.samples[0].name;
        assert_eq!(samples(family.task).any(|name| name == first), !family.reads_two(), "{family:?}");
        let is_common = |name: &&str| family.names.contains(name);
        let elsewhere = family.timm.iter().map(|(ours, _)| ours).chain(family.torchvision);
        assert!(
            elsewhere.chain(family.backbones.iter().map(|backbone| &backbone.network)).all(is_common),
            "{family:?}"
        );
        let clips: Vec<_> = family.clips().iter().map(|clip| clip.name).collect();
        assert!(family.rank() == Rank::Image || clips == family.names, "{family:?}");
        for &name in family.names.iter().chain(family.samples.iter().map(|sample| &sample.name)) {
            let network = build(name, &config(0.25, 1.0)).unwrap();
            assert_eq!((network.name(), network.rank()), (name, family.rank()));
        }
        for name in family.names {
            assert!(family.input(name).unwrap().is_some(), "{name}");
        }
    }
}

#[test]
fn residual_branches_end_where_torchvision_and_timm_zero_them() {
    let ends = |name: &str| {
        let net = build(name, &config(0.25, 1.0)).unwrap();
        net.residual_ends().into_iter().map(|id| net.node(id).path.clone()).collect::<Vec<_>>()
    };
    let numbered =
        |last: u32, part: &str| (1..=last).map(|n| format!("features.{n}.{part}")).collect::<Vec<_>>();
    // Names are the authors': `bn3` of torchvision's ResNet-50, `bn2` of its ResNet-18.
    assert_eq!(ends("resnet50"), numbered(16, "body.7"));
    assert_eq!(ends("resnet18"), numbered(8, "body.4"));
    assert_eq!(ends("mobilenet_v2").len(), 10);
    assert_eq!(ends("mobilenet_v2")[0], "features.3.body.7");
    assert_eq!(ends("mobilenet_v3_large").len(), 10);
    assert_eq!(ends("efficientnet_b0").len(), 9);
    // Pre-activation: the last convolution, projecting shortcut or not.
    assert_eq!(
        ends("wide_resnet10_1"),
        ["block1.layer.0.conv2", "block2.layer.0.conv2", "block3.layer.0.conv2"]
    );
    let of_clips = |(stage, repeats): (u32, u32)| {
        (0..repeats).map(move |repeat| format!("blocks.{stage}.res_blocks.{repeat}.branch2.norm_c"))
    };
    let stages = |repeats: [u32; 4]| (1..).zip(repeats).flat_map(of_clips).collect::<Vec<_>>();
    assert_eq!(ends("slow_r50_8x8"), stages([3, 4, 6, 3]));
    assert_eq!(ends("x3d_m"), stages([3, 5, 11, 7]));
    // In every stage first the blocks of the Fast pathway, and then those of the Slow one.
    let of_two = (1..).zip([3, 4, 6, 3]).flat_map(|(stage, repeats)| {
        let of = move |pathway| {
            (0..repeats).map(move |n| format!("blocks.{stage}.multipathway_blocks.{pathway}.res_blocks.{n}"))
        };
        of(1).chain(of(0)).map(|block| format!("{block}.branch2.norm_c"))
    });
    assert_eq!(ends("slowfast_r50_4x16"), of_two.collect::<Vec<_>>());
    assert_eq!(ends("mobilenet_v1"), [""; 0]);
    assert_eq!(ends("vgg16_bn"), [""; 0]);
}

#[test]
fn every_network_can_do_its_own_task_alone() {
    let config = config(0.25, 1.0);
    for family in FAMILIES {
        for name in family.names {
            for purpose in [Purpose::Training, Purpose::Inference] {
                let network = build_for(purpose, name, &config).unwrap();
                assert_eq!(network.classes(), config.classes, "{name}");
                for task in Task::ALL {
                    let checked = task.check(&network);
                    assert_eq!(checked.is_ok(), task == family.task, "{name}: {checked:?}");
                    if let Err(error) = checked {
                        let cannot = format!("network `{name}` cannot {task}: ");
                        assert!(error.to_string().starts_with(&cannot), "{error}");
                    }
                }
            }
        }
    }
    let with_regions = crate::build(fasterrcnn::NAMES[0], &config).unwrap();
    for (from, to, says) in [
        ("\"objects.1\"", "\"objects.7\"", "the outputs of `main` are not those"),
        ("\"scores\"", "\"logits\"", "the list `box` does not read regions, or"),
        ("\"channels\":12544", "\"channels\":12545", "the list `box` does not read regions, or"),
    ] {
        let text = serde_json::to_string(&Lists::from(&with_regions)).unwrap();
        assert!(text.contains(from), "{from}");
        let other: Network =
            serde_json::from_str::<Lists>(&text.replace(from, to)).unwrap().try_into().unwrap();
        let error = Task::Detect.check(&other).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let with_masks = crate::build(maskrcnn::NAMES[0], &config).unwrap();
    for (from, to, says) in [
        ("\"mask\":{", "\"outline\":{", "other lists than `main`, `box` and `mask`"),
        ("\"masks\"", "\"outlines\"", "the list `mask` does not read regions, or"),
        ("[1,14,14]", "[1,7,7]", "the list `mask` does not read regions, or"),
    ] {
        let text = serde_json::to_string(&Lists::from(&with_masks)).unwrap();
        assert!(text.contains(from), "{from}");
        let other: Network =
            serde_json::from_str::<Lists>(&text.replace(from, to)).unwrap().try_into().unwrap();
        let error = Task::Detect.check(&other).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = Task::Detect.check(&crate::build("mobilenet_v2", &config).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "network `mobilenet_v2` cannot detect: it is made to classify");
}

#[test]
fn heads_are_the_layers_that_know_the_classes() {
    let config = NetworkConfig { classes: 7, ..config(0.25, 1.0) };
    let heads = |name: &str| {
        let network = build(name, &config).unwrap();
        network.heads().into_iter().map(|head| network.node(head).path.clone()).collect::<Vec<_>>()
    };
    for name in names_of(Task::Classify) {
        assert_eq!(heads(name).len(), 1, "{name}");
    }
    assert_eq!(
        heads("lraspp_mobilenet_v3_large"),
        ["classifier.low_classifier", "classifier.high_classifier"]
    );
    assert_eq!(heads("deeplabv3_resnet50"), ["classifier.4", "aux_classifier.4"]);
    assert_eq!(heads("deeplabv3_mobilenet_v2"), ["classifier.4"]);
    let of_map = |idx: u32| format!("head.classification_head.module_list.{idx}.1");
    assert_eq!(heads(ssdlite::NAME), (0..6).map(of_map).collect::<Vec<_>>());
    let of_regions = ["cls_score", "bbox_pred"].map(|layer| format!("roi_heads.box_predictor.{layer}"));
    assert_eq!(heads(fasterrcnn::NAMES[1]), of_regions);
    let with_masks = of_regions.into_iter().chain(["roi_heads.mask_predictor.mask_fcn_logits".to_owned()]);
    assert_eq!(heads(maskrcnn::NAMES[1]), with_masks.collect::<Vec<_>>());
}
