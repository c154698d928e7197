//! Shows events: as a progress bar on a terminal, as plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_core::text::{counted, printable};
use mutualnet_train::events::{Stage, StudentLoss, Symptom};
use mutualnet_train::{Event, Reporter};

use crate::pace::Pace;
use crate::text::{self, duration};
use crate::watch::searching;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows events on stderr.
pub(crate) struct Progress {
    bar: ProgressBar,
    pace: Pace,
    is_terminal: bool,
    last_line: Option<Instant>,
    steps_per_epoch: u64,
    /// What the accuracy counts.
    judged: &'static str,
    /// What a batch has.
    rank: Rank,
    average: Averages,
    stage: Option<Stage>,
    /// Whether a run that goes on had no steps left.
    was_finished: bool,
    /// Steps that were skipped because of NaN or infinity.
    n_skipped: usize,
}

/// Running averages over about the last fifty steps, because single steps vary a lot.
#[derive(Default)]
struct Averages {
    full_loss: Average,
    full_accuracy: Average,
    student_loss: Average,
    images_per_s: Average,
}

/// The mean of all values so far; after many of them, mostly of the latest.
#[derive(Default)]
struct Average {
    n: u32,
    mean: f64,
}

impl Average {
    /// About so many values count.
    const WINDOW: u32 = 50;

    fn follow(&mut self, value: f64) -> f64 {
        self.n = (self.n + 1).min(Self::WINDOW);
        self.mean += (value - self.mean) / f64::from(self.n);
        self.mean
    }
}

impl Progress {
    /// A display that says, on a terminal and until the first event, that images are being looked for.
    pub(crate) fn new() -> Self {
        let bar = searching("images");
        Self {
            is_terminal: !bar.is_hidden(),
            bar,
            pace: Pace::default(),
            last_line: None,
            steps_per_epoch: 1,
            judged: Task::default().judged(Rank::Image),
            rank: Rank::Image,
            average: Averages::default(),
            stage: None,
            was_finished: false,
            n_skipped: 0,
        }
    }

    /// A display of warnings only.
    pub(crate) fn quiet() -> Self {
        let display = Self::new();
        display.bar.finish_and_clear();
        Self { is_terminal: false, ..display }
    }

    fn line(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(printable(text));
        } else {
            text::note(text);
        }
    }

    fn begin(&mut self, length: u64, position: u64, unit: &str) {
        self.bar.disable_steady_tick();
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {unit}{{prefix}}\n{{msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is a constant");
        self.bar.set_style(style);
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_prefix("");
        self.pace = Pace::default();
        self.last_line = None;
    }

    fn advance(&mut self, position: u64, message: &str) {
        let length = self.bar.length().unwrap_or(0);
        self.pace.reach(position, Instant::now());
        let left = text::left(self.pace.left(length));
        self.bar.set_position(position);
        self.bar.set_message(message.to_owned());
        let is_last = length == position;
        let is_due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if !self.is_terminal && (is_due || is_last) {
            self.line(&format!("{position}/{length} · {message}{left}"));
            self.last_line = Some(Instant::now());
        }
        self.bar.set_prefix(left);
    }

    fn step(&mut self, step: u64, losses: (f64, f64, &[StudentLoss]), images_per_s: f64) {
        let (full_loss, full_accuracy, students) = losses;
        let full_loss = self.average.full_loss.follow(full_loss);
        let full_accuracy = self.average.full_accuracy.follow(full_accuracy);
        let images_per_s = self.average.images_per_s.follow(images_per_s);
        let epoch = step / self.steps_per_epoch + 1;
        let students = match students.len() {
            0 => String::new(),
            n => {
                let mean = students.iter().map(|student| student.loss).sum::<f64>() / n as f64;
                format!("sub-networks {:.3} · ", self.average.student_loss.follow(mean))
            }
        };
        let message = format!(
            "epoch {epoch} · full loss {full_loss:.3}, {:.1} % of {} correct · {students}{images_per_s:.0} {}/s",
            full_accuracy * 100.0,
            self.judged,
            self.rank.samples(),
        );
        self.advance(step + 1, &message);
    }

    fn tabulating(&mut self, stage: Stage, done: usize, of: usize) {
        let (what, unit) = match stage {
            Stage::Calibrate => ("calibrating batch-norm statistics of every row", "batches"),
            Stage::Evaluate => ("evaluating every row", "samples"),
            Stage::Time => ("timing every row", "rows"),
        };
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.begin(of as u64, 0, unit);
        }
        self.advance(done as u64, what);
        if stage == Stage::Time && done == of {
            self.bar.finish_and_clear();
        }
    }
}

