//! What training says while it runs: typed events, of which the log is the record and the console only a view.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mutualnet_core::Subnet;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run began or went on.
    Start {
        /// Steps of the whole run.
        total_steps: u64,
        /// First step that will be done now.
        step: u64,
        /// Steps of one epoch.
        steps_per_epoch: u64,
        /// Images of one step.
        batch: usize,
    },
    /// A step was done.
    Step {
        /// Its number, from 0.
        step: u64,
        /// Its epoch, from 0.
        epoch: u32,
        /// Learning rate.
        lr: f64,
        /// Cross-entropy of the full network.
        full_loss: f64,
        /// Share of the batch that the full network got right; of mixed images the first label counts.
        full_accuracy: f64,
        /// Divergence of every student from the full network, in the order of training.
        students: Vec<StudentLoss>,
        /// Images per second, data loading included, of this step.
        images_per_s: f64,
    },
    /// A loss or a gradient was no number; nothing was learned from this step.
    NonFinite {
        /// The step.
        step: u64,
        /// The sub-network.
        subnet: Subnet,
        /// Path of the first layer whose output was no number; `None` when only the gradient was not.
        layer: Option<String>,
        /// Indices of the batch's images in the training split.
        samples: Vec<u32>,
    },
    /// Something about the data that a person should know.
    Notice {
        /// What.
        text: String,
    },
    /// A file that cannot be decoded was replaced by another of its class.
    Quarantined {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A test image that cannot be decoded was left out: accuracy is of the others.
    LeftOut {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch is late because of a file that takes very long, as on a disk that does not answer.
    Waiting {
        /// The file that is being read for the longest time.
        path: PathBuf,
        /// For how long, in seconds.
        seconds: f64,
    },
    /// A checkpoint was passed over because it is not whole.
    DamagedCheckpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The state of the run was written.
    Checkpoint {
        /// Steps done by then.
        step: u64,
    },
    /// The run was asked to stop and did, after a checkpoint.
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// All steps are done.
    Trained {
        /// Wall time of this part of the run, in seconds.
        seconds: f64,
        /// Files that others stood in for, in this part of the run.
        #[serde(default)]
        n_broken: usize,
    },
    /// Part of tabulating was done.
    Tabulating {
        /// Which part.
        stage: Stage,
        /// How much of it.
        done: usize,
        /// Out of how much.
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

/// The loss of one student in one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StudentLoss {
    /// The sub-network.
    pub subnet: Subnet,
    /// Kullback-Leibler divergence from the full network, mean over the batch.
    pub loss: f64,
}

/// Takes events in; the console is one.
pub trait Reporter {
    /// Called for every event, in order.
    fn report(&mut self, event: &Event);
}

/// Takes events in and says nothing.
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
