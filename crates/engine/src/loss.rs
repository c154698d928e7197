//! Losses and the measures beside them.
//!
//! Separate because training and evaluation share it. Invariant: a loss is a scalar on the
//! device of its logits, and every function takes raw logits, never probabilities.

use crate::error::failed;
use crate::{Result, Tensor};

/// libtorch's own value for "no label is ignored".
const IGNORE_NOTHING: i64 = -100;

impl Tensor {
    /// Mean cross-entropy of logits `[n, classes]` against labels `[n]` (`i64`).
    ///
    /// # Errors
    /// When the shapes do not fit or, on the CPU, when a label is no class.
    pub fn cross_entropy(&self, labels: &Self) -> Result<Self> {
        let none = None::<&tch::Tensor>;
        let loss = self.0.f_cross_entropy_loss(&labels.0, none, tch::Reduction::Mean, IGNORE_NOTHING, 0.0);
        loss.map(Self).map_err(failed("cross_entropy", [self, labels]))
    }

    /// Kullback-Leibler divergence of the student's softmax (`self`) from the teacher's, both
    /// logits `[n, classes]`, summed over classes and averaged over the batch.
    ///
    /// The gradient flows to the teacher too: detach it first.
    ///
    /// # Errors
    /// When the shapes differ.
    ///
    /// # Source
    /// Reference: `KLDivLoss(reduction='batchmean')(log_softmax(student), softmax(teacher))`.
    pub fn kl_divergence(&self, teacher: &Self) -> Result<Self> {
        let failure = failed("kl_divergence", [self, teacher]);
        let batch = self.shape().first().copied().unwrap_or(1).max(1) as f64;
        let divergence = || {
            if self.0.size() != teacher.0.size() {
                return Err(tch::TchError::Shape("student and teacher differ in shape".into()));
            }
            let student = self.0.f_log_softmax(-1, None)?;
            let target = teacher.0.f_softmax(-1, None)?;
            student.f_kl_div(&target, tch::Reduction::Sum, false)?.f_div_scalar(batch)
        };
        divergence().map(Self).map_err(failure)
    }

    /// Softmax over the last dimension.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn softmax(&self) -> Result<Self> {
        self.0.f_softmax(-1, None).map(Self).map_err(failed("softmax", [self]))
    }

    /// The index of the largest entry of the last dimension (`i64`).
    ///
    /// # Errors
    /// When that dimension is empty.
    pub fn argmax(&self) -> Result<Self> {
        self.0.f_argmax(-1, false).map(Self).map_err(failed("argmax", [self]))
    }

    /// How many rows of logits `[n, classes]` are largest at their label `[n]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn top1_correct(&self, labels: &Self) -> Result<usize> {
        let guess = self.argmax()?;
        let count =
            guess.0.f_eq_tensor(&labels.0).and_then(|hits| hits.f_sum(tch::Kind::Int64)?.f_int64_value(&[]));
        count.map(|count| count as usize).map_err(failed("top1_correct", [self, labels]))
    }
}