fn not_learning(symptom: &Symptom) -> String {
    match symptom {
        Symptom::AsBadAsGuessing { loss, guessing } => format!(
            "the full network has learned nothing yet: its loss is {loss:.2}, and guessing gives {guessing:.2}"
        ),
        Symptom::Collapsed { width, share } => {
            format!(
                "the sub-network of width {width} gives {:.0} % of the images the same answer",
                share * 100.0
            )
        }
        Symptom::StudentStalled { width, loss, constant } => format!(
            "sub-networks of width {width} and slightly more learn nothing from the full network: they differ \
             from it by {loss:.2}, and giving all images the same answer would differ by {constant:.2}"
        ),
    }
}

impl Reporter for Progress {
    fn report(&mut self, event: &Event) {
        match event {
            Event::Start { total_steps, step, steps_per_epoch, task, rank, .. } => {
                (self.steps_per_epoch, self.judged) = (*steps_per_epoch, task.judged(*rank));
                self.rank = *rank;
                self.was_finished = step == total_steps;
                if self.was_finished {
                    self.line(&format!("all {total_steps} steps were done before"));
                } else if *step > 0 {
                    self.line(&format!("continuing from step {step} of {total_steps}"));
                }
                self.begin(*total_steps, *step, "steps");
            }
            Event::Step { step, full_loss, full_accuracy, students, images_per_s, .. } => {
                self.step(*step, (*full_loss, *full_accuracy, students), *images_per_s);
            }
            Event::NonFinite { step, subnet, layer, .. } => {
                let layer =
                    layer.as_deref().map_or("the gradient".to_owned(), |layer| format!("layer `{layer}`"));
                self.n_skipped += 1;
                let step = step + 1;
                self.line(&format!(
                    "warning: step {step} produced NaN or infinity in {layer} of sub-network {subnet}; the step is skipped"
                ));
            }
            Event::NotLearning { step, symptom, hint } => {
                self.line(&format!("warning: step {}: {}; {hint}", step + 1, not_learning(symptom)));
            }
            Event::Quarantined { path, reason } => {
                self.line(&format!(
                    "warning: broken {}, replaced by another one: {}: {reason}",
                    self.rank.sample(),
                    path.display()
                ));
            }
            Event::LeftOut { path, reason } => {
                self.line(&format!(
                    "warning: broken test {}, left out: {}: {reason}",
                    self.rank.sample(),
                    path.display()
                ));
            }
            Event::Notice { text } => self.line(&format!("note: {text}")),
            Event::Warning { text } => self.line(&format!("warning: {text}")),
            Event::Waiting { path, seconds } => {
                self.line(&format!("still reading {} after {seconds:.0} s", path.display()));
            }
            Event::DamagedCheckpoint { reason } => {
                self.line(&format!("warning: skipped a damaged checkpoint: {reason}"));
            }
            // The command says what is saved and how to go on.
            Event::Interrupted { .. } => self.bar.finish_and_clear(),
            Event::Trained { seconds, n_broken } => {
                self.bar.finish_and_clear();
                if !self.was_finished {
                    self.line(&format!("trained in {}", duration(Duration::from_secs_f64(*seconds))));
                }
                if self.n_skipped > 0 {
                    self.line(&format!(
                        "warning: {} skipped because of NaN or infinity; a lower train.lr may help",
                        match self.n_skipped {
                            1 => "1 step was".to_owned(),
                            n => format!("{n} steps were"),
                        }
                    ));
                }
                if *n_broken > 0 {
                    let were = if *n_broken == 1 { "was" } else { "were" };
                    self.line(&format!(
                        "note: {} {were} replaced; events.jsonl lists the files",
                        counted(*n_broken, &format!("broken {}", self.rank.sample()))
                    ));
                }
            }
            Event::Tabulating { stage, done, of } => self.tabulating(*stage, *done, *of),
            Event::Checkpoint { .. } => {}
            Event::Evaluating { .. } => {
                self.bar.set_message("evaluating the cheapest and the most expensive row");
            }
            Event::Evaluated { step, metric, rows, is_best } => {
                let values = rows.iter().map(|row| format!("{:.2} % at {}", row.value * 100.0, row.subnet));
                let values = values.collect::<Vec<_>>().join(", ");
                let best = if *is_best { ", the best so far" } else { "" };
                self.line(&format!("step {step}: {metric} {values}{best}"));
            }
        }
    }
}
