//! Operations without weights that change the spatial size: pooling and resizing.
//!
//! Invariant: channels-last input gives channels-last output.

use crate::error::failed;
use crate::tensor::signed;
use crate::{Device, EngineError, Result, Tensor, shim};

/// How a pooling window moves, with one entry per spatial dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolGeometry<'a> {
    /// Size of the window.
    pub kernel: &'a [usize],
    /// Stride, in input elements.
    pub stride: &'a [usize],
    /// Positions that are added on both sides and ignored; at most half of the size.
    pub padding: &'a [usize],
}

/// How values between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel, rounded down.
    Nearest,
    /// Bilinear.
    Bilinear,
}

impl Tensor {
    /// The largest value in a window, channel by channel: `[n, c, spatial…]` to `[n, c, spatial'…]`.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] unless there are two or three spatial dimensions, and if the window does not fit.
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

    /// The mean of a window, channel by channel; positions outside the input count as zeros:
    /// `[n, c, spatial…]` to `[n, c, spatial'…]`.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] unless there are two or three spatial dimensions, and if the window does not fit.
    pub fn avg_pool(&self, geometry: &PoolGeometry<'_>) -> Result<Self> {
        let [kernel, stride, padding] = [geometry.kernel, geometry.stride, geometry.padding].map(signed);
        let pooled = match self.shape().len() {
            4 => self.0.f_avg_pool2d(kernel, stride, padding, false, true, None),
            5 => self.0.f_avg_pool3d(kernel, stride, padding, false, true, None),
            _ => {
                let expected = "[n, c, h, w] or [n, c, t, h, w]";
                return Err(EngineError::Rank { op: "avg_pool", expected, shape: self.shape() });
            }
        };
        pooled.map(Self).map_err(failed("avg_pool", [self]))
    }

    /// Resizes to a height and a width, and clips to a number of frames too: `[n, c, spatial…]` to `[n, c, size…]`.
    /// Bilinear means without aligned corners. If the size is the same, the result is an alias.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] unless `size` has as many dimensions as images or clips, or if clips are to be
    /// resized bilinearly.
    pub fn resize_to(&self, size: &[usize], filter: Filter) -> Result<Self> {
        let shape = self.shape();
        if shape.get(2..) == Some(size) {
            return Ok(self.alias());
        }
        let size = signed(size);
        let resized = match (shape.len(), size.len(), filter) {
            (4, 2, Filter::Nearest) => self.0.f_upsample_nearest2d(size, None, None),
            (4, 2, Filter::Bilinear) => self.0.f_upsample_bilinear2d(size, false, None, None),
            (5, 3, Filter::Nearest) => self.0.f_upsample_nearest3d(size, None, None, None),
            _ => {
                let expected = "[n, c, h, w], or [n, c, t, h, w] and the nearest";
                return Err(EngineError::Rank { op: "resize_to", expected, shape });
            }
        };
        resized.map(Self).map_err(failed("resize_to", [self]))
    }

    /// Mean over all spatial positions: `[n, c, spatial…]` to `[n, c, 1…]`.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] if there is no spatial dimension.
    pub fn global_average(&self) -> Result<Self> {
        let shape = self.shape();
        if shape.len() < 3 {
            return Err(EngineError::Rank { op: "global_average", expected: "[n, c, spatial…]", shape });
        }
        let spatial: Vec<i64> = (2..shape.len() as i64).collect();
        let mean = self.0.f_mean_dim(spatial.as_slice(), true, None);
        mean.map(Self).map_err(failed("global_average", [self]))
    }

    /// Resizes bilinearly with aligned corners: `[n, c, h, w]` to `[n, c, side, side]`.
    /// If the size is the same, the result is an alias.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] for anything but images.
    ///
    /// # Source
    /// Reference: `F.interpolate(mode='bilinear', align_corners=True)` on the normalized batch.
    pub fn resize_bilinear(&self, side: usize) -> Result<Self> {
        let mut resized = self.resize_bilinear_all(&[[side; 2]])?;
        Ok(resized.swap_remove(0))
    }

    /// Resizes to several sizes, which is cheaper than one by one: `[n, c, height, width]` for each of them.
    ///
    /// # Errors
    /// Fails in the same cases as [`resize_bilinear`](Self::resize_bilinear).
    pub fn resize_bilinear_all(&self, sizes: &[[usize; 2]]) -> Result<Vec<Self>> {
        let shape = self.shape();
        if shape.len() != 4 {
            return Err(EngineError::Rank { op: "resize_bilinear", expected: "[n, c, h, w]", shape });
        }
        let is_same = |size: &[usize; 2]| shape[2..] == *size;
        let others: Vec<_> = sizes.iter().filter(|size| !is_same(size)).collect();
        let are_squares = others.iter().all(|[height, width]| height == width);
        // For three channels, libtorch's kernel takes as long as decoding the images.
        let has_kernel = shape[1] == 3 && self.device() == Device::Cpu && self.0.kind() == tch::Kind::Float;
        let resized = if has_kernel && are_squares && !self.requires_grad() {
            let sides: Vec<_> = others.iter().map(|size| size[0] as i64).collect();
            shim::resize_images(self, &sides)?
        } else {
            others.iter().map(|&&size| self.upsample(size)).collect::<Result<_>>()?
        };
        let mut resized = resized.into_iter();
        let of = |size| if is_same(size) { Some(self.alias()) } else { resized.next() };
        Ok(sizes.iter().filter_map(of).collect())
    }

    fn upsample(&self, size: [usize; 2]) -> Result<Self> {
        let resized = self.0.f_upsample_bilinear2d(size.map(|side| side as i64), true, None, None);
        resized.map(Self).map_err(failed("resize_bilinear", [self]))?.channels_last()
    }
}
