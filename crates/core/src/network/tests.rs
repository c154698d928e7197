//! Tests of networks and their arithmetic on small examples; the zoo tests the published networks.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Resolution;

fn widths() -> WidthRange {
    WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap()
}

fn conv(out: ChannelRule, kernel: u32, groups: Groups) -> Conv {
    let padding = kernel / 2;
    Conv {
        out,
        kernel: [1, kernel, kernel],
        stride: [1; 3],
        padding: [0, padding, padding],
        dilation: Conv::NO_DILATION,
        groups,
        bias: false,
    }
}

/// conv3×3(3→64) – depthwise – pool – linear(10)
fn small() -> NetworkBuilder {
    let mut net = NetworkBuilder::new("small", Rank::Image, widths());
    let x = net.input(3);
    let x = net.conv("stem", x, conv(ChannelRule::slim(64), 3, Groups::Dense));
    let x = net.batch_norm("bn", x);
    let x = net.conv("dw", x, conv(ChannelRule::slim(64), 3, Groups::Depthwise));
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 10);
    net
}

fn subnet(width: f64, resolution: u32) -> Subnet {
    Subnet::image(Width::new(width).unwrap(), Resolution::new(resolution).unwrap())
}

#[test]
fn channels_round_as_the_reference_does() {
    // width 0.8 of MobileNetV1 and 0.9 of ResNet-50, from the reference.
    let at = |rule: ChannelRule, width| rule.at(Width::new(width).unwrap());
    assert_eq!(
        [32, 64, 128, 256, 512, 1024].map(|c| at(ChannelRule::slim(c), 0.8)),
        [24, 48, 104, 208, 408, 816]
    );
    assert_eq!(
        [64, 64, 128, 256, 512].map(|c| at(ChannelRule::slim_by(c, 0.25), 0.9)),
        [58, 58, 116, 230, 460]
    );
    assert_eq!(at(ChannelRule::slim_by(6 * 24, 6.0), 0.75), 144);
    assert_eq!(at(ChannelRule::whole(1280), 0.7), 1280);
}

#[test]
fn a_smaller_divisor_gives_more_widths() {
    let net = small().finish().unwrap();
    let stem = |net: &Network, width| net.channels(Width::new(width).unwrap()).unwrap()[1];
    let finer = net.clone().with_channel_divisor(1).unwrap();
    assert_eq!([0.3, 0.5, 0.51, 1.0].map(|width| stem(&net, width)), [24, 32, 32, 64]);
    assert_eq!([0.3, 0.5, 0.51, 1.0].map(|width| stem(&finer, width)), [19, 32, 33, 64]);
    assert_eq!(net.clone().with_channel_divisor(8).unwrap(), net);
    for divisor in [0, 65] {
        let error = net.clone().with_channel_divisor(divisor).unwrap_err().to_string();
        assert!(error.contains("channel divisor must be 1 to 64"), "{error}");
    }
}

#[test]
fn costs_by_hand() {
    let net = small().finish().unwrap();
    let macs = net.macs(subnet(1.0, 8)).unwrap();
    assert_eq!(macs.0, 64 * (64 * 27 + 64 * 9) + 64 * 64 + 640);
    assert_eq!(net.params(Width::ONE).unwrap(), 64 * 27 + 128 + 64 * 9 + 650);
    assert_eq!(net.params(Width::new(0.25).unwrap()).unwrap(), 16 * 27 + 32 + 16 * 9 + 170);
    let by_node: u64 = net.costs(subnet(0.25, 8)).unwrap().iter().map(|cost| cost.params).sum();
    assert_eq!(by_node, net.params(Width::new(0.25).unwrap()).unwrap());
}

#[test]
fn narrowed_costs_the_same() {
    let net = small().finish().unwrap();
    for width in [0.25, 0.4, 0.85] {
        let narrow = net.narrowed(Width::new(width).unwrap()).unwrap();
        assert_eq!(narrow.macs(subnet(width, 16)).unwrap(), net.macs(subnet(width, 16)).unwrap());
    }
}

