//! Losses and measures of accuracy, which training and evaluation share.
//!
//! Invariant: a loss is a scalar on the device of its logits, and every function takes logits, never probabilities.

use crate::error::failed;
use crate::{Result, Tensor};

/// libtorch's value for "no label is ignored".
const IGNORE_NOTHING: i64 = -100;

impl Tensor {
    /// Mean cross-entropy of logits `[n, classes]` against labels `[n]` (`i64`). The share `smoothing` of every label is
    /// spread evenly over all classes.
    ///
    /// # Errors
    /// Fails if the shapes do not fit or, on the CPU, if a label is not a class.
    pub fn cross_entropy(&self, labels: &Self, smoothing: f64) -> Result<Self> {
        let (none, mean) = (None::<&tch::Tensor>, tch::Reduction::Mean);
        let loss = self.0.f_cross_entropy_loss(&labels.0, none, mean, IGNORE_NOTHING, smoothing);
        loss.map(Self).map_err(failed("cross_entropy", [self, labels]))
    }

    /// Cross-entropy of every row of logits `[n, classes]` against its label, of `[n]` (`i64`): `[n]`. The share `smoothing`
    /// of every label is spread evenly over all classes.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::cross_entropy`].
    pub fn cross_entropy_each(&self, labels: &Self, smoothing: f64) -> Result<Self> {
        let (none, each) = (None::<&tch::Tensor>, tch::Reduction::None);
        let loss = self.0.f_cross_entropy_loss(&labels.0, none, each, IGNORE_NOTHING, smoothing);
        loss.map(Self).map_err(failed("cross_entropy_each", [self, labels]))
    }

