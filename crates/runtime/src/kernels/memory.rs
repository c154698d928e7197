//! The memory that kernels read and write: aligned, zeroed, and shared between the threads of a team.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::{Error, Result};

/// Numbers that begin at a cache line. Pages that are never touched are never committed.
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
    const ALIGNMENT: usize = 64;

    /// Allocates `len` zeros, or one if `len` is 0.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let len = len.max(1);
        let bytes = len.checked_mul(size_of::<f32>());
        let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, Self::ALIGNMENT).ok());
        // SAFETY: the size is not 0.
        let start = layout.and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        match start {
            Some(start) => Ok(Self { start: start.cast(), len }),
            None => Err(Error::Memory { numbers: len }),
        }
    }

    fn layout(&self) -> Layout {
        Layout::from_size_align(self.len * size_of::<f32>(), Self::ALIGNMENT)
            .expect("the same layout was allocated")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout()) }
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
    /// # Errors
    /// Fails if there is not enough memory.
    pub(crate) fn new(len: usize) -> Result<Self> {
        Ok(Self { numbers: Buffer::zeroed(len)? })
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len
    }

    /// Pointer to the first number. The caller must ensure that no two threads access the same numbers.
    pub(super) fn base(&self) -> *mut f32 {
        self.numbers.start.as_ptr()
    }
}

/// The memory that one thread needs besides the feature maps: the table of pointers of a dense tile.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(super) pointers: Vec<*const f32>,
}

// SAFETY: the pointers are written before they are read, within one call of a kernel.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Allocates the table for kernels of up to `taps` taps.
    pub(crate) fn new(taps: usize) -> Self {
        Self { pointers: vec![std::ptr::null(); taps * super::MAX_TILE_PIXELS] }
    }
}
