//! The network as a value: an ordered list of nodes, which everything else interprets.
//!
//! A node has a PyTorch-style path, an operation and the ids of its inputs. A node that produces channels also has the
//! rule for how many there are at a given width.
//! Invariant: every [`Network`] is valid, whether it comes from a [`NetworkBuilder`] or from a file. Inputs come before
//! the nodes that read them, paths are unique, and channels agree at both ends of the width range.

use serde::{Deserialize, Serialize};

use crate::{Error, InputSize, Result, Subnet, Width, WidthRange};

mod channels;
pub use channels::{ChannelRule, make_divisible};

mod op;
pub use op::{
    Activation, AvgPool, BatchNorm, Conv, Extent, Groups, Linear, MaxPool, Op, Resize, TransposedConv,
};

mod builder;
pub use builder::NetworkBuilder;

mod shape;
pub use shape::{NodeCost, Shape};

mod parameter;
pub use parameter::{Parameter, ParameterKind, ParameterSlice};

mod output;
pub use output::Output;

mod list;
pub use list::{List, Lists};

mod residual;

#[cfg(test)]
mod tests;

/// The index of a node in the list of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub usize);

/// What the network reads, which determines the rank of all its tensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Images: tensors are `[n, c, h, w]`.
    #[default]
    Image,
    /// Clips: tensors are `[n, c, t, h, w]`.
    Clip,
}

impl Rank {
    /// What a sample is.
    pub fn sample(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Clip => "clip",
        }
    }

    /// What the samples are, in the plural.
    pub fn samples(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Clip => "clips",
        }
    }
}

/// One node of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Path in the module tree of the reference, which is the prefix of its parameters' names.
    pub path: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, each earlier in the list.
    pub inputs: Vec<NodeId>,
    /// An earlier node of the list whose parameters it uses, instead of some of its own. Both are the same convolution, and
    /// read as many channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<NodeId>,
}

/// A network that can run at every width of a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NetworkFile", into = "NetworkFile")]
pub struct Network {
    name: String,
    rank: Rank,
    widths: WidthRange,
    /// Of all lists.
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    lists: Vec<List>,
}

/// A [`Network`] of one list as written in a file, before it is checked. Files with several have [`Lists`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    name: String,
    rank: Rank,
    widths: WidthRange,
    nodes: Vec<Node>,
    /// Empty if the last node is the only output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Output>,
    /// Of a list for regions: [`List::regions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions: Option<u32>,
}

impl TryFrom<NetworkFile> for Network {
    type Error = Error;

    fn try_from(file: NetworkFile) -> Result<Self> {
        let NetworkFile { name, rank, widths, nodes, outputs, regions } = file;
        Self::one_list((name, rank, widths), nodes, outputs, regions)
    }
}

impl From<Network> for NetworkFile {
    fn from(Network { name, rank, widths, nodes, outputs, lists }: Network) -> Self {
        assert_eq!(lists.len(), 1, "a network with several lists is written as `Lists`");
        let outputs = if outputs == Output::or_last(Vec::new(), &nodes) { Vec::new() } else { outputs };
        Self { name, rank, widths, nodes, outputs, regions: lists[0].regions() }
    }
}

impl Network {
    /// The most nodes that a network may have, which limits what an untrusted file can ask for.
    pub const MAX_NODES: usize = 10_000;

    /// A network with the list [`List::MAIN`] only. Without outputs, the last node is the output [`Output::LOGITS`].
    fn one_list(
        (name, rank, widths): (String, Rank, WidthRange),
        nodes: Vec<Node>,
        outputs: Vec<Output>,
        regions: Option<u32>,
    ) -> Result<Self> {
        let outputs = Output::or_last(outputs, &nodes);
        let lists = vec![List::only(nodes.len(), regions)];
        Self { name, rank, widths, nodes, outputs, lists }.checked()
    }

    fn checked(self) -> Result<Self> {
        let wrong =
            |path: &str, reason: &str| Error::Network { path: path.to_owned(), reason: reason.to_owned() };
        if self.nodes.len() < 2 || self.nodes.len() > Self::MAX_NODES {
            return Err(wrong(&self.name, "a network must have 2 to 10000 nodes"));
        }
        let mut paths = std::collections::HashSet::new();
        let mut is_vector = Vec::with_capacity(self.nodes.len());
        for (idx, node) in self.nodes.iter().enumerate() {
            if !paths.insert(node.path.as_str()) {
                return Err(wrong(&node.path, "another node has the same path"));
            }
            let begins_list = self.lists.iter().any(|list| list.nodes().start == idx);
            let follows_input = begins_list || matches!(self.nodes[idx - 1].op, Op::Input { .. });
            match node.op {
                Op::Input { .. } if !follows_input => {
                    return Err(wrong(&node.path, "inputs must be the first nodes of a list"));
                }
                Op::Input { size: Some([time, ..]), .. } if self.rank == Rank::Image && time != 1 => {
                    return Err(wrong(&node.path, "an image network has no frames"));
                }
                Op::Input { .. } => {}
                _ if begins_list => return Err(wrong(&node.path, "the first node must be an input")),
                _ => {}
            }
            if !node.op.reads(node.inputs.len()) {
                return Err(wrong(&node.path, "wrong number of inputs for the operation"));
            }
            if node.inputs.iter().any(|input| input.0 >= idx) {
                return Err(wrong(&node.path, "inputs must come earlier in the list"));
            }
            node.op.check().map_err(|reason| wrong(&node.path, reason))?;
            let of_inputs: Vec<_> = node.inputs.iter().map(|input| is_vector[input.0]).collect();
            is_vector.push(node.op.gives_vector(&of_inputs).map_err(|reason| wrong(&node.path, reason))?);
            if !node.shares.is_none_or(|owner| self.may_share(NodeId(idx), owner)) {
                let reason = "parameters are shared with an earlier node of the list that is the same \
                              convolution and has its own";
                return Err(wrong(&node.path, reason));
            }
        }
        for list in &self.lists {
            if list.regions().is_some_and(|n| n == 0 || n > List::MAX_REGIONS) {
                let reason = format!("it must run on 1 to {} regions", List::MAX_REGIONS);
                return Err(Error::Network { path: list.name().to_owned(), reason });
            }
        }
        output::check(&self)?;
        Ok(self)
    }

