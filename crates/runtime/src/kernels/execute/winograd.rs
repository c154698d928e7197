//! Cuts a convolution in tiles into tasks, and takes one through its transforms and products.
//!
//! A task is a chunk of tiles and a group of panels. It transforms its patches once, and then the filters of one or two
//! panels after another. Invariant: a task writes to the memory of its thread and to its own outputs only.

use super::{Pass, TASKS_PER_THREAD};
use crate::kernels::winograd::{self, DEPTH, Filters, Grids, PATCH, POINTS, Patch, Product, Sums, Workspace};
use crate::kernels::{Kernels, PANEL, Scratch, padded};
use crate::program::{KernelCall, Window, Work};

/// Tasks that share the patches of a chunk transform them once each, so there are fewer of them than of other kernels.
const GROUPS_PER_THREAD: usize = TASKS_PER_THREAD / 4;

/// How many numbers a thread needs besides feature maps, for whatever size of images.
pub(crate) fn workspace_len<'a>(kernels: &Kernels, calls: impl Iterator<Item = &'a KernelCall>) -> usize {
    let len = |call: &KernelCall| match call.work {
        Work::Dense { window, .. } | Work::Winograd { window, .. } if winograd::fits(window, call.input) => {
            Workspace::new(call.input.channels, kernels.tile()).len()
        }
        _ => 0,
    };
    calls.map(len).max().unwrap_or(0)
}

/// How a call is cut.
pub(super) struct Cut {
    /// Tiles of all images, or of all frames of clips.
    tiles: usize,
    chunk: usize,
    panels: usize,
    group: usize,
}

impl Cut {
    fn groups(&self) -> usize {
        self.panels.div_ceil(self.group)
    }

    pub(super) fn tasks(&self) -> usize {
        self.tiles.div_ceil(self.chunk) * self.groups()
    }
}

/// The tiles of a chunk, and the memory in which they are computed.
struct Chunk {
    begin: usize,
    n: usize,
    space: Workspace,
    filters: *mut f32,
    patches: *mut f32,
    sums: *mut f32,
}

