//! Global average pooling: averages a block of channels of one image.

use super::Lanes;

/// A block of `channels` channels of one image, from the pointers on; `channels` is a multiple of the panel.
pub(super) struct Column {
    pub(super) input: *const u8,
    pub(super) positions: usize,
    /// Channel stride of the input.
    pub(super) stride_c: usize,
    pub(super) channels: usize,
    pub(super) out: *mut u8,
    /// Whether the output holds f32 though other feature maps hold bf16.
    pub(super) is_wide: bool,
}

/// Averages over positions. Four interleaved sums lose less precision and do not wait for each other.
///
/// # Safety
/// That of [`Lanes`]; the pointers are valid for what the fields describe.
#[inline(always)]
pub(super) unsafe fn column<L: Lanes>(column: &Column) {
    // SAFETY: the contract above.
    unsafe {
        let zero = L::splat(0.0);
        let share = L::splat(1.0 / column.positions as f32);
        for c in (0..column.channels).step_by(L::N) {
            let mut sums = [zero; 4];
            let whole = column.positions / 4 * 4;
            for position in (0..whole).step_by(4) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add(L::read(column.input, (position + i) * column.stride_c + c));
                }
            }
            for position in whole..column.positions {
                sums[0] = sums[0].add(L::read(column.input, position * column.stride_c + c));
            }
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            let mean = sum.fma(share, zero);
            if L::BYTES < size_of::<f32>() && column.is_wide {
                mean.store(column.out.cast::<f32>().add(c));
            } else {
                mean.write(column.out, c);
            }
        }
    }
}
