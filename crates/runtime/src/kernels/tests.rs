//! Compares every kernel of every instruction set that this processor has with sums in f64, in programs of one call.

use std::collections::BTreeMap;
use std::sync::Arc;

use mutualnet_core::network::{NetworkBuilder, Rank};
use mutualnet_core::{Network, NodeId, Resolution, Subnet, Width, WidthRange};

use super::*;

mod clips;
mod elementwise;
mod half;
mod winograd;

use crate::Convolution;
use crate::pack::{self, Packed};
use crate::prepare::{Prepared, Variant};
use crate::program::{Axis, Coefficients, Feature, KernelCall, Pair, Program, Window, Work};

/// Numbers in (-1, 1), the same for the same seed.
fn numbers(seed: usize, len: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) as f32 * 0.618).sin();
    (0..len).map(value).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dense,
    Winograd,
    Depthwise,
}

/// One layer. Its weights belong to a network that has `spare` more channels at both ends.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    channels: Pair,
    frames: usize,
    size: Pair,
    window: Window,
    spare: usize,
    n: usize,
    residual: bool,
    curve: Option<Curve>,
    precision: Precision,
    /// Whether the output holds f32 in any precision.
    is_wide: bool,
}

impl Case {
    fn full(&self) -> Pair {
        [self.channels[0] + self.spare, self.channels[1] + self.spare]
    }

