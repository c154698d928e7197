//! Several processes that train together: how they find each other, and what they exchange.
//!
//! The engine is libtorch's c10d with gloo, as in PyTorch, so `torchrun` and other launchers of PyTorch can start it.
//! Invariant: all ranks of a group make the same calls in the same order, with tensors of the same shapes and memory
//! orders.

use std::time::Duration;

use crate::{Result, Tensor, shim};

/// Where the ranks of a group meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendezvous {
    /// Name or address of the machine with the store, over which ranks find each other.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether this process hosts the store; otherwise another rank or a launcher does.
    pub is_host: bool,
    /// Which process of the group this is, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// How long to wait for the others, here and in every exchange.
    pub timeout: Duration,
}

/// Processes that work on the same steps; leaving it is dropping it.
#[derive(Debug)]
pub struct Group {
    raw: shim::RawGroup,
    rank: usize,
    size: usize,
}

impl Group {
    /// Waits until all ranks are there.
    ///
    /// # Errors
    /// The store cannot be reached or hosted, or a rank does not come in time.
    pub fn join(at: &Rendezvous) -> Result<Self> {
        Ok(Self { raw: shim::group_join(at)?, rank: at.rank, size: at.size })
    }

    /// Which process this is, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Replaces the tensors, which have one floating-point type, by their means over the ranks, in one exchange. The means
    /// are the same bits on every rank, keep the memory order of their tensors, and share one allocation.
    ///
    /// # Errors
    /// A tensor has gaps in memory, or a rank is gone or does not answer in time.
    pub fn average(&self, tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
        self.begin_average(tensors)?.finish()
    }

    /// As [`Self::average`], but other work can be done before its end.
    ///
    /// # Errors
    /// As [`Self::average`].
    pub fn begin_average(&self, tensors: Vec<Tensor>) -> Result<Averaging> {
        let raw = if tensors.is_empty() { None } else { Some(shim::group_begin_mean(&self.raw, &tensors)?) };
        Ok(Averaging { raw, tensors })
    }

    /// Replaces numbers by their sums over the ranks.
    ///
    /// # Errors
    /// As [`Self::average`]; the numbers may have any value then.
    pub fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        shim::group_sum_numbers(&self.raw, numbers)
    }

    /// Replaces bytes by those of a rank, which are as many.
    ///
    /// # Errors
    /// As [`Self::average`].
    pub fn broadcast(&self, from: usize, bytes: &mut [u8]) -> Result<()> {
        shim::group_broadcast(&self.raw, from, bytes)
    }

    /// Does something while batch norms on this thread use the statistics of the batches of all ranks, in `backward` too.
    /// The gradients of their weights and biases are those of this rank's part, as all gradients are.
    ///
    /// This is for floats on the CPU, `[n, c, h, w]` or `[n, c, t, h, w]`; other inputs are refused.
    /// If a rank is gone, the operation at hand fails, and [`Self::has_lost_norms`] tells why.
    pub fn sharing_norms<T>(&self, work: impl FnOnce() -> T) -> T {
        let _shared = shim::SharedNorms::of(&self.raw);
        work()
    }

    /// Whether an exchange of batch norms failed, because a rank is gone or did not answer in time.
    pub fn has_lost_norms(&self) -> bool {
        shim::group_has_lost_norms(&self.raw)
    }

    /// Ends the group after an exchange failed, so that ranks that still wait for this one notice, and returns the ranks that
    /// do not do the same within `wait`. Every exchange afterwards is an error.
    ///
    /// # Errors
    /// The store is gone with the process that hosts it, or does not answer because that process hangs.
    pub fn end(&self, wait: Duration) -> Result<Vec<usize>> {
        let mut is_missing = vec![0; self.size];
        shim::group_end(&self.raw, wait, &mut is_missing)?;
        Ok((0..self.size).filter(|&rank| is_missing[rank] != 0).collect())
    }
}

/// Means over the ranks that are on their way.
#[derive(Debug)]
pub struct Averaging {
    /// `None` if there are no tensors.
    raw: Option<shim::RawMean>,
    tensors: Vec<Tensor>,
}

impl Averaging {
    /// Waits for the means.
    ///
    /// # Errors
    /// A rank is gone or does not answer in time.
    pub fn finish(mut self) -> Result<Vec<Tensor>> {
        if let Some(raw) = &self.raw {
            shim::mean_end(raw, &mut self.tensors)?;
        }
        Ok(self.tensors)
    }
}
