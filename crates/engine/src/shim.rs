//! Safe wrappers around the foreign functions of `shim/*.cpp`; all `unsafe` code of the crate is here.
//!
//! Invariant: a tensor pointer that is passed lives for the whole call, and a tensor pointer that is received is owned by
//! exactly one [`tch::Tensor`].
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use crate::error::{EngineError, Result, Shapes, first_line};
use crate::{AdamWStep, Affine, NormStatistics, PinnedFloats, SgdStep, Tensor};

mod group;
pub(crate) use group::*;

/// An `at::Tensor*` whose tensor C++ reads or changes in place.
type RawTensor = *mut c_void;
/// Null, or a message that the caller must free.
type RawMessage = *mut c_char;

#[repr(C)]
struct RawSgd {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: c_int,
    first_step: c_int,
}

#[repr(C)]
struct RawAdamW {
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    step: i64,
}

#[repr(C)]
struct RawNorm {
    momentum: f64,
    epsilon: f64,
    low: f64,
    high: f64,
    is_hard_swish: c_int,
}

/// How a depthwise kernel moves.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawMoves {
    pub(crate) stride: i64,
    pub(crate) dilation: i64,
}

/// An activation that the fused operations know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FusedActivation {
    /// A clamp to this interval.
    Clamp(f64, f64),
    HardSwish,
}

