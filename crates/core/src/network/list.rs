//! The lists of a network: parts that a task runs one after the other, over one store of parameters.
//!
//! A two-stage detector finds regions with one list, cuts them out of its feature maps with code of the task, and runs
//! another list on each of them. Almost every network has one list, `main`.
//! Invariant: the lists lie one behind the other among the nodes, and no node reads a node of another list.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Network, NodeId, Op, Output};
use crate::{Error, Result};

/// A part of a network that is run by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    name: String,
    nodes: Range<usize>,
    regions: Option<u32>,
}

impl List {
    /// The list that reads images or clips, the only one of most networks.
    pub const MAIN: &'static str = "main";
    /// The list of a two-stage detector that looks at regions.
    pub const BOX: &'static str = "box";
    /// The list of a two-stage detector that draws a mask for every class of a region.
    pub const MASK: &'static str = "mask";

    /// The most regions of an image that a list may run on.
    pub const MAX_REGIONS: u32 = 10_000;

    /// The only list of a network, or before it is added to one, a list for regions.
    pub(super) fn only(n_nodes: usize, regions: Option<u32>) -> Self {
        Self { name: Self::MAIN.to_owned(), nodes: 0..n_nodes, regions }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The indices of its nodes in the list of all nodes.
    pub fn nodes(&self) -> Range<usize> {
        self.nodes.clone()
    }

    /// On how many regions of an image it runs at most, once the network is trained. `None` of [`Self::MAIN`], which runs on
    /// images, and of networks that do not say it.
    pub fn regions(&self) -> Option<u32> {
        self.regions
    }

    /// Whether it has a node.
    pub fn contains(&self, id: NodeId) -> bool {
        self.nodes.contains(&id.0)
    }
}

impl Network {
    /// The lists in the order of their nodes, [`List::MAIN`] first.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// The list [`List::MAIN`].
    pub fn main(&self) -> &List {
        &self.lists[0]
    }

    /// The list with this name.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn list(&self, name: &str) -> Result<&List> {
        self.lists.iter().find(|list| list.name == name).ok_or_else(|| Error::Network {
            path: name.to_owned(),
            reason: format!("{} has no such list", self.name()),
        })
    }

    /// What a list reads: its first nodes, at least one.
    pub fn inputs(&self, list: &List) -> impl Iterator<Item = NodeId> {
        let is_input = |&idx: &usize| matches!(self.nodes()[idx].op, Op::Input { .. });
        list.nodes().take_while(is_input).map(NodeId)
    }

    /// What a list computes: the outputs among its nodes, in the order of [`Self::outputs`], at least one.
    pub fn outputs_of(&self, list: &List) -> impl Iterator<Item = &Output> {
        let range = list.nodes();
        self.outputs().iter().filter(move |output| range.contains(&output.node.0))
    }

    /// A network with more lists than [`List::MAIN`], which is this network.
    ///
    /// # Errors
    /// Fails if the lists differ in rank or widths, if two nodes have the same path or two outputs the same name, or if
    /// one of `more` has an input without a size: a sub-network's size is that of what `main` reads; or if this network has a
    /// number of regions, and so is a list for them.
    pub fn with_lists(self, more: BTreeMap<String, Self>) -> Result<Self> {
        let mut all = self;
        if all.main().regions.is_some() {
            let reason = "it reads whole images, so it has no number of regions".to_owned();
            return Err(Error::Network { path: List::MAIN.to_owned(), reason });
        }
        for (name, list) in more {
            let wrong = |reason: &str| Error::Network { path: name.clone(), reason: reason.to_owned() };
            if list.lists.len() != 1 || all.lists.iter().any(|old| old.name == name) {
                return Err(wrong("a list is added once, and has no lists of its own"));
            }
            if (list.rank(), list.widths()) != (all.rank(), all.widths()) {
                return Err(wrong("the lists of a network must have the same rank and the same widths"));
            }
            if list.nodes().iter().any(|node| matches!(node.op, Op::Input { size: None, .. })) {
                return Err(wrong("inputs of lists other than `main` must have a size"));
            }
            let start = all.nodes.len();
            let Self { nodes, outputs, lists, .. } = list;
            let regions = lists[0].regions;
            all.lists.push(List { name, nodes: start..start + nodes.len(), regions });
            all.nodes.extend(nodes.into_iter().map(|mut node| {
                node.inputs.iter_mut().chain(&mut node.shares).for_each(|id| id.0 += start);
                node
            }));
            all.outputs.extend(
                outputs
                    .into_iter()
                    .map(|Output { name, node }| Output { name, node: NodeId(node.0 + start) }),
            );
        }
        all.checked()
    }

    /// The lists by name, each as a network by itself: what [`Self::with_lists`] puts together.
    fn separate(&self) -> BTreeMap<String, Self> {
        let one = |list: &List| {
            let start = list.nodes.start;
            let mut nodes = self.nodes[list.nodes()].to_vec();
            let ids = nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().chain(&mut node.shares));
            ids.for_each(|id| id.0 -= start);
            let outputs = self.outputs_of(list);
            let outputs =
                outputs.map(|output| Output { node: NodeId(output.node.0 - start), ..output.clone() });
            let network = Self {
                name: self.name.clone(),
                rank: self.rank,
                widths: self.widths,
                lists: vec![List::only(nodes.len(), list.regions)],
                outputs: outputs.collect(),
                nodes,
            };
            (list.name.clone(), network)
        };
        self.lists.iter().map(one).collect()
    }
}

/// A network as files have it: its lists by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lists(BTreeMap<String, Network>);

impl From<&Network> for Lists {
    fn from(network: &Network) -> Self {
        Self(network.separate())
    }
}

impl TryFrom<Lists> for Network {
    type Error = Error;

    fn try_from(Lists(mut lists): Lists) -> Result<Self> {
        let main = lists.remove(List::MAIN).ok_or_else(|| Error::Network {
            path: List::MAIN.to_owned(),
            reason: "a network must have a list of this name".to_owned(),
        })?;
        main.with_lists(lists)
    }
}
