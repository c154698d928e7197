//! One step of a plan, cut into tasks: which part of the output a task computes, and with which kernel.

use super::{Buffer, Epilogue, Kernels, Scratch, dense, depthwise, max_pool, pointwise, pool};
use crate::kernels::{MAX_TILE_PIXELS, PANEL};
use crate::pack::Packed;
use crate::plan::{Feature, Plan, Step, Window, Work};

/// Tasks that a step is cut into per thread, so that threads of unequal speed end together.
const TASKS_PER_THREAD: usize = 8;

/// Numbers of input that a dense task reads at most, so that they stay in the second-level cache from panel to panel.
const DENSE_TASK_INPUT: usize = 1 << 16;

/// Channels that a pooling task averages.
const POOL_CHANNELS: usize = 4 * PANEL;

/// Taps of the largest dense kernel of some steps.
pub(crate) fn taps_of_largest_kernel<'a>(steps: impl Iterator<Item = &'a Step>) -> usize {
    let taps = steps.map(|step| match step.work {
        Work::Dense { window, .. } => window.taps(),
        _ => 1,
    });
    taps.max().unwrap_or(1)
}

/// A pass over `n` images of one row.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) kernels: &'static Kernels,
    /// By node.
    pub(super) weights: &'a [Option<Packed>],
    /// At least as many as any layer has input channels.
    pub(super) zeros: &'a Buffer,
    pub(super) plan: &'a Plan,
    pub(super) n: usize,
    pub(super) threads: usize,
    /// Of an arena that holds `n` times the plan's length.
    pub(super) arena: *mut f32,
}

/// How a dense layer is cut: pixels into chunks, panels into groups; a task is one of each.
struct Cut {
    /// Output pixels of all images; in a row of the feature map, or all where rows need not be told apart.
    pixels: usize,
    row: usize,
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
}

