//! Convolutions of 3×3 taps at stride 1, of images or frames, by Winograd's minimal filtering: 36 products stand for the 144 of a tile.
//!
//! A tile is 4×4 outputs, which depend on a patch of 6×6 inputs. With a dilation, these are not neighbors but lie as far apart
//! as the taps do, so the feature map consists of several interleaved grids of tiles. Filters, patches and sums go through a linear transform
//! each, and between them lies one matrix product per point of the patch, over the input channels.
//! Filters are transformed here, a few channels at a time, from the same packed weights that direct kernels read.
//! A transformed copy would be four times as large, and reading it takes longer than transforming as soon as a layer's
//! weights do not stay in the cache from pass to pass.
//! Invariant: every sum goes over the input channels in their order, in whatever chunk and tile.
//!
//! # Source
//! `[Winograd]`, with the points 0, ±1, ±2 and infinity.

use super::curve::{self, Stored};
use super::{Epilogue, Lanes, PANEL, Pair, padded};
use crate::program::{Axis, Feature, Window};

/// Outputs of a tile along each axis.
const TILE: usize = 4;

/// Inputs of a patch along each axis.
pub(super) const PATCH: usize = TILE + 2;

/// Points of a transformed patch.
pub(super) const POINTS: usize = PATCH * PATCH;

/// Input channels that are multiplied before the filters of the next ones are transformed.
pub(super) const DEPTH: usize = 64;

/// Added to the distance between points, so that the same channel of all points does not fall into one set of the cache.
const SKEW: usize = PANEL;

/// How many numbers a chunk of transformed patches and the sums of one pair of panels may take together, which keeps
/// them in the second-level cache.
const CHUNK: usize = 36 * 4900;

/// What transforms cost, in multiply-adds of 16 numbers: filters for each input channel and panel, patches and sums for
/// each tile and panel.
const COST: [usize; 3] = [110, 200, 160];

/// The tiles of a feature map: one grid for each line and column below the dilation, which starts there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grids {
    size: Pair,
    dilation: Pair,
    /// Tiles of a grid along each axis.
    tiles: Pair,
}

impl Grids {
    pub(super) fn new(size: Pair, dilation: Pair) -> Self {
        let tiles = [0, 1].map(|axis| size[axis].div_ceil(dilation[axis]).div_ceil(TILE));
        Self { size, dilation, tiles }
    }

    /// Tiles of all grids.
    pub(super) fn tiles(self) -> usize {
        self.dilation.iter().chain(&self.tiles).product()
    }

    /// The image or frame of a tile, and line and column of its first output, which lies outside the feature map if the grid
    /// has fewer lines or columns of tiles than others.
    pub(super) fn locate(self, tile: usize) -> (usize, Pair) {
        let [tiles_y, tiles_x] = self.tiles;
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        let (grid, within) = (tile / (tiles_y * tiles_x), tile % (tiles_y * tiles_x));
        let start = [grid / self.dilation[1], grid % self.dilation[1]];
        let at = [within / tiles_x, within % tiles_x];
        (image, [0, 1].map(|axis| start[axis] + at[axis] * TILE * self.dilation[axis]))
    }

    /// How many lines and columns of outputs the tile that begins at `first` has inside the feature map.
    pub(super) fn inside(self, first: Pair) -> Pair {
        [0, 1].map(|axis| TILE.min(self.size[axis].saturating_sub(first[axis]).div_ceil(self.dilation[axis])))
    }
}

/// Whether a convolution can be computed in tiles at all.
pub(super) fn fits(window: Window, input: Feature) -> bool {
    let Window { kernel, stride, time, .. } = window;
    kernel == [3; 2] && stride == [1; 2] && time == Axis::POINT && input.stride_c.is_multiple_of(PANEL)
}

/// Whether a convolution takes less arithmetic in tiles, transforms included. It depends on nothing but the layer and its
/// size, so that results do not depend on the machine, on threads or on the batch. Taps on padding do not count, because
/// direct kernels leave most of them out.
pub(crate) fn pays(window: Window, input: Feature, output: Feature) -> bool {
    let tiles = output.frames * Grids::new(output.size, window.dilation).tiles();
    let (panels_in, panels) = (padded(input.channels) / PANEL, padded(output.channels) / PANEL);
    let terms = [0, 1].map(|axis| {
        let window = window.along(axis);
        let taps = (0..output.size[axis]).flat_map(|at| (0..3).map(move |tap| window.source(at, tap)));
        taps.filter(|&source| source < input.size[axis]).count()
    });
    let direct = output.frames * terms[0] * terms[1] * input.channels * panels;
    let products = POINTS * tiles * input.channels * panels;
    let transforms = COST[0] * input.channels * panels + tiles * (COST[1] * panels_in + COST[2] * panels);
    fits(window, input) && 8 * (products + transforms) < 7 * direct
}

