//! The arithmetic of the ONNX operators that need more than a line.
//!
//! Written after the specification of the operators and not after our runtime, which it is compared with.
//! Invariant: all maps are `[n, c, h, w]`; sums are in single precision, as in the programs that run such files.

use std::num::NonZeroUsize;
use std::thread;

use mutualnet_core::Tensor;

/// A window that is moved over a map; every pair is height and width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    /// Padding on both sides.
    pub(super) pads: [usize; 2],
    pub(super) dilations: [usize; 2],
}

impl Window {
    /// How many windows fit along each axis.
    fn count(&self, size: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            let reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1;
            (size[axis] + 2 * self.pads[axis])
                .checked_sub(reach)
                .map_or(0, |room| room / self.strides[axis] + 1)
        })
    }

    /// The pixel that a tap of a window reads; `None` in the padding.
    fn pixel(&self, at: [usize; 2], tap: [usize; 2], size: [usize; 2]) -> Option<usize> {
        let along = |axis: usize| {
            let pixel = at[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
            pixel.checked_sub(self.pads[axis]).filter(|pixel| *pixel < size[axis])
        };
        Some(along(0)? * size[1] + along(1)?)
    }

    fn taps(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [height, width] = self.kernel;
        (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
    }
}

fn size(map: &Tensor) -> [usize; 2] {
    [map.shape[2], map.shape[3]]
}

/// Positions that are computed together, and output channels likewise: their sums fit the registers of any processor.
const POSITIONS: usize = 8;
const CHANNELS: usize = 4;

/// Convolution of a map with `weight`, `[out, in / groups, kh, kw]`.
pub(super) fn conv(x: &Tensor, weight: &Tensor, bias: &[f32], (window, groups): (Window, usize)) -> Tensor {
    let [n, channels, out] = [x.shape[0], x.shape[1], weight.shape[0]];
    let [height, width] = window.count(size(x));
    let n_positions = height * width;
    let layer = Layer { size: size(x), width, window, groups, per_group: channels / groups, weight, bias };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let each = n_positions.div_ceil(threads).next_multiple_of(POSITIONS);
    let mut data = vec![0.0; n * out * n_positions];
    let image_len = channels * x.shape[2] * x.shape[3];
    for image in 0..n {
        let pixels = &x.data[image * image_len..][..image_len];
        let y = &mut data[image * out * n_positions..][..out * n_positions];
        thread::scope(|scope| {
            let starts = (0..n_positions).step_by(each.max(1));
            let layer = &layer;
            let parts: Vec<_> = starts
                .map(|start| (start, n_positions.min(start + each)))
                .map(|(start, end)| (start, scope.spawn(move || layer.block(pixels, [start, end]))))
                .collect();
            for (start, part) in parts {
                let block = part.join().expect("arithmetic does not panic");
                let len = block.len() / out;
                for (channel, line) in block.chunks_exact(len).enumerate() {
                    y[channel * n_positions + start..][..len].copy_from_slice(line);
                }
            }
        });
    }
    Tensor { shape: vec![n, out, height, width], data }
}

/// A convolution for inputs of one size.
struct Layer<'a> {
    size: [usize; 2],
    /// Windows along a scanline.
    width: usize,
    window: Window,
    groups: usize,
    /// Input channels of a group.
    per_group: usize,
    weight: &'a Tensor,
    bias: &'a [f32],
}

