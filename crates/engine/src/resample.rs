//! Operations that change the spatial size: pooling and resizing.
//!
//! Separate from convolution because they have no weights. Invariant: channels-last in,
//! channels-last out.

use crate::error::failed;
use crate::tensor::signed;
use crate::{Device, EngineError, Result, Tensor, shim};

/// How a pooling window moves: one entry per spatial dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolGeometry<'a> {
    /// Size.
    pub kernel: &'a [usize],
    /// Step, in input elements.
    pub stride: &'a [usize],
    /// Positions added on both sides that never win; at most half of the size.
    pub padding: &'a [usize],
}

impl Tensor {
    /// The largest value under a window, channel by channel: `[n, c, spatial…]` to `[n, c, spatial'…]`.
    ///
    /// # Errors
    /// [`EngineError::Rank`] without two or three spatial dimensions; when the window does not fit.
    pub fn max_pool(&self, geometry: &PoolGeometry<'_>) -> Result<Self> {
        let [kernel, stride, padding] = [geometry.kernel, geometry.stride, geometry.padding].map(signed);
        let pooled = match self.shape().len() {
            4 => self.0.f_max_pool2d(kernel, stride, padding, [1, 1], false),
            5 => self.0.f_max_pool3d(kernel, stride, padding, [1, 1, 1], false),
            _ => {
                let expected = "[n, c, h, w] or [n, c, t, h, w]";
                return Err(EngineError::Rank { op: "max_pool", expected, shape: self.shape() });
            }
        };
        pooled.map(Self).map_err(failed("max_pool", [self]))
    }

    /// Mean over all spatial positions: `[n, c, spatial…]` to `[n, c, 1…]`.
    ///
    /// # Errors
    /// [`EngineError::Rank`] without a spatial dimension.
    pub fn global_average(&self) -> Result<Self> {
        let shape = self.shape();
        if shape.len() < 3 {
            return Err(EngineError::Rank { op: "global_average", expected: "[n, c, spatial…]", shape });
        }
        let spatial: Vec<i64> = (2..shape.len() as i64).collect();
        let mean = self.0.f_mean_dim(spatial.as_slice(), true, None);
        mean.map(Self).map_err(failed("global_average", [self]))
    }

    /// Bilinear resizing with aligned corners: `[n, c, h, w]` to `[n, c, height, width]`.
    /// The same size is the identity and copies nothing.
    ///
    /// # Errors
    /// [`EngineError::Rank`] for anything but images.
    ///
    /// # Source
    /// Reference: `F.interpolate(mode='bilinear', align_corners=True)` on the normalized batch.
    pub fn resize_bilinear(&self, height: usize, width: usize) -> Result<Self> {
        let shape = self.shape();
        if shape.len() != 4 {
            return Err(EngineError::Rank { op: "resize_bilinear", expected: "[n, c, h, w]", shape });
        }
        if shape[2..] == [height, width] {
            return Ok(self.alias());
        }
        // libtorch's takes as long for three channels as decoding the images does.
        if shape[1] == 3
            && self.device() == Device::Cpu
            && !self.requires_grad()
            && self.0.kind() == tch::Kind::Float
        {
            return shim::resize_images(self, height, width);
        }
        let size = [height as i64, width as i64];
        let resized = self.0.f_upsample_bilinear2d(size, true, None, None);
        resized.map(Self).map_err(failed("resize_bilinear", [self]))?.channels_last()
    }
}