#[test]
fn files_are_checked() {
    let net = small().finish().unwrap();
    let text = serde_json::to_string(&net).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), net);
    for (from, to, says) in [
        ("\"inputs\":[1]", "\"inputs\":[5]", "must come earlier"),
        ("\"stem\"", "\"fc\"", "same path"),
        ("\"base\":64", "\"base\":0", "65536"),
        ("\"ratio\":1.0", "\"ratio\":-1.0", "ratio"),
        ("\"base\":64", "\"base\":48", "depthwise"),
        ("\"inputs\":[1]", "\"inputs\":[]", "number of inputs"),
        ("\"kernel\":[1,3,3]", "\"kernel\":[1,0,3]", "kernel"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text, "{from}");
        let error = serde_json::from_str::<Network>(&broken).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_width_that_rounds_above_the_full_network_is_refused() {
    let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
    let mut net = NetworkBuilder::new("odd", Rank::Image, widths);
    let x = net.input(3);
    let x = net.conv("stem", x, conv(ChannelRule::slim(5), 3, Groups::Dense));
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 10);
    // 5 × 0.25 rounds to 1, which is more than 10 % below, so to 9; the full network has 8.
    let error = net.finish().unwrap_err().to_string();
    assert!(error.contains("9 channels at width 0.25, 8 at the full one"), "{error}");
}

#[test]
fn what_a_linear_layer_computed_has_no_positions() {
    type Build = fn(&mut NetworkBuilder, NodeId, NodeId) -> NodeId;
    let built = |build: Build| {
        let mut net = NetworkBuilder::new("vector", Rank::Image, widths());
        let image = net.input(3);
        let map = net.conv("stem", image, conv(ChannelRule::slim(16), 3, Groups::Dense));
        let pooled = net.global_pool("pool", map);
        let vector = net.linear("fc", pooled, 16);
        build(&mut net, map, vector);
        net.finish().map_err(|error| error.to_string())
    };
    let followed: Build = |net, _, vector| {
        let x = net.batch_norm("bn", vector);
        let x = net.activation("relu", x, Activation::Relu);
        let x = net.add("sum", x, vector);
        net.linear("last", x, 10)
    };
    assert!(built(followed).is_ok());
    let wrong: [(Build, &str); 3] = [
        (|net, _, vector| net.global_pool("again", vector), "`again`"),
        (|net, map, vector| net.multiply("gate", map, vector), "together with a map"),
        (|net, map, vector| net.resize_like("like", vector, map, Resize::Nearest), "together with a map"),
    ];
    for (build, says) in wrong {
        let error = built(build).unwrap_err();
        assert!(error.contains("output of a linear layer") && error.contains(says), "{error}");
    }
}

#[test]
fn absurd_sizes_saturate() {
    let mut net = NetworkBuilder::new("huge", Rank::Image, widths());
    let mut x = net.input(3);
    for layer in 0..300 {
        let grow = Conv {
            kernel: [1, 1, 64],
            padding: [0, 0, 63],
            ..conv(ChannelRule::whole(1 << 16), 1, Groups::Dense)
        };
        x = net.conv(&format!("conv{layer}"), x, grow);
    }
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 10);
    assert!(net.finish().unwrap().macs(subnet(1.0, 8192)).unwrap().0 > 1 << 60);
}

#[test]
fn subnets_are_checked() {
    let net = small().finish().unwrap();
    assert!(net.macs(subnet(0.2, 8)).is_err());
    assert!(net.macs("1.0-8-4".parse().unwrap()).is_err());
}

proptest! {
    #[test]
    fn rounding_stays_near(base in 8_u32..2048, width in 0.25_f64..2.0) {
        let value = f64::from(base) * width;
        let rounded = make_divisible(value, 8);
        // 1 and 9 come from the minimum of 1, as in the reference.
        prop_assert!(rounded.is_multiple_of(8) || matches!(rounded, 1 | 9));
        prop_assert!(f64::from(rounded) >= 0.9 * value && f64::from(rounded) <= value + 8.0);
    }

    #[test]
    fn macs_grow_with_width_and_resolution(a in 0.25_f64..1.0, b in 0.25_f64..1.0, r in 4_u32..40, s in 4_u32..40) {
        let net = small().finish().unwrap();
        let macs = |width, resolution| net.macs(subnet(width, resolution)).unwrap();
        prop_assert!(macs(a.min(b), r.min(s)) <= macs(a.max(b), r.max(s)));
    }
}