/// Where the parts of a chunk lie in the memory of a thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workspace {
    /// The most tiles of a chunk.
    pub(super) tiles: usize,
    /// Blocks of [`DEPTH`] input channels.
    pub(super) blocks: usize,
    /// Channels of the output that are computed together.
    pub(super) width: usize,
}

impl Workspace {
    /// For convolutions with so many input channels, by kernels whose tiles have `pixels` pixels and `panels` panels.
    pub(super) fn new(channels: usize, [pixels, panels]: Pair) -> Self {
        let (blocks, width) = (channels.div_ceil(DEPTH), panels * PANEL);
        let tiles = (CHUNK / POINTS / (blocks * DEPTH + width)).max(pixels);
        Self { tiles, blocks, width }
    }

    /// Distance between the points of filters.
    pub(super) fn filter_pitch(&self) -> usize {
        DEPTH * self.width + SKEW
    }

    /// Distance between the points of patches.
    pub(super) fn patch_pitch(&self) -> usize {
        self.blocks * self.tiles * DEPTH + SKEW
    }

    /// Distance between the points of sums.
    pub(super) fn sum_pitch(&self) -> usize {
        self.tiles * self.width + SKEW
    }

    /// How many numbers it has in all.
    pub(super) fn len(&self) -> usize {
        POINTS * (self.filter_pitch() + self.patch_pitch() + self.sum_pitch())
    }
}

/// Filters of up to [`DEPTH`] input channels.
pub(super) struct Filters {
    /// The first input channel of the first panel, as in [`Packed`](crate::pack::Packed).
    pub(super) weights: *const f32,
    pub(super) tap_stride: usize,
    pub(super) panel_stride: usize,
    pub(super) depth: usize,
    /// Output channels.
    pub(super) width: usize,
    /// `[POINTS][depth][width]`.
    pub(super) out: *mut f32,
    /// Distance between points.
    pub(super) pitch: usize,
}

/// The inputs of one tile.
pub(super) struct Patch {
    /// A pointer to each of its pixels; one outside the image points at zeros.
    pub(super) pixels: *const *const u8,
    /// Channels, including the tail.
    pub(super) channels: usize,
    /// `[POINTS][blocks][tiles][DEPTH]`, at the tile.
    pub(super) out: *mut f32,
    /// Distance between points.
    pub(super) pitch: usize,
    /// Distance between blocks.
    pub(super) block: usize,
}

/// A matrix product: `P` tiles at one point, over up to [`DEPTH`] input channels.
pub(super) struct Product {
    /// `[P][DEPTH]`.
    pub(super) inputs: *const f32,
    /// `[depth][width]`.
    pub(super) filters: *const f32,
    /// `[P][width]`.
    pub(super) sums: *mut f32,
    pub(super) depth: usize,
    /// Whether there are sums of earlier channels to add to.
    pub(super) continues: bool,
}

/// The sums of one tile.
pub(super) struct Sums {
    /// `[POINTS][tiles][width]`, at the tile.
    pub(super) sums: *const f32,
    /// Distance between points.
    pub(super) pitch: usize,
    pub(super) width: usize,
    /// First output of the first pixel.
    pub(super) out: *mut u8,
    /// Distance from one scanline of the output to the next, and from one pixel to the next.
    pub(super) strides: Pair,
    /// Lines and columns of the tile that lie inside the output.
    pub(super) inside: Pair,
    /// The epilogue that begins at the first channel of the first pixel.
    pub(super) epilogue: Epilogue,
}

/// Transforms filters.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn filters<L: Lanes>(filters: &Filters) {
    // SAFETY: the contract above.
    unsafe {
        for k in 0..filters.depth {
            for lane in (0..filters.width).step_by(L::N) {
                let from = lane / PANEL * filters.panel_stride + k * PANEL + lane % PANEL;
                let mut taps = [[L::splat(0.0); 3]; PATCH];
                for x in 0..3 {
                    let column = [0, 3, 6]
                        .map(|line| L::load(filters.weights.add((line + x) * filters.tap_stride + from)));
                    for (taps, value) in taps.iter_mut().zip(along_filter(column)) {
                        taps[x] = value;
                    }
                }
                let mut out = filters.out.add(k * filters.width + lane);
                for line in taps {
                    for value in along_filter(line) {
                        value.store(out);
                        out = out.add(filters.pitch);
                    }
                }
            }
        }
    }
}

/// Transforms a patch.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn patch<L: Lanes>(patch: &Patch) {
    // SAFETY: the contract above.
    unsafe {
        for c in (0..patch.channels).step_by(L::N) {
            let mut points = [[L::splat(0.0); PATCH]; PATCH];
            for x in 0..PATCH {
                let pixel = |y: usize| L::read(*patch.pixels.add(y * PATCH + x), c);
                let column = [pixel(0), pixel(1), pixel(2), pixel(3), pixel(4), pixel(5)];
                for (line, value) in points.iter_mut().zip(along_patch(column)) {
                    line[x] = value;
                }
            }
            let mut out = patch.out.add(c / DEPTH * patch.block + c % DEPTH);
            for line in points {
                for value in along_patch(line) {
                    value.store(out);
                    out = out.add(patch.pitch);
                }
            }
        }
    }
}

