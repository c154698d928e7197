//! What a network is trained for, and the number that says how good it is.
//!
//! Separate because every part of the system names the task, but few act on it: targets in `data`, the objective in
//! `train`, the decoder in `predict`.
//! Invariant: no other crate decides which outputs a task needs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::network::{Output, Rank};
use crate::{Error, Fit, Network, Result};

/// What comes out of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One class per image or clip.
    #[default]
    Classify,
    /// One class per pixel (semantic segmentation).
    Segment,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 2] = [Self::Classify, Self::Segment];

    /// The task's name, as in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Segment => "segment",
        }
    }

    /// The measure of quality that the query table has for this task.
    pub fn metric(self) -> Metric {
        match self {
            Self::Classify => Metric::Accuracy,
            Self::Segment => Metric::MeanIou,
        }
    }

    /// What a class is given to, in the plural.
    pub fn judged(self, rank: Rank) -> &'static str {
        match self {
            Self::Classify => rank.samples(),
            Self::Segment => "pixels",
        }
    }

    /// How much of an image the task's networks see at test time.
    pub fn sees(self) -> Fit {
        match self {
            Self::Classify => Fit::CenterCrop,
            Self::Segment => Fit::Whole,
        }
    }

    /// Checks that a network computes what the task needs.
    ///
    /// # Errors
    /// [`Error::Task`]: the first output of a classifier is [`Output::LOGITS`], that of a network that segments images is
    /// [`Output::MAP`].
    pub fn check(self, network: &Network) -> Result<()> {
        let (needed, rank) = match self {
            Self::Classify => (Output::LOGITS, None),
            Self::Segment => (Output::MAP, Some(Rank::Image)),
        };
        let first = &network.outputs()[0].name;
        let reason = if first != needed {
            format!("its first output is `{first}`, not `{needed}`")
        } else if rank.is_some_and(|rank| rank != network.rank()) {
            "it does not read images".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Task { task: self.name(), network: network.name().to_owned(), reason })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| Error::Parse {
            what: "task",
            text: text.to_owned(),
            reason: "the tasks are classify and segment",
        })
    }
}

/// The number from 0 to 1 that says how good a row is; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Share of the samples whose most probable class is the right one.
    #[default]
    Accuracy,
    /// Mean over the classes of intersection over union of predicted and labelled pixels.
    MeanIou,
    /// Share of the labelled pixels whose most probable class is the right one.
    PixelAccuracy,
}

impl Metric {
    /// Its name in tables, plots and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanIou => "mIoU",
            Self::PixelAccuracy => "pixel accuracy",
        }
    }

    /// Its name at the start of a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::MeanIou => "mIoU",
            Self::PixelAccuracy => "Pixel accuracy",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_an_error_lists_them() {
        let error = "detect".parse::<Task>().unwrap_err().to_string();
        for task in Task::ALL {
            assert_eq!(task.name().parse(), Ok(task));
            assert!(error.contains(task.name()), "{error}");
        }
    }
}
