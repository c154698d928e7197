//! The buffers of one image on its way from file to batch, reused from image to image.
//!
//! Separate so that every stage can hand its memory to the next without allocating.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mutualnet_image::{Canvas, StageTimes};

/// Buffers that are reused; their content between two images does not matter.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The file.
    pub(crate) file: Vec<u8>,
    /// The file of its mask.
    pub(crate) mask_file: Vec<u8>,
    pub(crate) canvas: Canvas,
}

impl Scratch {
    /// Most bytes that a buffer keeps between two images, so that one large image does not hold memory for good.
    const KEPT_BYTES: usize = 1 << 26;

    fn shrink(&mut self) {
        for buffer in [&mut self.file, &mut self.mask_file, &mut self.canvas.decoded] {
            if buffer.capacity() > Self::KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }
}

/// Buffers for as many images as are worked on at the same time.
#[derive(Debug, Default)]
pub(crate) struct ScratchPool(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Scratch>,
    times: StageTimes,
}

impl ScratchPool {
    /// Lends buffers to a piece of work; a panic in it loses them, which costs nothing but memory.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.lock().free.pop().unwrap_or_default();
        let result = work(&mut scratch);
        scratch.shrink();
        let mut shelf = self.lock();
        shelf.times += mem::take(&mut scratch.canvas.times);
        shelf.free.push(scratch);
        result
    }

    /// Time spent so far on all images whose buffers are back.
    pub(crate) fn times(&self) -> StageTimes {
        self.lock().times
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_of_usual_images_is_kept() {
        let pool = ScratchPool::default();
        let capacity = |n: usize| {
            pool.with(|scratch| scratch.canvas.decoded.resize(n, 0));
            pool.with(|scratch| scratch.canvas.decoded.capacity())
        };
        assert!(capacity(1000) >= 1000);
        assert!(capacity(Scratch::KEPT_BYTES) >= 1000);
        assert_eq!(capacity(Scratch::KEPT_BYTES + 1), 0);
    }
}