    /// Whether a node can use the parameters of another one, as far as channels of inputs do not matter.
    fn may_share(&self, id: NodeId, owner: NodeId) -> bool {
        let in_one_list = self.lists.iter().any(|list| list.contains(id) && list.contains(owner));
        let (node, owner_is_earlier) = (self.node(id), owner < id);
        let of = |owner: &Node| owner.op == node.op && owner.shares.is_none();
        in_one_list && owner_is_earlier && matches!(node.op, Op::Conv(_)) && of(self.node(owner))
    }

    /// The name of the network, for example `mobilenet_v2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the network reads images or clips.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// The widths that it can run at. Weights have the size that the full width needs.
    pub fn widths(&self) -> WidthRange {
        self.widths
    }

    /// What the network computes, in all lists: at least one node, each with a name of its own.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The nodes of all lists, in the order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    ///
    /// # Panics
    /// Panics if the id belongs to another network and is out of range.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node that has the parameters of a node: itself, unless it shares those of another one.
    ///
    /// # Panics
    /// Panics in the same case as [`Self::node`].
    pub fn owner(&self, id: NodeId) -> NodeId {
        self.node(id).shares.unwrap_or(id)
    }

    /// For every node, the last node that reads it, or the node itself if none does. An executor can then drop its value.
    /// That of an output is never dropped: its last use lies behind the end of the list.
    pub fn last_uses(&self) -> Vec<NodeId> {
        let mut last: Vec<_> = (0..self.nodes.len()).map(NodeId).collect();
        for (idx, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                last[input.0] = NodeId(idx);
            }
        }
        for output in &self.outputs {
            last[output.node.0] = NodeId(self.nodes.len());
        }
        last
    }

    /// The number of channels of every node's output at `width`.
    ///
    /// # Errors
    /// Fails if the width is outside the range of the network, or if channels that must agree do not.
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
            // Rounding can give a narrower width a few channels more, and then there is no prefix to slice.
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
            if let Some(owner) = node.shares {
                let of_owner: Vec<usize> =
                    self.node(owner).inputs.iter().map(|input| channels[input.0]).collect();
                if of_owner != inputs {
                    return Err(Error::Network {
                        path: node.path.clone(),
                        reason: format!(
                            "it shares the parameters of `{}`, which reads {of_owner:?} channels, and reads {inputs:?} \
                             at width {width}",
                            self.node(owner).path
                        ),
                    });
                }
            }
        }
        Ok(channels)
    }

    /// The network of one width by itself: the same list under the same paths, with all channel counts fixed.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::channels`].
    pub fn narrowed(&self, width: Width) -> Result<Self> {
        let channels = self.channels(width)?;
        let nodes = self.nodes.iter().zip(channels).map(|(node, channels)| {
            let mut node = node.clone();
            if let Some(rule) = node.op.rule_mut() {
                *rule = ChannelRule::whole(channels);
            }
            node
        });
        let nodes = nodes.collect();
        Self { widths: WidthRange::new(width, width)?, nodes, ..self.clone() }.checked()
    }

    /// The same network with numbers of channels that are multiples of `divisor`, 1 to [`ChannelRule::MAX_DIVISOR`], before
    /// they are multiplied by a ratio. Smaller divisors give a small network more widths that differ.
    ///
    /// # Errors
    /// Fails if the divisor is out of its range, or if it leaves a layer with more channels at a narrow width than at the
    /// full one.
    pub fn with_channel_divisor(mut self, divisor: u32) -> Result<Self> {
        for node in &mut self.nodes {
            if let Some(rule) = node.op.rule_mut() {
                rule.divisor = divisor;
            }
        }
        self.checked()
    }

    /// Frames, height and width of the clip that [`List::MAIN`] reads beside that of the sub-network, if it reads two. They
    /// are the same for every sub-network, whose own clip is made from this one.
    pub fn whole_clip(&self) -> Option<Extent> {
        let mut inputs = self.inputs(self.main()).map(|input| &self.node(input).op);
        match (self.rank, inputs.next(), inputs.next(), inputs.next()) {
            (Rank::Clip, Some(Op::Input { size: None, .. }), Some(&Op::Input { size, .. }), None) => size,
            _ => None,
        }
    }

    /// The same network for a [`Self::whole_clip`] of another size.
    ///
    /// # Errors
    /// Fails if the network does not read one, or if the size has a zero.
    pub fn with_whole_clip(mut self, size: Extent) -> Result<Self> {
        if self.whole_clip().is_none() {
            let reason = "it reads one image or clip, and no second one".to_owned();
            return Err(Error::Network { path: self.name, reason });
        }
        if let Op::Input { size: of_whole, .. } = &mut self.nodes[1].op {
            *of_whole = Some(size);
        }
        self.checked()
    }

    /// The extent of the input of `subnet`.
    fn extent_of(&self, subnet: Subnet) -> Result<Extent> {
        let InputSize { resolution, frames } = subnet.input;
        if self.rank == Rank::Image && !frames.is_one() {
            return Err(Error::Subnet {
                subnet: subnet.to_string(),
                network: self.name.clone(),
                reason: "an image network has no frames".to_owned(),
            });
        }
        Ok([frames.get(), resolution.get(), resolution.get()])
    }
}
