//! The network as a value: an ordered list of nodes, of which everything else is an interpretation.
//!
//! A node has a PyTorch-style path, an operation, the ids of its inputs and, where it makes channels, the rule for
//! how many it has at a width.
//! Invariant: a [`Network`] is valid from its construction on (by [`NetworkBuilder`] or from a file): inputs come
//! before their users, paths are unique, and channels agree at both ends of its width range.

use serde::{Deserialize, Serialize};

use crate::{Error, Frames, Result, Subnet, Width, WidthRange};

mod channels;
pub use channels::{ChannelRule, make_divisible};

mod op;
pub use op::{Activation, BatchNorm, Conv, Extent, Groups, Linear, MaxPool, Op};

mod builder;
pub use builder::NetworkBuilder;

mod shape;
pub use shape::{NodeCost, Shape};

mod parameter;
pub use parameter::{Parameter, ParameterKind};

#[cfg(test)]
mod tests;

/// Index of a node in its network's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub usize);

/// What the network reads; the spatial rank of every tensor in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Images: tensors are `[n, c, h, w]`.
    Image,
    /// Clips: tensors are `[n, c, t, h, w]`.
    Clip,
}

/// One layer of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Path in the reference's module tree; the prefix of its parameters' names.
    pub path: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, each earlier in the list.
    pub inputs: Vec<NodeId>,
}

/// A network that can run at every width of a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NetworkFile")]
pub struct Network {
    name: String,
    rank: Rank,
    widths: WidthRange,
    nodes: Vec<Node>,
}

/// A [`Network`] as it stands in a file, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    name: String,
    rank: Rank,
    widths: WidthRange,
    nodes: Vec<Node>,
}

impl TryFrom<NetworkFile> for Network {
    type Error = Error;

    fn try_from(NetworkFile { name, rank, widths, nodes }: NetworkFile) -> Result<Self> {
        Self::checked(Self { name, rank, widths, nodes })
    }
}

impl Network {
    /// Most nodes that a network may have; a bound for files of unknown origin.
    pub const MAX_NODES: usize = 10_000;

    fn checked(self) -> Result<Self> {
        let wrong =
            |path: &str, reason: &str| Error::Network { path: path.to_owned(), reason: reason.to_owned() };
        if self.nodes.len() < 2 || self.nodes.len() > Self::MAX_NODES {
            return Err(wrong(&self.name, "a network has from 2 to 10000 nodes"));
        }
        let mut paths = std::collections::HashSet::new();
        for (idx, node) in self.nodes.iter().enumerate() {
            if !paths.insert(node.path.as_str()) {
                return Err(wrong(&node.path, "another node has the same path"));
            }
            if matches!(node.op, Op::Input { .. }) != (idx == 0) {
                return Err(wrong(&node.path, "the first node, and no other, is the input"));
            }
            if node.inputs.len() != node.op.arity() {
                return Err(wrong(&node.path, "wrong number of inputs for its operation"));
            }
            if node.inputs.iter().any(|input| input.0 >= idx) {
                return Err(wrong(&node.path, "an input does not come before it in the list"));
            }
            node.op.check().map_err(|reason| wrong(&node.path, reason))?;
        }
        if !matches!(self.nodes[self.nodes.len() - 1].op, Op::Linear(_)) {
            return Err(wrong(
                &self.nodes[self.nodes.len() - 1].path,
                "the last node must be a linear layer",
            ));
        }
        for width in [self.widths.smallest(), self.widths.full()] {
            self.channels(width)?;
        }
        Ok(self)
    }

    /// The family's name, e.g. `mobilenet_v2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Images or clips.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// The widths it can run at; weights are as large as the full one needs.
    pub fn widths(&self) -> WidthRange {
        self.widths
    }

    /// The list, in the order of execution; the last node is the output.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of an id.
    ///
    /// # Panics
    /// The id is another network's.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Number of outputs of the last node: the classes.
    pub fn classes(&self) -> usize {
        match &self.nodes[self.nodes.len() - 1].op {
            Op::Linear(linear) => linear.out_features,
            _ => unreachable!("checked at construction: the last node is linear"),
        }
    }

    /// For every node the last node that reads it (itself if none does), so that an executor knows when to let go.
    pub fn last_uses(&self) -> Vec<NodeId> {
        let mut last: Vec<_> = (0..self.nodes.len()).map(NodeId).collect();
        for (idx, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                last[input.0] = NodeId(idx);
            }
        }
        last
    }

    /// Channels of every node's output at `width`.
    ///
    /// # Errors
    /// The width is outside of the network's range, or channels that must agree do not.
    pub fn channels(&self, width: Width) -> Result<Vec<usize>> {
        if !self.widths.contains(width) {
            let range = self.widths;
            return Err(Error::Subnet {
                subnet: format!("of width {width}"),
                network: self.name.clone(),
                reason: format!("its widths are {} to {}", range.smallest(), range.full()),
            });
        }
        let channels = self.channels_at(width)?;
        if width < self.widths.full() {
            // Rounding can give a few channels more at a narrower width; then there is no prefix to slice.
            let full = self.channels_at(self.widths.full())?;
            if let Some(idx) = (0..channels.len()).find(|&idx| channels[idx] > full[idx]) {
                return Err(Error::Network {
                    path: self.nodes[idx].path.clone(),
                    reason: format!(
                        "{} channels at width {width}, {} at the full one",
                        channels[idx], full[idx]
                    ),
                });
            }
        }
        Ok(channels)
    }

    fn channels_at(&self, width: Width) -> Result<Vec<usize>> {
        let mut channels = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| channels[input.0]).collect();
            let out = node.op.channels(&inputs, width).map_err(|reason| Error::Network {
                path: node.path.clone(),
                reason: format!("{reason} at width {width}"),
            })?;
            channels.push(out);
        }
        Ok(channels)
    }

    /// The network that a width is, by itself: the same list with every channel count fixed, under the same paths.
    ///
    /// # Errors
    /// As [`Self::channels`].
    pub fn narrowed(&self, width: Width) -> Result<Self> {
        let channels = self.channels(width)?;
        let nodes = self.nodes.iter().zip(channels).map(|(node, channels)| {
            let mut node = node.clone();
            if let Op::Conv(conv) = &mut node.op {
                conv.out = ChannelRule::whole(channels);
            }
            node
        });
        let nodes = nodes.collect();
        Self::checked(Self {
            name: self.name.clone(),
            rank: self.rank,
            widths: WidthRange::new(width, width)?,
            nodes,
        })
    }

    fn frames(&self, subnet: Subnet) -> Result<Option<Frames>> {
        match (self.rank, subnet.frames) {
            (Rank::Image, None) => Ok(None),
            (Rank::Clip, Some(frames)) => Ok(Some(frames)),
            (rank, _) => Err(Error::Subnet {
                subnet: subnet.to_string(),
                network: self.name.clone(),
                reason: match rank {
                    Rank::Image => "an image network has no frames".to_owned(),
                    Rank::Clip => "a clip network needs a number of frames".to_owned(),
                },
            }),
        }
    }
}
