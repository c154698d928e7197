//! Cuts a kernel call into tasks, and computes the part of the output that belongs to a task.

use super::{Buffer, Epilogue, Filter, Kernels, Scratch, pointwise, pool, resample, window_pool};
use crate::kernels::depthwise::{Frames, taps};
use crate::kernels::{PANEL, padded};
use crate::pack::Packed;
use crate::program::{Axis, Feature, KernelCall, Program, Window, Work};

mod dense;
mod depthwise;
mod winograd;
pub(crate) use winograd::workspace_len;

/// Tasks per thread that a call is cut into, so that threads of unequal speed finish at about the same time.
const TASKS_PER_THREAD: usize = 8;

/// Number of channels that a pooling task averages.
const POOL_CHANNELS: usize = 4 * PANEL;

/// The number of taps of the largest dense kernel among the calls.
pub(crate) fn taps_of_largest_kernel<'a>(calls: impl Iterator<Item = &'a KernelCall>) -> usize {
    let taps = calls.map(|call| match call.work {
        Work::Dense { window, .. } | Work::Winograd { window, .. } | Work::Transposed { window, .. } => {
            window.taps()
        }
        _ => 1,
    });
    taps.max().unwrap_or(1)
}

/// How many zeros a call reads for taps that fall on padding. All taps of a scanline count where the input is the images,
/// because they may be read as one.
pub(crate) fn zeros_needed(call: &KernelCall) -> usize {
    match call.work {
        Work::Dense { window, .. } if call.input.channels < PANEL => {
            padded(window.kernel[1] * call.input.channels)
        }
        _ => padded(call.input.channels),
    }
}

/// A pass over `n` images or clips of one row.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) kernels: &'static Kernels,
    /// Packed weights by node, one for each of its inputs.
    pub(super) weights: &'a [Vec<Packed>],
    /// At least as many zeros as any call needs.
    pub(super) zeros: &'a Buffer,
    pub(super) program: &'a Program,
    pub(super) n: usize,
    pub(super) threads: usize,
    /// The start of an arena that has at least `n` times the length that the program needs.
    pub(super) arena: *mut u8,
}

impl Pass<'_> {
    /// The number of tasks that a call is cut into.
    pub(super) fn tasks(&self, call: &KernelCall) -> usize {
        let output = call.output;
        match call.work {
            Work::Dense { window, .. } | Work::Transposed { window, .. } => {
                self.dense_cut(call, window).tasks()
            }
            Work::Winograd { window, .. } => self.winograd_cut(call, window).tasks(),
            Work::Depthwise { window, .. } => self.depthwise_tasks(output, window),
            Work::MaxPool { .. } | Work::AvgPool { .. } | Work::Resize { .. } => {
                self.lines(output).div_ceil(self.lines_of_task(output))
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
                Work::Winograd { window, .. } => self.winograd(call, window, task, scratch),
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
            Work::Dense { weights, block, .. } | Work::Winograd { weights, block, .. } => {
                &self.weights[weights.0][block]
            }
            Work::Depthwise { weights, .. } | Work::Transposed { weights, .. } => &self.weights[weights.0][0],
            _ => unreachable!("only convolutions and linear layers ask for weights"),
        }
    }

    /// Pointer to a number of a feature map.
    ///
    /// # Safety
    /// The feature belongs to the program and has the number, for the images of the pass.
    unsafe fn feature(&self, feature: Feature, at: usize) -> *mut u8 {
        // SAFETY: the program's features lie inside the arena for any number of images up to its capacity.
        unsafe { self.arena.add(self.n * feature.start + at * feature.bytes) }
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
                self.feature(residual, pixel * residual.stride_c + c).cast_const()
            });
            let shift = scale.add(call.output.stride_c + c);
            let KernelCall { pre, post, curve, .. } = *call;
            let is_wide = call.output.bytes > self.kernels.bytes;
            Epilogue { scale: scale.add(c), shift, residual, pre, post, is_wide, curve }
        }
    }

    /// Scanlines of all images.
    fn lines(&self, output: Feature) -> usize {
        self.n * output.frames * output.size[0]
    }

    fn lines_of_task(&self, output: Feature) -> usize {
        self.lines(output).div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// The frames that a window reads for frame `t` of an output.
    ///
    /// # Safety
    /// As [`Self::execute`].
    unsafe fn frames(&self, call: &KernelCall, time: Axis, [image, t]: [usize; 2]) -> Frames {
        let input = call.input;
        let (first, end) = taps([t * time.stride, time.padding], [time.kernel, time.dilation], input.frames);
        // Of a window that lies outside no frame is read.
        let from = if first < end { time.source(t, first) } else { 0 };
        // SAFETY: the clip has the frame.
        let start = unsafe { self.feature(input, (image * input.frames + from) * input.frame_len()) };
        Frames { start, n: end - first, stride: time.dilation * input.frame_len(), skipped: first }
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
        for line in task * lines..((task + 1) * lines).min(self.lines(output)) {
            let pixel = line * output.size[1];
            let frame = line / output.size[0];
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let line = window_pool::Scanline {
                    frames: self.frames(call, window.time, [frame / output.frames, frame % output.frames]),
                    size: input.size,
                    stride_c: output.stride_c,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    taps: window.taps(),
                    y: line % output.size[0],
                    width: output.size[1],
                    out: self.feature(output, pixel * output.stride_c),
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
        for line in task * lines..((task + 1) * lines).min(self.lines(output)) {
            let pixel = line * output.size[1];
            let (image, t) = (line / output.size[0] / output.frames, line / output.size[0] % output.frames);
            let frame = image * input.frames + resample::nearest(t, input.frames, output.frames);
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let line = resample::Scanline {
                    filter,
                    input: self.feature(input, frame * input.frame_len()),
                    size: input.size,
                    out_size: output.size,
                    stride_c: output.stride_c,
                    y: line % output.size[0],
                    out: self.feature(output, pixel * output.stride_c),
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
                    input: self.feature(input, begin * input.stride_c),
                    gate: call.gate.map_or(std::ptr::null(), |gate| {
                        self.feature(gate, image * gate.stride_c).cast_const()
                    }),
                    out: self.feature(output, begin * output.stride_c),
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
                input: self.feature(input, image * input.len() + c),
                positions: input.pixels(),
                stride_c: input.stride_c,
                channels: POOL_CHANNELS.min(output.stride_c - c),
                out: self.feature(output, image * output.stride_c + c),
                is_wide: output.bytes > self.kernels.bytes,
            };
            (self.kernels.pool)(&column);
        }
    }
}
