//! The arithmetic, one text for all instruction sets: kernels generic over [`Lanes`], compiled once per set.
//!
//! Everything that goes through a raw pointer is in this folder, and nothing else in the crate is `unsafe`.
//! Invariants, which the planner establishes and every kernel relies on:
//! - a feature map is `[n, h, w, stride]` f32 with `stride` = channels rounded up to [`PANEL`]; the input of the
//!   network alone may have stride = channels, and then only dense convolutions read it;
//! - lanes above the channels (the *tail*) hold something finite or not that is never moved into another lane, so
//!   no kernel needs a remainder loop; scale and shift are 0 there, so that the tail is small for finite weights;
//! - an output is summed in the order of taps and input channels, whichever tile, thread or batch it falls in, so
//!   results do not depend on any of these, bit for bit.

#![allow(unsafe_code)]

mod memory;
pub(crate) use memory::{Arena, Buffer, Scratch};

mod lanes;
use lanes::Lanes;

mod epilogue;
pub(crate) use epilogue::Epilogue;

mod curve;
pub(crate) use curve::Curve;

mod dense;
mod depthwise;
mod max_pool;
mod pointwise;
mod pool;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

mod execute;
pub(crate) use execute::taps_of_largest_kernel;

mod team;
pub(crate) use team::Team;

use crate::Isa;

/// Sizes along height and width.
type Pair = [usize; 2];

/// Channels in a panel of packed weights, and the unit of a feature map's channel stride.
pub(crate) const PANEL: usize = 16;

/// Channel stride of a feature map.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

/// Most pixels that a dense tile of any instruction set has.
const MAX_TILE_PIXELS: usize = 12;

/// One instruction set's kernels.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// Dense tiles, `[panels - 1][pixels - 1]`.
    dense: &'static [&'static [unsafe fn(&dense::Tile)]],
    depthwise: unsafe fn(&depthwise::Row),
    max_pool: unsafe fn(&max_pool::Row),
    pointwise: unsafe fn(&pointwise::Span),
    pool: unsafe fn(&pool::Column),
}

impl Kernels {
    /// Those of an instruction set; the portable ones where it is not compiled in.
    ///
    /// # Panics
    /// The processor lacks the set: running its kernels would be undefined.
    pub(crate) fn of(isa: Isa) -> &'static Self {
        assert!(isa.is_available(), "instruction sets are chosen among the available ones");
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::KERNELS,
            _ => &portable::KERNELS,
        }
    }

    fn tile_pixels(&self) -> usize {
        self.dense[0].len()
    }

    fn tile_panels(&self) -> usize {
        self.dense.len()
    }
}

/// Compiles the generic kernels for one lane type, each with the attributes given, and lists them in `KERNELS`.
///
/// `tiles` has one entry per number of panels that a dense tile can span: vectors that make it up, then the pixels
/// it can have, from 1 on.
macro_rules! kernels_for {
    ($lanes:ty, [$($feature:meta)?], tiles: [$($vectors:literal: [$($pixels:literal),+]),+], row: $row:literal) => {
        $(#[$feature])?
        unsafe fn dense_tile<const P: usize, const V: usize>(tile: &super::dense::Tile) {
            // SAFETY: same contract, and the feature is on.
            unsafe { super::dense::tile::<$lanes, P, V>(tile) }
        }

        $(#[$feature])?
        unsafe fn depthwise_row(row: &super::depthwise::Row) {
            // SAFETY: same contract, and the feature is on.
            unsafe { super::depthwise::row::<$lanes, $row>(row) }
        }

        $(#[$feature])?
        unsafe fn max_pool_row(row: &super::max_pool::Row) {
            // SAFETY: same contract, and the feature is on.
            unsafe { super::max_pool::row::<$lanes>(row) }
        }

        $(#[$feature])?
        unsafe fn pointwise_span(span: &super::pointwise::Span) {
            // SAFETY: same contract, and the feature is on.
            unsafe { super::pointwise::span::<$lanes>(span) }
        }

        $(#[$feature])?
        unsafe fn pool_column(column: &super::pool::Column) {
            // SAFETY: same contract, and the feature is on.
            unsafe { super::pool::column::<$lanes>(column) }
        }

        pub(super) static KERNELS: super::Kernels = super::Kernels {
            dense: &[$(&[$(dense_tile::<$pixels, $vectors>),+]),+],
            depthwise: depthwise_row,
            max_pool: max_pool_row,
            pointwise: pointwise_span,
            pool: pool_column,
        };
    };
}
use kernels_for;

#[cfg(test)]
mod tests;
