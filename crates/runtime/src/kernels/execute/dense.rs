//! Cuts a dense convolution, a linear layer or a transposed convolution into tasks, and takes one through its tiles.
//!
//! A task is a chunk of pixels and a group of panels. The kernel reads the inputs of a tile through a table of pointers, which
//! is filled here.

use std::ops::Range;

use super::{Pass, TASKS_PER_THREAD};
use crate::kernels::{Epilogue, MAX_TILE_PIXELS, PANEL, Scratch, dense};
use crate::program::{KernelCall, Window, Work};

/// The most input numbers that a dense task reads, so that they stay in the second-level cache from panel to panel.
const DENSE_TASK_INPUT: usize = 1 << 16;

/// The most numbers of a layer's weights with which all panels of a tile are computed before the next tile: about what the
/// second-level cache holds beside inputs. Outputs are then written in the order of memory.
const RESIDENT_WEIGHTS: usize = 1 << 17;

/// A sum of more terms is long: the weights of a tile would fill the second-level cache, and be read from memory again for every
/// tile. Long sums are computed in pieces, of which all tiles of a task get one before the next.
const LONG_SUM: usize = 4096;

/// The terms of a piece of a long sum.
const PIECE: usize = 512;

/// How a dense layer is cut: pixels into chunks, and panels into groups. A task is one chunk and one group.
pub(super) struct Cut {
    /// Output pixels of all images.
    pixels: usize,
    /// Output pixels that a tile may not cross: a scanline, or if scanlines do not matter, a frame or all of them.
    line: usize,
    chunk: usize,
    panels: usize,
    group: usize,
}

impl Cut {
    fn chunks(&self) -> usize {
        self.pixels.div_ceil(self.chunk)
    }

    fn groups(&self) -> usize {
        self.panels.div_ceil(self.group)
    }

    pub(super) fn tasks(&self) -> usize {
        self.chunks() * self.groups()
    }
}

/// The tiles of a chunk, as first pixel and number of pixels. No tile crosses the end of a scanline, and those of a scanline
/// are as equal as possible, because a last tile of few pixels would be slow.
struct Tiles {
    rest: Range<usize>,
    line: usize,
    most: usize,
}

impl Iterator for Tiles {
    type Item = [usize; 2];

    fn next(&mut self) -> Option<[usize; 2]> {
        let pixel = self.rest.start;
        if pixel >= self.rest.end {
            return None;
        }
        let rest = self.rest.end.min((pixel / self.line + 1) * self.line) - pixel;
        let pixels = rest.div_ceil(rest.div_ceil(self.most));
        self.rest.start += pixels;
        Some([pixel, pixels])
    }
}

/// The terms of the sums of a tile.
#[derive(Debug, Clone, Copy)]
struct Terms {
    taps: usize,
    /// How many taps of the kernel count as one.
    step: usize,
    /// Consecutive input numbers of each tap.
    numbers: usize,
    part: Part,
}

/// Which part of its sums a tile computes. What comes before it is already in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    First,
    Inner,
    Last,
}

/// A frame of the input that taps read.
struct Frame {
    start: *const u8,
    /// Height and width.
    size: [usize; 2],
    /// Bytes from one pixel to the next.
    stride: usize,
    /// Whether the clip has this frame.
    is_inside: bool,
}

