//! Residual branches: which node ends each of them.
//!
//! Separate from the list because only first weights ask for it.
//! Invariant: a branch is found by the shape of the list alone, never by a path or a network's name.

use super::{Network, NodeId, Op};

impl Network {
    /// The last batch norm or convolution of every residual branch.
    ///
    /// Where the scale of such a batch norm, or the weight of such a convolution, is zero, its block computes its
    /// shortcut.
    /// Of the two inputs of a sum the residual branch is the one with more convolutions of its own, so a shortcut
    /// that projects is never mistaken for it; a sum of two branches with as many convolutions has none.
    ///
    /// A branch of a pre-activation network ends in a convolution.
    /// Its last batch norm stands before a ReLU, and with a scale of zero no gradient would ever reach it.
    ///
    /// # Source
    /// arXiv 1706.02677 §5.1; `zero_init_residual` of torchvision and `zero_init_last` of timm choose the same
    /// batch norms.
    pub fn residual_ends(&self) -> Vec<NodeId> {
        let sums = self.nodes().iter().filter(|node| matches!(node.op, Op::Add));
        sums.filter_map(|sum| self.residual_end(sum.inputs[0], sum.inputs[1])).collect()
    }

    fn residual_end(&self, a: NodeId, b: NodeId) -> Option<NodeId> {
        let (above_a, above_b) = (self.ancestry(a), self.ancestry(b));
        let own_convolutions = |mine: &[bool], other: &[bool]| {
            let nodes = self.nodes().iter().zip(mine.iter().zip(other));
            nodes.filter(|(node, (mine, other))| **mine && !**other && node.op.rule().is_some()).count()
        };
        let branch = match own_convolutions(&above_a, &above_b).cmp(&own_convolutions(&above_b, &above_a)) {
            std::cmp::Ordering::Greater => a,
            std::cmp::Ordering::Less => b,
            std::cmp::Ordering::Equal => return None,
        };
        matches!(self.node(branch).op, Op::BatchNorm(_) | Op::Conv(_) | Op::TransposedConv(_))
            .then_some(branch)
    }

    /// For every node whether `end` is computed from it, `end` included.
    fn ancestry(&self, end: NodeId) -> Vec<bool> {
        let mut is_above = vec![false; self.nodes().len()];
        is_above[end.0] = true;
        for idx in (0..=end.0).rev() {
            if is_above[idx] {
                self.nodes()[idx].inputs.iter().for_each(|input| is_above[input.0] = true);
            }
        }
        is_above
    }
}
