//! The memory that kernels read and write: aligned, zeroed, and shared between the threads of a team.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::{Error, Result};

/// Numbers that begin at a cache line.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: the buffer owns its numbers, like a `Box<[f32]>`.
unsafe impl Send for Buffer {}
// SAFETY: through a shared reference it gives out shared slices only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Where it begins is a multiple of so many bytes.
    pub(crate) const ALIGNMENT: usize = 64;

    /// Buffers of at least so many bytes are in pages of that size, if the system has them: weights that are read once per
    /// run are limited by the number of pages.
    const HUGE: usize = 2 << 20;

    /// Allocates `len` zeros, or one if `len` is 0.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let len = len.max(1);
        let start = Self::layout(len).and_then(|layout| match layout.align() {
            // SAFETY: the size is not 0.
            Self::ALIGNMENT => NonNull::new(unsafe { alloc_zeroed(layout) }),
            _ => zeroed_huge(layout),
        });
        match start {
            Some(start) => Ok(Self { start: start.cast(), len }),
            None => Err(Error::Memory { numbers: len }),
        }
    }

    /// None if so many numbers cannot be addressed.
    fn layout(len: usize) -> Option<Layout> {
        let bytes = len.checked_mul(size_of::<f32>())?;
        let alignment = if bytes < Self::HUGE { Self::ALIGNMENT } else { Self::HUGE };
        Layout::from_size_align(bytes, alignment).ok()
    }
}

/// Allocates zeros in huge pages, as far as they fill them.
fn zeroed_huge(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the size is not 0, and the pages are inside of what was allocated.
    unsafe {
        let start = NonNull::new(alloc(layout))?;
        #[cfg(target_os = "linux")]
        {
            let whole = layout.size() / Buffer::HUGE * Buffer::HUGE;
            // Advice: a system that does not follow it has smaller pages.
            libc::madvise(start.as_ptr().cast(), whole, libc::MADV_HUGEPAGE);
        }
        start.write_bytes(0, layout.size());
        Some(start)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let layout = Self::layout(self.len).expect("it was allocated with this layout");
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), layout) }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialized numbers that the buffer owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as `deref`, and the reference is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// The feature maps of a team. All threads write to them, each to its own part.
#[derive(Debug)]
pub(crate) struct Arena {
    numbers: Buffer,
}

impl Arena {
    /// Allocates `bytes`, which are rounded up to whole f32.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        Ok(Self { numbers: Buffer::zeroed(bytes.div_ceil(size_of::<f32>()))? })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.numbers.len * size_of::<f32>()
    }

    /// Pointer to the first byte. The caller must ensure that no two threads access the same numbers.
    pub(super) fn base(&self) -> *mut u8 {
        self.numbers.start.as_ptr().cast()
    }
}

/// The memory that one thread needs besides the feature maps.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The table of pointers of a dense tile or a patch.
    pub(super) pointers: Vec<*const u8>,
    /// Where the weights of each tap of a dense tile begin, in numbers.
    pub(super) offsets: Vec<usize>,
    /// Transformed filters, patches and sums of a chunk of tiles.
    pub(super) numbers: Buffer,
}

// SAFETY: the pointers are written before they are read, within one call of a kernel.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Allocates the table for kernels of up to `taps` taps, and `len` numbers.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub(crate) fn new(taps: usize, len: usize) -> Result<Self> {
        let pointers = vec![std::ptr::null(); taps * super::MAX_TILE_PIXELS];
        Ok(Self { pointers, offsets: vec![0; taps], numbers: Buffer::zeroed(len)? })
    }
}
