//! What training reports while it runs: typed events, which the log records and the console only shows.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mutualnet_core::network::Rank;
use mutualnet_core::{Metric, Subnet, Task, Width};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run started or continued.
    Start {
        /// Steps of the whole run.
        total_steps: u64,
        /// The next step.
        step: u64,
        /// Steps per epoch.
        steps_per_epoch: u64,
        /// Images per step.
        batch: usize,
        /// What is trained for.
        #[serde(default)]
        task: Task,
        /// Whether the samples are images or clips.
        #[serde(default)]
        rank: Rank,
    },
    /// A step was done.
    Step {
        /// Its number, from 0.
        step: u64,
        /// Its epoch, from 0.
        epoch: u32,
        /// Learning rate.
        lr: f64,
        /// Loss of the full network: cross-entropy.
        full_loss: f64,
        /// Share of the batch, in images or pixels, that the full network classified correctly; the first label of mixed
        /// images counts.
        full_accuracy: f64,
        /// Divergence of every student from the full network, in the order of training.
        students: Vec<StudentLoss>,
        /// Images per second of this step, data loading included.
        images_per_s: f64,
    },
    /// A loss or a gradient was NaN or infinite; the step changed nothing.
    NonFinite {
        /// The step.
        step: u64,
        /// The sub-network.
        subnet: Subnet,
        /// Path of the first layer whose output was not finite; `None` if only a gradient was not.
        layer: Option<String>,
        /// Indices of the batch's images in the training split.
        samples: Vec<u32>,
    },
    /// A network of the run seems not to learn.
    NotLearning {
        /// The step.
        step: u64,
        /// What shows it.
        symptom: Symptom,
        /// What to try.
        hint: String,
    },
    /// Something unusual about the data.
    Notice {
        /// The sentence to show.
        text: String,
    },
    /// Something about the data that makes results mean less than they seem to.
    Warning {
        /// What it is.
        text: String,
    },
    /// A training image cannot be decoded and is replaced by another of its class.
    Quarantined {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A test image cannot be decoded and is left out of the accuracy.
    LeftOut {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch is late because reading a file takes very long, as on a disk that does not answer.
    Waiting {
        /// The file whose read has taken the longest.
        path: PathBuf,
        /// How long it has taken, in seconds.
        seconds: f64,
    },
    /// A checkpoint was skipped because it is damaged.
    DamagedCheckpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The state of the run was saved.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// How long training waited, in seconds: while the state was copied, and before that for the last checkpoint if it was
        /// not written yet. After the last step, and when a run is interrupted, also while this one was written.
        #[serde(default)]
        waited_s: f64,
    },
    /// Some rows are evaluated.
    Evaluating {
        /// Steps done.
        step: u64,
    },
    /// They were evaluated.
    Evaluated {
        /// Steps done.
        step: u64,
        /// What the values measure.
        metric: Metric,
        /// The rows, from the cheapest to the most expensive.
        rows: Vec<EvaluatedRow>,
        /// Whether the mean of the values is the largest so far.
        is_best: bool,
    },
    /// The run was interrupted and saved a checkpoint.
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// All steps are done.
    Trained {
        /// Wall time in seconds, since the start or the last `--resume`.
        seconds: f64,
        /// Broken files that were replaced by others in that time.
        #[serde(default)]
        n_broken: usize,
    },
    /// Part of tabulating is done.
    Tabulating {
        /// The part.
        stage: Stage,
        /// Units done, see [`Stage`].
        done: usize,
        /// Units in all.
        of: usize,
    },
}

/// The parts of tabulating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Averaging batch-norm statistics; counted in batches.
    Calibrate,
    /// Evaluating every row; counted in images.
    Evaluate,
    /// Timing every row on the run side; counted in rows.
    Time,
}

/// What shows that a network does not learn. Numbers are means over about the last fifty steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// The full network's loss is no lower than that of guessing.
    AsBadAsGuessing {
        /// Its loss.
        loss: f64,
        /// The loss of guessing: the logarithm of the number of classes.
        guessing: f64,
    },
    /// A sub-network gives almost every image the same answer, and the full network does not.
    Collapsed {
        /// Its width.
        width: Width,
        /// Share of the images with that answer.
        share: f64,
    },
    /// A student is as far from its teacher as if it gave every image the same answer.
    StudentStalled {
        /// Its width.
        width: Width,
        /// Its divergence from the teacher.
        loss: f64,
        /// The divergence of the best constant answer.
        constant: f64,
    },
}

/// How good a row was during training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedRow {
    /// The sub-network.
    pub subnet: Subnet,
    /// The metric, from 0 to 1.
    pub value: f64,
}

/// The loss of one student in one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StudentLoss {
    /// The sub-network.
    pub subnet: Subnet,
    /// Divergence from the teacher, mean over the batch.
    pub loss: f64,
    /// Share of the batch that gets its most frequent answer.
    #[serde(default)]
    pub most_frequent: f64,
}

/// Receives events; the console does.
pub trait Reporter {
    /// Called for every event, in order.
    fn report(&mut self, event: &Event);
}

/// Ignores events.
impl Reporter for () {
    fn report(&mut self, _: &Event) {}
}

/// The record: one JSON object per line, appended to `events.jsonl`, and passed on to another reporter.
pub(crate) struct EventLog<'a> {
    record: Option<(PathBuf, BufWriter<File>)>,
    console: &'a mut dyn Reporter,
}

impl<'a> EventLog<'a> {
    pub(crate) fn open(path: &Path, console: &'a mut dyn Reporter) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| Error::write(path, source))?;
        Ok(Self { record: Some((path.to_owned(), BufWriter::new(file))), console })
    }

    /// Passes events on without a record: for what is no run.
    pub(crate) fn without_record(console: &'a mut dyn Reporter) -> Self {
        Self { record: None, console }
    }

    /// Writes the event down and passes it on.
    pub(crate) fn log(&mut self, event: &Event) -> Result<()> {
        if let Some((path, file)) = &mut self.record {
            let line = serde_json::to_string(event).expect("events hold nothing that JSON cannot");
            writeln!(file, "{line}").map_err(|source| Error::write(path, source))?;
        }
        self.console.report(event);
        Ok(())
    }

    /// Makes sure that all lines are in the file.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match &mut self.record {
            Some((path, file)) => file.flush().map_err(|source| Error::write(path, source)),
            None => Ok(()),
        }
    }
}
