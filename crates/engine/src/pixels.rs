//! Losses and answers of segmentation: a map of scores, of any size, against masks.
//!
//! Maps are interpolated bilinearly to the size of the masks, without aligned corners. On the CPU this and what follows is
//! one operation, which goes line by line and writes no score of a pixel; on other devices it is several. Pixels without a
//! class count in nothing; where no pixel has one, losses are 0.
//!
//! # Shapes
//! - maps: `[n, classes, h, w]`
//! - masks: `[n, height, width]` u8, with [`NO_CLASS`] where a pixel has no class

use crate::error::failed;
use crate::{Device, Filter, Result, Tensor, shim};

/// The number in a mask for a pixel without a class.
pub const NO_CLASS: u8 = 255;

/// What a map says about the pixels that have a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelSummary {
    /// How many there are.
    pub n: u64,
    /// How many of them have the largest score at their class.
    pub correct: u64,
    /// How many of them have the answer that occurs most often.
    pub most_frequent: u64,
    /// How much the answers tell them apart, as [`Tensor::information`].
    pub information: f64,
}

impl Tensor {
    /// Mean cross-entropy of a map against masks. The share `smoothing` of every label is spread evenly over all classes.
    ///
    /// # Errors
    /// Fails if the shapes do not fit or, on the CPU, if a label is not a class.
    pub fn pixel_cross_entropy(&self, masks: &Self, smoothing: f64) -> Result<Self> {
        if self.device() == Device::Cpu {
            return shim::pixel_cross_entropy(self, masks, smoothing);
        }
        composed::cross_entropy(self, masks, smoothing)
    }

    /// Kullback-Leibler divergence of the student's softmax (`self`) from the teacher's, summed over classes and averaged
    /// over pixels. Both are maps, of any size each. The gradient flows to the student alone.
    ///
    /// # Errors
    /// Fails if the shapes do not fit.
    pub fn pixel_kl_divergence(&self, teacher: &Self, masks: &Self) -> Result<Self> {
        if self.device() == Device::Cpu {
            return shim::pixel_kl_divergence(self, teacher, masks);
        }
        composed::kl_divergence(self, teacher, masks)
    }

    /// What a map says about the pixels of masks that have a class.
    ///
    /// # Errors
    /// Fails if the shapes do not fit.
    pub fn pixel_summary(&self, masks: &Self) -> Result<PixelSummary> {
        if self.device() == Device::Cpu {
            let (counts, information) = shim::pixel_summary(self, masks)?;
            let [n, correct, most_frequent] = counts.map(|count| count as u64);
            return Ok(PixelSummary { n, correct, most_frequent, information });
        }
        composed::summary(self, masks)
    }

    /// The class with the largest score of every pixel, image by image and line by line, at a height and a width.
    ///
    /// # Errors
    /// Fails for anything but maps of fewer than 255 classes.
    pub fn pixel_answers(&self, size: [usize; 2]) -> Result<Vec<u8>> {
        if self.device() == Device::Cpu {
            return shim::pixel_answers(self, size);
        }
        composed::answers(self, size)
    }

    /// The scores of the pixels that have a class, `[pixels, classes]`, image by image and line by line.
    ///
    /// # Errors
    /// Fails if the shapes do not fit.
    pub fn pixel_scores(&self, masks: &Self) -> Result<Self> {
        let [_, height, width] = masks.shape()[..] else {
            return Err(failed("pixel_scores", [self, masks])(tch::TchError::Shape("no masks".into())));
        };
        let scores = self.resize_to(&[height, width], Filter::Bilinear)?.by_pixel()?;
        let places = masks
            .0
            .f_flatten(0, -1)
            .and_then(|labels| labels.f_ne(i64::from(NO_CLASS))?.f_nonzero()?.f_squeeze_dim(1));
        scores.rows(&Self(places.map_err(failed("pixel_scores", [self, masks]))?))
    }
}

