//! The gradients of a step: summed over its sub-networks, and averaged over the processes that share its batch.
//!
//! Averaging is linear, so the sum of all sub-networks but the last can be on its way to the other processes while the last
//! one works. That is the narrowest, whose own gradients are few.

use mutualnet_engine::Tensor;
use mutualnet_nn::{Gradients, Parameters, Slice, SliceGradients};

use crate::Result;
use crate::ranks::{Ranks, Sending};

/// Gradients of the sub-networks so far.
pub(crate) struct StepGradients<'a> {
    parameters: &'a Parameters,
    /// `None` without other processes.
    ranks: Option<&'a Ranks>,
    sums: Gradients,
    sent: Option<Sending>,
    /// What came after the rest was sent.
    last: Option<SliceGradients>,
}

impl<'a> StepGradients<'a> {
    pub(crate) fn new(parameters: &'a Parameters, ranks: Option<&'a Ranks>) -> Self {
        let ranks = ranks.filter(|ranks| ranks.n() > 1);
        Self { parameters, ranks, sums: Gradients::none(parameters), sent: None, last: None }
    }

    /// Adds the gradients of a sub-network.
    ///
    /// # Errors
    /// The engine has no memory.
    pub(crate) fn add(&mut self, slice: Slice) -> Result<()> {
        if self.sent.is_some() {
            self.last = Some(slice.into_gradients()?);
        } else {
            self.sums.add(self.parameters, slice)?;
        }
        Ok(())
    }

    /// Sends what there is to the other processes, since only one sub-network is missing.
    ///
    /// # Errors
    /// [`Error::Exchange`](crate::Error::Exchange).
    pub(crate) fn send(&mut self) -> Result<()> {
        if let Some(ranks) = self.ranks {
            let sums = std::mem::replace(&mut self.sums, Gradients::none(self.parameters));
            self.sent = Some(ranks.send(sums.into_tensors(self.parameters)?)?);
        }
        Ok(())
    }

    /// The mean over the processes of the sum over the sub-networks, for every parameter.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) fn finish(self) -> Result<Vec<Tensor>> {
        let Self { parameters, ranks, sums, sent, last } = self;
        let Some(ranks) = ranks else { return Ok(sums.into_tensors(parameters)?) };
        let Some(sent) = sent else { return ranks.send(sums.into_tensors(parameters)?)?.finish() };
        let mut means = Gradients::of(sent.finish()?);
        if let Some(mut last) = last {
            last.tensors = ranks.send(last.tensors)?.finish()?;
            means.add_sliced(parameters, last)?;
        }
        Ok(means.into_tensors(parameters)?)
    }
}
