//! Output shapes, MACs and parameter counts of a sub-network, all of them exact.

use super::{AvgPool, Conv, Extent, Groups, List, MaxPool, Network, Op, Rank, TransposedConv};
use crate::{Error, Macs, Result, Subnet, Width};

/// The shape of a node's output for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, or features after pooling.
    pub channels: usize,
    /// Time, height and width. All are 1 after pooling, and time is 1 for images.
    pub extent: Extent,
}

impl Shape {
    /// Number of positions per channel. It saturates, because a file may ask for anything.
    pub fn positions(self) -> usize {
        self.extent.iter().fold(1, |product: usize, &n| product.saturating_mul(n as usize))
    }

    /// Number of elements in the output. It saturates too.
    pub fn elements(self) -> usize {
        self.channels.saturating_mul(self.positions())
    }
}

/// What one node of a sub-network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCost {
    /// The shape of its output.
    pub shape: Shape,
    /// Multiply-accumulates for one sample.
    pub macs: Macs,
    /// Number of parameters that it uses.
    pub params: u64,
}

impl Network {
    /// Output shape, MACs and parameters of every node of `subnet`.
    ///
    /// MACs count convolutions, linear layers and the elements that an average pool reads.
    /// Batch norms, activations, max pools, resizing, sums and products count as free.
    ///
    /// # Errors
    /// Fails if the sub-network does not fit: if the width is out of range, the input is too small, or an image network is
    /// to read more than one frame.
    ///
    /// # Source
    /// `[MN-code utils/model_profiling.py]`.
    pub fn costs(&self, subnet: Subnet) -> Result<Vec<NodeCost>> {
        let channels = self.channels(subnet.width)?;
        self.costs_of(&channels, self.extent_of(subnet)?, &subnet)
    }

    /// As [`Self::costs`], for an image of any height and width, in pixels.
    ///
    /// # Errors
    /// Fails in the same cases, and if the network reads clips.
    pub fn costs_at(&self, width: Width, [height, image_width]: [u32; 2]) -> Result<Vec<NodeCost>> {
        if self.rank() != Rank::Image {
            let subnet = format!("{width} at {height}×{image_width}");
            let reason = "a clip network needs a number of frames".to_owned();
            return Err(Error::Subnet { subnet, network: self.name().to_owned(), reason });
        }
        self.costs_of_clip(width, [1, height, image_width])
    }

    /// As [`Self::costs`], for a clip of any number of frames, height and width. An image has one frame.
    ///
    /// # Errors
    /// Fails in the same cases, and if the clip has no pixels.
    pub fn costs_of_clip(&self, width: Width, extent: Extent) -> Result<Vec<NodeCost>> {
        let [frames, height, image_width] = extent;
        let (subnet, reason) = match self.rank() {
            Rank::Image => (format!("{width} at {height}×{image_width}"), "an image has at least one pixel"),
            Rank::Clip => {
                (format!("{width} at {frames}×{height}×{image_width}"), "a clip has at least one pixel")
            }
        };
        if extent.contains(&0) {
            let reason = reason.to_owned();
            return Err(Error::Subnet { subnet, network: self.name().to_owned(), reason });
        }
        if self.rank() == Rank::Image && frames != 1 {
            let reason = "an image network reads one frame".to_owned();
            return Err(Error::Subnet { subnet, network: self.name().to_owned(), reason });
        }
        self.costs_of(&self.channels(width)?, extent, &subnet)
    }

    /// `subnet` is what errors name.
    fn costs_of(
        &self,
        channels: &[usize],
        input: Extent,
        subnet: &dyn std::fmt::Display,
    ) -> Result<Vec<NodeCost>> {
        let mut costs: Vec<NodeCost> = Vec::with_capacity(channels.len());
        for (node, &channels) in self.nodes().iter().zip(channels) {
            let inputs: Vec<Shape> = node.inputs.iter().map(|input| costs[input.0].shape).collect();
            let extent = match &node.op {
                Op::Input { size, .. } => Ok(size.unwrap_or(input)),
                Op::Conv(_) if inputs.iter().any(|input| input.extent != inputs[0].extent) => {
                    Err("the inputs differ in size".to_owned())
                }
                Op::Conv(conv) => windows(inputs[0].extent, conv.reach(), conv.stride, conv.padding),
                Op::TransposedConv(conv) => conv.enlarged(inputs[0].extent),
                Op::MaxPool(MaxPool { kernel, stride, padding })
                | Op::AvgPool(AvgPool { kernel, stride, padding }) => {
                    windows(inputs[0].extent, *kernel, *stride, *padding)
                }
                Op::ResizeLike(_) => Ok(inputs[1].extent),
                Op::Add if inputs[0].extent != inputs[1].extent => {
                    Err("the inputs differ in size".to_owned())
                }
                Op::Multiply if inputs[1].extent != [1; 3] => {
                    Err("the second input is not pooled".to_owned())
                }
                Op::BatchNorm(_) | Op::Activation(_) | Op::Add | Op::Multiply => Ok(inputs[0].extent),
                Op::GlobalPool => Ok([1; 3]),
                Op::Linear(_) if inputs.iter().any(|input| input.extent != [1; 3]) => {
                    Err("the input is not pooled".to_owned())
                }
                Op::Linear(_) => Ok([1; 3]),
            };
            let extent = extent.map_err(|reason| Error::Subnet {
                subnet: subnet.to_string(),
                network: self.name().to_owned(),
                reason: format!("node `{}`: {reason}", node.path),
            })?;
            let shape = Shape { channels, extent };
            let (macs, params) = node.op.cost(&inputs, shape);
            costs.push(NodeCost { shape, macs: Macs(macs), params });
        }
        Ok(costs)
    }

