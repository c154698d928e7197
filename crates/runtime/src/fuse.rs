//! Fuses nodes that are executed together: a convolution with the batch norm, activation and sum that follow it.
//!
//! The result is the same for every row. Invariant: a fused node has the position of the last node of its chain, so that
//! everything it reads, including the shortcut, is computed before it.

use mutualnet_core::network::{Activation, List, Node, Op};
use mutualnet_core::{Network, NodeId};

/// Nodes that are executed as one: `curve(post(pre(norm(node(input))) + residual))`, where `pre` and `post` are clamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fused {
    /// The node that computes the numbers; `None` if they are the numbers of the input.
    pub(crate) producer: Option<NodeId>,
    /// What the producer reads; a sum or a product has its second operand below. Only a dense producer reads several nodes,
    /// and then there is no residual.
    pub(crate) inputs: Vec<NodeId>,
    /// The second operand of a product: one factor per channel.
    pub(crate) gate: Option<NodeId>,
    /// The batch norm.
    pub(crate) norm: Option<NodeId>,
    pub(crate) pre: Option<Activation>,
    /// The second operand of a sum.
    pub(crate) residual: Option<NodeId>,
    pub(crate) post: Option<Activation>,
    /// A non-linearity that is not a clamp; nothing follows it.
    pub(crate) curve: Option<Activation>,
    /// The node whose value the fused node computes.
    pub(crate) output: NodeId,
}

impl Fused {
    /// All nodes that it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.inputs.iter().copied().chain(self.gate).chain(self.residual)
    }
}

/// Whether a non-linearity is a clamp.
fn clamps(activation: Activation) -> bool {
    matches!(activation, Activation::Relu | Activation::Relu6)
}

/// The fused nodes that compute the outputs of a list, in the order of execution.
pub(crate) fn fuse(network: &Network, list: &List) -> Vec<Fused> {
    let mut chains = Chains { network, users: users(network), taken: vec![false; network.nodes().len()] };
    let mut fused = Vec::new();
    for idx in list.nodes().skip(network.inputs(list).count()) {
        let id = NodeId(idx);
        if !chains.taken[idx] && (is_output(network, id) || !chains.users[idx].is_empty()) {
            fused.push(chains.begin(id));
        }
    }
    fused.sort_by_key(|fused| fused.output);
    fused
}

fn is_output(network: &Network, id: NodeId) -> bool {
    network.outputs().iter().any(|output| output.node == id)
}

/// For every node, the nodes that read its numbers, without those that no output depends on.
fn users(network: &Network) -> Vec<Vec<NodeId>> {
    let nodes = network.nodes();
    let mut users = vec![Vec::new(); nodes.len()];
    for idx in (0..nodes.len()).rev() {
        if is_output(network, NodeId(idx)) || !users[idx].is_empty() {
            for input in numbers(&nodes[idx]) {
                users[input.0].push(NodeId(idx));
            }
        }
    }
    users
}

/// The inputs whose numbers a node reads: of the node that it is resized like, only the size counts.
fn numbers(node: &Node) -> &[NodeId] {
    match node.op {
        Op::ResizeLike(_) => &node.inputs[..1],
        _ => &node.inputs,
    }
}

struct Chains<'a> {
    network: &'a Network,
    users: Vec<Vec<NodeId>>,
    /// Nodes that are part of a chain.
    taken: Vec<bool>,
}