    fn out_size(&self) -> Pair {
        let Window { kernel, stride, padding, dilation, .. } = self.window;
        let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis] + 1);
        [0, 1].map(|axis| (self.size[axis] + 2 * padding[axis] - reach[axis]) / stride[axis] + 1)
    }

    fn out_frames(&self) -> usize {
        out_frames(self.frames, self.window.time)
    }

    /// Numbers that the precision of the case has.
    fn numbers(&self, seed: usize, len: usize) -> Vec<f32> {
        let numbers = numbers(seed, len);
        match self.precision {
            Precision::F32 => numbers,
            Precision::Bf16 => numbers.into_iter().map(|number| widened(rounded(number))).collect(),
        }
    }

    fn input(&self) -> Vec<f32> {
        self.numbers(1, self.n * self.frames * self.size[0] * self.size[1] * self.channels[0])
    }

    fn residual(&self) -> Vec<f32> {
        let [h, w] = self.out_size();
        self.numbers(2, self.n * self.out_frames() * h * w * self.channels[1])
    }

    fn weight(&self) -> Vec<f32> {
        let input = if self.kind == Kind::Depthwise { 1 } else { self.full()[0] };
        self.numbers(3, self.full()[1] * input * self.window.taps())
    }

    fn coefficients(&self) -> [Vec<f32>; 2] {
        [numbers(4, self.channels[1]), numbers(5, self.channels[1])]
    }

    /// The convolution at one output, in f64.
    fn sum(&self, input: &[f32], weight: &[f32], [image, t, y, x, o]: [usize; 5]) -> f64 {
        let Window { kernel, stride, padding, dilation, time } = self.window;
        let inputs = if self.kind == Kind::Depthwise { o..o + 1 } else { 0..self.channels[0] };
        let mut sum = 0.0;
        for (tap, i) in (0..self.window.taps()).flat_map(|tap| inputs.clone().map(move |i| (tap, i))) {
            let (kt, ky, kx) = (tap / (kernel[0] * kernel[1]), tap / kernel[1] % kernel[0], tap % kernel[1]);
            let (iy, ix) = (y * stride[0] + ky * dilation[0], x * stride[1] + kx * dilation[1]);
            let inside =
                |at: usize, axis: usize| at.checked_sub(padding[axis]).filter(|&at| at < self.size[axis]);
            let it = (t * time.stride + kt * time.dilation).checked_sub(time.padding);
            let it = it.filter(|&it| it < self.frames);
            let (Some(it), Some(iy), Some(ix)) = (it, inside(iy, 0), inside(ix, 1)) else { continue };
            let of = if self.kind == Kind::Depthwise { o } else { o * self.full()[0] + i };
            let weight = weight[of * self.window.taps() + tap];
            let line = ((image * self.frames + it) * self.size[0] + iy) * self.size[1];
            sum += f64::from(weight) * f64::from(input[(line + ix) * self.channels[0] + i]);
        }
        sum
    }

    /// `[n, frames, h, w, c]`, relu6 before the residual, relu after it, the curve last.
    fn expected(&self) -> Vec<f64> {
        let ([scale, shift], residual) = (self.coefficients(), self.residual());
        let (input, weight) = (self.input(), self.weight());
        let ([h, w], frames) = (self.out_size(), self.out_frames());
        let mut out = Vec::new();
        for at in 0..self.n * frames * h * w {
            let (image, t) = (at / (h * w) / frames, at / (h * w) % frames);
            for o in 0..self.channels[1] {
                let sum = self.sum(&input, &weight, [image, t, at % (h * w) / w, at % w, o]);
                let mut value = sum * f64::from(scale[o]) + f64::from(shift[o]);
                value = value.clamp(0.0, 6.0);
                if self.residual {
                    value = (value + f64::from(residual[at * self.channels[1] + o])).max(0.0);
                }
                out.push(self.curve.map_or(value, |curve| bent(curve, value)));
            }
        }
        out
    }

    fn packed(&self) -> Packed {
        let [input, out] = self.full();
        let taps = self.window.taps();
        let weight = self.weight();
        let packed = match (self.kind, self.precision) {
            (Kind::Depthwise, Precision::F32) => pack::depthwise(&weight, [out, taps]),
            (Kind::Depthwise, Precision::Bf16) => pack::depthwise_rounded(&weight, [out, taps]),
            (_, Precision::F32) => pack::dense(&weight, [out, input, taps], 0..input),
            (_, Precision::Bf16) => pack::dense_pairs(&weight, [out, input, taps], 0..input),
        };
        packed.unwrap()
    }

    fn program(&self) -> Program {
        let place = |start: &mut usize, frames, size: Pair, channels| {
            let mut feature = Feature { frames, ..feature(*start, size, channels) };
            feature.bytes = if self.precision == Precision::Bf16 { 2 } else { 4 };
            *start = feature.end();
            feature
        };
        let mut start = 0;
        let input = place(&mut start, self.frames, self.size, self.channels[0]);
        let mut output = place(&mut start, self.out_frames(), self.out_size(), self.channels[1]);
        if self.is_wide {
            output.bytes = 4;
            start = output.end();
        }
        let residual = place(&mut start, self.out_frames(), self.out_size(), self.channels[1]);
        let mut coefficients = Buffer::zeroed(2 * output.stride_c).unwrap();
        for (part, numbers) in self.coefficients().iter().enumerate() {
            coefficients[part * output.stride_c..][..numbers.len()].copy_from_slice(numbers);
        }
        let (weights, window) = (NodeId(0), self.window);
        let call = KernelCall {
            work: match self.kind {
                Kind::Dense => Work::Dense { weights, block: 0, window },
                Kind::Winograd => Work::Winograd { weights, block: 0, window },
                Kind::Depthwise => Work::Depthwise { weights, window },
            },
            input,
            gate: None,
            residual: self.residual.then_some(residual),
            output,
            coefficients: 0,
            pre: [0.0, 6.0],
            post: [0.0, f32::INFINITY],
            curve: self.curve,
        };
        Program { precision: self.precision, ..program(vec![call], input, output, coefficients, start) }
    }

    fn run(&self, isa: Isa, threads: usize) -> Vec<f32> {
        let program = self.program();
        let residual = program.calls[0].residual.map(|feature| (feature, self.residual()));
        run(prepared(program, Some(self.packed()), isa), threads, self.n, &self.input(), residual)
    }

    fn check(&self) {
        let expected = self.expected();
        for isa in Isa::available() {
            let got = self.run(isa, 1);
            for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let off = (f64::from(*got) - expected).abs();
                // Half of the distance between two bf16.
                let rounding =
                    if self.precision == Precision::F32 || self.is_wide { 0.0 } else { 1.0 / 256.0 };
                assert!(
                    off < 2e-4 + rounding * expected.abs(),
                    "{isa} {self:?}: number {i} is {got}, not {expected}"
                );
            }
            assert_eq!(got.len(), expected.len());
            assert_eq!(bits(&got), bits(&self.run(isa, 3)), "{isa} {self:?} on 3 threads");
        }
    }
}

fn bent(curve: Curve, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let hard_sigmoid = ((x + 3.0) / 6.0).clamp(0.0, 1.0);
    match curve {
        Curve::Sigmoid => sigmoid,
        Curve::HardSigmoid => hard_sigmoid,
        Curve::Swish => x * sigmoid,
        Curve::HardSwish => x * hard_sigmoid,
    }
}