/// A convolution whose channels are multiplied by what a squeeze-and-excitation branch makes of them.
fn gated(gate_kernel: u32) -> Result<Network> {
    let mut net = NetworkBuilder::new("gated", Rank::Image, widths());
    let x = net.input(3);
    let x = net.conv("stem", x, conv(ChannelRule::slim(32), 3, Groups::Dense));
    let pool = MaxPool { kernel: [1, 3, 3], stride: [1, 2, 2], padding: [0, 1, 1] };
    let x = net.max_pool("max_pool", x, pool);
    let gate = net.global_pool("avgpool", x);
    let gate =
        net.conv("fc1", gate, Conv { bias: true, ..conv(ChannelRule::slim_by(4, 0.25), 1, Groups::Dense) });
    let gate = net.activation("activation", gate, Activation::Swish);
    let gate =
        net.conv("fc2", gate, Conv { bias: true, ..conv(ChannelRule::slim(gate_kernel), 1, Groups::Dense) });
    let x = net.multiply("scale", x, gate);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 10);
    net.finish()
}

#[test]
fn a_gate_is_counted_by_hand() {
    let net = gated(32).unwrap();
    let costs = net.costs(subnet(1.0, 9)).unwrap();
    let extents: Vec<_> = costs.iter().map(|cost| cost.shape.extent[1]).collect();
    assert_eq!(extents, [9, 9, 5, 1, 1, 1, 1, 5, 1, 1]);
    let macs = 27 * 32 * 81 + 32 * 25 + 32 * 4 + 4 * 32 + 32 * 25 + 320;
    assert_eq!(net.macs(subnet(1.0, 9)).unwrap().0, macs);
    assert_eq!(net.params(Width::ONE).unwrap(), 27 * 32 + (32 * 4 + 4) + (4 * 32 + 32) + 330);
    let names: Vec<_> = net.parameters().into_iter().map(|parameter| parameter.name).collect();
    assert_eq!(names[1..5], ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
    assert_eq!(net.parameter_shapes(Width::new(0.5).unwrap()).unwrap()[1..3], [vec![2, 16, 1, 1], vec![2]]);
}

#[test]
fn a_gate_must_fit_what_it_multiplies() {
    assert!(gated(40).unwrap_err().to_string().contains("8 and 16 channels"));
    let mut net = NetworkBuilder::new("wide gate", Rank::Image, widths());
    let x = net.input(3);
    let y = net.multiply("scale", x, x);
    let y = net.global_pool("pool", y);
    net.linear("fc", y, 10);
    let error = net.finish().unwrap().costs(subnet(1.0, 9)).unwrap_err().to_string();
    assert!(error.contains("node `scale`: the second input is not pooled"), "{error}");
}

#[test]
fn a_window_is_padded_by_half_of_it_at_most() {
    let mut net = NetworkBuilder::new("pool", Rank::Image, widths());
    let x = net.input(3);
    let x = net.max_pool("max", x, MaxPool { kernel: [1, 3, 3], stride: [1; 3], padding: [0, 2, 1] });
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 10);
    assert!(net.finish().unwrap_err().to_string().contains("at most half of the window"));
}

/// A list that classifies regions of `channels` channels.
fn head(path: &str, channels: u32, size: Option<Extent>) -> Network {
    let range = small().finish().unwrap().widths();
    let mut list = NetworkBuilder::new("head", Rank::Image, range);
    let x = list.stream(&format!("{path}.input"), channels, size);
    let x = list.global_pool(&format!("{path}.pool"), x);
    let x = list.linear(&format!("{path}.fc"), x, 3);
    list.output(path, x);
    list.finish().unwrap()
}

fn with(lists: &[(&str, Network)]) -> crate::Result<Network> {
    let lists = lists.iter().map(|(name, list)| ((*name).to_owned(), list.clone()));
    small().finish().unwrap().with_lists(lists.collect())
}

#[test]
fn lists_share_parameters_and_not_costs() {
    let main = small().finish().unwrap();
    let both = with(&[("box", head("box", 8, Some([1, 7, 7])))]).unwrap();
    let subnet = subnet(1.0, 8);
    assert_eq!(both.macs(subnet).unwrap(), main.macs(subnet).unwrap(), "those of `main`");
    let list = both.list("box").unwrap();
    assert_eq!(both.list_macs(list, subnet).unwrap().0, 8 * 49 + 8 * 3);
    let own = 8 * 3 + 3;
    assert_eq!(both.params(Width::ONE).unwrap(), main.params(Width::ONE).unwrap() + own);
    let (narrow, names) = (both.narrowed(Width::new(0.5).unwrap()).unwrap(), ["main", "box"]);
    for network in [&both, &narrow] {
        assert!(network.lists().iter().map(List::name).eq(names));
        let outputs: Vec<_> = network.outputs_of(network.list("box").unwrap()).collect();
        assert!(outputs.iter().map(|output| &output.name).eq(["box"]));
    }
    assert!(both.list("mask").unwrap_err().to_string().contains("no such list"));
    let text = serde_json::to_string(&Lists::from(&both)).unwrap();
    assert_eq!(Network::try_from(serde_json::from_str::<Lists>(&text).unwrap()).unwrap(), both);
}