impl Pass<'_> {
    pub(super) fn dense_cut(&self, call: &KernelCall, window: Window) -> Cut {
        let pixels = self.n * call.output.pixels();
        let (line, unit) = match window {
            _ if window.is_point() => (pixels, self.kernels.tile_pixels()),
            _ if window.is_point_of_frames() => (call.output.frame_pixels(), self.kernels.tile_pixels()),
            _ => (call.output.size[1], call.output.size[1]),
        };
        let channels = if is_long(call, window) { PIECE } else { call.input.channels };
        let read = channels * window.stride[0] * window.stride[1] * window.time.kernel;
        let panels = call.output.stride_c / PANEL;
        let tile_panels = self.kernels.tile_panels();
        let wanted = if self.threads == 1 { 1 } else { self.threads * TASKS_PER_THREAD };
        let chunk = (DENSE_TASK_INPUT / read).min(pixels.div_ceil(wanted)).max(1).next_multiple_of(unit);
        let groups = wanted.div_ceil(pixels.div_ceil(chunk)).min(panels.div_ceil(tile_panels));
        let group = panels.div_ceil(groups).next_multiple_of(tile_panels);
        Cut { pixels, line, chunk, panels, group }
    }

    /// # Safety
    /// As [`Self::execute`].
    pub(super) unsafe fn dense(&self, call: &KernelCall, window: Window, task: usize, scratch: &mut Scratch) {
        let cut = self.dense_cut(call, window);
        let (chunk, group) = (task / cut.groups(), task % cut.groups());
        let pixels = chunk * cut.chunk..((chunk + 1) * cut.chunk).min(cut.pixels);
        let panels = group * cut.group..((group + 1) * cut.group).min(cut.panels);
        let step = self.kernels.tile_panels();
        let tiles = || Tiles { rest: pixels.clone(), line: cut.line, most: self.kernels.tile_pixels() };
        let terms = window.taps() * call.input.channels;
        // SAFETY: every tile lies inside the part of the output that belongs to the task.
        unsafe {
            // Parts of sums that are stored as bf16 would lose precision.
            if is_long(call, window) && [call.input.bytes, call.output.bytes] == [size_of::<f32>(); 2] {
                for first in (0..terms).step_by(PIECE) {
                    for panel in panels.clone().step_by(step) {
                        for tile in tiles() {
                            let piece = self.point_piece(call, (tile, first), scratch);
                            self.tile(call, (tile, piece), [panel, step.min(panels.end - panel)], scratch);
                        }
                    }
                }
                return;
            }
            if terms * panels.len() * PANEL <= RESIDENT_WEIGHTS {
                for tile in tiles() {
                    let terms = self.point(call, window, tile, scratch);
                    for panel in panels.clone().step_by(step) {
                        self.tile(call, (tile, terms), [panel, step.min(panels.end - panel)], scratch);
                    }
                }
                return;
            }
            for panel in panels.clone().step_by(step) {
                for tile in tiles() {
                    let terms = self.point(call, window, tile, scratch);
                    self.tile(call, (tile, terms), [panel, step.min(panels.end - panel)], scratch);
                }
            }
        }
    }

    /// The terms of the sums of a tile. If the inputs of a scanline of taps are consecutive, as in the first layer, they count
    /// as one tap: its loop is longer.
    fn terms(&self, call: &KernelCall, window: Window, [pixel, pixels]: [usize; 2]) -> Terms {
        let (input, weights) = (call.input, self.weights(call.work));
        let numbers = window.kernel[1] * input.channels;
        let first = (pixel % call.output.size[1] * window.stride[1]).checked_sub(window.padding[1]);
        let end = first.map(|first| first + (pixels - 1) * window.stride[1] + window.kernel[1]);
        let are_consecutive = matches!(call.work, Work::Dense { .. })
            && window.kernel[1] > 1
            && input.bytes == size_of::<f32>()
            && input.stride_c == input.channels
            && weights.tap_stride == input.channels * PANEL
            && window.dilation[1] == 1
            && numbers <= self.zeros.len()
            && end.is_some_and(|end| end <= input.size[1]);
        if are_consecutive {
            Terms {
                taps: window.taps() / window.kernel[1],
                step: window.kernel[1],
                numbers,
                part: Part::Whole,
            }
        } else {
            Terms { taps: window.taps(), step: 1, numbers: input.channels, part: Part::Whole }
        }
    }

    /// Fills the tables of pointers and offsets for outputs `pixel..pixel + pixels`, which lie in one scanline, or in one
    /// frame if the window does not look beside a position. Returns the terms of their sums, without the taps that fall on
    /// padding for all of them.
    ///
    /// # Safety
    /// As [`Self::execute`].
    unsafe fn point(
        &self,
        call: &KernelCall,
        window: Window,
        [pixel, pixels]: [usize; 2],
        scratch: &mut Scratch,
    ) -> Terms {
        let terms = self.terms(call, window, [pixel, pixels]);
        let tap_stride = terms.step * self.weights(call.work).tap_stride;
        let (input, output) = (call.input, call.output);
        let stride = input.stride_c * input.bytes;
        // SAFETY: the call belongs to the program, and only pointers to positions inside the input are read.
        let base = unsafe { self.feature(input, 0) }.cast_const();
        if window.is_point() {
            for (p, pointer) in scratch.pointers[..pixels].iter_mut().enumerate() {
                *pointer = base.wrapping_add((pixel + p) * stride);
            }
            scratch.offsets[0] = 0;
            return terms;
        }
        // A frame in which scanlines do not matter counts as a single one.
        let is_one_line = window.is_point_of_frames();
        let size = if is_one_line { [1, input.frame_pixels()] } else { input.size };
        let width = if is_one_line { output.frame_pixels() } else { output.size[1] };
        let (frame, within) = (pixel / output.frame_pixels(), pixel % output.frame_pixels());
        let (image, t) = (frame / output.frames, frame % output.frames);
        let [y, x] = [within / width, within % width];
        let base = base.wrapping_add(image * input.len() * input.bytes);
        let (mut tap, mut taps) = (0, 0);
        for kt in 0..window.time.kernel {
            let frame = window.time.source(t, kt);
            let start = base.wrapping_add(frame.wrapping_mul(size[0] * size[1] * stride));
            let frame = Frame { start, size, stride, is_inside: frame < input.frames };
            for ky in 0..window.kernel[0] {
                for kx in (0..window.kernel[1]).step_by(terms.step) {
                    let pointers = &mut scratch.pointers[taps * pixels..][..pixels];
                    let is_inside = match call.work {
                        Work::Transposed { .. } => {
                            self.point_transposed(&frame, window, [y, x, ky, kx], pointers)
                        }
                        _ => self.point_tap(&frame, window, [y, x, ky, kx], pointers),
                    };
                    scratch.offsets[taps] = tap * tap_stride;
                    tap += 1;
                    taps += usize::from(is_inside);
                }
            }
        }
        Terms { taps, ..terms }
    }

    /// Fills the tables for the piece of long sums that begins with the term `first`.
    ///
    /// # Safety
    /// As [`Self::execute`].
    unsafe fn point_piece(
        &self,
        call: &KernelCall,
        ([pixel, pixels], first): ([usize; 2], usize),
        scratch: &mut Scratch,
    ) -> Terms {
        let input = call.input;
        // SAFETY: the call belongs to the program.
        let base = unsafe { self.feature(input, first) }.cast_const();
        for (p, pointer) in scratch.pointers[..pixels].iter_mut().enumerate() {
            *pointer = base.wrapping_add((pixel + p) * input.stride_c * input.bytes);
        }
        scratch.offsets[0] = first * PANEL;
        let numbers = PIECE.min(input.channels - first);
        let part = match (first, first + numbers == input.channels) {
            (0, _) => Part::First,
            (_, false) => Part::Inner,
            (_, true) => Part::Last,
        };
        Terms { taps: 1, step: 1, numbers, part }
    }

    /// Fills the table for one tap of a convolution, for outputs from line `y` and column `x` on. Returns whether any of
    /// them reads the input.
    fn point_tap(
        &self,
        frame: &Frame,
        window: Window,
        [y, x, ky, kx]: [usize; 4],
        pointers: &mut [*const u8],
    ) -> bool {
        // A position above the input wraps to a large number, which is outside as well.
        let iy = window.along(0).source(y, ky);
        let line = frame.start.wrapping_add(iy.wrapping_mul(frame.size[1] * frame.stride));
        let mut ix = window.along(1).source(x, kx);
        if !frame.is_inside || iy >= frame.size[0] {
            return false;
        }
        let mut any_inside = false;
        for pointer in pointers {
            let at = line.wrapping_add(ix.wrapping_mul(frame.stride));
            let is_inside = ix < frame.size[1];
            any_inside |= is_inside;
            *pointer = if is_inside { at } else { self.zeros.as_ptr().cast() };
            ix = ix.wrapping_add(window.stride[1]);
        }
        any_inside
    }

    /// The same for one tap of a transposed convolution.
    fn point_transposed(
        &self,
        frame: &Frame,
        window: Window,
        [y, x, ky, kx]: [usize; 4],
        pointers: &mut [*const u8],
    ) -> bool {
        let line = window.transposed_source(0, y, ky);
        let mut any_inside = false;
        for (p, pointer) in pointers.iter_mut().enumerate() {
            let column = window.transposed_source(1, x + p, kx);
            let is_inside = line < frame.size[0] && column < frame.size[1];
            any_inside |= is_inside;
            let at = line.wrapping_mul(frame.size[1]).wrapping_add(column).wrapping_mul(frame.stride);
            *pointer = if is_inside { frame.start.wrapping_add(at) } else { self.zeros.as_ptr().cast() };
        }
        any_inside
    }

    /// # Safety
    /// As [`Self::execute`]; the tables of pointers and offsets were filled for these pixels and terms.
    unsafe fn tile(
        &self,
        call: &KernelCall,
        ([pixel, pixels], terms): ([usize; 2], Terms),
        [panel, panels]: [usize; 2],
        scratch: &Scratch,
    ) {
        let weights = self.weights(call.work);
        let stride_c = call.output.stride_c;
        let c = panel * PANEL;
        // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
        unsafe {
            let out = self.feature(call.output, pixel * stride_c + c);
            let epilogue = self.epilogue(call, pixel, c);
            let tile = dense::Tile {
                pointers: scratch.pointers.as_ptr(),
                taps: terms.taps,
                numbers: terms.numbers,
                weights: weights.numbers.as_ptr().add(panel * weights.panel_stride),
                offsets: scratch.offsets.as_ptr(),
                panel_stride: weights.panel_stride,
                out,
                out_stride: stride_c,
                epilogue: terms.part.epilogue(epilogue, out, self.zeros.as_ptr()),
            };
            debug_assert!(pixels <= MAX_TILE_PIXELS);
            (self.kernels.dense[panels - 1][pixels - 1])(&tile);
        }
    }
}

/// Whether each output of a layer is a long sum of the numbers at its position.
fn is_long(call: &KernelCall, window: Window) -> bool {
    let is_dense = matches!(call.work, Work::Dense { .. });
    is_dense && window.is_point() && call.residual.is_none() && call.input.channels > LONG_SUM
}

impl Part {
    /// The epilogue of this part of a sum, given that of the whole one, which has no shortcut. What was summed before is scaled
    /// already and takes the place of the shortcut; all but the scale is left to the last part.
    fn epilogue(self, whole: Epilogue, out: *const u8, zeros: *const f32) -> Epilogue {
        let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
        let inner =
            Epilogue { shift: zeros, residual: out, pre: unbounded, post: unbounded, curve: None, ..whole };
        match self {
            Self::Whole => whole,
            Self::First => Epilogue { residual: std::ptr::null(), ..inner },
            Self::Inner => inner,
            Self::Last => Epilogue { residual: out, pre: unbounded, post: whole.pre, ..whole },
        }
    }
}