unsafe extern "C" {
    fn mutualnet_is_recording() -> c_int;
    fn mutualnet_can_fuse(tensor: RawTensor) -> c_int;
    fn mutualnet_norm_activation(
        input: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        running_mean: RawTensor,
        running_variance: RawTensor,
        settings: *const RawNorm,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_fixed_norm_activation(
        input: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        mean: RawTensor,
        variance: RawTensor,
        settings: *const RawNorm,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_free_message(message: RawMessage);
    fn mutualnet_libtorch_version() -> *const c_char;
    fn mutualnet_set_threads(threads: c_int) -> RawMessage;
    fn mutualnet_set_flush_denormal(on: c_int, supported: *mut c_int) -> RawMessage;
    fn mutualnet_load_cuda() -> RawMessage;
    fn mutualnet_cuda_count(count: *mut i64) -> RawMessage;
    fn mutualnet_cuda_synchronize(index: i64) -> RawMessage;
    fn mutualnet_adopt_floats(
        values: *mut f32,
        sizes: *const i64,
        rank: i64,
        owner: *mut c_void,
        free_owner: unsafe extern "C" fn(*mut c_void),
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_pinned_floats(count: i64, out: *mut RawTensor) -> RawMessage;
    fn mutualnet_channels_last(tensor: RawTensor, out: *mut RawTensor) -> RawMessage;
    fn mutualnet_copy(tensor: RawTensor, out: *mut RawTensor) -> RawMessage;
    fn mutualnet_is_channels_last(tensor: RawTensor) -> c_int;
    fn mutualnet_clear_grad(tensor: RawTensor) -> RawMessage;
    fn mutualnet_set_grad(tensor: RawTensor, grad: RawTensor) -> RawMessage;
    fn mutualnet_prefix(tensor: RawTensor, sizes: *const i64, rank: i64, out: *mut RawTensor) -> RawMessage;
    fn mutualnet_leaf_prefix(
        tensor: RawTensor,
        sizes: *const i64,
        rank: i64,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_add_prefix(whole: RawTensor, part: RawTensor) -> RawMessage;
    fn mutualnet_fused_sgd(
        params: *const RawTensor,
        grads: *const RawTensor,
        buffers: *const RawTensor,
        count: i64,
        settings: *const RawSgd,
    ) -> RawMessage;
    fn mutualnet_fused_adamw(
        params: *const RawTensor,
        grads: *const RawTensor,
        means: *const RawTensor,
        squares: *const RawTensor,
        count: i64,
        settings: *const RawAdamW,
    ) -> RawMessage;
    fn mutualnet_norm_activation_depthwise(
        input: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        running_mean: RawTensor,
        running_variance: RawTensor,
        kernel: RawTensor,
        moves: *const RawMoves,
        settings: *const RawNorm,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_fixed_norm_activation_depthwise(
        input: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        mean: RawTensor,
        variance: RawTensor,
        kernel: RawTensor,
        moves: *const RawMoves,
        settings: *const RawNorm,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_resize_images(
        images: RawTensor,
        sides: *const i64,
        count: i64,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_pixel_cross_entropy(
        map: RawTensor,
        masks: RawTensor,
        smoothing: f64,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_pixel_kl_divergence(
        student: RawTensor,
        teacher: RawTensor,
        masks: RawTensor,
        out: *mut RawTensor,
    ) -> RawMessage;
    fn mutualnet_pixel_summary(
        map: RawTensor,
        masks: RawTensor,
        counts: *mut i64,
        information: *mut f64,
    ) -> RawMessage;
    fn mutualnet_pixel_answers(map: RawTensor, height: i64, width: i64, out: *mut u8) -> RawMessage;
}

fn raw(tensor: &Tensor) -> RawTensor {
    tensor.0.as_ptr().cast_mut().cast()
}

fn adopt(pointer: RawTensor) -> Tensor {
    // SAFETY: the shim returned an `at::Tensor` on the heap that nothing else owns.
    Tensor(unsafe { tch::Tensor::from_ptr(pointer.cast()) })
}

fn take_message(message: RawMessage) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: a message that is not null is a C string that we own, and it is read before it is freed.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; the message is not used afterwards.
    unsafe { mutualnet_free_message(message) };
    Some(first_line(&text))
}

fn on_tensors(op: &'static str, inputs: &[&Tensor], message: RawMessage) -> Result<()> {
    match take_message(message) {
        None => Ok(()),
        Some(detail) => {
            let shapes = Shapes(inputs.iter().map(|tensor| tensor.shape()).collect());
            Err(EngineError::Op { op, shapes, detail })
        }
    }
}

fn on_process(op: &'static str, message: RawMessage) -> Result<()> {
    take_message(message).map_or(Ok(()), |detail| Err(EngineError::Call { op, detail }))
}

fn signed(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}

pub(crate) fn libtorch_version() -> String {
    // SAFETY: the shim returns a string literal.
    unsafe { CStr::from_ptr(mutualnet_libtorch_version()) }.to_string_lossy().into_owned()
}

pub(crate) fn set_threads(threads: usize) -> Result<()> {
    // SAFETY: takes and returns plain values.
    on_process("set threads", unsafe { mutualnet_set_threads(threads as c_int) })
}

pub(crate) fn set_flush_denormal(on: bool) -> Result<bool> {
    let mut supported = 0;
    // SAFETY: `supported` outlives the call.
    let message = unsafe { mutualnet_set_flush_denormal(c_int::from(on), &mut supported) };
    on_process("flush denormals", message).map(|()| supported != 0)
}

pub(crate) fn load_cuda() -> Result<()> {
    // SAFETY: there are no arguments, and loading a library twice is harmless.
    on_process("load cuda", unsafe { mutualnet_load_cuda() })
}

pub(crate) fn cuda_count() -> Result<usize> {
    let mut count = 0;
    // SAFETY: `count` outlives the call.
    on_process("count cuda devices", unsafe { mutualnet_cuda_count(&mut count) })?;
    Ok(count.max(0) as usize)
}

pub(crate) fn cuda_synchronize(index: usize) -> Result<()> {
    // SAFETY: takes and returns plain values.
    on_process("synchronize", unsafe { mutualnet_cuda_synchronize(index as i64) })
}

pub(crate) fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: `tensor` and `out` outlive the call.
    let message = unsafe { mutualnet_channels_last(raw(tensor), &mut out) };
    on_tensors("channels_last", &[tensor], message).map(|()| adopt(out))
}

pub(crate) fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: `tensor` and `out` outlive the call.
    on_tensors("copy", &[tensor], unsafe { mutualnet_copy(raw(tensor), &mut out) }).map(|()| adopt(out))
}

pub(crate) fn is_channels_last(tensor: &Tensor) -> bool {
    // SAFETY: `tensor` outlives the call, which reads only its strides.
    unsafe { mutualnet_is_channels_last(raw(tensor)) != 0 }
}

pub(crate) fn clear_grad(tensor: &mut Tensor) -> Result<()> {
    // SAFETY: `tensor` is borrowed exclusively for the call.
    on_tensors("clear_grad", &[tensor], unsafe { mutualnet_clear_grad(raw(tensor)) })
}

pub(crate) fn set_grad(tensor: &mut Tensor, grad: &Tensor) -> Result<()> {
    // SAFETY: both outlive the call.
    on_tensors("set_grad", &[tensor, grad], unsafe { mutualnet_set_grad(raw(tensor), raw(grad)) })
}

pub(crate) fn prefix(tensor: &Tensor, sizes: &[usize]) -> Result<Tensor> {
    let (sizes, mut out) = (signed(sizes), ptr::null_mut());
    // SAFETY: `sizes` holds `sizes.len()` values; everything outlives the call.
    let message = unsafe { mutualnet_prefix(raw(tensor), sizes.as_ptr(), sizes.len() as i64, &mut out) };
    on_tensors("prefix", &[tensor], message).map(|()| adopt(out))
}

pub(crate) fn leaf_prefix(tensor: &Tensor, sizes: &[usize]) -> Result<Tensor> {
    let (sizes, mut out) = (signed(sizes), ptr::null_mut());
    // SAFETY: `sizes` holds `sizes.len()` values; everything outlives the call.
    let message = unsafe { mutualnet_leaf_prefix(raw(tensor), sizes.as_ptr(), sizes.len() as i64, &mut out) };
    on_tensors("leaf_prefix", &[tensor], message).map(|()| adopt(out))
}

pub(crate) fn add_prefix(whole: &mut Tensor, part: &Tensor) -> Result<()> {
    // SAFETY: both outlive the call; `whole` is borrowed exclusively.
    on_tensors("add_prefix_", &[whole, part], unsafe { mutualnet_add_prefix(raw(whole), raw(part)) })
}

fn pointers(list: &[&Tensor]) -> Vec<RawTensor> {
    list.iter().map(|tensor| raw(tensor)).collect()
}

pub(crate) fn fused_sgd(
    params: &[&Tensor],
    grads: &[&Tensor],
    buffers: &[&Tensor],
    step: &SgdStep,
    first: bool,
) -> Result<()> {
    assert!(params.len() == grads.len() && params.len() == buffers.len(), "one gradient and buffer each");
    let (p, g, b) = (pointers(params), pointers(grads), pointers(buffers));
    let settings = RawSgd {
        lr: step.lr,
        momentum: step.momentum,
        weight_decay: step.weight_decay,
        nesterov: c_int::from(step.nesterov),
        first_step: c_int::from(first),
    };
    // SAFETY: the three arrays hold `params.len()` live tensors; all outlive the call.
    let message =
        unsafe { mutualnet_fused_sgd(p.as_ptr(), g.as_ptr(), b.as_ptr(), p.len() as i64, &settings) };
    on_process("fused_sgd", message)
}

/// `buffers` are the running means of the gradients and of their squares. `count` is 1 for the first step.
pub(crate) fn fused_adamw(
    params: &[&Tensor],
    grads: &[&Tensor],
    buffers: [&[&Tensor]; 2],
    step: &AdamWStep,
    count: u64,
) -> Result<()> {
    let same_length = |list: &[&Tensor]| list.len() == params.len();
    assert!([grads, buffers[0], buffers[1]].into_iter().all(same_length), "one gradient and buffer each");
    let (p, g, [m, s]) = (pointers(params), pointers(grads), buffers.map(pointers));
    let settings = RawAdamW {
        lr: step.lr,
        beta1: step.betas[0],
        beta2: step.betas[1],
        eps: step.eps,
        weight_decay: step.weight_decay,
        step: count as i64,
    };
    let n = p.len() as i64;
    // SAFETY: the four arrays hold `n` live tensors; all outlive the call.
    let message =
        unsafe { mutualnet_fused_adamw(p.as_ptr(), g.as_ptr(), m.as_ptr(), s.as_ptr(), n, &settings) };
    on_process("fused_adamw", message)
}

pub(crate) fn is_recording() -> bool {
    // SAFETY: reads a thread-local flag.
    unsafe { mutualnet_is_recording() != 0 }
}

pub(crate) fn can_fuse(tensor: &Tensor) -> bool {
    // SAFETY: `tensor` outlives the call, which reads only its description.
    unsafe { mutualnet_can_fuse(raw(tensor)) != 0 }
}

/// The statistics of a call in the form that the shim takes: running ones or none, or fixed ones, and the momentum.
struct RawStatistics {
    fixed: bool,
    mean: RawTensor,
    variance: RawTensor,
    settings: RawNorm,
}

fn raw_statistics(
    statistics: NormStatistics<'_>,
    epsilon: f64,
    activation: FusedActivation,
) -> RawStatistics {
    let none = ptr::null_mut();
    let (fixed, mean, variance, momentum) = match statistics {
        NormStatistics::Batch => (false, none, none, 0.0),
        NormStatistics::Collect { mean, variance, momentum } => (false, raw(mean), raw(variance), momentum),
        NormStatistics::Fixed { mean, variance } => (true, raw(mean), raw(variance), 0.0),
    };
    let (low, high, is_hard_swish) = match activation {
        FusedActivation::Clamp(low, high) => (low, high, 0),
        FusedActivation::HardSwish => (0.0, 0.0, 1),
    };
    let settings = RawNorm { momentum, epsilon, low, high, is_hard_swish };
    RawStatistics { fixed, mean, variance, settings }
}

pub(crate) fn norm_activation(
    input: &Tensor,
    affine: Affine<'_>,
    statistics: NormStatistics<'_>,
    activation: FusedActivation,
) -> Result<Tensor> {
    let (x, weight, bias) = (raw(input), raw(affine.weight), raw(affine.bias));
    let RawStatistics { fixed, mean, variance, settings } =
        raw_statistics(statistics, affine.eps, activation);
    let call = if fixed { mutualnet_fixed_norm_activation } else { mutualnet_norm_activation };
    let mut out = ptr::null_mut();
    // SAFETY: the caller borrows every tensor, and running statistics exclusively (null if there are none);
    // `settings` and `out` outlive the call.
    let message = unsafe { call(x, weight, bias, mean, variance, &settings, &mut out) };
    on_tensors("batch_norm_activation", &[input, affine.weight], message).map(|()| adopt(out))
}

pub(crate) fn norm_activation_depthwise(
    input: &Tensor,
    affine: Affine<'_>,
    statistics: NormStatistics<'_>,
    activation: FusedActivation,
    (kernel, moves): (&Tensor, RawMoves),
) -> Result<Tensor> {
    let (x, weight, bias) = (raw(input), raw(affine.weight), raw(affine.bias));
    let RawStatistics { fixed, mean, variance, settings } =
        raw_statistics(statistics, affine.eps, activation);
    let call =
        if fixed { mutualnet_fixed_norm_activation_depthwise } else { mutualnet_norm_activation_depthwise };
    let mut out = ptr::null_mut();
    // SAFETY: as in `norm_activation`.
    let message = unsafe { call(x, weight, bias, mean, variance, raw(kernel), &moves, &settings, &mut out) };
    let inputs = [input, affine.weight, kernel];
    on_tensors("batch_norm_activation_convolution", &inputs, message).map(|()| adopt(out))
}

pub(crate) fn resize_images(images: &Tensor, sides: &[i64]) -> Result<Vec<Tensor>> {
    let mut out = vec![ptr::null_mut(); sides.len()];
    // SAFETY: the caller borrows the images; `sides` and `out` have the given length and outlive the call.
    let message =
        unsafe { mutualnet_resize_images(raw(images), sides.as_ptr(), sides.len() as i64, out.as_mut_ptr()) };
    on_tensors("resize_bilinear", &[images], message).map(|()| out.into_iter().map(adopt).collect())
}

pub(crate) fn pixel_cross_entropy(map: &Tensor, masks: &Tensor, smoothing: f64) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: the caller borrows the tensors, and `out` outlives the call.
    let message = unsafe { mutualnet_pixel_cross_entropy(raw(map), raw(masks), smoothing, &raw mut out) };
    on_tensors("pixel_cross_entropy", &[map, masks], message).map(|()| adopt(out))
}

pub(crate) fn pixel_kl_divergence(student: &Tensor, teacher: &Tensor, masks: &Tensor) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: the caller borrows the tensors, and `out` outlives the call.
    let message =
        unsafe { mutualnet_pixel_kl_divergence(raw(student), raw(teacher), raw(masks), &raw mut out) };
    on_tensors("pixel_kl_divergence", &[student, teacher, masks], message).map(|()| adopt(out))
}

/// The number of pixels with a class, of those answered correctly, and of the most frequent answer; and the information.
pub(crate) fn pixel_summary(map: &Tensor, masks: &Tensor) -> Result<([i64; 3], f64)> {
    let (mut counts, mut information) = ([0; 3], 0.0);
    // SAFETY: the caller borrows the tensors; three counts and one number are written.
    let message =
        unsafe { mutualnet_pixel_summary(raw(map), raw(masks), counts.as_mut_ptr(), &raw mut information) };
    on_tensors("pixel_summary", &[map, masks], message).map(|()| (counts, information))
}

pub(crate) fn pixel_answers(map: &Tensor, [height, width]: [usize; 2]) -> Result<Vec<u8>> {
    let images = map.shape().first().copied().unwrap_or(0);
    let mut answers = vec![0; images * height * width];
    // SAFETY: the caller borrows the map, and there is room for one answer per pixel.
    let message =
        unsafe { mutualnet_pixel_answers(raw(map), height as i64, width as i64, answers.as_mut_ptr()) };
    on_tensors("pixel_answers", &[map], message).map(|()| answers)
}

/// Copies values to a tensor on the CPU. `tch` would fill it with zeros first, which takes noticeable time for a batch.
pub(crate) fn from_elements<T: tch::kind::Element>(
    values: &[T],
    shape: &[i64],
) -> std::result::Result<tch::Tensor, tch::TchError> {
    let tensor = tch::Tensor::f_empty(shape, (T::KIND, tch::Device::Cpu))?;
    assert_eq!(tensor.numel(), values.len(), "callers check the length");
    // SAFETY: the tensor is new, contiguous, of this kind of element and of this length.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), tensor.data_ptr().cast(), values.len()) };
    Ok(tensor)
}

/// A row-major tensor on the CPU that uses the memory of `owner`, which is dropped together with it.
///
/// # Panics
/// Panics if the length of the memory does not match the shape, which callers must check.
pub(crate) fn adopt_floats<B: AsMut<[f32]> + Send + 'static>(buffer: B, shape: &[i64]) -> Result<Tensor> {
    unsafe extern "C" fn free<B>(owner: *mut c_void) {
        // SAFETY: `owner` is the box that is passed below, and C++ calls this once.
        drop(unsafe { Box::from_raw(owner.cast::<B>()) });
    }
    let mut owner = Box::new(buffer);
    let values = (*owner).as_mut();
    assert_eq!(shape.iter().product::<i64>(), values.len() as i64, "callers check the length");
    let values = values.as_mut_ptr();
    let mut out = ptr::null_mut();
    let owner = Box::into_raw(owner).cast();
    // SAFETY: the values stay in place until `owner` is freed, which C++ does together with the last tensor that uses
    // them, or at once if it fails.
    let message = unsafe {
        mutualnet_adopt_floats(values, shape.as_ptr(), shape.len() as i64, owner, free::<B>, &raw mut out)
    };
    on_tensors("from_buffer", &[], message).map(|()| adopt(out))
}

pub(crate) fn pinned_floats(count: usize) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: `out` outlives the call.
    let message = unsafe { mutualnet_pinned_floats(count as i64, &raw mut out) };
    on_process("pin memory", message).map(|()| adopt(out))
}

/// The values of a tensor that nothing else accesses.
pub(crate) fn floats(tensor: &PinnedFloats) -> &[f32] {
    // SAFETY: the tensor is contiguous, has this type and length, lives as long as the borrow, and is not shared.
    unsafe { std::slice::from_raw_parts(tensor.0.0.data_ptr().cast(), tensor.0.elements()) }
}

/// Like [`floats`], but mutable.
pub(crate) fn floats_mut(tensor: &mut PinnedFloats) -> &mut [f32] {
    // SAFETY: as in `floats`, and nothing else borrows it.
    unsafe { std::slice::from_raw_parts_mut(tensor.0.0.data_ptr().cast(), tensor.0.elements()) }
}
