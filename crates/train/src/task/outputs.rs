//! What a list of a network computed, by the names of its outputs.
//!
//! Separate because a task reads outputs of several lists, of which each network has another number.
//! Invariant: outputs are in the order of the network.

use mutualnet_core::Network;
use mutualnet_core::network::List;
use mutualnet_detect::Extent;
use mutualnet_engine::Tensor;

use crate::Result;

/// The outputs of a list.
#[derive(Debug)]
pub struct Outputs<'a>(Vec<(&'a str, Tensor)>);

impl<'a> Outputs<'a> {
    /// Tensors with their names.
    pub fn new(named: impl IntoIterator<Item = (&'a str, Tensor)>) -> Self {
        Self(named.into_iter().collect())
    }

    /// The outputs of a list of a network, in its order.
    pub(crate) fn of(network: &'a Network, list: &List, tensors: Vec<Tensor>) -> Self {
        Self::new(network.outputs_of(list).map(|output| &*output.name).zip(tensors))
    }

    /// The output with a name.
    ///
    /// # Panics
    /// There is none; a task asks for the outputs that [`Task::check`](mutualnet_core::Task::check) found.
    pub fn get(&self, name: &str) -> &Tensor {
        let found = self.0.iter().find(|(own, _)| *own == name);
        let Some((_, tensor)) = found else { panic!("the task checked that there is an output `{name}`") };
        tensor
    }

    /// The outputs of a kind, which are named `kind.0`, `kind.1` and so on.
    pub fn maps(&self, kind: &str) -> Vec<Tensor> {
        let is_of_kind = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
        self.0.iter().filter(|(name, _)| is_of_kind(name)).map(|(_, tensor)| tensor.alias()).collect()
    }

    /// All of them.
    pub fn into_tensors(self) -> impl Iterator<Item = Tensor> {
        self.0.into_iter().map(|(_, tensor)| tensor)
    }
}

/// A pass of a network between two of its lists, in the engine or on the run side, where all tensors are
/// `[n, channels, h, w]`.
pub struct Staged<'a> {
    /// The outputs of [`List::MAIN`].
    pub outputs: Outputs<'a>,
    /// The size at which it saw the images.
    pub seen: Extent,
    /// The network.
    pub network: &'a Network,
    /// Runs another of its lists, by its name, on what that reads.
    pub run: &'a mut RunList<'a>,
}

/// Runs a list of a network.
pub type RunList<'a> = dyn FnMut(&str, &Tensor) -> Result<Outputs<'a>> + 'a;
