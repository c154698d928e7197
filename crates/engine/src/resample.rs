//! Operations that change the spatial size: pooling and resizing.
//!
//! Separate from convolution because they have no weights. Invariant: channels-last in,
//! channels-last out.

use crate::error::failed;
use crate::{EngineError, Result, Tensor};

impl Tensor {
    /// Mean over all spatial positions: `[n, c, spatial…]` to `[n, c]`.
    ///
    /// # Errors
    /// [`EngineError::Rank`] without a spatial dimension.
    pub fn global_average(&self) -> Result<Self> {
        let shape = self.shape();
        if shape.len() < 3 {
            return Err(EngineError::Rank { op: "global_average", expected: "[n, c, spatial…]", shape });
        }
        let spatial: Vec<i64> = (2..shape.len() as i64).collect();
        let mean = self.0.f_mean_dim(spatial.as_slice(), false, None);
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
        let size = [height as i64, width as i64];
        let resized = self.0.f_upsample_bilinear2d(size, true, None, None);
        resized.map(Self).map_err(failed("resize_bilinear", [self]))?.channels_last()
    }
}
