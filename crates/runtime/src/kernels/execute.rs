//! Cuts a kernel call into tasks, and computes the part of the output that belongs to a task.

use super::{
    Buffer, Epilogue, Filter, Kernels, Scratch, dense, depthwise, pointwise, pool, resample, window_pool,
};
use crate::kernels::{MAX_TILE_PIXELS, PANEL};
use crate::pack::Packed;
use crate::program::{Feature, KernelCall, Program, Window, Work};

/// Tasks per thread that a call is cut into, so that threads of unequal speed finish at about the same time.
const TASKS_PER_THREAD: usize = 8;

/// The most input numbers that a dense task reads, so that they stay in the second-level cache from panel to panel.
const DENSE_TASK_INPUT: usize = 1 << 16;

/// Number of channels that a pooling task averages.
const POOL_CHANNELS: usize = 4 * PANEL;

/// The number of taps of the largest dense kernel among the calls.
pub(crate) fn taps_of_largest_kernel<'a>(calls: impl Iterator<Item = &'a KernelCall>) -> usize {
    let taps = calls.map(|call| match call.work {
        Work::Dense { window, .. } | Work::Transposed { window, .. } => window.taps(),
        _ => 1,
    });
    taps.max().unwrap_or(1)
}

/// A pass over `n` images of one row.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) kernels: &'static Kernels,
    /// Packed weights by node, one for each of its inputs.
    pub(super) weights: &'a [Vec<Packed>],
    /// At least as many zeros as any layer has input channels.
    pub(super) zeros: &'a Buffer,
    pub(super) program: &'a Program,
    pub(super) n: usize,
    pub(super) threads: usize,
    /// The start of an arena that has at least `n` times the length that the program needs.
    pub(super) arena: *mut f32,
}

/// How a dense layer is cut: pixels into chunks, and panels into groups. A task is one chunk and one group.
struct Cut {
    /// Output pixels of all images.
    pixels: usize,
    /// Output pixels that a tile may not cross: a scanline, or all of them if scanlines do not matter.
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
}