/// Two regions cost twice as much as one, beside the image.
#[test]
fn a_list_for_regions_costs_as_much_as_they_do() {
    let on = |n| {
        let mut list = NetworkBuilder::new("head", Rank::Image, widths());
        list.on_regions(n);
        let x = list.stream("box.input", 8, Some([1, 7, 7]));
        let x = list.global_pool("box.pool", x);
        let x = list.linear("box.fc", x, 3);
        list.output("box", x);
        list.finish()
    };
    let (main, subnet) = (small().finish().unwrap(), subnet(1.0, 8));
    let both = |n| with(&[("box", on(n).unwrap())]).unwrap();
    let (of_main, of_region) = (main.macs(subnet).unwrap().0, 8 * 49 + 8 * 3);
    for n in [1, 2, 1000] {
        let (both, narrow) = (both(n), both(n).narrowed(Width::new(0.5).unwrap()).unwrap());
        assert_eq!(both.macs(subnet).unwrap().0, of_main + u64::from(n) * of_region);
        for network in [&both, &narrow] {
            assert_eq!(network.list("box").unwrap().regions(), Some(n));
        }
        let text = serde_json::to_string(&Lists::from(&both)).unwrap();
        assert_eq!(Network::try_from(serde_json::from_str::<Lists>(&text).unwrap()).unwrap(), both);
    }
    for n in [0, List::MAX_REGIONS + 1] {
        assert!(on(n).unwrap_err().to_string().contains("1 to 10000 regions"));
    }
    let of_regions = on(1).unwrap();
    assert!(of_regions.with_lists(BTreeMap::new()).unwrap_err().to_string().contains("whole images"));
    let below = main.macs_below("fc", subnet).unwrap().0;
    assert!(below > 0 && below < of_main, "{below} of {of_main}");
}

