//! Where the time of an image goes between file and batch, summed while loading at the cost of a few clock reads.
//!
//! Separate from the stages so that a loader can report its bottleneck.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Thread time of every stage, summed over images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimes {
    /// Images or clips that went through all stages; whoever makes them counts them.
    pub images: u64,
    /// Reading bytes from files.
    pub read: Duration,
    /// Decoding bytes to pixels.
    pub decode: Duration,
    /// Resizing the crop to the batch's resolution.
    pub resize: Duration,
    /// Changing colors, flipping, RandAugment, erasing.
    pub augment: Duration,
    /// Turning pixels into the floats of the batch.
    pub normalize: Duration,
}

impl StageTimes {
    /// The stages by name, in the order in which an image goes through them.
    pub fn stages(&self) -> [(&'static str, Duration); 5] {
        [
            ("read", self.read),
            ("decode", self.decode),
            ("resize", self.resize),
            ("augment", self.augment),
            ("normalize", self.normalize),
        ]
    }

    /// Time of all stages together.
    pub fn total(&self) -> Duration {
        self.stages().iter().map(|(_, time)| *time).sum()
    }
}

impl AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.read += other.read;
        self.decode += other.decode;
        self.resize += other.resize;
        self.augment += other.augment;
        self.normalize += other.normalize;
    }
}

/// Runs `work` and adds the time it takes.
pub fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    *sum += begun.elapsed();
    result
}
