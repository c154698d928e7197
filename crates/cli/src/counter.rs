//! Progress of work on many equal things: a bar with the time left on a terminal, plain lines elsewhere.
//!
//! Separate from the progress of training, which tells more.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text;

/// Time between two plain lines, and before the first.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Counts what is done, on stderr.
pub(crate) struct Counter {
    bar: ProgressBar,
    unit: &'static str,
    last_line: Instant,
}

impl Counter {
    /// Counts things of a name, like `images`.
    pub(crate) fn new(unit: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {unit} · {{eta}} left");
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is a constant"));
        Self { bar, unit, last_line: Instant::now() }
    }

    /// So many are done of so many.
    pub(crate) fn set(&mut self, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            let left = text::duration(self.bar.eta());
            text::note(&format!("{done}/{of} {} · {left} left", self.unit));
            self.last_line = Instant::now();
        }
    }
}

/// The bar goes away; what was found is said after it.
impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
