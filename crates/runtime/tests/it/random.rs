//! Random networks against the naive interpreter, to find mistakes in fusing, in placing and at borders.

use mutualnet_core::network::{
    Activation, AvgPool, ChannelRule, Conv, Groups, MaxPool, NetworkBuilder, NodeCost, Rank, Resize,
    TransposedConv,
};
use mutualnet_core::{Network, NodeId};
use mutualnet_runtime::{Convolution, Isa, Session};

use crate::fixture::{bundle, images, model_of, numbers, session, session_of, subnet, widths};
use crate::interpreter;

/// How far an output may be off, relative to the largest one, if convolutions are computed in tiles.
const FAST: f64 = 1e-4;

/// A source of small numbers.
struct Dice(u64);

impl Dice {
    /// A number below `n`.
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn rule(&mut self) -> ChannelRule {
        let base = 1 + self.roll(40) as u32;
        match self.roll(3) {
            // Multiples of 16, because rounding takes others above their full number.
            0 => ChannelRule::slim(base.next_multiple_of(16)),
            1 => ChannelRule { divisor: 1, ..ChannelRule::slim(base) },
            _ => ChannelRule::whole(base as usize),
        }
    }

    /// Kernels up to 4×4 that need not be square.
    fn conv(&mut self, out: ChannelRule, groups: Groups) -> Conv {
        let kernel = [1, 1 + self.roll(4) as u32, 1 + self.roll(4) as u32];
        let stride = [1, 1 + self.roll(2) as u32, 1 + self.roll(2) as u32];
        let padding = kernel.map(|size| self.roll(size.into()) as u32);
        let dilation = if self.roll(4) == 0 { [1, 2, 3] } else { Conv::NO_DILATION };
        Conv { out, kernel, stride, padding, dilation, groups, bias: self.roll(3) == 0 }
    }

    /// Kernels up to 4×4 and strides up to 3.
    fn transposed_conv(&mut self, out: ChannelRule) -> TransposedConv {
        let kernel = [1, 1 + self.roll(4) as u32, 1 + self.roll(4) as u32];
        let stride = [1, 1 + self.roll(3) as u32, 1 + self.roll(3) as u32];
        let padding = kernel.map(|size| self.roll(size.into()) as u32);
        let output_padding = stride.map(|stride| self.roll(stride.into()) as u32);
        TransposedConv { out, kernel, stride, padding, output_padding, bias: self.roll(3) == 0 }
    }

    /// Windows up to 3×3.
    fn max_pool(&mut self) -> MaxPool {
        let kernel = [1, 1 + self.roll(3) as u32, 1 + self.roll(3) as u32];
        let stride = [1, 1 + self.roll(2) as u32, 1 + self.roll(2) as u32];
        MaxPool { kernel, stride, padding: kernel.map(|size| self.roll((size / 2 + 1).into()) as u32) }
    }

    /// The clamps more often than the others, which end a chain.
    fn activation(&mut self) -> Activation {
        use Activation::{HardSigmoid, HardSwish, Relu, Relu6, Sigmoid, Swish};
        [Relu, Relu6, Relu, Relu6, Sigmoid, HardSigmoid, Swish, HardSwish][self.roll(8) as usize]
    }
}

/// A convolution of one tap.
fn point(dice: &mut Dice, channels: ChannelRule) -> Conv {
    Conv { kernel: [1; 3], stride: [1; 3], padding: [0; 3], ..dice.conv(channels, Groups::Dense) }
}

