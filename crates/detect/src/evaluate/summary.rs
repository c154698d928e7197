//! COCO's twelve measures.
//!
//! Separate because they are printed, compared and chosen from by name.

use std::fmt;

/// One of COCO's measures. Precisions and recalls are means over ten thresholds of overlap, 0.5 to 0.95, if the name does
/// not say otherwise, and over the categories that have such objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Average precision: the number that detectors are compared by.
    Ap,
    /// Average precision at an overlap of 0.5.
    Ap50,
    /// Average precision at an overlap of 0.75.
    Ap75,
    /// Average precision of small objects, of at most 32² pixels.
    ApSmall,
    /// Average precision of medium objects, of 32² to 96² pixels.
    ApMedium,
    /// Average precision of large objects, of at least 96² pixels.
    ApLarge,
    /// Largest recall with one detection per image and category.
    Ar1,
    /// Largest recall with ten detections per image and category.
    Ar10,
    /// Largest recall with a hundred detections per image and category.
    Ar100,
    /// Largest recall of small objects.
    ArSmall,
    /// Largest recall of medium objects.
    ArMedium,
    /// Largest recall of large objects.
    ArLarge,
}

impl Measure {
    /// All measures, in COCO's order.
    pub const ALL: [Self; 12] = [
        Self::Ap,
        Self::Ap50,
        Self::Ap75,
        Self::ApSmall,
        Self::ApMedium,
        Self::ApLarge,
        Self::Ar1,
        Self::Ar10,
        Self::Ar100,
        Self::ArSmall,
        Self::ArMedium,
        Self::ArLarge,
    ];

    /// Its short name, such as `AP50`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ap => "AP",
            Self::Ap50 => "AP50",
            Self::Ap75 => "AP75",
            Self::ApSmall => "AP small",
            Self::ApMedium => "AP medium",
            Self::ApLarge => "AP large",
            Self::Ar1 => "AR 1",
            Self::Ar10 => "AR 10",
            Self::Ar100 => "AR 100",
            Self::ArSmall => "AR small",
            Self::ArMedium => "AR medium",
            Self::ArLarge => "AR large",
        }
    }

    /// The objects that it is about.
    fn objects(self) -> &'static str {
        match self {
            Self::ApSmall | Self::ArSmall => "small objects (at most 32x32 pixels)",
            Self::ApMedium | Self::ArMedium => "medium objects (32x32 to 96x96 pixels)",
            Self::ApLarge | Self::ArLarge => "large objects (at least 96x96 pixels)",
            _ => "objects",
        }
    }
}

/// The values of all measures, from 0 to 1. One is missing if the ground truth has no object that it is about, crowds
/// aside; pycocotools writes −1 then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    values: [Option<f64>; 12],
}

impl Summary {
    pub(super) fn of(value: impl Fn(Measure) -> Option<f64>) -> Self {
        Self { values: Measure::ALL.map(value) }
    }

    /// The mean of each measure over those that have it.
    pub(super) fn mean(summaries: &[Self]) -> Self {
        Self::of(|measure| {
            let values = summaries.iter().filter_map(|summary| summary.get(measure));
            let (n, sum) = values.fold((0_u32, 0.0), |(n, sum), value| (n + 1, sum + value));
            (n > 0).then(|| sum / f64::from(n))
        })
    }

    /// The value of a measure; nothing if the ground truth has no object that it is about.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.values[measure as usize]
    }

    /// All values as pycocotools has them in `stats`: −1 stands for a measure without objects.
    pub fn stats(&self) -> [f64; 12] {
        self.values.map(|value| value.unwrap_or(-1.0))
    }
}

/// A line for each measure; a measure without a value says why.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for measure in Measure::ALL {
            match self.get(measure) {
                Some(value) => writeln!(f, "{:<10} {value:.4}", measure.name())?,
                None => writeln!(
                    f,
                    "{:<10} -      the ground truth has no {}",
                    measure.name(),
                    measure.objects()
                )?,
            }
        }
        Ok(())
    }
}
