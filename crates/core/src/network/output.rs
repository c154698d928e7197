//! The outputs of a network: nodes with names, which a task reads.
//!
//! Invariant: an output has the same number of channels at every width, so that its reader need not know the width.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{List, Network, Node, NodeId, Op};
use crate::{Error, Result};

/// The most outputs that a network may have.
const MAX_OUTPUTS: usize = 64;

/// A node that is computed for its own sake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// What it is, such as `logits`.
    pub name: String,
    /// The node.
    pub node: NodeId,
}

impl Output {
    /// The name of the only output of a classifier.
    pub const LOGITS: &'static str = "logits";
    /// The name of the map of scores, `[n, classes, h, w]` at the size of the input, that segmentation networks compute.
    pub const MAP: &'static str = "out";
    /// The name of a map that is computed from an earlier layer and used in training only.
    pub const AUXILIARY: &'static str = "aux";
    /// What the names of a one-stage detector's maps of scores begin with, `scores.0` and so on: `[n, boxes × classes, h,
    /// w]`, for every box of a position its classes, the background first.
    pub const SCORES: &'static str = "scores";
    /// What the names of its maps of boxes begin with: `[n, boxes × 4, h, w]`, for every box its codes.
    pub const BOXES: &'static str = "boxes";

    /// What the names of the maps begin with that a two-stage detector cuts regions out of, from the finest to the coarsest.
    pub const FEATURES: &'static str = "features";
    /// What the names of its maps of logits begin with, one for every box of a position: whether there is an object in it.
    pub const OBJECTS: &'static str = "objects";
    /// What the names of its maps of codes begin with, for every box of a position; and the name of the codes that the list
    /// [`List::BOX`] computes, for every class of a region.
    pub const CODES: &'static str = "codes";
    /// The name of the maps of logits that the list [`List::MASK`] computes, `[regions, classes, h, w]`: whether a pixel of a
    /// region belongs to the object in it, if that is of the class.
    pub const MASKS: &'static str = "masks";

    /// Whether it is a map of boxes.
    fn is_boxes(&self) -> bool {
        self.name.strip_prefix(Self::BOXES).is_some_and(|rest| rest.starts_with('.'))
    }

    /// These outputs; if there are none, the last node as [`Self::LOGITS`].
    pub(super) fn or_last(outputs: Vec<Self>, nodes: &[Node]) -> Vec<Self> {
        if !outputs.is_empty() {
            return outputs;
        }
        vec![Self { name: Self::LOGITS.to_owned(), node: NodeId(nodes.len().saturating_sub(1)) }]
    }
}

impl Network {
    /// The number of classes: the channels of the first output, that of [`List::BOX`] if there is one, for each box if it is a
    /// one-stage detector's.
    pub fn classes(&self) -> usize {
        let channels = self.channels(self.widths().full()).expect("checked at construction");
        let first = channels[self.answers().next().expect("every list has an output").node.0];
        first / self.boxes_per_position().unwrap_or(1).max(1)
    }

    /// The boxes that a one-stage detector scores at every position of its first map; `None` for other networks.
    pub fn boxes_per_position(&self) -> Option<usize> {
        let channels = self.channels(self.widths().full()).expect("checked at construction");
        let boxes = self.outputs().iter().find(|output| output.is_boxes())?;
        Some(channels[boxes.node.0] / 4)
    }

    /// The outputs that depend on the number of classes, and maps of boxes: those of all lists but [`List::MAIN`] if there is a
    /// list [`List::BOX`], or all if there is no such list.
    fn answers(&self) -> impl Iterator<Item = &Output> {
        let has_regions = self.list(List::BOX).is_ok();
        let is_answer = move |output: &&Output| !(has_regions && self.main().contains(output.node));
        self.outputs().iter().filter(is_answer)
    }

    /// The last layers with parameters before each output but maps of boxes, which depend on the number of classes: the
    /// classifier.
    pub fn heads(&self) -> BTreeSet<NodeId> {
        self.last_layers(self.answers().filter(|output| !output.is_boxes()))
    }

    /// The last layers with parameters before each output that is a result: scores, boxes, masks, not features that regions
    /// are cut out of.
    pub fn results(&self) -> BTreeSet<NodeId> {
        self.last_layers(self.outputs().iter().filter(|output| !output.name.starts_with(Output::FEATURES)))
    }

    /// The last layers with parameters before each of the outputs.
    fn last_layers<'a>(&self, outputs: impl Iterator<Item = &'a Output>) -> BTreeSet<NodeId> {
        let mut last = BTreeSet::new();
        let mut open: Vec<_> = outputs.map(|output| output.node).collect();
        while let Some(id) = open.pop() {
            let Node { op, inputs, .. } = self.node(id);
            match op {
                Op::Conv(_) | Op::TransposedConv(_) | Op::Linear(_) | Op::BatchNorm(_) => {
                    last.insert(self.owner(id));
                }
                // The second input gives the size only.
                Op::ResizeLike(_) => open.push(inputs[0]),
                _ => open.extend(inputs),
            }
        }
        last
    }

    /// The nodes that only [`Output::AUXILIARY`] needs.
    pub fn auxiliary(&self) -> BTreeSet<NodeId> {
        let mut auxiliary = self.needed_by(|output| output.name == Output::AUXILIARY);
        for id in self.needed_by(|output| output.name != Output::AUXILIARY) {
            auxiliary.remove(&id);
        }
        auxiliary
    }

    /// The nodes that some of the outputs are computed from, these outputs included.
    fn needed_by(&self, is_wanted: impl Fn(&Output) -> bool) -> BTreeSet<NodeId> {
        let wanted = self.outputs().iter().filter(|output| is_wanted(output));
        let mut open: Vec<_> = wanted.map(|output| output.node).collect();
        let mut needed = BTreeSet::new();
        while let Some(id) = open.pop() {
            if needed.insert(id) {
                open.extend(&self.node(id).inputs);
            }
        }
        needed
    }
}

/// Checks the outputs, and with them the channels at both ends of the width range.
pub(super) fn check(network: &Network) -> Result<()> {
    let wrong = |path: &str, reason: String| Err(Error::Network { path: path.to_owned(), reason });
    let outputs = network.outputs();
    if outputs.len() > MAX_OUTPUTS {
        return wrong(network.name(), format!("a network must have 1 to {MAX_OUTPUTS} outputs"));
    }
    let [narrow, full] =
        [network.widths().smallest(), network.widths().full()].map(|at| network.channels(at));
    let (narrow, full) = (narrow?, full?);
    let mut names = BTreeSet::new();
    for Output { name, node } in outputs {
        if name.is_empty() || !names.insert(name) {
            return wrong(name, "another output has the same name, or it has none".to_owned());
        }
        let Some(path) = network
            .nodes()
            .get(node.0)
            .filter(|node| !matches!(node.op, Op::Input { .. }))
            .map(|node| &node.path)
        else {
            return wrong(name, "the output must be a node that computes something".to_owned());
        };
        let [narrow, full] = [narrow[node.0], full[node.0]];
        if narrow != full {
            let reason =
                format!("an output must have the same channels at every width, got {narrow} and {full}");
            return wrong(path, reason);
        }
    }
    Ok(())
}
