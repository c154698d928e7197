//! Convolution of any spatial rank.
//!
//! Invariant: the spatial rank is the length of the geometry's slices; nothing here distinguishes 2-D from 3-D.

use crate::error::failed;
use crate::tensor::signed;
use crate::{Result, Tensor};

/// How a kernel moves, with one entry per spatial dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry<'a> {
    /// Stride, in input elements.
    pub stride: &'a [usize],
    /// Zeros added on both sides.
    pub padding: &'a [usize],
    /// Distance between kernel taps.
    pub dilation: &'a [usize],
    /// Number of independent channel groups; `c_in` of them make it depthwise.
    pub groups: usize,
}

/// How the kernel of a transposed convolution moves, with one entry per spatial dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransposedGeometry<'a> {
    /// Distance between the outputs of neighboring inputs.
    pub stride: &'a [usize],
    /// Outputs that are cut off on both sides.
    pub padding: &'a [usize],
    /// Outputs that are added at the end.
    pub output_padding: &'a [usize],
}

impl Tensor {
    /// The transpose of a cross-correlation: every input position adds its channels, multiplied by the kernel, to the
    /// outputs under it.
    ///
    /// # Shapes
    /// - `self`: `[n, c_in, spatial…]`
    /// - `weight`: `[c_in, c_out, kernel…]`, `bias`: `[c_out]`
    /// - output: `[n, c_out, spatial'…]`, channels-last when the input is
    ///
    /// # Errors
    /// Fails if shapes and geometry do not fit together.
    pub fn transposed_convolution(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        geometry: &TransposedGeometry<'_>,
    ) -> Result<Self> {
        let output = self.0.f_convolution(
            &weight.0,
            bias.map(|bias| &bias.0),
            signed(geometry.stride),
            signed(geometry.padding),
            vec![1; geometry.stride.len()],
            true,
            signed(geometry.output_padding),
            1,
        );
        output.map(Self).map_err(failed("transposed convolution", [self, weight]))
    }

    /// Cross-correlation with `weight`.
    ///
    /// # Shapes
    /// - `self`: `[n, c_in, spatial…]`
    /// - `weight`: `[c_out, c_in / groups, kernel…]`, `bias`: `[c_out]`
    /// - output: `[n, c_out, spatial'…]`, channels-last when the input is
    ///
    /// # Errors
    /// Fails if shapes and geometry do not fit together.
    pub fn convolution(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        geometry: &ConvGeometry<'_>,
    ) -> Result<Self> {
        let output = self.0.f_convolution(
            &weight.0,
            bias.map(|bias| &bias.0),
            signed(geometry.stride),
            signed(geometry.padding),
            signed(geometry.dilation),
            false,
            vec![0; geometry.stride.len()],
            geometry.groups as i64,
        );
        output.map(Self).map_err(failed("convolution", [self, weight]))
    }
}
