//! The gradients of a step: summed over its sub-networks, and averaged over the processes that share its batch.
//!
//! Averaging is linear, so the sum of all sub-networks but the last can be on its way to the other processes while the last
//! one works. That is the narrowest, whose own gradients are few.

use mutualnet_engine::{Averaging, Group, Tensor};
use mutualnet_nn::{Gradients, Parameters, Slice, SliceGradients};

use crate::Result;
use crate::ranks::{Ranks, exchange};

/// Gradients of the sub-networks so far.
pub(crate) struct StepGradients<'a> {
    parameters: &'a Parameters,
    /// `None` without other processes.
    group: Option<&'a Group>,
    sums: Gradients,
    /// The sums that are on their way.
    sent: Option<Averaging>,
    /// What came after the rest was sent.
    last: Option<SliceGradients>,
}

impl<'a> StepGradients<'a> {
    pub(crate) fn new(parameters: &'a Parameters, ranks: Option<&'a Ranks>) -> Self {
        let group = ranks.and_then(Ranks::group);
        Self { parameters, group, sums: Gradients::none(parameters), sent: None, last: None }
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
        if let Some(group) = self.group {
            let sums = std::mem::replace(&mut self.sums, Gradients::none(self.parameters));
            let sums = sums.into_tensors(self.parameters)?;
            self.sent = Some(group.begin_average(sums).map_err(exchange)?);
        }
        Ok(())
    }

    /// The mean over the processes of the sum over the sub-networks, for every parameter.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) fn finish(self) -> Result<Vec<Tensor>> {
        let Self { parameters, group, sums, sent, last } = self;
        let Some(group) = group else { return Ok(sums.into_tensors(parameters)?) };
        let Some(sent) = sent else {
            return group.average(sums.into_tensors(parameters)?).map_err(exchange);
        };
        let mut means = Gradients::of(sent.finish().map_err(exchange)?);
        if let Some(mut last) = last {
            last.tensors = group.average(last.tensors).map_err(exchange)?;
            means.add_sliced(parameters, last)?;
        }
        Ok(means.into_tensors(parameters)?)
    }
}