    /// Smooth L1 distance from `target`, summed over all elements: half the square of a difference below `beta`, divided by it,
    /// and otherwise its amount less half of `beta`.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    pub fn smooth_l1(&self, target: &Self, beta: f64) -> Result<Self> {
        let loss = self.0.f_smooth_l1_loss(&target.0, tch::Reduction::Sum, beta);
        loss.map(Self).map_err(failed("smooth_l1", [self, target]))
    }

    /// Cross-entropy of logits against the probabilities `target`, each by itself, summed over all elements.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    pub fn binary_cross_entropy(&self, target: &Self) -> Result<Self> {
        let (none, sum) = (None::<&tch::Tensor>, tch::Reduction::Sum);
        let loss = self.0.f_binary_cross_entropy_with_logits(&target.0, none, none, sum);
        loss.map(Self).map_err(failed("binary_cross_entropy", [self, target]))
    }

    /// Mean cross-entropy of the logits `[n, classes]` of mixed images. The cross-entropy against the first labels `[n]`
    /// (`i64`) counts with the weight `shares` `[n]` (f32), and that against the second labels with the rest.
    ///
    /// The share `smoothing` of both labels is spread evenly over all classes.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::cross_entropy`].
    ///
    /// # Source
    /// `[timm loss SoftTargetCrossEntropy, data mixup_target]`; the terms are summed in a different order.
    pub fn mixed_cross_entropy(&self, labels: [&Self; 2], shares: &Self, smoothing: f64) -> Result<Self> {
        let by_image = |labels: &Self| {
            let (none, each) = (None::<&tch::Tensor>, tch::Reduction::None);
            self.0.f_cross_entropy_loss(&labels.0, none, each, IGNORE_NOTHING, smoothing)
        };
        let loss = || {
            if labels.iter().any(|labels| labels.0.size() != shares.0.size()) {
                return Err(tch::TchError::Shape("labels and shares differ in shape".into()));
            }
            by_image(labels[1])?.f_lerp_tensor(&by_image(labels[0])?, &shares.0)?.f_mean(None)
        };
        loss().map(Self).map_err(failed("mixed_cross_entropy", [self, labels[0], labels[1], shares]))
    }

    /// Kullback-Leibler divergence of the student's softmax (`self`) from the teacher's, summed over classes and averaged
    /// over the batch. Both are given as logits `[n, classes]`.
    ///
    /// The gradient flows to the teacher too, unless it is detached first.
    ///
    /// # Errors
    /// Fails if the shapes differ.
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

    /// The larger of two α-divergences of the student (`self`) from the teacher, with α = 1 (Kullback-Leibler) and α = −1,
    /// chosen for each image and averaged over the batch. Both are given as logits `[n, classes]`.
    ///
    /// With α = −1 the ratio of probabilities, student over teacher, is clipped at `ratio_clip`. The value is the
    /// divergence. Its gradient, which reaches only the student, is that of the source's surrogate.
    ///
    /// # Errors
    /// Fails if the shapes differ.
    ///
    /// # Source
    /// `[AlphaNet, Eq. 6–8]`; `[AlphaNet-code loss_ops.py AdaptiveLossSoft]`.
    pub fn alpha_divergence(&self, teacher: &Self, ratio_clip: f64) -> Result<Self> {
        let failure = failed("alpha_divergence", [self, teacher]);
        let sum = |tensor: tch::Tensor| tensor.f_sum_dim_intlist(-1, false, None);
        let divergence = || {
            if self.0.size() != teacher.0.size() {
                return Err(tch::TchError::Shape("student and teacher differ in shape".into()));
            }
            let log_student = self.0.f_log_softmax(-1, None)?;
            let constant_log_student = log_student.f_detach()?;
            let student = constant_log_student.f_exp()?;
            let log_teacher = teacher.0.f_detach()?.f_log_softmax(-1, None)?;
            let log_ratio = log_teacher.f_sub(&constant_log_student)?;
            let ratio = log_ratio.f_exp()?;
            let inverse_ratio = log_ratio.f_neg()?.f_exp()?.f_clamp(0.0, ratio_clip)?;

            let kl = sum(log_teacher.f_exp()?.f_mul(&log_ratio)?)?;
            let reverse = sum(student.f_mul(&inverse_ratio.f_sub_scalar(1.0)?)?)?.f_mul_scalar(0.5)?;
            let is_reverse = reverse.f_gt_tensor(&kl)?;
            let weight = inverse_ratio.f_neg()?.f_add_scalar(0.5)?;
            let weight = weight.f_where_self(&is_reverse.f_unsqueeze(-1)?, &ratio)?;
            let surrogate = sum(student.f_mul(&weight)?.f_mul(&log_student)?)?.f_neg()?.f_mean(None)?;
            let value = reverse.f_where_self(&is_reverse, &kl)?.f_mean(None)?;
            // The value of the divergence with the gradient of the surrogate.
            surrogate.f_add(&value)?.f_sub(&surrogate.f_detach()?)
        };
        divergence().map(Self).map_err(failure)
    }

    /// Softmax over the last dimension.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn softmax(&self) -> Result<Self> {
        self.0.f_softmax(-1, None).map(Self).map_err(failed("softmax", [self]))
    }

    /// How much the answers, logits `[n, classes]`, tell the images apart: the entropy of the batch's mean probabilities
    /// minus the mean entropy of each image's, in nats, as a tensor without dimensions.
    ///
    /// This is the divergence of the best constant answer from them; 0 if every image gets the same answer.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub fn information(&self) -> Result<Self> {
        let information = || {
            let answers = self.0.f_softmax(-1, None)?;
            let mean = answers.f_mean_dim(0, false, None)?;
            let entropy = |p: &tch::Tensor| p.f_special_entr()?.f_sum_dim_intlist(-1, false, None);
            entropy(&mean)?.f_sub(&entropy(&answers)?.f_mean(None)?)
        };
        information().map(Self).map_err(failed("information", [self]))
    }

    /// The share of the images whose logits `[n, classes]` are largest at the class for which this happens most often, as
    /// a tensor without dimensions.
    ///
    /// # Errors
    /// Fails if there are no classes.
    pub fn most_frequent_answer(&self) -> Result<Self> {
        let share = || {
            let is_answer = self.0.f_eq_tensor(&self.0.f_amax(-1, true)?)?;
            is_answer.f_to_kind(self.0.kind())?.f_mean_dim(0, false, None)?.f_max()
        };
        share().map(Self).map_err(failed("most_frequent_answer", [self]))
    }

    /// The index of the largest entry of the last dimension (`i64`).
    ///
    /// # Errors
    /// Fails if that dimension is empty.
    pub fn argmax(&self) -> Result<Self> {
        self.0.f_argmax(-1, false).map(Self).map_err(failed("argmax", [self]))
    }

    /// The number of images whose logits `[n, classes]` are largest at their label `[n]`.
    ///
    /// # Errors
    /// Fails if the shapes do not fit.
    pub fn top1_correct(&self, labels: &Self) -> Result<usize> {
        let guess = self.argmax()?;
        let count =
            guess.0.f_eq_tensor(&labels.0).and_then(|hits| hits.f_sum(tch::Kind::Int64)?.f_int64_value(&[]));
        count.map(|count| count as usize).map_err(failed("top1_correct", [self, labels]))
    }
}
