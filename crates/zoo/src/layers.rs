//! Layers that several families use, so that the file of a family contains only its list.
//!
//! Invariant: nothing here depends on a family.

use mutualnet_core::NodeId;
use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, MaxPool, NetworkBuilder};

/// A square convolution of odd size, padded so that stride 1 keeps the size of the input.
pub(crate) fn conv(out: ChannelRule, size: u32, stride: u32, groups: Groups) -> Conv {
    let padding = size / 2;
    Conv {
        out,
        kernel: [1, size, size],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: Conv::NO_DILATION,
        groups,
        bias: false,
    }
}

/// A [`conv`] over all channels.
pub(crate) fn dense(out: ChannelRule, size: u32, stride: u32) -> Conv {
    conv(out, size, stride, Groups::Dense)
}

/// A convolution with an odd number of taps along time too, padded so that it keeps the number of frames.
pub(crate) fn along_time(mut conv: Conv, taps: u32) -> Conv {
    (conv.kernel[0], conv.padding[0]) = (taps, taps / 2);
    conv
}

/// Max pooling over a square.
pub(crate) fn max_pool(size: u32, stride: u32, padding: u32) -> MaxPool {
    MaxPool { kernel: [1, size, size], stride: [1, stride, stride], padding: [0, padding, padding] }
}

/// Consecutive layers under one path, numbered like the entries of PyTorch's `Sequential`.
pub(crate) struct Sequential<'a> {
    net: &'a mut NetworkBuilder,
    path: String,
    number: usize,
    /// The last layer so far.
    pub(crate) last: NodeId,
}

impl<'a> Sequential<'a> {
    pub(crate) fn new(net: &'a mut NetworkBuilder, path: &str, input: NodeId) -> Self {
        Self { net, path: path.to_owned(), number: 0, last: input }
    }

    /// Skips a number.
    pub(crate) fn skip(&mut self) -> &mut Self {
        self.number += 1;
        self
    }

    /// The path of the next layer.
    fn path(&mut self) -> String {
        self.number += 1;
        format!("{}.{}", self.path, self.number - 1)
    }

    pub(crate) fn conv(&mut self, conv: Conv) -> &mut Self {
        let path = self.path();
        self.last = self.net.conv(&path, self.last, conv);
        self
    }

    pub(crate) fn batch_norm(&mut self) -> &mut Self {
        let path = self.path();
        self.last = self.net.batch_norm(&path, self.last);
        self
    }

    pub(crate) fn activation(&mut self, activation: Activation) -> &mut Self {
        let path = self.path();
        self.last = self.net.activation(&path, self.last, activation);
        self
    }

    pub(crate) fn max_pool(&mut self, pool: MaxPool) -> &mut Self {
        let path = self.path();
        self.last = self.net.max_pool(&path, self.last, pool);
        self
    }
}
