//! How far a student is from its teacher.
//!
//! Separate because recipes choose it and every task measures with it.

use mutualnet_engine::Tensor;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Largest ratio of a student's probability to its teacher's that [`Divergence::Alpha`] counts.
///
/// # Source
/// `[AlphaNet-code loss_ops.py AdaptiveLossSoft]`.
const RATIO_CLIP: f64 = 5.0;

/// How the distance of a student from its teacher is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// Kullback–Leibler divergence at temperature 1 `[MN-ECCV]`.
    #[default]
    Kl,
    /// The larger of two clipped α-divergences `[AlphaNet]`.
    Alpha,
}

impl Divergence {
    /// The divergence of a student's class scores from the teacher's, both `[rows, classes]`, mean over the rows; 0 without
    /// rows.
    pub(crate) fn of(self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        Ok(match self {
            _ if student.elements() == 0 => student.sum()?,
            Self::Kl => student.kl_divergence(teacher)?,
            Self::Alpha => student.alpha_divergence(teacher, RATIO_CLIP)?,
        })
    }
}