impl Layer<'_> {
    /// All output channels, `[out, end - start]`, of the positions from `start` to `end`.
    fn block(&self, pixels: &[f32], [start, end]: [usize; 2]) -> Vec<f32> {
        let (out, len) = (self.bias.len(), end - start);
        let (k, n_pixels) = (self.weight.data.len() / out, self.size[0] * self.size[1]);
        let mut block = vec![0.0; out * len];
        let mut panel = vec![[0.0; POSITIONS]; k];
        for group in 0..self.groups {
            let pixels = &pixels[group * self.per_group * n_pixels..][..self.per_group * n_pixels];
            let channels = group * out / self.groups..(group + 1) * out / self.groups;
            for first in (start..end).step_by(POSITIONS) {
                self.pack(pixels, [first, end], &mut panel);
                let mut channel = channels.start;
                while channel < channels.end {
                    let store = &mut block[channel * len + (first - start)..];
                    let n = POSITIONS.min(end - first);
                    if channels.end - channel >= CHANNELS {
                        self.tile::<CHANNELS>(channel, &panel, (store, [len, n]));
                        channel += CHANNELS;
                    } else {
                        self.tile::<1>(channel, &panel, (store, [len, n]));
                        channel += 1;
                    }
                }
            }
        }
        block
    }

    /// What the windows of some positions see, tap by tap; zeros in the padding and beyond the last position.
    fn pack(&self, pixels: &[f32], [first, end]: [usize; 2], panel: &mut [[f32; POSITIONS]]) {
        let n_pixels = self.size[0] * self.size[1];
        let mut lines = panel.iter_mut();
        for channel in pixels.chunks_exact(n_pixels.max(1)) {
            for tap in self.window.taps() {
                let line = lines.next().expect("a line per channel and tap");
                for (position, value) in (first..).zip(line) {
                    let at = [position / self.width, position % self.width];
                    let pixel = self.window.pixel(at, tap, self.size).filter(|_| position < end);
                    *value = pixel.map_or(0.0, |pixel| channel[pixel]);
                }
            }
        }
    }

    /// `N` output channels at the positions of a panel; `store` is the first one's place, and lines are `len` apart.
    fn tile<const N: usize>(
        &self,
        channel: usize,
        panel: &[[f32; POSITIONS]],
        (store, [len, n]): (&mut [f32], [usize; 2]),
    ) {
        let k = panel.len();
        let weights: [&[f32]; N] = std::array::from_fn(|i| &self.weight.data[(channel + i) * k..][..k]);
        let mut sums: [[f32; POSITIONS]; N] = std::array::from_fn(|i| [self.bias[channel + i]; POSITIONS]);
        for (tap, line) in panel.iter().enumerate() {
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += weights[tap] * value;
                }
            }
        }
        for (line, sums) in sums.iter().enumerate() {
            store[line * len..][..n].copy_from_slice(&sums[..n]);
        }
    }
}

/// The largest value of each window, channel by channel.
pub(super) fn max_pool(x: &Tensor, window: Window) -> Tensor {
    pool(x, window, |values| values.flatten().fold(f32::NEG_INFINITY, f32::max))
}

/// The mean of each window, channel by channel; padding counts as zeros.
pub(super) fn avg_pool(x: &Tensor, window: Window) -> Tensor {
    let n = (window.kernel[0] * window.kernel[1]) as f32;
    pool(x, window, |values| values.flatten().sum::<f32>() / n)
}

fn pool(
    x: &Tensor,
    window: Window,
    compute: impl Fn(&mut dyn Iterator<Item = Option<f32>>) -> f32,
) -> Tensor {
    let size = size(x);
    let [height, width] = window.count(size);
    each_channel(x, [height, width], |channel, [row, column]| {
        let mut values = window.taps().map(|tap| Some(channel[window.pixel([row, column], tap, size)?]));
        compute(&mut values)
    })
}

/// A map of another size, each of whose values comes from the same channel.
fn each_channel(
    x: &Tensor,
    [height, width]: [usize; 2],
    compute: impl Fn(&[f32], [usize; 2]) -> f32,
) -> Tensor {
    let n_pixels = x.shape[2] * x.shape[3];
    let mut data = Vec::with_capacity(x.shape[0] * x.shape[1] * height * width);
    for channel in x.data.chunks_exact(n_pixels.max(1)) {
        for row in 0..height {
            data.extend((0..width).map(|column| compute(channel, [row, column])));
        }
    }
    Tensor { shape: vec![x.shape[0], x.shape[1], height, width], data }
}