/// The same, out of libtorch's operations.
pub(crate) mod composed {
    use super::{NO_CLASS, PixelSummary};
    use crate::error::failed;
    use crate::{Filter, Result, Tensor};

    type Made = std::result::Result<tch::Tensor, tch::TchError>;

    fn resized(map: &Tensor, masks: &Tensor) -> Result<Tensor> {
        let shape = masks.shape();
        match shape[..] {
            [_, height, width] => map.resize_to(&[height, width], Filter::Bilinear),
            _ => Err(failed("resize_to", [map, masks])(tch::TchError::Shape("no masks".into()))),
        }
    }

    /// 1 for pixels that have a class, and how many there are, at least 1.
    fn counted(masks: &Tensor) -> std::result::Result<(tch::Tensor, tch::Tensor), tch::TchError> {
        let counted = masks.0.f_ne(i64::from(NO_CLASS))?;
        let n = counted.f_sum(tch::Kind::Float)?.f_clamp_min(1.0)?;
        Ok((counted, n))
    }

    pub(crate) fn cross_entropy(map: &Tensor, masks: &Tensor, smoothing: f64) -> Result<Tensor> {
        let scores = resized(map, masks)?;
        let loss = || -> Made {
            let labels = masks.0.f_to_kind(tch::Kind::Int64)?;
            let (none, sum) = (None::<&tch::Tensor>, tch::Reduction::Sum);
            let loss = scores.0.f_cross_entropy_loss(&labels, none, sum, i64::from(NO_CLASS), smoothing)?;
            loss.f_div(&counted(masks)?.1)
        };
        loss().map(Tensor).map_err(failed("pixel_cross_entropy", [map, masks]))
    }

    pub(crate) fn kl_divergence(student: &Tensor, teacher: &Tensor, masks: &Tensor) -> Result<Tensor> {
        let (own, other) = (resized(student, masks)?, resized(&teacher.detach()?, masks)?);
        let divergence = || -> Made {
            let target = other.0.f_softmax(1, None)?;
            let own = own.0.f_log_softmax(1, None)?;
            let each = own.f_kl_div(&target, tch::Reduction::None, false)?;
            let each = each.f_sum_dim_intlist(1, false, None)?;
            let (counted, n) = counted(masks)?;
            each.f_masked_fill(&counted.f_logical_not()?, 0.0)?.f_sum(None)?.f_div(&n)
        };
        divergence().map(Tensor).map_err(failed("pixel_kl_divergence", [student, teacher, masks]))
    }

    pub(crate) fn summary(map: &Tensor, masks: &Tensor) -> Result<PixelSummary> {
        let scores = map.detach()?.pixel_scores(masks)?;
        let n = scores.shape()[0] as u64;
        if n == 0 {
            return Ok(PixelSummary { n, correct: 0, most_frequent: 0, information: 0.0 });
        }
        let labels =
            masks.0.f_masked_select(&masks.0.f_ne(i64::from(NO_CLASS)).map_err(failed("ne", [masks]))?);
        let labels = labels.and_then(|labels| labels.f_to_kind(tch::Kind::Int64));
        let labels = Tensor(labels.map_err(failed("pixel_summary", [map, masks]))?);
        let most_frequent = scores.most_frequent_answer()?.scalar()?;
        Ok(PixelSummary {
            n,
            correct: scores.top1_correct(&labels)? as u64,
            most_frequent: (most_frequent * n as f64).round() as u64,
            information: scores.information()?.scalar()?,
        })
    }

    pub(crate) fn answers(map: &Tensor, size: [usize; 2]) -> Result<Vec<u8>> {
        let scores = map.resize_to(&size, Filter::Bilinear)?;
        let best = scores.0.f_argmax(1, false).map(Tensor).map_err(failed("pixel_answers", [map]))?;
        Ok(best.to_vec_i64()?.into_iter().map(|class| class as u8).collect())
    }
}
