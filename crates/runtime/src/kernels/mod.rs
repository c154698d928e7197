//! The kernels, which are generic over [`Lanes`] and compiled once per instruction set.
//!
//! All accesses through raw pointers are in this folder, and nothing else in the crate is `unsafe`.
//! Every kernel relies on these invariants:
//! - A feature map is `[n, frames, h, w, stride]` f32 or bf16, with one frame of an image, where `stride` is the number of channels rounded up to [`PANEL`].
//!   Only the input of the network may have exactly as many as its channels, and then only dense convolutions read it.
//! - The lanes above the channels, called the *tail*, may hold any value, even NaN. No kernel moves it into another lane,
//!   so no kernel needs a remainder loop. Scale and shift are 0 there.
//! - The terms of an output are always summed in the order of taps and input channels. The results are therefore the same,
//!   bit for bit, in any tile, thread or batch.

#![allow(unsafe_code)]

mod memory;
pub(crate) use memory::{Arena, Buffer, Scratch};

mod lanes;
use lanes::Lanes;

mod half;
pub(crate) use half::{rounded, widened};

mod epilogue;
pub(crate) use epilogue::Epilogue;

mod curve;
pub(crate) use curve::Curve;

mod dense;
mod depthwise;
mod peak;
mod pointwise;
mod pool;
mod resample;
mod window_pool;
mod winograd;
pub(crate) use resample::Filter;
pub(crate) use winograd::pays;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

mod execute;
pub(crate) use execute::{taps_of_largest_kernel, workspace_len, zeros_needed};

mod team;
pub(crate) use team::{Numbers, Team};

use crate::{Isa, Precision};

/// A size along height and along width.
type Pair = [usize; 2];

/// Number of channels in a panel of packed weights; the channel stride of a feature map is a multiple of it.
pub(crate) const PANEL: usize = 16;

/// The channel stride of a feature map with `channels` channels.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

/// The most pixels in a dense tile, over all instruction sets.
const MAX_TILE_PIXELS: usize = 12;

/// The kernels of one instruction set.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// Bytes of a number in a feature map.
    bytes: usize,
    /// Dense tiles, indexed by `[panels - 1][pixels - 1]`.
    dense: &'static [&'static [unsafe fn(&dense::Tile)]],
    depthwise: unsafe fn(&depthwise::Scanline),
    largest: unsafe fn(&window_pool::Scanline),
    mean: unsafe fn(&window_pool::Scanline),
    resample: unsafe fn(&resample::Scanline),
    pointwise: unsafe fn(&pointwise::Span),
    pool: unsafe fn(&pool::Column),
    filters: unsafe fn(&winograd::Filters),
    patch: unsafe fn(&winograd::Patch),
    /// Indexed as `dense`.
    product: &'static [&'static [unsafe fn(&winograd::Product)]],
    sums: unsafe fn(&winograd::Sums),
    peak: Peak,
}

/// The loop of [`peak`] and how many products each of its rounds adds.
#[derive(Debug)]
struct Peak {
    run: unsafe fn(usize) -> f32,
    macs: usize,
}

impl Kernels {
    /// The kernels of an instruction set, or the portable ones if it is not compiled in.
    ///
    /// # Panics
    /// Panics if the processor lacks the instruction set, because running its kernels would be undefined behavior.
    pub(crate) fn of(isa: Isa, precision: Precision) -> &'static Self {
        assert!(isa.is_available(), "instruction sets are chosen among the available ones");
        match (isa, precision) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Precision::F32) => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Precision::Bf16) if avx512::has_dot() => &avx512::dot::KERNELS,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Precision::Bf16) => &avx512::half::KERNELS,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Precision::F32) => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Precision::Bf16) => &avx2::half::KERNELS,
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, Precision::F32) => &neon::KERNELS,
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, Precision::Bf16) => &neon::half::KERNELS,
            (_, Precision::F32) => &portable::KERNELS,
            (_, Precision::Bf16) => &portable::half::KERNELS,
        }
    }

    /// Multiplies and adds in registers for so many rounds, and returns how many products were added.
    pub(crate) fn most_macs(&self, rounds: usize) -> u64 {
        // SAFETY: `Self::of` gives out only kernels of available instruction sets.
        std::hint::black_box(unsafe { (self.peak.run)(rounds) });
        (rounds * self.peak.macs) as u64
    }

    fn tile_pixels(&self) -> usize {
        self.dense[0].len()
    }

    fn tile_panels(&self) -> usize {
        self.dense.len()
    }

    /// Pixels and panels of the largest dense tile.
    fn tile(&self) -> Pair {
        [self.tile_pixels(), self.tile_panels()]
    }
}

