//! Operations on single elements.
//!
//! Invariant: the output has the memory layout of the first input.

use crate::error::{failed, failed_shapes};
use crate::{Activation, Result, Tensor, no_grad};

impl Tensor {
    /// `max(x, 0)`.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn relu(&self) -> Result<Self> {
        self.0.f_relu().map(Self).map_err(failed("relu", [self]))
    }

    /// `min(max(x, 0), 6)`.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn relu6(&self) -> Result<Self> {
        self.0.f_relu6().map(Self).map_err(failed("relu6", [self]))
    }

    /// Applies an activation.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn activation(&self, activation: Activation) -> Result<Self> {
        match activation {
            Activation::Identity => Ok(self.alias()),
            Activation::Relu => self.relu(),
            Activation::Relu6 => self.relu6(),
            Activation::Sigmoid => self.0.f_sigmoid().map(Self).map_err(failed("sigmoid", [self])),
            Activation::HardSigmoid => {
                self.0.f_hardsigmoid().map(Self).map_err(failed("hard_sigmoid", [self]))
            }
            Activation::Swish => self.0.f_silu().map(Self).map_err(failed("swish", [self])),
            Activation::HardSwish => self.0.f_hardswish().map(Self).map_err(failed("hard_swish", [self])),
        }
    }

    /// Sum, with broadcasting.
    ///
    /// # Errors
    /// Fails if the shapes cannot be broadcast together.
    pub fn add(&self, other: &Self) -> Result<Self> {
        self.0.f_add(&other.0).map(Self).map_err(failed("add", [self, other]))
    }

    /// Product, with broadcasting.
    ///
    /// # Errors
    /// Fails if the shapes cannot be broadcast together.
    pub fn multiply(&self, other: &Self) -> Result<Self> {
        self.0.f_mul(&other.0).map(Self).map_err(failed("multiply", [self, other]))
    }

    /// Every element times `factor`.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn scale(&self, factor: f64) -> Result<Self> {
        self.0.f_mul_scalar(factor).map(Self).map_err(failed("scale", [self]))
    }

    /// Mean of all elements, a scalar.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn mean(&self) -> Result<Self> {
        self.0.f_mean(None).map(Self).map_err(failed("mean", [self]))
    }

    /// Sum of all elements, a scalar.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn sum(&self) -> Result<Self> {
        self.0.f_sum(None).map(Self).map_err(failed("sum", [self]))
    }

    /// Euclidean norm of all elements.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn norm(&self) -> Result<Self> {
        self.0.f_norm().map(Self).map_err(failed("norm", [self]))
    }

    /// Every element times `factor`, in place.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn scale_(&mut self, factor: f64) -> Result<()> {
        let failure = failed_shapes("scale_", vec![self.shape()]);
        no_grad(|| self.0.f_mul_scalar_(factor)).map(drop).map_err(failure)
    }

    /// Clamps every element to `-limit..=limit`, in place.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn clamp_(&mut self, limit: f64) -> Result<()> {
        let failure = failed_shapes("clamp_", vec![self.shape()]);
        no_grad(|| self.0.f_clamp_(-limit, limit)).map(drop).map_err(failure)
    }

    /// Moves the fraction `weight` of the way to `end`, in place.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    pub fn lerp_(&mut self, end: &Self, weight: f64) -> Result<()> {
        let failure = failed_shapes("lerp_", vec![self.shape(), end.shape()]);
        if self.shape() != end.shape() {
            // An error inside the call would panic in tch, which drops the scalar while it is pending.
            return Err(failure(tch::TchError::Shape("the two differ in shape".into())));
        }
        no_grad(|| self.0.f_lerp_(&end.0, weight)).map(drop).map_err(failure)
    }
}
