//! Kernels on clips: windows along time, and frames as images, against sums in f64.

use super::*;

/// A source of small numbers.
struct Dice(u32);

impl Dice {
    /// A number below `n`.
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }

    /// At most as much padding as leaves a tap inside an input of any length.
    fn axis(&mut self, kernels: &[usize]) -> Axis {
        let kernel = self.of(kernels);
        let dilation = if kernel > 1 { 1 + self.roll(4) / 3 } else { 1 };
        let padding = self.roll((kernel - 1) * dilation + 1);
        Axis { kernel, stride: 1 + self.roll(2), padding, dilation }
    }

    fn window(&mut self) -> Window {
        let [time, height, width] = [&[1, 3, 3, 5][..], &[1, 3, 3, 2], &[1, 3, 3]].map(|of| self.axis(of));
        // Those that kernels are written for, mostly.
        let (kernel, stride, dilation, padding) = match self.roll(4) {
            0 => ([3; 2], [1; 2], [1; 2], [1; 2]),
            1 => ([3; 2], [2; 2], [1; 2], [1; 2]),
            2 => ([1; 2], [1; 2], [1; 2], [0; 2]),
            _ => (
                [height.kernel, width.kernel],
                [height.stride, width.stride],
                [height.dilation, width.dilation],
                [height.padding, width.padding],
            ),
        };
        Window { kernel, stride, padding, dilation, time }
    }

    /// Frames, height and width that the window fits into.
    fn extent(&mut self, window: Window) -> [usize; 3] {
        let most = [7, 9, 14];
        let least = |kernel: usize, dilation: usize, padding: usize| {
            ((kernel - 1) * dilation + 1).saturating_sub(2 * padding).max(1)
        };
        let Window { kernel, padding, dilation, time, .. } = window;
        let frames = least(time.kernel, time.dilation, time.padding);
        let [h, w] = [0, 1].map(|axis| least(kernel[axis], dilation[axis], padding[axis]));
        [frames + self.roll(most[0]), h + self.roll(most[1]), w + self.roll(most[2])]
    }

    fn case(&mut self, kind: Kind) -> Case {
        let window = self.window();
        let [frames, h, w] = self.extent(window);
        let channels = [self.of(&[1, 3, 16, 17, 24, 54]), self.of(&[2, 16, 33, 40])];
        let channels = if kind == Kind::Depthwise { [channels[0]; 2] } else { channels };
        Case {
            kind,
            channels,
            frames,
            size: [h, w],
            window,
            spare: self.roll(2) * 11,
            n: 1 + self.roll(2),
            residual: self.roll(2) == 0,
            curve: (self.roll(5) == 0).then_some(Curve::Swish),
            ..BASE
        }
    }
}

#[test]
fn any_window_along_time_and_space() {
    let mut dice = Dice(11);
    for _ in 0..60 {
        dice.case(Kind::Dense).check();
        dice.case(Kind::Depthwise).check();
        dice.case(Kind::Depthwise).check();
    }
}

/// The same without curves, which would bend what was rounded.
#[test]
fn any_window_in_bf16() {
    let mut dice = Dice(12);
    for turn in 0..30 {
        for kind in [Kind::Dense, Kind::Depthwise] {
            let (precision, is_wide) = (Precision::Bf16, turn % 2 == 0);
            Case { precision, is_wide, curve: None, ..dice.case(kind) }.check();
        }
    }
}

/// The windows that networks for clips have.
#[test]
fn windows_of_networks() {
    let along = |kernel, stride, padding| Axis { kernel, stride, padding, dilation: 1 };
    for frames in [1, 2, 4, 5] {
        for channels in [24, 54] {
            let depthwise = Case { kind: Kind::Depthwise, channels: [channels; 2], frames, n: 2, ..BASE };
            for (stride, size) in [(1, [5, 5]), (2, [10, 9]), (1, [7, 21])] {
                let window = Window { time: along(3, 1, 1), ..window(3, stride, 1) };
                Case { window, size, residual: true, ..depthwise }.check();
            }
            Case { window: Window { time: along(5, 1, 2), ..window(1, 1, 0) }, ..depthwise }.check();
        }
        let dense = Case { channels: [20, 40], frames, n: 2, ..BASE };
        for time in [along(3, 1, 1), along(3, 2, 1)] {
            Case { window: Window { time, ..window(1, 1, 0) }, size: [5, 9], ..dense }.check();
            Case { window: Window { time, ..window(3, 2, 1) }, size: [9, 7], ..dense }.check();
        }
        Case { window: window(3, 1, 1), kind: Kind::Winograd, size: [9, 7], ..dense }.check();
        // The first layer, whose input has no tail.
        Case { channels: [3, 24], window: window(3, 2, 1), size: [9, 12], ..dense }.check();
    }
}

