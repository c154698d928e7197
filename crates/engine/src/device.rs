//! Devices, and settings that apply to the whole process.
//!
//! This module is about the machine, not about tensors. Invariant: a [`Device`] from [`Device::parse`] exists on this
//! machine.

use std::fmt;

use crate::shim;
use crate::{EngineError, Result};

/// Where a tensor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// Main memory.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl Device {
    /// Parses `cpu`, `cuda` (the first GPU) or `cuda:N`.
    ///
    /// # Errors
    /// Fails with [`EngineError::UnknownDevice`], or with [`EngineError::NoSuchDevice`] for a GPU that is not available.
    pub fn parse(text: &str) -> Result<Self> {
        let unknown = || EngineError::UnknownDevice { text: text.to_string() };
        let index = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => 0,
            _ => text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unknown)?,
        };
        let available = cuda_devices()?;
        if index < available {
            Ok(Self::Cuda(index))
        } else {
            Err(EngineError::NoSuchDevice { index, available })
        }
    }

    pub(crate) fn to_tch(self) -> tch::Device {
        match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda(index) => tch::Device::Cuda(index),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// The number of usable GPUs: 0 if there is none, or if libtorch was built without CUDA.
///
/// # Errors
/// Fails if libtorch's CUDA library exists but cannot be loaded.
pub fn cuda_devices() -> Result<usize> {
    shim::load_cuda()?;
    shim::cuda_count()
}

/// Waits until everything queued on `device` is done, for timing. On the CPU there is nothing to wait for.
///
/// # Errors
/// Fails if earlier work on the GPU failed.
pub fn synchronize(device: Device) -> Result<()> {
    match device {
        Device::Cpu => Ok(()),
        Device::Cuda(index) => shim::cuda_synchronize(index),
    }
}

/// Sets the number of threads that one operation uses on the CPU.
///
/// # Errors
/// Fails if libtorch refuses the number.
pub fn set_threads(threads: usize) -> Result<()> {
    shim::set_threads(threads)
}

/// The number of threads that one operation uses on the CPU.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Seeds libtorch's own generators. Our draws do not use them; this is for comparisons and tests.
pub fn manual_seed(seed: i64) {
    tch::manual_seed(seed);
}

/// Treats denormal numbers as zero on this thread, which makes some CPUs much faster.
/// Returns whether this CPU supports it.
///
/// # Errors
/// Fails if libtorch reports an error.
pub fn flush_denormals() -> Result<bool> {
    shim::set_flush_denormal(true)
}

/// The version of libtorch that this crate was compiled against.
pub fn libtorch_version() -> String {
    shim::libtorch_version()
}
