//! The buffers of one image on its way from file to batch, reused from image to image.
//!
//! Separate so that every stage can lend memory to the next without allocating.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::resize::Resizer;
use crate::stages::StageTimes;

/// Buffers that keep their memory; what is in them between two images means nothing.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The file.
    pub(crate) file: Vec<u8>,
    pub(crate) canvas: Canvas,
}

/// What an image is decoded and drawn on.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    /// What was decoded of the file.
    pub(crate) decoded: Vec<u8>,
    /// The image at the batch's resolution.
    pub(crate) resized: Vec<u8>,
    /// What an augmentation draws the image anew in.
    pub(crate) spare: Vec<u8>,
    pub(crate) resizer: Resizer,
    /// What the image in these buffers took.
    pub(crate) times: StageTimes,
}

/// As many of them as images are worked on at the same time.
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
        let mut shelf = self.lock();
        shelf.times += mem::take(&mut scratch.canvas.times);
        shelf.free.push(scratch);
        result
    }

    /// What all images took so far whose buffers are back.
    pub(crate) fn times(&self) -> StageTimes {
        self.lock().times
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