    /// Multiply-accumulates for one sample at most: those of the list [`List::MAIN`], and those of the other lists for as many
    /// [regions](List::regions) as they may run on.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::costs`].
    pub fn macs(&self, subnet: Subnet) -> Result<Macs> {
        let costs = self.costs(subnet)?;
        let of_list = |(idx, list): (usize, &List)| {
            let times = if idx == 0 { 1 } else { u64::from(list.regions().unwrap_or(0)) };
            let once: Macs = costs[list.nodes()].iter().map(|cost| cost.macs).sum();
            Macs(once.0.saturating_mul(times))
        };
        Ok(self.lists().iter().enumerate().map(of_list).sum())
    }

    /// Multiply-accumulates for one sample of the nodes of [`List::MAIN`] below a path, such as `backbone.body.`.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::costs`].
    pub fn macs_below(&self, path: &str, subnet: Subnet) -> Result<Macs> {
        let costs = self.costs(subnet)?;
        let nodes = self.main().nodes().filter(|&idx| self.nodes()[idx].path.starts_with(path));
        Ok(nodes.map(|idx| costs[idx].macs).sum())
    }

    /// Multiply-accumulates of a list for one of the things that it runs on: a sample, or a region.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::costs`].
    pub fn list_macs(&self, list: &List, subnet: Subnet) -> Result<Macs> {
        Ok(self.costs(subnet)?[list.nodes()].iter().map(|cost| cost.macs).sum())
    }

    /// Number of parameters that a width uses.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::channels`].
    pub fn params(&self, width: Width) -> Result<u64> {
        let shapes = self.parameter_shapes(width)?;
        Ok(shapes.iter().map(|shape| shape.iter().map(|&n| n as u64).product::<u64>()).sum())
    }
}

/// How many windows fit along each axis of an input.
fn windows(input: Extent, kernel: Extent, stride: Extent, padding: Extent) -> Result<Extent, String> {
    let mut out = [0; 3];
    for axis in 0..3 {
        let padded = input[axis].saturating_add(2 * padding[axis]);
        let Some(room) = padded.checked_sub(kernel[axis]) else {
            return Err(format!("an input of {input:?} is smaller than the kernel {kernel:?}"));
        };
        out[axis] = room / stride[axis] + 1;
    }
    Ok(out)
}

impl TransposedConv {
    /// The size of the output for an input of this size. It saturates, because a file may ask for anything.
    fn enlarged(&self, input: Extent) -> Result<Extent, String> {
        let mut out = [0; 3];
        for axis in 0..3 {
            let apart = input[axis].saturating_sub(1).saturating_mul(self.stride[axis]);
            let whole = apart.saturating_add(self.kernel[axis]).saturating_add(self.output_padding[axis]);
            let left = whole.checked_sub(2 * self.padding[axis]).filter(|&left| left > 0);
            out[axis] = left.ok_or_else(|| format!("padding leaves nothing of an input of {input:?}"))?;
        }
        Ok(out)
    }

    /// Number of weights for each pair of an input and an output channel.
    fn taps(&self) -> u64 {
        self.kernel.iter().map(|&n| u64::from(n)).product()
    }
}

impl Conv {
    /// Number of weights per output channel.
    pub(super) fn weights_per_output(&self, in_channels: usize) -> u64 {
        let kernel: u64 = self.kernel.iter().map(|&n| u64::from(n)).product();
        match self.groups {
            Groups::Dense => kernel * in_channels as u64,
            Groups::Depthwise => kernel,
        }
    }
}

impl Op {
    /// MACs and parameters. Both saturate, because a file may ask for anything.
    fn cost(&self, inputs: &[Shape], out: Shape) -> (u64, u64) {
        let in_channels = inputs.iter().map(|input| input.channels).sum();
        match self {
            Self::Conv(conv) => {
                let per_output = conv.weights_per_output(in_channels);
                let biases = if conv.bias { out.channels as u64 } else { 0 };
                (per_output.saturating_mul(out.elements() as u64), per_output * out.channels as u64 + biases)
            }
            Self::TransposedConv(conv) => {
                let weights = (conv.taps() * in_channels as u64).saturating_mul(out.channels as u64);
                let biases = if conv.bias { out.channels as u64 } else { 0 };
                (weights.saturating_mul(inputs[0].positions() as u64), weights + biases)
            }
            Self::Linear(_) => {
                let weights = in_channels as u64 * out.channels as u64;
                (weights, weights + out.channels as u64)
            }
            Self::GlobalPool => (inputs[0].elements() as u64, 0),
            Self::AvgPool(pool) => {
                let window: u64 = pool.kernel.iter().map(|&n| u64::from(n)).product();
                (window.saturating_mul(out.elements() as u64), 0)
            }
            Self::BatchNorm(_) => (0, 2 * out.channels as u64),
            Self::Input { .. }
            | Self::Activation(_)
            | Self::Add
            | Self::Multiply
            | Self::MaxPool(_)
            | Self::ResizeLike(_) => (0, 0),
        }
    }
}
