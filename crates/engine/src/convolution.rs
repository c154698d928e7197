//! Convolution of any spatial rank.
//!
//! Invariant: the spatial rank is the length of the geometry's slices. Kernels that reach along time alone, or along
//! height and width alone, run on clips as on images, for which libtorch is several times faster.

use crate::error::failed;
use crate::tensor::signed;
use crate::{Device, Result, Tensor};

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
        if is_linear(self, weight, geometry) {
            let (n, [c_out, c_in]) = (self.shape()[0], [weight.shape()[0], weight.shape()[1]]);
            let output = self.reshape(&[n, c_in])?.linear(&weight.reshape(&[c_out, c_in])?, bias)?;
            let single = vec![1; geometry.stride.len()];
            return output.reshape(&[&[n, c_out], &single[..]].concat());
        }
        if is_faulty(self, weight, geometry) {
            let stride = vec![1; geometry.stride.len()];
            let dense = ConvGeometry { stride: &stride, ..*geometry };
            return self.every(geometry.stride)?.convolution(weight, bias, &dense);
        }
        if let Some(flat) = Flat::of(self, weight, geometry) {
            return flat.convolution(self, (weight, bias), geometry);
        }
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

impl Tensor {
    /// The positions at multiples of the strides: `[n, c, spatial…]` to `[n, c, spatial'…]` in channels-last memory.
    fn every(&self, strides: &[usize]) -> Result<Self> {
        let mut kept = self.alias();
        for (axis, &stride) in strides.iter().enumerate() {
            let sliced = kept.0.f_slice(axis as i64 + 2, None, None, stride as i64);
            kept = sliced.map(Self).map_err(failed("slice", [self]))?;
        }
        kept.channels_last()
    }
}

/// Whether a convolution is a linear layer: every input has a single position, as regions and pooled maps do. A matrix product is
/// faster than oneDNN's convolution then.
fn is_linear(input: &Tensor, weight: &Tensor, geometry: &ConvGeometry<'_>) -> bool {
    let is_single = |tensor: &Tensor| tensor.shape().iter().skip(2).all(|&n| n == 1);
    let is_plain = geometry.groups == 1 && geometry.padding.iter().all(|&n| n == 0);
    is_plain && is_single(input) && is_single(weight) && input.shape().get(1) == weight.shape().get(1)
}

/// Whether oneDNN computes the gradient of a convolution with a kernel that writes beyond its memory.
///
/// In libtorch 2.11 that is `brgconv_strided` on AVX-512, for one tap, a stride, and fewer than 16 input channels.
fn is_faulty(input: &Tensor, weight: &Tensor, geometry: &ConvGeometry<'_>) -> bool {
    const FEWEST: usize = 16;
    let kernel = weight.shape();
    input.device() == Device::Cpu
        && geometry.groups == 1
        && kernel.len() > 2
        && kernel[1] < FEWEST
        && kernel[2..].iter().all(|&taps| taps == 1)
        && geometry.padding.iter().all(|&padding| padding == 0)
        && geometry.stride.iter().any(|&stride| stride > 1)
}

/// How a clip is seen as images by a kernel that does not reach along all three axes.
#[derive(Debug, Clone, Copy)]
enum Flat {
    /// Every frame is an image.
    Frames,
    /// Every clip is an image, whose height is time and whose columns are positions.
    Positions,
}

impl Flat {
    fn of(input: &Tensor, weight: &Tensor, geometry: &ConvGeometry<'_>) -> Option<Self> {
        let (&[_, _, _, _, _], &[_, _, time, height, width]) = (&input.shape()[..], &weight.shape()[..])
        else {
            return None;
        };
        // Other geometries do not fit, which libtorch says.
        let (&[stride_t, stride_h, stride_w], &[padding_t, padding_h, padding_w]) =
            (geometry.stride, geometry.padding)
        else {
            return None;
        };
        if [time, stride_t, padding_t] == [1, 1, 0] {
            return Some(Self::Frames);
        }
        let is_along_time = [height, width, stride_h, stride_w] == [1; 4] && [padding_h, padding_w] == [0; 2];
        is_along_time.then_some(Self::Positions)
    }