/// The values under a window of one channel, at one output of a clip `[frames, h, w, c]`.
fn under(values: &[f32], input: Feature, window: Window, [t, y, x, c]: [usize; 4]) -> Vec<f32> {
    let inside = |at: usize, padding: usize, size: usize| at.checked_sub(padding).filter(|&at| at < size);
    let of = |tap: usize| {
        let [kh, kw] = window.kernel;
        let (kt, ky, kx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        let Window { stride, padding, time, .. } = window;
        let it = inside(t * time.stride + kt * time.dilation, time.padding, input.frames)?;
        let iy = inside(y * stride[0] + ky, padding[0], input.size[0])?;
        let ix = inside(x * stride[1] + kx, padding[1], input.size[1])?;
        Some(values[((it * input.size[0] + iy) * input.size[1] + ix) * input.channels + c])
    };
    (0..window.taps()).filter_map(of).collect()
}

#[test]
fn pools_along_time() {
    let along = |kernel, stride, padding| Axis { kernel, stride, padding, dilation: 1 };
    let n = 2;
    for (time, (kernel, stride, padding)) in [
        (along(3, 1, 1), (3, 2, 1)),
        (along(2, 2, 0), (2, 2, 0)),
        (along(3, 2, 1), (1, 1, 0)),
        (along(1, 1, 0), (3, 2, 1)),
        (along(2, 1, 1), (3, 1, 1)),
    ] {
        let window = Window { time, ..window(kernel, stride, padding) };
        for (frames, size, channels) in [(5, [7, 9], 24), (2, [5, 6], 3)] {
            let out = size.map(|side: usize| (side + 2 * padding - kernel) / stride + 1);
            let input = Feature { frames, ..feature(0, size, channels) };
            let output = Feature { frames: out_frames(frames, time), ..feature(input.end(), out, channels) };
            // Below 0, so that a zero of the padding would win.
            let values: Vec<_> = numbers(9, n * input.pixels() * channels).iter().map(|x| x - 2.0).collect();
            for (isa, is_max) in Isa::available().flat_map(|isa| [(isa, true), (isa, false)]) {
                let work = if is_max { Work::MaxPool { window } } else { Work::AvgPool { window } };
                let call = elementwise::call(work, input, output);
                let coefficients = elementwise::coefficients(output, 1.0, 0.0);
                let program = program(vec![call], input, output, coefficients, output.end());
                let got = run(prepared(program, None, isa), 3, n, &values, None);
                assert_eq!(got.len(), n * output.pixels() * channels);
                for (at, got) in got.iter().enumerate() {
                    let (c, pixel) = (at % channels, at / channels);
                    let (x, y) = (pixel % out[1], pixel / out[1] % out[0]);
                    let t = pixel / output.frame_pixels() % output.frames;
                    let clip = &values[pixel / output.pixels() * input.pixels() * channels..];
                    let all = under(clip, input, window, [t, y, x, c]);
                    let expected = match is_max {
                        true => all.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                        false => all.iter().sum::<f32>() / window.taps() as f32,
                    };
                    assert!((got - expected).abs() < 1e-5, "{isa} {window:?}: {got}, not {expected}");
                }
            }
        }
    }
}

/// The mean over all frames, and a gate for each clip.
#[test]
fn means_and_gates_are_of_a_clip() {
    let (channels, n) = (20, 3);
    let whole = |start| Feature { frames: 5, ..feature(start, [3, 2], channels) };
    for isa in Isa::available() {
        let input = whole(0);
        let mean = feature(input.end(), [1, 1], channels);
        let output = whole(mean.end());
        let pool = elementwise::call(Work::Pool, input, mean);
        let gated = KernelCall { gate: Some(mean), ..elementwise::call(Work::Pointwise, input, output) };
        let values = numbers(7, n * input.pixels() * channels);
        let coefficients = elementwise::coefficients(output, 1.0, 0.0);
        let program = program(vec![pool, gated], input, output, coefficients, output.end());
        let got = run(prepared(program, None, isa), 2, n, &values, None);
        for (at, (got, x)) in got.iter().zip(&values).enumerate() {
            let (clip, c) = (at / (input.pixels() * channels), at % channels);
            let of = |p: usize| f64::from(values[(clip * input.pixels() + p) * channels + c]);
            let mean = (0..input.pixels()).map(of).sum::<f64>() / input.pixels() as f64;
            let expected = f64::from(*x) * mean;
            assert!((f64::from(*got) - expected).abs() < 1e-6, "{isa}: {got}, not {expected}");
        }
    }
}