const CURVES: [Curve; 4] = [Curve::Sigmoid, Curve::HardSigmoid, Curve::Swish, Curve::HardSwish];

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn program(
    calls: Vec<KernelCall>,
    input: Feature,
    output: Feature,
    coefficients: Buffer,
    arena_bytes: usize,
) -> Program {
    let subnet = Subnet::image(Width::ONE, Resolution::new(1).unwrap());
    let coefficients = Arc::new(Coefficients::of(coefficients));
    let (precision, nodes) = (Precision::F32, vec![NodeId(0); calls.len()]);
    let (inputs, outputs) = (vec![input], vec![output]);
    Program { subnet, precision, list: 0, inputs, outputs, calls, nodes, coefficients, arena_bytes }
}

/// Programs that are put together by hand belong to no network.
fn any_network() -> Network {
    let mut net = NetworkBuilder::new("any", Rank::Image, WidthRange::new(Width::ONE, Width::ONE).unwrap());
    let x = net.input(1);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 1);
    net.finish().unwrap()
}

fn prepared(program: Program, weights: Option<Packed>, isa: Isa) -> Prepared {
    Prepared {
        variants: vec![Variant {
            precision: program.precision,
            kernels: Kernels::of(isa, program.precision),
            weights: vec![weights.into_iter().collect()],
        }],
        zeros: Buffer::zeroed(program.input().stride_c).unwrap(),
        taps: taps_of_largest_kernel(program.calls.iter()),
        workspace: workspace_len(Kernels::of(isa, program.precision), program.calls.iter()),
        convolution: Convolution::Fast,
        network: any_network(),
        fused: Vec::new(),
        programs: vec![Arc::new(program)],
        others: BTreeMap::new(),
    }
}

/// Runs a program on `[n, frames, h, w, c]`. All tails are NaN at first, which shows that they stay where they are.
fn run(
    prepared: Prepared,
    threads: usize,
    n: usize,
    input: &[f32],
    residual: Option<(Feature, Vec<f32>)>,
) -> Vec<f32> {
    let program = prepared.programs[0].clone();
    let [from, to] = [program.input(), program.outputs[0]];
    let bytes = n * program.arena_bytes;
    let mut team = Team::new(Arc::new(prepared), threads, bytes).unwrap();
    let inputs = [(from, input.to_vec())];
    for (feature, numbers) in inputs.into_iter().chain(residual) {
        match team.feature_mut(feature, n) {
            Numbers::Single(map) => fill(map, feature, &numbers, |number| number),
            Numbers::Half(map) => fill(map, feature, &numbers, rounded),
        }
    }
    team.run(&program, n, |_| ());
    let map: Vec<f32> = match team.feature_mut(to, n) {
        Numbers::Single(map) => map.to_vec(),
        Numbers::Half(map) => map.iter().map(|&half| widened(half)).collect(),
    };
    map.chunks_exact(to.stride_c).flat_map(|pixel| pixel[..to.channels].to_vec()).collect()
}

fn fill<T: Copy>(map: &mut [T], feature: Feature, numbers: &[f32], of: impl Fn(f32) -> T) {
    let pixels = map.chunks_exact_mut(feature.stride_c);
    for (pixel, numbers) in pixels.zip(numbers.chunks_exact(feature.channels)) {
        pixel.fill(of(f32::NAN));
        pixel.iter_mut().zip(numbers).for_each(|(pixel, &number)| *pixel = of(number));
    }
}

const BASE: Case = Case {
    kind: Kind::Dense,
    channels: [8, 8],
    frames: 1,
    size: [5, 7],
    window: Window { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2], time: Axis::POINT },
    spare: 0,
    n: 1,
    residual: false,
    curve: None,
    precision: Precision::F32,
    is_wide: false,
};

fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    let time = Axis::POINT;
    Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], time }
}

/// How many windows fit along time.
fn out_frames(frames: usize, Axis { kernel, stride, padding, dilation }: Axis) -> usize {
    (frames + 2 * padding - ((kernel - 1) * dilation + 1)) / stride + 1
}

#[test]
fn dense_of_one_tap() {
    for channels in [[3, 8], [8, 3], [24, 40], [40, 24], [16, 33], [1, 1], [100, 16], [5, 1280]] {
        for (size, spare, residual) in [([1, 1], 0, false), ([5, 7], 8, true), ([3, 4], 17, false)] {
            Case { channels, size, spare, residual, ..BASE }.check();
        }
    }
    Case { channels: [6, 24], size: [13, 11], n: 3, ..BASE }.check();
    Case { channels: [6, 24], window: window(1, 2, 0), n: 2, ..BASE }.check();
    // Sums that are computed in pieces, the last of which is short.
    for channels in [[4097, 40], [5120, 1]] {
        Case { channels, size: [1, 1], spare: 3, n: 30, curve: Some(Curve::HardSwish), ..BASE }.check();
    }
}