impl Pass<'_> {
    /// The number of tasks that a call is cut into.
    pub(super) fn tasks(&self, call: &KernelCall) -> usize {
        let output = call.output;
        match call.work {
            Work::Dense { window, .. } | Work::Transposed { window, .. } => {
                let cut = self.cut(call, window);
                cut.chunks() * cut.groups()
            }
            Work::Depthwise { .. } | Work::MaxPool { .. } | Work::AvgPool { .. } | Work::Resize { .. } => {
                (self.n * output.size[0]).div_ceil(self.lines_of_task(output))
            }
            Work::Pointwise => (self.n * output.pixels()).div_ceil(self.span_pixels(output)),
            Work::Pool => self.n * output.stride_c.div_ceil(POOL_CHANNELS),
        }
    }

    /// Computes one task of a call.
    ///
    /// # Safety
    /// All calls before this one are done, and no other thread has the same task.
    pub(super) unsafe fn execute(&self, call: &KernelCall, task: usize, scratch: &mut Scratch) {
        // SAFETY: same contract.
        unsafe {
            match call.work {
                Work::Dense { window, .. } | Work::Transposed { window, .. } => {
                    self.dense(call, window, task, scratch);
                }
                Work::Depthwise { window, .. } => self.depthwise(call, window, task),
                Work::MaxPool { window } => self.window_pool(call, window, (task, self.kernels.largest)),
                Work::AvgPool { window } => self.window_pool(call, window, (task, self.kernels.mean)),
                Work::Resize { filter } => self.resize(call, filter, task),
                Work::Pointwise => self.pointwise(call, task),
                Work::Pool => self.pool(call, task),
            }
        }
    }

    fn weights(&self, work: Work) -> &Packed {
        match work {
            Work::Dense { weights, block, .. } => &self.weights[weights.0][block],
            Work::Depthwise { weights, .. } | Work::Transposed { weights, .. } => &self.weights[weights.0][0],
            _ => unreachable!("only convolutions and linear layers ask for weights"),
        }
    }

    /// Pointer to the first number of a feature map.
    ///
    /// # Safety
    /// The feature belongs to the program.
    unsafe fn feature(&self, feature: Feature) -> *mut f32 {
        // SAFETY: the program's features lie inside the arena for any number of images up to its capacity.
        unsafe { self.arena.add(self.n * feature.start) }
    }

    /// The epilogue for the outputs that begin at channel `c` of pixel `pixel`.
    ///
    /// # Safety
    /// The call belongs to the program, and its output has this channel and this pixel.
    unsafe fn epilogue(&self, call: &KernelCall, pixel: usize, c: usize) -> Epilogue {
        // SAFETY: scale and shift are as long as the channel stride; the residual has the output's shape.
        unsafe {
            let scale = self.program.coefficients.as_ptr().add(call.coefficients);
            let residual = call.residual.map_or(std::ptr::null(), |residual| {
                self.feature(residual).add(pixel * residual.stride_c + c).cast_const()
            });
            let shift = scale.add(call.output.stride_c + c);
            let KernelCall { pre, post, curve, .. } = *call;
            Epilogue { scale: scale.add(c), shift, residual, pre, post, curve }
        }
    }

    fn cut(&self, call: &KernelCall, window: Window) -> Cut {
        let pixels = self.n * call.output.pixels();
        let line = if window.is_point() { pixels } else { call.output.size[1] };
        let unit = if window.is_point() { self.kernels.tile_pixels() } else { line };
        let read = call.input.channels * window.stride[0] * window.stride[1];
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
    unsafe fn dense(&self, call: &KernelCall, window: Window, task: usize, scratch: &mut Scratch) {
        let cut = self.cut(call, window);
        let (chunk, group) = (task / cut.groups(), task % cut.groups());
        let begin = chunk * cut.chunk;
        let end = (begin + cut.chunk).min(cut.pixels);
        let panel_end = ((group + 1) * cut.group).min(cut.panels);
        for panel in (group * cut.group..panel_end).step_by(self.kernels.tile_panels()) {
            let panels = self.kernels.tile_panels().min(panel_end - panel);
            let mut pixel = begin;
            while pixel < end {
                // The tiles of a scanline are as equal as possible, because a last tile of few pixels would be slow.
                let rest = end.min((pixel / cut.line + 1) * cut.line) - pixel;
                let pixels = rest.div_ceil(rest.div_ceil(self.kernels.tile_pixels()));
                // SAFETY: the tile lies inside the part of the output that belongs to the task.
                unsafe {
                    self.point(call, window, [pixel, pixels], scratch);
                    self.tile(call, window, [pixel, pixels], [panel, panels], scratch);
                }
                pixel += pixels;
            }
        }
    }

    /// Fills the table of pointers for outputs `pixel..pixel + pixels`, which lie in one scanline.
    ///
    /// # Safety
    /// As [`Self::execute`].
    unsafe fn point(
        &self,
        call: &KernelCall,
        window: Window,
        [pixel, pixels]: [usize; 2],
        scratch: &mut Scratch,
    ) {
        let (input, output) = (call.input, call.output);
        let stride_c = input.stride_c;
        // SAFETY: the call belongs to the program, and only pointers to positions inside the input are read.
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
            let [ky, kx] = [ky * window.dilation[0], kx * window.dilation[1]];
            if let Work::Transposed { .. } = call.work {
                let line = window.source(0, y, ky);
                for (p, pointer) in pointers.iter_mut().enumerate() {
                    let column = window.source(1, x + p, kx);
                    let inside = line < input.size[0] && column < input.size[1];
                    let at = line.wrapping_mul(input.size[1]).wrapping_add(column).wrapping_mul(stride_c);
                    *pointer = if inside { base.wrapping_add(at) } else { self.zeros.as_ptr() };
                }
                continue;
            }
            // A position above the input wraps to a large number, which is outside as well.
            let iy = (y * window.stride[0] + ky).wrapping_sub(window.padding[0]);
            let line = base.wrapping_add(iy.wrapping_mul(input.size[1] * stride_c));
            let mut ix = (x * window.stride[1] + kx).wrapping_sub(window.padding[1]);
            for pointer in pointers {
                let inside = iy < input.size[0] && ix < input.size[1];
                let at = line.wrapping_add(ix.wrapping_mul(stride_c));
                *pointer = if inside { at } else { self.zeros.as_ptr() };
                ix = ix.wrapping_add(window.stride[1]);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`]; the table of pointers was filled for these pixels.
    unsafe fn tile(
        &self,
        call: &KernelCall,
        window: Window,
        [pixel, pixels]: [usize; 2],
        [panel, panels]: [usize; 2],
        scratch: &Scratch,
    ) {
        let weights = self.weights(call.work);
        let stride_c = call.output.stride_c;
        let c = panel * PANEL;
        // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
        unsafe {
            let tile = dense::Tile {
                pointers: scratch.pointers.as_ptr(),
                taps: window.taps(),
                in_channels: call.input.channels,
                weights: weights.numbers.as_ptr().add(panel * weights.panel_stride),
                tap_stride: weights.tap_stride,
                panel_stride: weights.panel_stride,
                out: self.feature(call.output).add(pixel * stride_c + c),
                out_stride: stride_c,
                epilogue: self.epilogue(call, pixel, c),
            };
            debug_assert!(pixels <= MAX_TILE_PIXELS);
            (self.kernels.dense[panels - 1][pixels - 1])(&tile);
        }
    }

    fn lines_of_task(&self, output: Feature) -> usize {
        (self.n * output.size[0]).div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn depthwise(&self, call: &KernelCall, window: Window, task: usize) {
        let (input, output) = (call.input, call.output);
        let weights = self.weights(call.work);
        let lines = self.lines_of_task(output);
        for line in task * lines..((task + 1) * lines).min(self.n * output.size[0]) {
            let (image, pixel) = (line / output.size[0], line * output.size[1]);
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let line = depthwise::Scanline {
                    input: self.feature(input).add(image * input.len()),
                    size: input.size,
                    stride_c: output.stride_c,
                    weights: weights.numbers.as_ptr(),
                    weight_stride: weights.tap_stride,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    dilation: window.dilation,
                    y: line % output.size[0],
                    width: output.size[1],
                    out: self.feature(output).add(pixel * output.stride_c),
                    epilogue: self.epilogue(call, pixel, 0),
                };
                (self.kernels.depthwise)(&line);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn window_pool(
        &self,
        call: &KernelCall,
        window: Window,
        (task, kernel): (usize, unsafe fn(&window_pool::Scanline)),
    ) {
        let (input, output) = (call.input, call.output);
        let lines = self.lines_of_task(output);
        for line in task * lines..((task + 1) * lines).min(self.n * output.size[0]) {
            let (image, pixel) = (line / output.size[0], line * output.size[1]);
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let line = window_pool::Scanline {
                    input: self.feature(input).add(image * input.len()),
                    size: input.size,
                    stride_c: output.stride_c,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    y: line % output.size[0],
                    width: output.size[1],
                    out: self.feature(output).add(pixel * output.stride_c),
                    epilogue: self.epilogue(call, pixel, 0),
                };
                kernel(&line);
            }
        }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn resize(&self, call: &KernelCall, filter: Filter, task: usize) {
        let (input, output) = (call.input, call.output);
        let lines = self.lines_of_task(output);
        for line in task * lines..((task + 1) * lines).min(self.n * output.size[0]) {
            let (image, pixel) = (line / output.size[0], line * output.size[1]);
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let line = resample::Scanline {
                    filter,
                    input: self.feature(input).add(image * input.len()),
                    size: input.size,
                    out_size: output.size,
                    stride_c: output.stride_c,
                    y: line % output.size[0],
                    out: self.feature(output).add(pixel * output.stride_c),
                    epilogue: self.epilogue(call, pixel, 0),
                };
                (self.kernels.resample)(&line);
            }
        }
    }

    fn span_pixels(&self, output: Feature) -> usize {
        (self.n * output.pixels()).div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn pointwise(&self, call: &KernelCall, task: usize) {
        let (input, output) = (call.input, call.output);
        let pixels = self.span_pixels(output);
        let mut begin = task * pixels;
        let end = (begin + pixels).min(self.n * output.pixels());
        while begin < end {
            let image = begin / output.pixels();
            let stop = end.min((image + 1) * output.pixels());
            // SAFETY: the call belongs to the program; input, output and residual have one shape, and a gate has one pixel.
            unsafe {
                let span = pointwise::Span {
                    input: self.feature(input).add(begin * input.stride_c),
                    gate: call.gate.map_or(std::ptr::null(), |gate| {
                        self.feature(gate).add(image * gate.stride_c).cast_const()
                    }),
                    out: self.feature(output).add(begin * output.stride_c),
                    pixels: stop - begin,
                    stride_c: output.stride_c,
                    epilogue: self.epilogue(call, begin, 0),
                };
                (self.kernels.pointwise)(&span);
            }
            begin = stop;
        }
    }

    /// # Safety
    /// As [`Self::execute`].
    unsafe fn pool(&self, call: &KernelCall, task: usize) {
        let (input, output) = (call.input, call.output);
        let blocks = output.stride_c.div_ceil(POOL_CHANNELS);
        let (image, c) = (task / blocks, task % blocks * POOL_CHANNELS);
        // SAFETY: the call belongs to the program, and input and output have the same channels.
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
