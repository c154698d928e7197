//! What a network is trained for, and the number that says how good it is.
//!
//! Separate because every part of the system names the task, but few act on it: targets in `data`, the objective in
//! `train`, the decoder in `predict`.
//! Invariant: no other crate decides which outputs a task needs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::{Op, Output, Rank};
use crate::{Error, Network, Result};

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

    /// Checks that a network computes what the task needs.
    ///
    /// # Errors
    /// [`Error::Task`]: a classifier must end in a linear layer, and a segmentation network must compute a map `out` from
    /// an image; its other outputs must have as many channels.
    pub fn check(self, network: &Network) -> Result<()> {
        let wrong = |reason: String| {
            Err(Error::Task { task: self.name(), network: network.name().to_owned(), reason })
        };
        let outputs = network.outputs();
        let is_vector = |output: &Output| matches!(network.node(output.node).op, Op::Linear(_));
        match self {
            Self::Classify => match outputs {
                [output] if is_vector(output) => Ok(()),
                _ => wrong("it does not have a linear classifier as its only output".to_owned()),
            },
            Self::Segment => {
                if network.rank() != Rank::Image || outputs.iter().any(is_vector) {
                    return wrong("it does not compute a map of classes from an image".to_owned());
                }
                if outputs[0].name != Output::MAP {
                    return wrong(format!(
                        "its first output is `{}`, not `{}`",
                        outputs[0].name,
                        Output::MAP
                    ));
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number from 0 to 1 that says how good a row is; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Share of the samples whose most probable class is the right one.
    #[default]
    Accuracy,
    /// Mean over the classes of intersection over union of predicted and labelled pixels.
    MeanIou,
}

impl Metric {
    /// Its name in tables, plots and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanIou => "mIoU",
        }
    }

    /// Its name at the start of a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::MeanIou => "mIoU",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