impl Pass<'_> {
    pub(super) fn winograd_cut(&self, call: &KernelCall, window: Window) -> Cut {
        let tiles = self.n * call.output.frames * Grids::new(call.output.size, window.dilation).tiles();
        let panels = call.output.stride_c / PANEL;
        let [tile_pixels, tile_panels] = self.kernels.tile();
        let most = Workspace::new(call.input.channels, [tile_pixels, tile_panels]).tiles;
        let chunks = tiles.div_ceil(most.min(tiles.div_ceil(self.threads)).max(tile_pixels.min(tiles)));
        let wanted = if self.threads == 1 { 1 } else { self.threads * GROUPS_PER_THREAD };
        let groups = wanted.div_ceil(chunks).min(panels.div_ceil(tile_panels));
        let group = panels.div_ceil(groups).next_multiple_of(tile_panels);
        Cut { tiles, chunk: tiles.div_ceil(chunks), panels, group }
    }

    /// # Safety
    /// As [`Self::execute`].
    pub(super) unsafe fn winograd(
        &self,
        call: &KernelCall,
        window: Window,
        task: usize,
        scratch: &mut Scratch,
    ) {
        let cut = self.winograd_cut(call, window);
        let space = Workspace::new(call.input.channels, self.kernels.tile());
        let begin = task / cut.groups() * cut.chunk;
        let filters = scratch.numbers.as_mut_ptr();
        let patches = filters.wrapping_add(POINTS * space.filter_pitch());
        let sums = patches.wrapping_add(POINTS * space.patch_pitch());
        let n = cut.chunk.min(cut.tiles - begin);
        let chunk = Chunk { begin, n, space, filters, patches, sums };
        let first = task % cut.groups() * cut.group;
        let end = (first + cut.group).min(cut.panels);
        // SAFETY: the memory of the thread is long enough for any call of the model, and the outputs belong to the task.
        unsafe {
            self.patches(call, window, &chunk, scratch);
            for panel in (first..end).step_by(self.kernels.tile_panels()) {
                let panels = self.kernels.tile_panels().min(end - panel);
                self.products(call, &chunk, [panel, panels]);
                self.finish(call, window, &chunk, [panel, panels]);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`]; the memory of the chunk is that of the thread.
    unsafe fn patches(&self, call: &KernelCall, window: Window, chunk: &Chunk, scratch: &mut Scratch) {
        let input = call.input;
        let grids = Grids::new(call.output.size, window.dilation);
        for tile in 0..chunk.n {
            let (image, first) = grids.locate(chunk.begin + tile);
            // SAFETY: the call belongs to the program, and only pointers to positions inside the input are read.
            let base = unsafe { self.feature(input, image * input.frame_len()).cast_const() };
            for (point, pixel) in scratch.pointers[..POINTS].iter_mut().enumerate() {
                // A position above or left of the input wraps to a large number, which is outside as well.
                let y = window.along(0).source(first[0], point / PATCH);
                let x = window.along(1).source(first[1], point % PATCH);
                let inside = y < input.size[0] && x < input.size[1];
                *pixel = if inside {
                    base.wrapping_add((y * input.size[1] + x) * input.stride_c * input.bytes)
                } else {
                    self.zeros.as_ptr().cast()
                };
            }
            // SAFETY: the pixels and the zeros have as many numbers as the channel stride.
            unsafe {
                let patch = Patch {
                    pixels: scratch.pointers.as_ptr(),
                    channels: padded(input.channels),
                    out: chunk.patches.add(tile * DEPTH),
                    pitch: chunk.space.patch_pitch(),
                    block: chunk.space.tiles * DEPTH,
                };
                (self.kernels.patch)(&patch);
            }
        }
    }

    /// # Safety
    /// As [`Self::patches`], which has been called.
    unsafe fn products(&self, call: &KernelCall, chunk: &Chunk, [panel, panels]: [usize; 2]) {
        let weights = self.weights(call.work);
        let space = chunk.space;
        let width = panels * PANEL;
        for block in 0..space.blocks {
            let depth = DEPTH.min(call.input.channels - block * DEPTH);
            // SAFETY: the weights have these panels and input channels, and the memory is laid out by `space`.
            unsafe {
                let filters = Filters {
                    weights: weights
                        .numbers
                        .as_ptr()
                        .add(panel * weights.panel_stride + block * DEPTH * PANEL),
                    tap_stride: weights.tap_stride,
                    panel_stride: weights.panel_stride,
                    depth,
                    width,
                    out: chunk.filters,
                    pitch: space.filter_pitch(),
                };
                (self.kernels.filters)(&filters);
            }
            for point in 0..POINTS {
                let mut tile = 0;
                while tile < chunk.n {
                    let rest = chunk.n - tile;
                    let tiles = rest.div_ceil(rest.div_ceil(self.kernels.tile_pixels()));
                    // SAFETY: as above.
                    unsafe {
                        let patches = chunk.patches.add(point * space.patch_pitch());
                        let product = Product {
                            inputs: patches.add((block * space.tiles + tile) * DEPTH),
                            filters: chunk.filters.add(point * space.filter_pitch()),
                            sums: chunk.sums.add(point * space.sum_pitch() + tile * width),
                            depth,
                            continues: block > 0,
                        };
                        (self.kernels.product[panels - 1][tiles - 1])(&product);
                    }
                    tile += tiles;
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::products`], which has been called.
    unsafe fn finish(&self, call: &KernelCall, window: Window, chunk: &Chunk, [panel, panels]: [usize; 2]) {
        let output = call.output;
        let (c, width) = (panel * PANEL, panels * PANEL);
        let grids = Grids::new(output.size, window.dilation);
        let [line, column] = window.dilation;
        for tile in 0..chunk.n {
            let (image, first) = grids.locate(chunk.begin + tile);
            let inside = grids.inside(first);
            if inside.contains(&0) {
                continue;
            }
            let pixel = image * output.frame_pixels() + first[0] * output.size[1] + first[1];
            // SAFETY: only outputs inside the feature map are written.
            unsafe {
                let tile = Sums {
                    sums: chunk.sums.add(tile * width),
                    pitch: chunk.space.sum_pitch(),
                    width,
                    out: self.feature(output, pixel * output.stride_c + c),
                    strides: [line * output.size[1] * output.stride_c, column * output.stride_c],
                    inside,
                    epilogue: self.epilogue(call, pixel, c),
                };
                (self.kernels.sums)(&tile);
            }
        }
    }
}