/// A network of up to twelve random layers, each on any of the nodes before it.
fn network(dice: &mut Dice) -> Network {
    let mut net = NetworkBuilder::new("random", Rank::Image, widths(0.25));
    // With every node its channels and which nodes have its shape.
    let mut nodes = vec![(net.input(3), ChannelRule::whole(3), 0)];
    for idx in 1..2 + dice.roll(12) as usize {
        let back = dice.roll(nodes.len().min(3) as u64) as usize;
        let (from, channels, shape) = nodes[nodes.len() - 1 - back];
        let path = format!("layer{idx}");
        let same: Vec<NodeId> = nodes.iter().filter(|node| node.2 == shape).map(|node| node.0).collect();
        let other = same[dice.roll(same.len() as u64) as usize];
        nodes.push(match dice.roll(12) {
            0 => (net.batch_norm(&path, from), channels, shape),
            1 => (net.activation(&path, from, dice.activation()), channels, shape),
            2 => (net.add(&path, from, other), channels, shape),
            3 => (net.conv(&path, from, dice.conv(channels, Groups::Depthwise)), channels, idx),
            4 => (net.max_pool(&path, from, dice.max_pool()), channels, idx),
            6 => {
                let MaxPool { kernel, stride, padding } = dice.max_pool();
                (net.avg_pool(&path, from, AvgPool { kernel, stride, padding }), channels, idx)
            }
            7 => {
                let (like, _, shape_like) = nodes[dice.roll(nodes.len() as u64) as usize];
                let resize = if dice.roll(2) == 0 { Resize::Nearest } else { Resize::Bilinear };
                let resized = net.resize_like(&format!("{path}.resize"), from, like, resize);
                // Of the shape of `like`, except for its channels.
                let out = net.conv(&path, resized, point(dice, channels));
                (out, channels, if shape_like == shape { shape } else { idx })
            }
            8 => {
                let all: Vec<_> = same.iter().copied().take(3).chain([from]).collect();
                let out = dice.rule();
                (net.conv_over(&path, &all, dice.conv(out, Groups::Dense)), out, idx)
            }
            9 => {
                let out = dice.rule();
                (net.transposed_conv(&path, from, dice.transposed_conv(out)), out, idx)
            }
            5 => {
                // A gate as networks have it, from any node of the same shape.
                let gate = net.global_pool(&format!("{path}.pool"), other);
                let gate = net.conv(&format!("{path}.fc"), gate, point(dice, channels));
                let gate = net.activation(&format!("{path}.gate"), gate, dice.activation());
                (net.multiply(&path, from, gate), channels, shape)
            }
            _ => {
                let out = dice.rule();
                (net.conv(&path, from, dice.conv(out, Groups::Dense)), out, idx)
            }
        });
    }
    let last = nodes[nodes.len() - 1].0;
    let pooled = net.global_pool("pool", last);
    let logits = net.linear("fc", pooled, 1 + dice.roll(20) as usize);
    if dice.roll(2) == 0 {
        let map = net.conv("map", last, point(dice, ChannelRule::whole(3)));
        net.output("logits", logits);
        net.output("map", map);
    }
    net.finish().unwrap()
}

/// Asserts that the latest outputs of a session are the expected ones up to rounding.
fn assert_near(session: &Session, expected: &[Vec<f64>], limit: f64, what: &str) {
    for (idx, expected) in expected.iter().enumerate() {
        let got = session.output(idx).data;
        assert_eq!(got.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        for (got, expected) in got.iter().zip(expected) {
            let off = (f64::from(*got) - expected).abs() / largest;
            assert!(off < limit, "output {idx} off by {off}: {what}");
        }
    }
}

#[test]
fn any_network_is_executed_as_it_reads() {
    let mut dice = Dice(17);
    let mut run = 0;
    for turn in 0..150 {
        let network = network(&mut dice);
        let row = ["1.0-13", "0.25-9", "0.6-6"][turn % 3];
        // Transposed convolutions can make maps too large for the interpreter.
        let fits = |costs: Vec<NodeCost>| costs.iter().all(|cost| cost.shape.positions() < 4000);
        if !network.costs(subnet(row)).is_ok_and(fits) {
            continue;
        }
        run += 1;
        let bundle = bundle(&network, &[row]);
        let image = images(1, subnet(row).input.resolution);
        let expected = interpreter::outputs(&bundle, subnet(row), &image);
        for isa in Isa::available() {
            for (convolution, limit) in [(Convolution::Direct, 1e-5), (Convolution::Fast, FAST)] {
                let mut session = session(&model_of(&bundle, isa, convolution), 1);
                session.run(&image, 1).unwrap();
                assert_near(&session, &expected, limit, &format!("{isa} {convolution:?} {row} {network:?}"));
            }
        }
        // An image that is no square, and then one more of the row's own resolution.
        let (size, pixels) = ([14, 17], numbers("wide", 14 * 17 * 3));
        let mut session = session_of(&bundle, Isa::available().last().unwrap());
        if network.costs_at(subnet(row).width, size).is_err() {
            assert!(session.run_at(&pixels, 1, [14, 17]).is_err(), "{network:?}");
            continue;
        }
        let wide = interpreter::outputs_at(&bundle, subnet(row), size, &pixels);
        session.run_at(&pixels, 1, [14, 17]).unwrap();
        assert_near(&session, &wide, FAST, &format!("14×17 {row} {network:?}"));
        session.run(&image, 1).unwrap();
        assert_near(&session, &expected, FAST, &format!("again {row} {network:?}"));
    }
    assert!(run > 75, "only {run} networks took their input");
}
