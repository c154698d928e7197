//! Where tensors live, and the settings of the whole process.
//!
//! Separate because it is about the machine, not about tensors. Invariant: a [`Device`] that
//! [`Device::parse`] returned exists on this machine.

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
    /// Reads `cpu`, `cuda` (the first GPU) or `cuda:N`.
    ///
    /// # Errors
    /// [`EngineError::UnknownDevice`], or [`EngineError::NoSuchDevice`] for a GPU that is not there.
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

/// The number of GPUs that can be used: 0 where there is none or libtorch is built without CUDA.
///
/// # Errors
/// When libtorch's CUDA library is there but cannot be loaded.
pub fn cuda_devices() -> Result<usize> {
    shim::load_cuda()?;
    shim::cuda_count()
}

/// Waits until everything queued on `device` is done, for timing. Nothing to wait for on the CPU.
///
/// # Errors
/// A failure of earlier work on the GPU shows here.
pub fn synchronize(device: Device) -> Result<()> {
    match device {
        Device::Cpu => Ok(()),
        Device::Cuda(index) => shim::cuda_synchronize(index),
    }
}

/// Sets the number of threads that one operation uses on the CPU.
///
/// # Errors
/// When libtorch refuses the number.
pub fn set_threads(threads: usize) -> Result<()> {
    shim::set_threads(threads)
}

/// The number of threads that one operation uses on the CPU.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Seeds libtorch's own generators. Our draws do not come from them; this is for peers and tests.
pub fn manual_seed(seed: i64) {
    tch::manual_seed(seed);
}

/// Treats denormal numbers as zero on this thread, which some CPUs compute much faster.
/// Returns whether this CPU can.
///
/// # Errors
/// When libtorch refuses.
pub fn flush_denormals() -> Result<bool> {
    shim::set_flush_denormal(true)
}

/// The version of the libtorch that this was compiled against.
pub fn libtorch_version() -> String {
    shim::libtorch_version()
}