/// Multiplies `P` tiles with `V` vectors of filters.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn product<L: Lanes, const P: usize, const V: usize>(product: &Product) {
    // SAFETY: the contract above.
    unsafe {
        let mut sums = [[L::splat(0.0); V]; P];
        if product.continues {
            for (p, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = L::load(product.sums.add((p * V + v) * L::N));
                }
            }
        }
        for k in 0..product.depth {
            let mut by = [L::splat(0.0); V];
            for (v, by) in by.iter_mut().enumerate() {
                *by = L::load(product.filters.add((k * V + v) * L::N));
            }
            for (p, sums) in sums.iter_mut().enumerate() {
                let input = L::splat(*product.inputs.add(p * DEPTH + k));
                for (sum, &by) in sums.iter_mut().zip(&by) {
                    *sum = input.fma(by, *sum);
                }
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                sum.store(product.sums.add((p * V + v) * L::N));
            }
        }
    }
}

/// Transforms the sums of a tile back and stores its outputs.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn sums<L: Lanes>(tile: &Sums) {
    let [line_stride, pixel_stride] = tile.strides;
    // SAFETY: the contract above.
    unsafe {
        let epilogue = tile.epilogue.load::<L>();
        for c in (0..tile.width).step_by(L::N) {
            let mut lines = [[L::splat(0.0); PATCH]; TILE];
            for x in 0..PATCH {
                let point = |y: usize| L::load(tile.sums.add((y * PATCH + x) * tile.pitch + c));
                let column = [point(0), point(1), point(2), point(3), point(4), point(5)];
                for (line, value) in lines.iter_mut().zip(along_sums(column)) {
                    line[x] = value;
                }
            }
            for (y, line) in lines.into_iter().enumerate().take(tile.inside[0]) {
                for (x, sum) in along_sums(line).into_iter().enumerate().take(tile.inside[1]) {
                    epilogue.store(sum, c, tile.out, y * line_stride + x * pixel_stride + c);
                }
            }
        }
        for (y, x) in (0..tile.inside[0]).flat_map(|y| (0..tile.inside[1]).map(move |x| (y, x))) {
            let at = y * line_stride + x * pixel_stride;
            curve::bend::<L>(&tile.epilogue, Stored { out: tile.out, at, len: tile.width });
        }
    }
}

/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn along_filter<L: Lanes>([a, b, c]: [L; 3]) -> [L; PATCH] {
    // SAFETY: same contract.
    unsafe {
        let [sixth, twelfth] = [L::splat(1.0 / 6.0), L::splat(1.0 / 12.0)];
        let ones = a.add(c).mul(L::splat(-1.0 / 6.0));
        let twos = a.fma(L::splat(1.0 / 24.0), c.mul(sixth));
        [
            a.mul(L::splat(0.25)),
            b.fma(L::splat(-1.0 / 6.0), ones),
            b.fma(sixth, ones),
            b.fma(twelfth, twos),
            b.fma(L::splat(-1.0 / 12.0), twos),
            c,
        ]
    }
}

/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn along_patch<L: Lanes>([a, b, c, d, e, f]: [L; PATCH]) -> [L; PATCH] {
    // SAFETY: same contract.
    unsafe {
        let [minus, four, less_four, less_five] = [-1.0, 4.0, -4.0, -5.0].map(|x| L::splat(x));
        let (ones_even, ones_odd) = (c.fma(less_four, e), b.fma(less_four, d));
        let (twos_even, twos_odd) = (c.fma(minus, e), b.fma(minus, d));
        [
            a.fma(four, c.fma(less_five, e)),
            ones_even.add(ones_odd),
            ones_odd.fma(minus, ones_even),
            twos_odd.fma(L::splat(2.0), twos_even),
            twos_odd.fma(L::splat(-2.0), twos_even),
            b.fma(four, d.fma(less_five, f)),
        ]
    }
}

/// # Safety
/// That of [`Lanes`].
#[inline(always)]
unsafe fn along_sums<L: Lanes>([a, b, c, d, e, f]: [L; PATCH]) -> [L; TILE] {
    // SAFETY: same contract.
    unsafe {
        let minus = L::splat(-1.0);
        let (ones, ones_odd) = (b.add(c), c.fma(minus, b));
        let (twos, twos_odd) = (d.add(e), e.fma(minus, d));
        [
            a.add(ones).add(twos),
            twos_odd.fma(L::splat(2.0), ones_odd),
            twos.fma(L::splat(4.0), ones),
            twos_odd.fma(L::splat(8.0), ones_odd).add(f),
        ]
    }
}