impl Pass<'_> {
    /// Into how many tasks a step is cut.
    pub(super) fn tasks(&self, step: &Step) -> usize {
        let output = step.output;
        match step.work {
            Work::Dense { window, .. } => {
                let cut = self.cut(step, window);
                cut.chunks() * cut.groups()
            }
            Work::Depthwise { .. } | Work::MaxPool { .. } => {
                (self.n * output.size[0]).div_ceil(self.rows_of_task(output))
            }
            Work::Pointwise => (self.n * output.pixels()).div_ceil(self.span_pixels(output)),
            Work::Pool => self.n * output.stride_c.div_ceil(POOL_CHANNELS),
        }
    }

    /// Computes one task of a step.
    ///
    /// # Safety
    /// The steps before are done, and no other thread has the same task.
    pub(super) unsafe fn execute(&self, step: &Step, task: usize, scratch: &mut Scratch) {
        // SAFETY: same contract.
        unsafe {
            match step.work {
                Work::Dense { window, .. } => self.dense(step, window, task, scratch),
                Work::Depthwise { window, .. } => self.depthwise(step, window, task),
                Work::MaxPool { window } => self.max_pool(step, window, task),
                Work::Pointwise => self.pointwise(step, task),
                Work::Pool => self.pool(step, task),
            }
        }
    }

    fn weights(&self, work: Work) -> &Packed {
        let (Work::Dense { weights, .. } | Work::Depthwise { weights, .. }) = work else {
            unreachable!("only convolutions and linear layers ask for weights")
        };
        self.weights[weights.0].as_ref().expect("every layer that has weights was packed")
    }

    /// First number of a feature map.
    ///
    /// # Safety
    /// The feature is the plan's.
    unsafe fn feature(&self, feature: Feature) -> *mut f32 {
        // SAFETY: the plan's features lie inside of the arena, for any number of images that it was made for.
        unsafe { self.arena.add(self.n * feature.start) }
    }

    /// The epilogue for outputs from channel `c` of pixel `pixel` on.
    ///
    /// # Safety
    /// The step is the plan's; the channel and the pixel are its output's.
    unsafe fn epilogue(&self, step: &Step, pixel: usize, c: usize) -> Epilogue {
        // SAFETY: scale and shift are as long as the channel stride; the residual has the output's shape.
        unsafe {
            let scale = self.plan.coefficients.as_ptr().add(step.coefficients);
            let residual = step.residual.map_or(std::ptr::null(), |residual| {
                self.feature(residual).add(pixel * residual.stride_c + c).cast_const()
            });
            let shift = scale.add(step.output.stride_c + c);
            let Step { pre, post, curve, .. } = *step;
            Epilogue { scale: scale.add(c), shift, residual, pre, post, curve }
        }
    }

    fn cut(&self, step: &Step, window: Window) -> Cut {
        let pixels = self.n * step.output.pixels();
        let row = if window.is_point() { pixels } else { step.output.size[1] };
        let unit = if window.is_point() { self.kernels.tile_pixels() } else { row };
        let read = step.input.channels * window.stride[0] * window.stride[1];
        let panels = step.output.stride_c / PANEL;
        let step_panels = self.kernels.tile_panels();
        let wanted = if self.threads == 1 { 1 } else { self.threads * TASKS_PER_THREAD };
        let chunk = (DENSE_TASK_INPUT / read).min(pixels.div_ceil(wanted)).max(1).next_multiple_of(unit);
        let groups = wanted.div_ceil(pixels.div_ceil(chunk)).min(panels.div_ceil(step_panels));
        let group = panels.div_ceil(groups).next_multiple_of(step_panels);
        Cut { pixels, row, chunk, panels, group }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn dense(&self, step: &Step, window: Window, task: usize, scratch: &mut Scratch) {
        let cut = self.cut(step, window);
        let (chunk, group) = (task / cut.groups(), task % cut.groups());
        let begin = chunk * cut.chunk;
        let end = (begin + cut.chunk).min(cut.pixels);
        let panel_end = ((group + 1) * cut.group).min(cut.panels);
        for panel in (group * cut.group..panel_end).step_by(self.kernels.tile_panels()) {
            let panels = self.kernels.tile_panels().min(panel_end - panel);
            let mut pixel = begin;
            while pixel < end {
                // Tiles of a row are as equal as possible: a last one of few pixels would be slow.
                let rest = end.min((pixel / cut.row + 1) * cut.row) - pixel;
                let pixels = rest.div_ceil(rest.div_ceil(self.kernels.tile_pixels()));
                // SAFETY: the tile lies inside of the task's part of the output.
                unsafe {
                    self.point(step, window, [pixel, pixels], scratch);
                    self.tile(step, window, [pixel, pixels], [panel, panels], scratch);
                }
                pixel += pixels;
            }
        }
    }

    /// Fills the table of pointers for outputs `pixel..pixel + pixels`, which lie in one row.
    ///
    /// # Safety
    /// As [`Self::execute`].
    unsafe fn point(&self, step: &Step, window: Window, [pixel, pixels]: [usize; 2], scratch: &mut Scratch) {
        let (input, output) = (step.input, step.output);
        let stride_c = input.stride_c;
        // SAFETY: the step is the plan's; offsets are computed for positions inside of the input only.
        let base = unsafe { self.feature(input) }.cast_const();
        if window.is_point() {
            for (p, pointer) in scratch.pointers[..pixels].iter_mut().enumerate() {
                *pointer = base.wrapping_add((pixel + p) * stride_c);
            }
            return;
        }
        let image = pixel / output.pixels();
        let [y, x] = [pixel % output.pixels() / output.size[1], pixel % output.size[1]];
        let base = base.wrapping_add(image * input.len());
        for (tap, pointers) in scratch.pointers.chunks_exact_mut(pixels).take(window.taps()).enumerate() {
            let [ky, kx] = [tap / window.kernel[1], tap % window.kernel[1]];
            // Above the input wraps to a large number, which is outside as well.
            let iy = (y * window.stride[0] + ky).wrapping_sub(window.padding[0]);
            let row = base.wrapping_add(iy.wrapping_mul(input.size[1] * stride_c));
            let mut ix = (x * window.stride[1] + kx).wrapping_sub(window.padding[1]);
            for pointer in pointers {
                let inside = iy < input.size[0] && ix < input.size[1];
                let at = row.wrapping_add(ix.wrapping_mul(stride_c));
                *pointer = if inside { at } else { self.zeros.as_ptr() };
                ix = ix.wrapping_add(window.stride[1]);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`]; the table of pointers is that of the pixels.
    unsafe fn tile(
        &self,
        step: &Step,
        window: Window,
        [pixel, pixels]: [usize; 2],
        [panel, panels]: [usize; 2],
        scratch: &Scratch,
    ) {
        let weights = self.weights(step.work);
        let stride_c = step.output.stride_c;
        let c = panel * PANEL;
        // SAFETY: the step is the plan's, so that all sizes are those of what the pointers point to.
        unsafe {
            let tile = dense::Tile {
                pointers: scratch.pointers.as_ptr(),
                taps: window.taps(),
                in_channels: step.input.channels,
                weights: weights.numbers.as_ptr().add(panel * weights.panel_stride),
                tap_stride: weights.tap_stride,
                panel_stride: weights.panel_stride,
                out: self.feature(step.output).add(pixel * stride_c + c),
                out_stride: stride_c,
                epilogue: self.epilogue(step, pixel, c),
            };
            debug_assert!(pixels <= MAX_TILE_PIXELS);
            (self.kernels.dense[panels - 1][pixels - 1])(&tile);
        }
    }

    fn rows_of_task(&self, output: Feature) -> usize {
        (self.n * output.size[0]).div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn depthwise(&self, step: &Step, window: Window, task: usize) {
        let (input, output) = (step.input, step.output);
        let weights = self.weights(step.work);
        let rows = self.rows_of_task(output);
        for row in task * rows..((task + 1) * rows).min(self.n * output.size[0]) {
            let (image, pixel) = (row / output.size[0], row * output.size[1]);
            // SAFETY: the step is the plan's, so that all sizes are those of what the pointers point to.
            unsafe {
                let row = depthwise::Row {
                    input: self.feature(input).add(image * input.len()),
                    size: input.size,
                    stride_c: output.stride_c,
                    weights: weights.numbers.as_ptr(),
                    weight_stride: weights.tap_stride,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    y: row % output.size[0],
                    width: output.size[1],
                    out: self.feature(output).add(pixel * output.stride_c),
                    epilogue: self.epilogue(step, pixel, 0),
                };
                (self.kernels.depthwise)(&row);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn max_pool(&self, step: &Step, window: Window, task: usize) {
        let (input, output) = (step.input, step.output);
        let rows = self.rows_of_task(output);
        for row in task * rows..((task + 1) * rows).min(self.n * output.size[0]) {
            let (image, pixel) = (row / output.size[0], row * output.size[1]);
            // SAFETY: the step is the plan's, so that all sizes are those of what the pointers point to.
            unsafe {
                let row = max_pool::Row {
                    input: self.feature(input).add(image * input.len()),
                    size: input.size,
                    stride_c: output.stride_c,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    y: row % output.size[0],
                    width: output.size[1],
                    out: self.feature(output).add(pixel * output.stride_c),
                    epilogue: self.epilogue(step, pixel, 0),
                };
                (self.kernels.max_pool)(&row);
            }
        }
    }

    fn span_pixels(&self, output: Feature) -> usize {
        (self.n * output.pixels()).div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn pointwise(&self, step: &Step, task: usize) {
        let (input, output) = (step.input, step.output);
        let pixels = self.span_pixels(output);
        let mut begin = task * pixels;
        let end = (begin + pixels).min(self.n * output.pixels());
        while begin < end {
            let image = begin / output.pixels();
            let stop = end.min((image + 1) * output.pixels());
            // SAFETY: the step is the plan's, and input, output and residual have one shape; a gate has one pixel.
            unsafe {
                let span = pointwise::Span {
                    input: self.feature(input).add(begin * input.stride_c),
                    gate: step.gate.map_or(std::ptr::null(), |gate| {
                        self.feature(gate).add(image * gate.stride_c).cast_const()
                    }),
                    out: self.feature(output).add(begin * output.stride_c),
                    pixels: stop - begin,
                    stride_c: output.stride_c,
                    epilogue: self.epilogue(step, begin, 0),
                };
                (self.kernels.pointwise)(&span);
            }
            begin = stop;
        }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn pool(&self, step: &Step, task: usize) {
        let (input, output) = (step.input, step.output);
        let blocks = output.stride_c.div_ceil(POOL_CHANNELS);
        let (image, c) = (task / blocks, task % blocks * POOL_CHANNELS);
        // SAFETY: the step is the plan's, and input and output have the same channels.
        unsafe {
            let column = pool::Column {
                input: self.feature(input).add(image * input.len() + c),
                positions: input.pixels(),
                stride_c: input.stride_c,
                channels: POOL_CHANNELS.min(output.stride_c - c),
                out: self.feature(output).add(image * output.stride_c + c),
            };
            (self.kernels.pool)(&column);
        }
    }
}
