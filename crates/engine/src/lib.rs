//! The tensor engine of the training side. No other crate uses libtorch.
//!
//! It is a separate crate so that no other one sees a `tch` type, a C++ exception or a panic from libtorch.
//! Invariant: every operation can fail and returns [`EngineError`] then; images stay in channels-last memory, whatever
//! their logical shape `[n, c, spatial…]`.

mod error;
mod shim;

mod device;
mod group;
mod tensor;

mod adamw;
mod autograd;
mod clips;
mod convolution;
mod linear;
mod loss;
mod norm;
mod pinned;
mod pixels;
mod pointwise;
mod resample;
mod sgd;

#[cfg(test)]
mod tests;

pub use adamw::{AdamWStep, FusedAdamW};
pub use autograd::no_grad;
pub use convolution::{ConvGeometry, TransposedGeometry};
pub use device::{
    Device, cuda_devices, flush_denormals, libtorch_version, manual_seed, set_threads, synchronize, threads,
};
pub use error::{EngineError, Result, Shapes};
pub use group::{Averaging, Group, Rendezvous};
pub use norm::{Activation, Affine, NormStatistics};
pub use pinned::PinnedFloats;
pub use pixels::{NO_CLASS, PixelSummary};
pub use resample::{Filter, PoolGeometry};
pub use sgd::{FusedSgd, SgdStep};
pub use tensor::Tensor;
