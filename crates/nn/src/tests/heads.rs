//! Networks with several outputs, and layers that read several nodes.

use mutualnet_core::network::{AvgPool, Resize};

use super::*;

const CLASSES: usize = 5;

fn conv(out: ChannelRule, size: u32) -> Conv {
    Conv {
        out,
        kernel: [1, size, size],
        stride: [1; 3],
        padding: [0, size / 2, size / 2],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias: false,
    }
}

/// How a head joins its branches.
#[derive(Clone, Copy, PartialEq)]
enum Join {
    /// One convolution over all of them.
    Concatenated,
    /// A convolution of each, and their sum: the same by the distributive law.
    Summed,
}

/// A stem of stride 2 and, as in DeepLab, a plain, a dilated, an average-pooled and a global branch; one output is at the
/// size of the input.
fn segmenter(join: Join) -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    let mut list = NetworkBuilder::new("segmenter", Rank::Image, widths);
    let input = list.input(3);
    let stem = Conv { stride: [1, 2, 2], ..conv(ChannelRule::slim(32), 3) };
    let x = list.conv("stem", input, stem);
    let x = list.batch_norm("stem_bn", x);
    let x = list.activation("stem_relu", x, Activation::Relu);
    let plain = list.conv("plain", x, conv(ChannelRule::slim(48), 1));
    let wide = Conv { dilation: [1, 2, 2], padding: [0, 2, 2], ..conv(ChannelRule::whole(24), 3) };
    let wide = list.conv("dilated", x, wide);
    let smooth = AvgPool { kernel: [1, 3, 3], stride: [1; 3], padding: [0, 1, 1] };
    let smooth = list.avg_pool("smooth", x, smooth);
    let global = list.global_pool("pool", x);
    let global = list.conv("global", global, conv(ChannelRule::slim(16), 1));
    let global = list.resize_like("global_back", global, x, Resize::Bilinear);
    let branches = [plain, wide, smooth, global];
    let project = conv(ChannelRule::slim(32), 3);
    let x = match join {
        Join::Concatenated => list.conv_over("project", &branches, project),
        Join::Summed => {
            let parts = branches
                .iter()
                .enumerate()
                .map(|(idx, &branch)| (idx, list.conv(&format!("project{idx}"), branch, project.clone())));
            let parts: Vec<_> = parts.collect();
            let sum = |sum, (idx, part)| list.add(&format!("sum{idx}"), sum, part);
            parts[1..].iter().copied().fold(parts[0].1, sum)
        }
    };
    let x = list.batch_norm("project_bn", x);
    let classifier = Conv { bias: true, ..conv(ChannelRule::whole(CLASSES), 1) };
    let small = list.conv("classifier", x, classifier);
    let out = list.resize_like("out", small, input, Resize::Bilinear);
    list.output("out", out);
    list.output("small", small);
    list.finish().unwrap()
}

/// The weights of the concatenated head as those of the summed one.
fn split(mut weights: Weights) -> Weights {
    let joined = weights.remove("project.weight").unwrap();
    let (outputs, taps) = (joined.shape[0], 9);
    let total = joined.shape[1];
    let mut start = 0;
    for (idx, channels) in [48, 24, 32, 16].into_iter().enumerate() {
        let mut data = Vec::new();
        for row in joined.data.chunks_exact(total * taps) {
            data.extend_from_slice(&row[start * taps..(start + channels) * taps]);
        }
        let shape = vec![outputs, channels, 3, 3];
        weights.insert(format!("project{idx}.weight"), mutualnet_core::Tensor { shape, data });
        start += channels;
    }
    assert_eq!(start, total);
    weights
}

/// Asserts that numbers are equal up to rounding.
pub(super) fn assert_near(a: &Tensor, b: &Tensor, what: &str) {
    let (a, b) = (a.to_vec_f32().unwrap(), b.to_vec_f32().unwrap());
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = a.iter().fold(1e-2_f32, |max, value| max.max(value.abs()));
    let difference = a.iter().zip(&b).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(difference <= 1e-4 * scale, "{what}: {difference} of {scale}");
}

#[test]
fn a_convolution_over_several_nodes_is_the_sum_of_one_over_each() {
    let nets = [Join::Concatenated, Join::Summed].map(|join| Net::new(segmenter(join)));
    let first = Parameters::init(nets[0].network(), 1, Device::Cpu).unwrap();
    let weights = split(first.to_weights().unwrap());
    let second = Parameters::from_weights(nets[1].network(), &weights, Device::Cpu).unwrap();
    let parameters = [first, second];
    let mut sums = [0, 1].map(|n| Gradients::none(&parameters[n]));
    for fraction in [0.25, 0.6, 1.0] {
        let outputs = [0, 1].map(|n| {
            let slice = nets[n].slice(&parameters[n], width(fraction)).unwrap();
            let outputs = nets[n].run_all(&slice, &[&batch(2, 20)], Norm::Batch, None).unwrap();
            let loss = outputs[0].multiply(&outputs[0]).unwrap().mean().unwrap();
            loss.backward().unwrap();
            sums[n].add(&parameters[n], slice).unwrap();
            outputs
        });
        assert_eq!(outputs[0][0].shape(), [2, CLASSES, 20, 20]);
        assert_eq!(outputs[0][1].shape(), [2, CLASSES, 10, 10]);
        for (n, (joined, apart)) in outputs[0].iter().zip(&outputs[1]).enumerate() {
            assert_near(joined, apart, &format!("output {n} at {fraction}"));
        }
    }
    let [joined, apart] = sums;
    let joined = joined.into_tensors(&parameters[0]).unwrap();
    let joined = split(parameters[0].name(&joined).unwrap());
    let apart = apart.into_tensors(&parameters[1]).unwrap();
    for (name, tensor) in parameters[1].name(&apart).unwrap() {
        let tensors = [&joined[&name], &tensor].map(|t| Tensor::from_slice(&t.data, &t.shape).unwrap());
        assert_near(&tensors[0], &tensors[1], &name);
    }
}

#[test]
fn narrow_parts_of_a_joined_weight_are_prefixes_in_every_block() {
    let network = segmenter(Join::Concatenated);
    let at = network.parameters().iter().position(|p| p.name == "project.weight").unwrap();
    let slices = network.parameter_slices(width(0.25)).unwrap();
    // Rounded to multiples of 8.
    assert_eq!(slices[at].shape, [8, 16 + 24 + 8 + 8, 3, 3]);
    assert_eq!(slices[at].blocks, [0..16, 48..72, 72..80, 104..112]);
    assert!(network.parameter_slices(Width::ONE).unwrap().iter().all(|slice| slice.blocks.is_empty()));
}