#[test]
fn dense_of_many_taps() {
    for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 1, 2), (2, 2, 1), (4, 3, 3)] {
        for (channels, size) in [([3, 8], [9, 14]), ([8, 40], [5, 5]), ([5, 17], [4, 27])] {
            let window = window(kernel, stride, padding);
            Case { channels, size, window, spare: 5, n: 2, residual: stride == 1, ..BASE }.check();
        }
    }
    let window = Window { kernel: [1, 3], stride: [1, 2], padding: [0, 1], ..window(1, 1, 0) };
    Case { window, ..BASE }.check();
    let dilated = Window { dilation: [2, 3], ..self::window(3, 1, 3) };
    Case { window: dilated, channels: [5, 24], size: [9, 14], n: 2, residual: true, ..BASE }.check();
    Case { size: [1, 1], window: self::window(7, 2, 3), ..BASE }.check();
}

#[test]
fn depthwise_of_any_kernel() {
    let case = Case { kind: Kind::Depthwise, ..BASE };
    for (kernel, stride, padding) in
        [(3, 1, 1), (3, 2, 1), (3, 1, 0), (3, 2, 2), (5, 1, 2), (5, 2, 2), (1, 1, 0)]
    {
        for size in [[5, 5], [9, 14], [6, 31], [kernel, kernel]] {
            for channels in [3, 8, 24, 40] {
                let window = window(kernel, stride, padding);
                let channels = [channels; 2];
                Case { channels, size, window, spare: 9, residual: stride == 1, n: 2, ..case }.check();
            }
        }
    }
    for (size, padding) in [([1, 1], 1), ([2, 2], 1), ([1, 2], 2), ([2, 9], 2)] {
        for stride in [1, 2, 3] {
            Case { size, window: window(3, stride, padding), ..case }.check();
        }
    }
    Case { channels: [1280; 2], size: [4, 4], window: window(3, 1, 1), ..case }.check();
}

fn feature(start: usize, size: Pair, channels: usize) -> Feature {
    Feature { start, frames: 1, size, channels, stride_c: padded(channels), bytes: 4 }
}

#[test]
fn curves_bend_what_was_stored() {
    for curve in CURVES.map(Some) {
        Case { channels: [6, 24], size: [13, 11], n: 3, curve, ..BASE }.check();
        Case { channels: [5, 17], window: window(3, 2, 1), curve, residual: true, ..BASE }.check();
        for (kernel, stride) in [(3, 1), (5, 2)] {
            let window = window(kernel, stride, 1);
            let kind = Kind::Depthwise;
            Case { kind, channels: [40, 40], window, n: 2, curve, ..BASE }.check();
        }
    }
}

#[test]
fn pooling_is_the_mean() {
    for (channels, size) in [(3, [1, 1]), (40, [7, 7]), (72, [3, 2]), (1280, [2, 2])] {
        let n = 2;
        let values = numbers(6, n * size[0] * size[1] * channels);
        for isa in Isa::available() {
            let input = feature(0, size, channels);
            let output = feature(input.end(), [1, 1], channels);
            let none = [f32::NEG_INFINITY, f32::INFINITY];
            let call = KernelCall {
                work: Work::Pool,
                input,
                gate: None,
                residual: None,
                output,
                coefficients: 0,
                pre: none,
                post: none,
                curve: None,
            };
            let program = program(vec![call], input, output, Buffer::zeroed(0).unwrap(), output.end());
            let got = run(prepared(program, None, isa), 2, n, &values, None);
            for (at, got) in got.iter().enumerate() {
                let (image, c) = (at / channels, at % channels);
                let positions = size[0] * size[1];
                let of = |p: usize| f64::from(values[(image * positions + p) * channels + c]);
                let mean = (0..positions).map(of).sum::<f64>() / positions as f64;
                assert!((f64::from(*got) - mean).abs() < 1e-6, "{isa}: {got} {mean}");
            }
        }
    }
}

#[test]
fn not_a_number_stays() {
    let case = Case { channels: [2, 2], size: [1, 1], ..BASE };
    for isa in Isa::available() {
        let prepared = prepared(case.program(), Some(case.packed()), isa);
        let got = run(prepared, 1, 1, &[f32::NAN, 1.0], None);
        assert!(got.iter().all(|value| value.is_nan()), "{isa}: {got:?}");
    }
}