impl Chains<'_> {
    /// The longest chain that begins with a node.
    fn begin(&mut self, start: NodeId) -> Fused {
        self.taken[start.0] = true;
        let node = self.network.node(start);
        let mut chain = Fused {
            producer: None,
            inputs: vec![node.inputs[0]],
            gate: None,
            norm: None,
            pre: None,
            residual: None,
            post: None,
            curve: None,
            output: start,
        };
        match &node.op {
            Op::BatchNorm(_) => chain.norm = Some(start),
            Op::Activation(activation) if clamps(*activation) => chain.pre = Some(*activation),
            Op::Activation(activation) => chain.curve = Some(*activation),
            Op::Add => chain.residual = Some(node.inputs[1]),
            Op::Multiply => chain.gate = Some(node.inputs[1]),
            _ => {
                chain.producer = Some(start);
                chain.inputs = numbers(node).to_vec();
            }
        }
        if node.op != Op::GlobalPool {
            self.extend(&mut chain);
        }
        chain
    }

    fn extend(&mut self, chain: &mut Fused) {
        let takes_norm = chain
            .producer
            .is_some_and(|node| matches!(self.network.node(node).op, Op::Conv(_) | Op::TransposedConv(_)));
        while let Some(next) = self.only_user(chain.output) {
            let node = self.network.node(next);
            let bare = chain.norm.is_none() && chain.pre.is_none() && chain.residual.is_none();
            match &node.op {
                _ if chain.curve.is_some() => return,
                Op::BatchNorm(_) if takes_norm && bare => chain.norm = Some(next),
                Op::Activation(activation) if !clamps(*activation) => chain.curve = Some(*activation),
                Op::Activation(activation) if chain.residual.is_none() && chain.pre.is_none() => {
                    chain.pre = Some(*activation);
                }
                Op::Activation(activation) if chain.residual.is_some() && chain.post.is_none() => {
                    chain.post = Some(*activation);
                }
                Op::Add if chain.residual.is_none() && chain.inputs.len() == 1 => {
                    let other = node.inputs.iter().find(|&&input| input != chain.output);
                    chain.residual = Some(*other.expect("a node added to itself has two users"));
                }
                _ => return,
            }
            self.taken[next.0] = true;
            chain.output = next;
        }
    }

    /// The only node that reads `id`, if there is exactly one, it is not part of a chain yet, and `id` is no output.
    fn only_user(&self, id: NodeId) -> Option<NodeId> {
        if is_output(self.network, id) {
            return None;
        }
        match self.users[id.0][..] {
            [user] if !self.taken[user.0] => Some(user),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::network::{ChannelRule, Conv, Groups, NetworkBuilder, Rank};
    use mutualnet_core::{Width, WidthRange};

    use super::*;

    fn conv(channels: usize) -> Conv {
        Conv {
            out: ChannelRule::whole(channels),
            kernel: [1; 3],
            stride: [1; 3],
            padding: [0; 3],
            dilation: Conv::NO_DILATION,
            groups: Groups::Dense,
            bias: false,
        }
    }

    /// Two branches that meet, both ending in a batch norm.
    #[test]
    fn one_branch_takes_the_sum_and_the_other_is_its_residual() {
        let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
        let mut net = NetworkBuilder::new("n", Rank::Image, widths);
        let x = net.input(3);
        let a = net.conv("a", x, conv(8));
        let a = net.batch_norm("a_bn", a);
        let b = net.conv("b", x, conv(8));
        let b = net.batch_norm("b_bn", b);
        let sum = net.add("sum", a, b);
        let y = net.activation("act", sum, Activation::Relu);
        let unused = net.conv("unused", y, conv(4));
        let y = net.add("twice", y, y);
        let y = net.global_pool("pool", y);
        net.linear("fc", y, 2);
        let net = net.finish().unwrap();
        let fused = fuse(&net, net.main());
        let outputs: Vec<_> = fused.iter().map(|fused| fused.output).collect();
        let act = NodeId(sum.0 + 1);
        assert_eq!(outputs, [b, act, NodeId(unused.0 + 1), NodeId(unused.0 + 2), NodeId(unused.0 + 3)]);
        assert_eq!((fused[1].norm, fused[1].residual, fused[1].pre), (Some(a), Some(b), None));
        assert_eq!(fused[1].post, Some(Activation::Relu));
        assert_eq!(
            (fused[2].producer, fused[2].inputs.clone(), fused[2].residual),
            (None, vec![act], Some(act))
        );
    }

    /// Two clamps, then two curves, behind one batch norm: none may replace another.
    #[test]
    fn every_activation_of_a_chain_is_kept() {
        let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
        let mut net = NetworkBuilder::new("n", Rank::Image, widths);
        let x = net.input(3);
        let x = net.conv("conv", x, conv(8));
        let mut x = net.batch_norm("bn", x);
        let all = [Activation::Relu6, Activation::Relu, Activation::Swish, Activation::HardSwish];
        for (idx, activation) in all.into_iter().enumerate() {
            x = net.activation(&format!("act{idx}"), x, activation);
        }
        let x = net.global_pool("pool", x);
        net.linear("fc", x, 2);
        let net = net.finish().unwrap();
        let fused = fuse(&net, net.main());
        let kept: Vec<_> = fused.iter().flat_map(|fused| [fused.pre, fused.post, fused.curve]).collect();
        assert_eq!(kept.into_iter().flatten().collect::<Vec<_>>(), all);
    }
}
