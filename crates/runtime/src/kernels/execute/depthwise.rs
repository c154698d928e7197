//! Cuts a depthwise convolution into tasks, and computes the scanlines that belong to one.

use super::{Pass, TASKS_PER_THREAD};
use crate::kernels::depthwise;
use crate::program::{Feature, KernelCall, Window};

/// The scanlines of an output that a depthwise kernel computes at once, in the order in which tasks take them. Those of a
/// window along time go from frame to frame first, because what consecutive frames read overlaps.
struct Bands {
    /// Bands of one image or clip.
    n: usize,
    /// Scanlines of a band; the last one of a frame may have fewer.
    rows: usize,
    /// Bands of a frame.
    of_frame: usize,
    frames: usize,
    is_along_time: bool,
}

impl Bands {
    fn new(output: Feature, window: Window) -> Self {
        let rows = depthwise::most_rows(window);
        let of_frame = output.size[0].div_ceil(rows);
        let is_along_time = window.time.kernel > 1;
        Self { n: output.frames * of_frame, rows, of_frame, frames: output.frames, is_along_time }
    }

    /// Image or clip, frame and first scanline of a band.
    fn position(&self, band: usize) -> [usize; 3] {
        let (image, within) = (band / self.n, band % self.n);
        if self.is_along_time {
            [image, within % self.frames, within / self.frames * self.rows]
        } else {
            [image, within / self.of_frame, within % self.of_frame * self.rows]
        }
    }
}

impl Pass<'_> {
    pub(super) fn depthwise_tasks(&self, output: Feature, window: Window) -> usize {
        let bands = self.n * Bands::new(output, window).n;
        bands.div_ceil(self.bands_of_task(bands))
    }

    fn bands_of_task(&self, bands: usize) -> usize {
        bands.div_ceil(self.threads * TASKS_PER_THREAD)
    }

    /// # Safety
    /// As [`Self::execute`].
    pub(super) unsafe fn depthwise(&self, call: &KernelCall, window: Window, task: usize) {
        let (input, output) = (call.input, call.output);
        let weights = self.weights(call.work);
        let bands = Bands::new(output, window);
        let (all, of_task) = (self.n * bands.n, self.bands_of_task(self.n * bands.n));
        for band in task * of_task..((task + 1) * of_task).min(all) {
            let [image, t, y] = bands.position(band);
            let pixel = ((image * output.frames + t) * output.size[0] + y) * output.size[1];
            // SAFETY: the call belongs to the program, so all sizes fit the memory that the pointers point to.
            unsafe {
                let frames = self.frames(call, window.time, [image, t]);
                let skipped = frames.skipped * window.kernel[0] * window.kernel[1];
                let line = depthwise::Scanline {
                    frames,
                    size: input.size,
                    stride_c: output.stride_c,
                    weights: weights.numbers.as_ptr().add(skipped * weights.tap_stride),
                    weight_stride: weights.tap_stride,
                    kernel: window.kernel,
                    stride: window.stride,
                    padding: window.padding,
                    dilation: window.dilation,
                    y,
                    rows: bands.rows.min(output.size[0] - y),
                    width: output.size[1],
                    out: self.feature(output, pixel * output.stride_c),
                    epilogue: self.epilogue(call, pixel, 0),
                };
                (self.kernels.depthwise)(&line);
            }
        }
    }
}