#[test]
fn lists_must_fit_together() {
    let other_widths = {
        let mut list =
            NetworkBuilder::new("w", Rank::Image, WidthRange::new(Width::ONE, Width::ONE).unwrap());
        let x = list.stream("box.input", 8, Some([1, 7, 7]));
        let x = list.global_pool("box.pool", x);
        list.output("box", x);
        list.finish().unwrap()
    };
    let size = Some([1, 7, 7]);
    for (lists, reason) in [
        (vec![("box", head("box", 8, None))], "must have a size"),
        (vec![("box", other_widths)], "the same widths"),
        (vec![("main", head("box", 8, size))], "added once"),
        (vec![("a", head("box", 8, size)), ("b", head("box", 8, size))], "another node has the same path"),
        (vec![("box", with(&[("mask", head("mask", 8, size))]).unwrap())], "no lists of its own"),
    ] {
        let error = with(&lists).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn inputs_come_first_and_may_be_several() {
    let range = small().finish().unwrap().widths();
    let mut net = NetworkBuilder::new("streams", Rank::Clip, range);
    let slow = net.stream("slow", 3, None);
    let fast = net.stream("fast", 3, Some([8, 16, 16]));
    let a = net.global_pool("a", slow);
    let b = net.global_pool("b", fast);
    let sum = net.add("sum", a, b);
    net.linear("fc", sum, 2);
    let ok = net.finish().unwrap();
    assert_eq!(ok.inputs(ok.main()).collect::<Vec<_>>(), [slow, fast]);
    let costs = ok.costs("1.0-8-2".parse().unwrap()).unwrap();
    assert_eq!([costs[0], costs[1]].map(|cost| cost.shape.extent), [[2, 8, 8], [8, 16, 16]]);

    let mut net = NetworkBuilder::new("late", Rank::Image, range);
    let x = net.input(3);
    net.global_pool("pool", x);
    net.stream("late", 3, None);
    assert!(net.finish().unwrap_err().to_string().contains("inputs must be the first nodes"));
    let mut net = NetworkBuilder::new("frames", Rank::Image, range);
    let x = net.stream("clip", 3, Some([2, 8, 8]));
    net.global_pool("pool", x);
    assert!(net.finish().unwrap_err().to_string().contains("no frames"));
}

/// Sizes of PyTorch's `ConvTranspose2d`.
#[test]
fn a_transposed_convolution_enlarges() {
    let range = small().finish().unwrap().widths();
    for (kernel, stride, padding, output_padding, side, expected) in [
        (2, 2, 0, 0, 14, Some(28)),
        (3, 2, 1, 1, 7, Some(14)),
        (4, 3, 1, 2, 5, Some(16)),
        (3, 1, 2, 0, 4, Some(2)),
        (3, 1, 2, 0, 2, None),
    ] {
        let mut net = NetworkBuilder::new("up", Rank::Image, range);
        let x = net.input(3);
        let square = |n| [1, n, n];
        let conv = TransposedConv {
            out: ChannelRule::whole(5),
            kernel: square(kernel),
            stride: square(stride),
            padding: [0, padding, padding],
            output_padding: [0, output_padding, output_padding],
            bias: true,
        };
        net.transposed_conv("up", x, conv);
        let net = net.finish().unwrap();
        let cost = net.costs(subnet(1.0, side)).map(|costs| costs[1]);
        assert_eq!(cost.as_ref().ok().map(|cost| cost.shape.extent), expected.map(square));
        if let Ok(cost) = cost {
            let weights = u64::from(3 * 5 * kernel * kernel);
            assert_eq!(cost.macs.0, weights * u64::from(side * side));
            assert_eq!(cost.params, weights + 5);
        }
    }
}

/// Two convolutions with the same weights, one behind the other.
fn sharing() -> NetworkBuilder {
    let mut net = NetworkBuilder::new("sharing", Rank::Image, widths());
    let x = net.input(3);
    let x = net.conv("stem", x, conv(ChannelRule::slim(64), 3, Groups::Dense));
    let op = Conv { bias: true, ..conv(ChannelRule::slim(64), 3, Groups::Dense) };
    let first = net.conv("first", x, op);
    let again = net.conv_again("again", first, first);
    let x = net.global_pool("pool", again);
    net.linear("fc", x, 10);
    net
}

#[test]
fn shared_parameters_are_listed_once() {
    let net = sharing().finish().unwrap();
    let names: Vec<_> = net.parameters().into_iter().map(|parameter| parameter.name).collect();
    assert_eq!(names, ["stem.weight", "first.weight", "first.bias", "fc.weight", "fc.bias"]);
    assert_eq!([2, 3, 4].map(|id| net.owner(NodeId(id))), [2, 2, 4].map(NodeId));
    assert_eq!(net.params(Width::ONE).unwrap(), 64 * 27 + 64 * (64 * 9 + 1) + 650);
    // Both cost what they compute.
    let per_map = 64 * 64 * (64 * 9);
    assert_eq!(net.macs(subnet(1.0, 8)).unwrap().0, 64 * 64 * 27 + 2 * per_map + 64 * 64 + 640);
    let text = serde_json::to_string(&net).unwrap();
    assert_eq!(text.matches("shares").count(), 1);
    assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), net);
    for (from, to, says) in [
        ("\"shares\":2", "\"shares\":3", "the same convolution"),
        ("\"shares\":2", "\"shares\":4", "the same convolution"),
        ("\"shares\":2", "\"shares\":1", "the same convolution"),
        (
            "\"inputs\":[2],\"shares\"",
            "\"inputs\":[0],\"shares\"",
            "which reads [16] channels, and reads [3]",
        ),
    ] {
        assert!(text.contains(from), "{text}");
        let error = serde_json::from_str::<Network>(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn parameters_are_shared_within_a_list() {
    let more = std::collections::BTreeMap::from([("more".to_owned(), sharing_list())]);
    let net = small().finish().unwrap().with_lists(more).unwrap();
    let again = net.nodes().iter().position(|node| node.path == "again").unwrap();
    assert_eq!(net.owner(NodeId(again)), NodeId(again - 1));
    let text = serde_json::to_string(&Lists::from(&net)).unwrap();
    let read: Network = serde_json::from_str::<Lists>(&text).unwrap().try_into().unwrap();
    assert_eq!(read, net);
}

/// A list whose only weights are used twice.
fn sharing_list() -> Network {
    let mut list = NetworkBuilder::new("small", Rank::Image, widths());
    let x = list.stream("more.input", 8, Some([1, 4, 4]));
    let first = list.conv("first", x, conv(ChannelRule::whole(8), 3, Groups::Dense));
    let again = list.conv_again("again", first, first);
    list.output("more", again);
    list.finish().unwrap()
}