/// Compiles the generic kernels for one lane type with the given attributes, and lists them in `KERNELS`.
///
/// `tiles` has one entry for every number of panels that a dense tile can span: the number of vectors that make them up,
/// and the numbers of pixels that the tile can have, which are counted from 1. `neighbors` is how many outputs of a
/// depthwise convolution are computed at once, `sums` is how many vectors a loop can add to without using up the
/// registers, and `dense` is the kernel for the form that weights have.
macro_rules! kernels_for {
    ($lanes:ty, [$($feature:meta)?], tiles: [$($vectors:literal: [$($pixels:literal),+]),+], neighbors: $neighbors:literal, sums: $sums:literal, dense: $tile:ident) => {
        $(#[$feature])?
        unsafe fn dense_tile<const P: usize, const V: usize>(tile: &crate::kernels::dense::Tile) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::dense::$tile::<$lanes, P, V>(tile) }
        }

        $(#[$feature])?
        unsafe fn depthwise_scanline(line: &crate::kernels::depthwise::Scanline) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::depthwise::scanline::<$lanes, $neighbors>(line) }
        }

        $(#[$feature])?
        unsafe fn largest_scanline(line: &crate::kernels::window_pool::Scanline) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::window_pool::largest::<$lanes>(line) }
        }

        $(#[$feature])?
        unsafe fn mean_scanline(line: &crate::kernels::window_pool::Scanline) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::window_pool::mean::<$lanes>(line) }
        }

        $(#[$feature])?
        unsafe fn resample_scanline(line: &crate::kernels::resample::Scanline) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::resample::scanline::<$lanes>(line) }
        }

        $(#[$feature])?
        unsafe fn pointwise_span(span: &crate::kernels::pointwise::Span) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::pointwise::span::<$lanes>(span) }
        }

        $(#[$feature])?
        unsafe fn pool_column(column: &crate::kernels::pool::Column) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::pool::column::<$lanes>(column) }
        }

        $(#[$feature])?
        unsafe fn multiply_and_add(rounds: usize) -> f32 {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::peak::multiply_and_add::<$lanes, $sums>(rounds) }
        }

        $(#[$feature])?
        unsafe fn winograd_filters(filters: &crate::kernels::winograd::Filters) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::winograd::filters::<$lanes>(filters) }
        }

        $(#[$feature])?
        unsafe fn winograd_patch(patch: &crate::kernels::winograd::Patch) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::winograd::patch::<$lanes>(patch) }
        }

        $(#[$feature])?
        unsafe fn winograd_product<const P: usize, const V: usize>(product: &crate::kernels::winograd::Product) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::winograd::product::<$lanes, P, V>(product) }
        }

        $(#[$feature])?
        unsafe fn winograd_sums(sums: &crate::kernels::winograd::Sums) {
            // SAFETY: same contract, and the feature is on.
            unsafe { crate::kernels::winograd::sums::<$lanes>(sums) }
        }

        pub(in crate::kernels) static KERNELS: crate::kernels::Kernels = crate::kernels::Kernels {
            bytes: <$lanes as crate::kernels::Lanes>::BYTES,
            dense: &[$(&[$(dense_tile::<$pixels, $vectors>),+]),+],
            depthwise: depthwise_scanline,
            largest: largest_scanline,
            mean: mean_scanline,
            resample: resample_scanline,
            pointwise: pointwise_span,
            pool: pool_column,
            filters: winograd_filters,
            patch: winograd_patch,
            product: &[$(&[$(winograd_product::<$pixels, $vectors>),+]),+],
            sums: winograd_sums,
            peak: crate::kernels::Peak { run: multiply_and_add, macs: $sums * <$lanes as Lanes>::N },
        };
    };
}
use kernels_for;

#[cfg(test)]
mod tests;