    fn convolution(
        self,
        input: &Tensor,
        (weight, bias): (&Tensor, Option<&Tensor>),
        geometry: &ConvGeometry<'_>,
    ) -> Result<Tensor> {
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let (shape, kernel) = (input.shape(), weight.shape());
        let (n, [height, width]) = (shape[0], [shape[3], shape[4]]);
        match self {
            Self::Frames => {
                let frames: Vec<_> = (0..shape[2]).collect();
                let weight = weight.reshape(&[&kernel[..2], &kernel[3..]].concat())?;
                let [stride, padding, dilation] = [stride, padding, dilation].map(|axes| &axes[1..]);
                let geometry = ConvGeometry { stride, padding, dilation, groups };
                input.frames(&frames)?.convolution(&weight, bias, &geometry)?.clips(n)
            }
            Self::Positions => {
                let weight = weight.reshape(&kernel[..4])?;
                let [stride, padding, dilation] = [stride, padding, dilation].map(|axes| &axes[..2]);
                let geometry = ConvGeometry { stride, padding, dilation, groups };
                let positions = input.positions()?.convolution(&weight, bias, &geometry)?;
                positions.with_positions([height, width])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient of a slice reaches the whole weight, as that of a convolution does.
    #[test]
    fn a_single_position_is_a_linear_layer() {
        let values = |n: usize, seed: usize| {
            (0..n).map(|i| ((i * 37 + seed) % 23) as f32 / 11.0 - 1.0).collect::<Vec<_>>()
        };
        for rank in [2, 3] {
            let single = vec![1; rank];
            let shape = |n: usize, c: usize| [&[n, c], &single[..]].concat();
            let weight = Tensor::from_slice(&values(6 * 5, 1), &shape(6, 5)).unwrap().require_grad().unwrap();
            let bias = Tensor::from_slice(&values(4, 2), &[4]).unwrap();
            let input = Tensor::from_slice(&values(7 * 3, 3), &shape(7, 3)).unwrap();
            let slice = weight.narrow(0, 0, 4).unwrap().narrow(1, 0, 3).unwrap();
            let zeros = vec![0; rank];
            let geometry = ConvGeometry { stride: &single, padding: &zeros, dilation: &single, groups: 1 };
            assert!(is_linear(&input, &slice, &geometry));
            let ours = input.convolution(&slice, Some(&bias), &geometry).unwrap();
            assert_eq!(ours.shape(), shape(7, 4));
            let (x, w) = (values(7 * 3, 3), values(6 * 5, 1));
            let found = ours.detach().unwrap().to_vec_f32().unwrap();
            for (at, found) in found.into_iter().enumerate() {
                let (n, o) = (at / 4, at % 4);
                let sum: f32 = (0..3).map(|c| x[n * 3 + c] * w[o * 5 + c]).sum();
                assert!((found - sum - values(4, 2)[o]).abs() < 1e-5, "{at}: {found}");
            }
            ours.sum().unwrap().backward().unwrap();
            let gradient = weight.grad().unwrap().unwrap().to_vec_f32().unwrap();
            for (at, gradient) in gradient.into_iter().enumerate() {
                let (o, c) = (at / 5, at % 5);
                let sum: f32 = if o < 4 && c < 3 { (0..7).map(|n| x[n * 3 + c]).sum() } else { 0.0 };
                assert!((gradient - sum).abs() < 1e-5, "{at}: {gradient}");
            }
        }
        let wide = Tensor::zeros(&[1, 3, 2, 1], Device::Cpu).unwrap();
        let weight = Tensor::zeros(&[4, 3, 1, 1], Device::Cpu).unwrap();
        let geometry = ConvGeometry { stride: &[1; 2], padding: &[0; 2], dilation: &[1; 2], groups: 1 };
        assert!(!is_linear(&wide, &weight, &geometry));
    }

    #[test]
    fn strided_points_of_few_channels_are_kept_from_onednn() {
        let is_kept = |channels: usize, taps: usize, stride: usize, groups: usize| {
            let input = Tensor::zeros(&[1, channels, 4, 4], Device::Cpu).unwrap();
            let weight = Tensor::zeros(&[8, channels / groups, taps, taps], Device::Cpu).unwrap();
            let padding = &[taps / 2; 2];
            let geometry = ConvGeometry { stride: &[stride; 2], padding, dilation: &[1, 1], groups };
            is_faulty(&input, &weight, &geometry)
        };
        assert!(is_kept(8, 1, 2, 1) && is_kept(15, 1, 2, 1));
        assert!(
            !is_kept(16, 1, 2, 1) && !is_kept(8, 3, 2, 1) && !is_kept(8, 1, 1, 1) && !is_kept(8, 1, 2, 8)
        );
    }
}
