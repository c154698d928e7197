//! The memory of batches: taken from a loader, filled, passed on, and returned when its last user drops it.
//!
//! Separate so that code that does not know the loader can use a batch without a copy.
//! Invariant: a buffer is returned once; a loader allocates no more buffers than batches have existed at one time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// A source of memory for batches, such as pinned memory, from which a GPU copies at full speed.
pub trait BatchMemory: fmt::Debug + Send + Sync {
    /// Allocates memory for a number of floats, with arbitrary content.
    ///
    /// # Errors
    /// There is not enough memory.
    fn floats(&self, len: usize) -> std::result::Result<Box<dyn Floats>, Cause>;
}

/// Why memory could not be allocated.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A piece of memory that keeps its length and its address.
pub trait Floats: AsRef<[f32]> + AsMut<[f32]> + Send {}

impl<T: AsRef<[f32]> + AsMut<[f32]> + Send> Floats for T {}

/// Ordinary memory of the process.
#[derive(Debug)]
pub(super) struct Heap;

impl BatchMemory for Heap {
    fn floats(&self, len: usize) -> std::result::Result<Box<dyn Floats>, Cause> {
        Ok(Box::new(vec![0.0; len]))
    }
}

/// The floats of a batch; dropping them lets the loader fill their memory again.
#[derive(Default)]
pub struct ImageBuffer(Option<Lent>);

struct Lent {
    memory: Box<dyn Floats>,
    /// Floats in use, at the start of the memory.
    len: usize,
    home: Arc<Buffers>,
}

impl ImageBuffer {
    /// Shortens the floats to a length; the memory stays allocated.
    pub(super) fn truncate(&mut self, len: usize) {
        if let Some(lent) = &mut self.0 {
            lent.len = lent.len.min(len);
        }
    }

    /// A buffer of a length from the same memory, with arbitrary content.
    pub(super) fn with_room_for(&self, len: usize) -> Result<Self> {
        self.0.as_ref().map_or_else(|| Ok(Self::default()), |lent| lent.home.take(len))
    }
}

impl Deref for ImageBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_ref().map_or(&[], |lent| &(*lent.memory).as_ref()[..lent.len])
    }
}

impl DerefMut for ImageBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.as_mut().map_or(&mut [], |lent| &mut (*lent.memory).as_mut()[..lent.len])
    }
}

impl AsMut<[f32]> for ImageBuffer {
    fn as_mut(&mut self) -> &mut [f32] {
        self
    }
}

impl fmt::Debug for ImageBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageBuffer({} values)", self.len())
    }
}

impl Drop for ImageBuffer {
    fn drop(&mut self) {
        if let Some(Lent { memory, home, .. }) = self.0.take() {
            home.shelf().push(memory);
        }
    }
}

/// Buffers waiting to be filled again, because fresh memory from the system would cost page faults in every step.
pub(super) struct Buffers {
    memory: Arc<dyn BatchMemory>,
    shelf: Mutex<Vec<Box<dyn Floats>>>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffers({} waiting in {:?})", self.shelf().len(), self.memory)
    }
}

impl Buffers {
    pub(super) fn new(memory: Arc<dyn BatchMemory>) -> Self {
        Self { memory, shelf: Mutex::default() }
    }

    /// A buffer of a length, with arbitrary content.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Result<ImageBuffer> {
        let waiting = self.shelf().pop().filter(|memory| (**memory).as_ref().len() >= len);
        let memory = match waiting {
            Some(memory) => memory,
            None => self.memory.floats(len).map_err(|source| Error::Memory { floats: len, source })?,
        };
        Ok(ImageBuffer(Some(Lent { memory, len, home: Arc::clone(self) })))
    }

    fn shelf(&self) -> MutexGuard<'_, Vec<Box<dyn Floats>>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