/// The mean of each channel, `[n, c, 1, 1]`.
pub(super) fn global_average_pool(x: &Tensor) -> Tensor {
    let n_pixels = (x.shape[2] * x.shape[3]) as f32;
    each_channel(x, [1, 1], |channel, _| {
        // The sum of many values in single precision would depend on their order.
        (channel.iter().map(|&value| f64::from(value)).sum::<f64>() / f64::from(n_pixels)) as f32
    })
}

/// Linear interpolation between the centres of pixels, which are half a pixel from their corners.
pub(super) fn bilinear(x: &Tensor, to: [usize; 2]) -> Tensor {
    let from = size(x);
    // Two neighbors along an axis, and the share of the second.
    let along = |axis: usize, at: usize| {
        let scale = from[axis] as f64 / to[axis] as f64;
        let place = ((at as f64 + 0.5) * scale - 0.5).clamp(0.0, (from[axis] - 1) as f64);
        let first = place as usize;
        (first, (first + 1).min(from[axis] - 1), (place - first as f64) as f32)
    };
    each_channel(x, to, |channel, [row, column]| {
        let (top, bottom, down) = along(0, row);
        let (left, right, across) = along(1, column);
        let line = |y: usize| {
            let [a, b] = [left, right].map(|x| channel[y * from[1] + x]);
            a * (1.0 - across) + b * across
        };
        line(top) * (1.0 - down) + line(bottom) * down
    })
}

/// The pixel at `floor(output · input size / output size)`.
pub(super) fn nearest(x: &Tensor, to: [usize; 2]) -> Tensor {
    let from = size(x);
    each_channel(x, to, |channel, [row, column]| {
        channel[row * from[0] / to[0] * from[1] + column * from[1] / to[1]]
    })
}

/// Combines two tensors, of which each side of one may be 1; missing leading sides are 1 as well.
pub(super) fn broadcast(a: &Tensor, b: &Tensor, compute: impl Fn(f32, f32) -> f32) -> Option<Tensor> {
    let rank = a.shape.len().max(b.shape.len());
    let sides = |tensor: &Tensor| {
        let mut sides = vec![1; rank - tensor.shape.len()];
        sides.extend(&tensor.shape);
        sides
    };
    let (a_sides, b_sides) = (sides(a), sides(b));
    let both = a_sides.iter().zip(&b_sides);
    let shape = both.map(|(&a, &b)| if a == b || b == 1 { Some(a) } else { Some(b).filter(|_| a == 1) });
    let shape: Vec<usize> = shape.collect::<Option<_>>()?;
    let place = |of: &[usize], mut idx: usize| {
        let (mut place, mut step) = (0, 1);
        for axis in (0..rank).rev() {
            if of[axis] > 1 {
                place += idx % shape[axis] * step;
            }
            step *= of[axis];
            idx /= shape[axis];
        }
        place
    };
    let n = shape.iter().product();
    let value = |idx: usize| compute(a.data[place(&a_sides, idx)], b.data[place(&b_sides, idx)]);
    let data = (0..n).map(value).collect();
    Some(Tensor { shape, data })
}

/// Tensors one after the other along axis 1; `None` if they differ along another one.
pub(super) fn concat_channels(parts: &[&Tensor]) -> Option<Tensor> {
    let first = &parts.first()?.shape;
    let fits = |part: &&Tensor| {
        part.shape.len() == first.len() && part.shape[0] == first[0] && part.shape[2..] == first[2..]
    };
    if !parts.iter().all(fits) {
        return None;
    }
    let mut shape = first.clone();
    shape[1] = parts.iter().map(|part| part.shape[1]).sum();
    let image = |part: &Tensor, idx: usize| {
        let len = part.data.len() / part.shape[0];
        part.data[idx * len..][..len].to_vec()
    };
    let data = (0..first[0]).flat_map(|idx| parts.iter().flat_map(move |part| image(part, idx))).collect();
    Some(Tensor { shape, data })
}

#[cfg(test)]
mod tests;
