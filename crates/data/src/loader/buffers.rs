//! The memory of batches: taken from a loader, filled, handed on, and given back wherever its last user drops it.
//!
//! Separate so that a batch can be used without a copy by what does not know the loader.
//! Invariant: a buffer is given back once; a loader makes no more of them than there were batches at one time.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// The floats of a batch; dropping them lets the loader fill their memory again.
#[derive(Default)]
pub struct ImageBuffer {
    values: Vec<f32>,
    home: Option<Arc<Buffers>>,
}

impl Deref for ImageBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for ImageBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl AsMut<[f32]> for ImageBuffer {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl fmt::Debug for ImageBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageBuffer({} values)", self.values.len())
    }
}

impl Drop for ImageBuffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.shelf().push(mem::take(&mut self.values));
        }
    }
}

/// Buffers waiting to be filled again: a fresh gigabyte from the system costs page faults every step.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// A buffer of a length; what is in it means nothing.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> ImageBuffer {
        let mut values = self.shelf().pop().unwrap_or_default();
        values.resize(len, 0.0);
        ImageBuffer { values, home: Some(Arc::clone(self)) }
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Vec<Vec<f32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
