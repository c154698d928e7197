//! The tensor: creation, reading back, shape, memory layout, views.
//!
//! All other modules build on it. Invariant: there is no implicit clone, only [`Tensor::alias`] (same memory) and
//! [`Tensor::copy`] (new memory).

use std::fmt;

use crate::error::{failed, failed_shapes};
use crate::shim;
use crate::{Device, EngineError, Result};

/// A multi-dimensional array on one device, possibly recorded by autograd.
///
/// It is `Send` but not `Sync`: one thread owns it at a time.
pub struct Tensor(pub(crate) tch::Tensor);

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?} on {})", self.shape(), self.device())
    }
}

pub(crate) fn signed(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}

fn check_length(shape: &[usize], got: usize) -> Result<()> {
    let expected = shape.iter().product();
    if expected == got {
        return Ok(());
    }
    Err(EngineError::Length { shape: shape.to_vec(), expected, got })
}

fn from_elements<T: tch::kind::Element>(values: &[T], shape: &[usize]) -> Result<tch::Tensor> {
    check_length(shape, values.len())?;
    shim::from_elements(values, signed(shape).as_slice())
        .map_err(failed_shapes("from_slice", vec![shape.to_vec()]))
}

impl Tensor {
    /// Makes a batch of images from `[n, h, w, c]` values. Its shape is `[n, c, h, w]`, in channels-last memory. On the
    /// CPU this is one copy.
    ///
    /// # Errors
    /// Fails with [`EngineError::Length`] if the values do not fill the shape.
    pub fn from_nhwc(values: &[f32], nhwc: [usize; 4], device: Device) -> Result<Self> {
        Self::from_channels_last(values, &nhwc, device)
    }

    /// Like [`Tensor::from_nhwc`] for any spatial rank: values in the order `[n, spatial…, c]`.
    ///
    /// # Errors
    /// Fails in the same cases.
    pub fn from_channels_last(values: &[f32], dims: &[usize], device: Device) -> Result<Self> {
        Self(from_elements(values, dims)?).channels_first(device)
    }

    /// Like [`Tensor::from_channels_last`], but the tensor uses the memory of the buffer, which is dropped together with
    /// the last tensor that uses it. On a device other than the CPU the tensor is a copy.
    ///
    /// # Errors
    /// Fails in the same cases.
    pub fn from_buffer<B>(mut buffer: B, dims: &[usize], device: Device) -> Result<Self>
    where
        B: AsMut<[f32]> + Send + 'static,
    {
        check_length(dims, buffer.as_mut().len())?;
        shim::adopt_floats(buffer, &signed(dims))?.channels_first(device)
    }

    /// Views `[n, spatial…, c]` as `[n, c, spatial…]` and moves it to a device.
    fn channels_first(&self, device: Device) -> Result<Self> {
        let last = self.shape().len() as i64 - 1;
        let order: Vec<i64> = [0, last].into_iter().chain(1..last).collect();
        let made = self.0.f_permute(order.as_slice()).and_then(|tensor| tensor.f_to(device.to_tch()));
        made.map(Self).map_err(failed("from_channels_last", [self]))
    }

    /// A row-major `f32` tensor on the CPU.
    ///
    /// # Errors
    /// Fails with [`EngineError::Length`] if the values do not fill the shape.
    pub fn from_slice(values: &[f32], shape: &[usize]) -> Result<Self> {
        from_elements(values, shape).map(Self)
    }

    /// A row-major `i64` tensor on the CPU (labels).
    ///
    /// # Errors
    /// Fails with [`EngineError::Length`] if the values do not fill the shape.
    pub fn from_slice_i64(values: &[i64], shape: &[usize]) -> Result<Self> {
        from_elements(values, shape).map(Self)
    }

    /// A row-major `u8` tensor on the CPU (masks).
    ///
    /// # Errors
    /// Fails with [`EngineError::Length`] if the values do not fill the shape.
    pub fn from_slice_u8(values: &[u8], shape: &[usize]) -> Result<Self> {
        from_elements(values, shape).map(Self)
    }

