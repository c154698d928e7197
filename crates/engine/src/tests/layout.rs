//! Creation, reading back and memory order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CPU, noise, random, values};
use crate::{
    Device, EngineError, PinnedFloats, Tensor, cuda_devices, libtorch_version, set_threads, threads,
};

#[test]
fn nhwc_values_become_a_logical_nchw_tensor_in_channels_last_memory() {
    let (n, h, w, c) = (2, 3, 4, 5);
    let source = noise(n * h * w * c, 1);
    let tensor = Tensor::from_nhwc(&source, [n, h, w, c], CPU).unwrap();
    assert_eq!(tensor.shape(), [n, c, h, w]);
    assert!(tensor.is_channels_last());
    let logical = values(&tensor);
    for (index, value) in logical.iter().enumerate() {
        let (x, y, ch, b) = (index % w, index / w % h, index / (w * h) % c, index / (w * h * c));
        assert_eq!(*value, source[((b * h + y) * w + x) * c + ch]);
    }
}

#[test]
fn clips_are_channels_last_too() {
    let source = noise(2 * 3 * 4 * 5 * 6, 1);
    let tensor = Tensor::from_channels_last(&source, &[2, 3, 4, 5, 6], CPU).unwrap();
    assert_eq!(tensor.shape(), [2, 6, 3, 4, 5]);
    assert!(tensor.is_channels_last());
}

/// A buffer that reports when it is dropped.
struct Told(Vec<f32>, Arc<AtomicBool>);

impl AsMut<[f32]> for Told {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_buffer_is_not_copied_and_lives_as_long_as_its_tensors() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let buffer = Told(noise(2 * 3 * 4 * 5, 1), Arc::clone(&is_gone));
    let (source, place) = (buffer.0.clone(), buffer.0.as_ptr());
    let tensor = Tensor::from_buffer(buffer, &[2, 3, 4, 5], CPU).unwrap();
    assert_eq!(tensor.0.data_ptr().cast_const().cast(), place);
    assert!(tensor.is_channels_last());
    assert_eq!(values(&tensor), values(&Tensor::from_nhwc(&source, [2, 3, 4, 5], CPU).unwrap()));
    let alias = tensor.alias();
    drop(tensor);
    assert!(!is_gone.load(Ordering::Relaxed));
    drop(alias);
    assert!(is_gone.load(Ordering::Relaxed));

    let is_gone = Arc::new(AtomicBool::new(false));
    let error = Tensor::from_buffer(Told(source, Arc::clone(&is_gone)), &[7], CPU).unwrap_err();
    assert!(matches!(error, EngineError::Length { .. }) && is_gone.load(Ordering::Relaxed));
}

#[test]
fn pinned_floats_become_a_tensor_on_a_gpu_and_need_one() {
    if cuda_devices().unwrap() == 0 {
        let error = PinnedFloats::new(60).unwrap_err().to_string();
        assert!(error.starts_with("pin memory: "), "{error}");
        return;
    }
    let mut pinned = PinnedFloats::new(60).unwrap();
    let source = noise(60, 3);
    pinned.as_mut().copy_from_slice(&source);
    assert_eq!(pinned.as_ref(), source);
    let tensor = Tensor::from_buffer(pinned, &[1, 4, 5, 3], Device::Cuda(0)).unwrap();
    let copied = Tensor::from_nhwc(&source, [1, 4, 5, 3], CPU).unwrap();
    assert_eq!(values(&tensor.to_device(CPU).unwrap()), values(&copied));
}

#[test]
fn layout_changes_keep_the_values() {
    let tensor = random(&[2, 3, 4, 5], 2);
    let plain = tensor.contiguous().unwrap();
    assert!(tensor.is_channels_last() && !plain.is_channels_last());
    assert_eq!(values(&plain), values(&tensor));
    assert!(plain.channels_last().unwrap().is_channels_last());
    assert!(tensor.copy().unwrap().is_channels_last());
    assert!(tensor.zeros_like().unwrap().is_channels_last());
}

#[test]
fn a_copy_is_apart_and_an_alias_is_not() {
    let mut tensor = Tensor::from_slice(&[1.0, 2.0], &[2]).unwrap();
    let (alias, copy) = (tensor.alias(), tensor.copy().unwrap());
    tensor.copy_from(&Tensor::zeros(&[2], CPU).unwrap()).unwrap();
    assert_eq!(values(&alias), [0.0, 0.0]);
    assert_eq!(values(&copy), [1.0, 2.0]);
}

#[test]
fn scalars_labels_and_finiteness_read_back() {
    assert_eq!(Tensor::from_slice(&[2.5], &[]).unwrap().scalar().unwrap(), 2.5);
    assert_eq!(Tensor::from_slice_i64(&[3, 4], &[2]).unwrap().to_vec_i64().unwrap(), [3, 4]);
    assert!(Tensor::ones(&[3], CPU).unwrap().is_finite().unwrap());
    assert!(!Tensor::from_slice(&[1.0, f32::NAN], &[2]).unwrap().is_finite().unwrap());
}

#[test]
fn devices_are_read_by_name() {
    assert_eq!(Device::parse("cpu").unwrap(), Device::Cpu);
    assert!(matches!(Device::parse("tpu"), Err(EngineError::UnknownDevice { .. })));
    let missing = cuda_devices().unwrap();
    let error = Device::parse(&format!("cuda:{missing}")).unwrap_err();
    assert!(matches!(error, EngineError::NoSuchDevice { index, available } if index == available));
    assert_eq!(Device::Cuda(1).to_string(), "cuda:1");
}

#[test]
fn the_process_settings_take() {
    assert!(libtorch_version().starts_with("2.11"));
    let before = threads();
    set_threads(1).unwrap();
    assert_eq!(threads(), 1);
    set_threads(before).unwrap();
    assert!(crate::flush_denormals().is_ok());
    crate::synchronize(Device::Cpu).unwrap();
}

#[test]
fn a_tensor_moves_between_threads() {
    let tensor = random(&[2, 2], 3);
    let expected = values(&tensor);
    let got = std::thread::spawn(move || values(&tensor)).join().unwrap();
    assert_eq!(got, expected);
}
