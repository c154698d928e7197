//! The buffers of one image on its way from file to batch, reused from image to image.
//!
//! Separate so that every stage can lend memory to the next without allocating.

use std::sync::{Mutex, PoisonError};

use crate::resize::Resizer;

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
    pub(crate) resizer: Resizer,
}

/// As many of them as images are worked on at the same time.
#[derive(Debug, Default)]
pub(crate) struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    /// Lends buffers to a piece of work; a panic in it loses them, which costs nothing but memory.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.lock(Vec::pop).unwrap_or_default();
        let result = work(&mut scratch);
        self.lock(|pool| pool.push(scratch));
        result
    }

    fn lock<T>(&self, change: impl FnOnce(&mut Vec<Scratch>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