    /// A tensor of zeros, `f32`.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn zeros(shape: &[usize], device: Device) -> Result<Self> {
        let options = (tch::Kind::Float, device.to_tch());
        let made = tch::Tensor::f_zeros(signed(shape).as_slice(), options);
        made.map(Self).map_err(failed_shapes("zeros", vec![shape.to_vec()]))
    }

    /// A tensor of ones, `f32`.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn ones(shape: &[usize], device: Device) -> Result<Self> {
        let options = (tch::Kind::Float, device.to_tch());
        let made = tch::Tensor::f_ones(signed(shape).as_slice(), options);
        made.map(Self).map_err(failed_shapes("ones", vec![shape.to_vec()]))
    }

    /// Zeros with the shape, type, device and memory layout of `self`, not recorded by autograd.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn zeros_like(&self) -> Result<Self> {
        let made = self.0.f_detach().and_then(|plain| plain.f_zeros_like());
        made.map(Self).map_err(failed("zeros_like", [self]))
    }

    /// The logical shape, which is `[n, c, spatial…]` for images in any memory layout.
    pub fn shape(&self) -> Vec<usize> {
        self.0.size().into_iter().map(|size| size as usize).collect()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.0.numel()
    }

    /// The device that the tensor is on.
    pub fn device(&self) -> Device {
        match self.0.device() {
            tch::Device::Cuda(index) => Device::Cuda(index),
            _ => Device::Cpu,
        }
    }

    /// The values as `f32` in row-major logical order.
    ///
    /// # Errors
    /// Fails if the copy reports an earlier failure on the device.
    pub fn to_vec_f32(&self) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.elements()];
        self.read(tch::Kind::Float, &mut values)?;
        Ok(values)
    }

    /// The values as `i64` in row-major logical order.
    ///
    /// # Errors
    /// Fails in the same cases as [`Tensor::to_vec_f32`].
    pub fn to_vec_i64(&self) -> Result<Vec<i64>> {
        let mut values = vec![0; self.elements()];
        self.read(tch::Kind::Int64, &mut values)?;
        Ok(values)
    }

    fn read<T: tch::kind::Element>(&self, kind: tch::Kind, values: &mut [T]) -> Result<()> {
        let length = values.len();
        let plain =
            self.0.f_detach().and_then(|tensor| tensor.f_to_device_(tch::Device::Cpu, kind, false, false));
        let read = plain.and_then(|tensor| tensor.f_contiguous()?.f_copy_data(values, length));
        read.map_err(failed("read back", [self]))
    }

    /// The value of a tensor with one element.
    ///
    /// # Errors
    /// Fails if it does not have exactly one element.
    pub fn scalar(&self) -> Result<f64> {
        check_length(&[1], self.elements())?;
        let value = self.0.f_view([1]).and_then(|one| one.f_double_value(&[0]));
        value.map_err(failed("scalar", [self]))
    }

    /// Whether all values are finite, that is, neither NaN nor infinite.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn is_finite(&self) -> Result<bool> {
        let all = self.0.f_isfinite().and_then(|flags| flags.f_all()?.f_int64_value(&[]));
        all.map(|flag| flag != 0).map_err(failed("is_finite", [self]))
    }

    /// Another handle to the same memory and the same node in autograd's record.
    pub fn alias(&self) -> Self {
        Self(self.0.shallow_clone())
    }

    /// The same values in new memory with the same layout; recorded by autograd.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn copy(&self) -> Result<Self> {
        shim::copy(self)
    }

    /// Overwrites the values with those of `source`, which may have another memory layout and be on another device.
    /// Autograd does not record this.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    pub fn copy_from(&mut self, source: &Self) -> Result<()> {
        if self.shape() != source.shape() {
            let shapes = crate::Shapes(vec![self.shape(), source.shape()]);
            return Err(EngineError::Op { op: "copy_from", shapes, detail: "shapes differ".into() });
        }
        let _guard = tch::no_grad_guard();
        let failure = failed_shapes("copy_from", vec![self.shape(), source.shape()]);
        self.0.f_copy_(&source.0).map_err(failure)
    }

    /// The same values on `device`; an alias if they are there already.
    ///
    /// # Errors
    /// Fails if the device does not have enough memory.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        self.0.f_to(device.to_tch()).map(Self).map_err(failed("to_device", [self]))
    }

    /// The same values in row-major memory; an alias if they are already.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn contiguous(&self) -> Result<Self> {
        self.0.f_contiguous().map(Self).map_err(failed("contiguous", [self]))
    }

    /// The same values in channels-last memory (rank 4 and 5; row-major below); an alias if they are already.
    ///
    /// # Errors
    /// Fails if there is not enough memory.
    pub fn channels_last(&self) -> Result<Self> {
        shim::channels_last(self)
    }

    /// Whether the memory is channels-last (rank 4 and 5; row-major below).
    pub fn is_channels_last(&self) -> bool {
        shim::is_channels_last(self)
    }

    /// A view of the leading `sizes[d]` entries of each leading dimension `d`; recorded by autograd.
    ///
    /// # Errors
    /// Fails if a size is larger than that of the tensor.
    pub fn prefix(&self, sizes: &[usize]) -> Result<Self> {
        shim::prefix(self, sizes)
    }

    /// A view of `length` entries of dimension `dim`, starting at `start`.
    ///
    /// # Errors
    /// Fails if the range is outside the tensor.
    pub fn narrow(&self, dim: usize, start: usize, length: usize) -> Result<Self> {
        let view = self.0.f_narrow(dim as i64, start as i64, length as i64);
        view.map(Self).map_err(failed("narrow", [self]))
    }

    /// Tensors of equal shapes up to dimension `dim`, one behind the other along it; recorded by autograd.
    ///
    /// # Errors
    /// Fails if there are none, or if their other dimensions differ.
    pub fn concatenate(parts: &[&Self], dim: usize) -> Result<Self> {
        let tensors: Vec<_> = parts.iter().map(|part| &part.0).collect();
        tch::Tensor::f_cat(&tensors, dim as i64)
            .map(Self)
            .map_err(failed_shapes("concatenate", parts.iter().map(|part| part.shape()).collect()))
    }

    /// The channels of every pixel as a row: `[n, c, h, w]` to `[n × h × w, c]`; recorded by autograd. Channels-last
    /// images are not copied.
    ///
    /// # Errors
    /// Fails for anything but images.
    pub fn by_pixel(&self) -> Result<Self> {
        let channels = self.shape().get(1).copied().unwrap_or(0) as i64;
        let rows = self.0.f_permute([0, 2, 3, 1]).and_then(|pixels| pixels.f_reshape([-1, channels]));
        rows.map(Self).map_err(failed("by_pixel", [self]))
    }

    /// The entries of the first dimension at `places` (`i64`), in their order; recorded by autograd.
    ///
    /// # Errors
    /// Fails if a place is outside the tensor.
    pub fn rows(&self, places: &Self) -> Result<Self> {
        self.0.f_index_select(0, &places.0).map(Self).map_err(failed("rows", [self, places]))
    }

    /// Sums of weighted entries of a matrix's first dimension: `[rows, c]` to `[starts, c]`; recorded by autograd. Sum `i` has the
    /// entries `places[j]` (`i64`) times `weights[j]`, with `j` from `starts[i]` (`i64`) to the next start; it is 0 without any.
    ///
    /// # Errors
    /// Fails if a place is outside the tensor, if there are more or fewer weights than places, or if the first start is not 0.
    pub fn weighted_rows(&self, [places, starts]: [&Self; 2], weights: &Self) -> Result<Self> {
        const SUM: i64 = 0;
        let failure = failed("weighted_rows", [self, places, starts, weights]);
        if starts.elements() == 0 {
            return self.narrow(0, 0, 0);
        }
        let sums = tch::Tensor::f_embedding_bag(
            &self.0,
            &places.0,
            &starts.0,
            false,
            SUM,
            false,
            Some(&weights.0),
            false,
        );
        sums.map(|(sums, ..)| Self(sums)).map_err(failure)
    }

    /// Rows as pixels of images in channels-last memory: `[n × h × w, c]` to `[n, c, h, w]`, the reverse of [`Self::by_pixel`];
    /// recorded by autograd. Row-major memory is not copied.
    ///
    /// # Errors
    /// Fails if there are more or fewer rows.
    pub fn as_pixels(&self, [n, height, width]: [usize; 3]) -> Result<Self> {
        let channels = self.shape().last().copied().unwrap_or(0);
        let pixels = self.0.f_reshape(signed(&[n, height, width, channels]).as_slice());
        pixels
            .and_then(|pixels| pixels.f_permute([0, 3, 1, 2]))
            .map(Self)
            .map_err(failed("as_pixels", [self]))
    }

    /// The same values with another shape.
    ///
    /// # Errors
    /// Fails if the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        self.0.f_reshape(signed(shape).as_slice()).map(Self).map_err(failed("reshape", [self]))
    }
}
