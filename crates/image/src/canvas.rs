//! The buffers that an image is decoded and drawn in, reused from image to image.
//!
//! Separate so that every stage can hand its memory to the next without allocating.

use crate::resize::Resizer;
use crate::stages::StageTimes;

/// What an image is decoded and drawn on. The content of the buffers between two images does not matter.
#[derive(Debug, Default)]
pub struct Canvas {
    /// What was decoded from the file.
    pub decoded: Vec<u8>,
    /// The image at the batch's resolution.
    pub resized: Vec<u8>,
    /// Memory in which an augmentation draws the image again.
    pub spare: Vec<u8>,
    /// Resizes, with buffers of its own.
    pub resizer: Resizer,
    /// Time spent on the images in these buffers.
    pub times: StageTimes,
}
