//! Progress of checking or packing a data set: a bar on a terminal, lines elsewhere, and reads that hang.
//!
//! Separate from the progress of training, which is not in the deploy binary.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use mutualnet_core::text::{printable, shown};
use mutualnet_data::{HANGS_AFTER, Progress};

use crate::pace::Pace;
use crate::text;

/// Time between two updates.
const TICK: Duration = Duration::from_millis(200);
/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs something that reads images or videos, and shows its progress; `things` says which, in the plural.
pub(crate) fn watched<T: Send>(things: &str, work: impl FnOnce(&Progress) -> T + Send) -> T {
    let progress = Progress::default();
    let watched = &progress;
    let (end, ended) = mpsc::channel::<()>();
    // The sender moves in, so that a panic of the work ends the display too.
    thread::scope(move |scope| {
        scope.spawn(move || show(things, watched, &ended));
        let result = work(watched);
        drop(end);
        result
    })
}

/// Shows progress until the other end of the channel is dropped.
fn show(things: &str, progress: &Progress, ended: &Receiver<()>) {
    let bar = searching(things);
    let (mut last_line, mut last_warning) = (Instant::now(), Instant::now());
    let (mut pace, mut left) = (Pace::default(), String::new());
    while matches!(ended.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
        let (done, total) = (progress.done(), progress.total());
        if total > 0 {
            if bar.length().is_none() {
                bar.disable_steady_tick();
                let style =
                    ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}}/{{len}} {things}{{prefix}}"));
                bar.set_style(style.expect("the template is a constant"));
            }
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            pace.reach(done as u64, Instant::now());
            left = text::left(pace.left(total as u64));
            bar.set_prefix(left.clone());
        }
        if let Some(line) = waiting(progress).filter(|_| last_warning.elapsed() >= HANGS_AFTER) {
            last_warning = Instant::now();
            if bar.is_hidden() { text::note(&line) } else { bar.println(printable(&line)) }
        }
        if bar.is_hidden() && total > 0 && last_line.elapsed() >= LINE_EVERY {
            last_line = Instant::now();
            text::note(&format!("{done}/{total} {things}{left}"));
        }
    }
    bar.finish_and_clear();
}

/// A spinner while files are looked for, of which there may be millions; only on a terminal.
pub(crate) fn searching(things: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template(&format!("{{spinner}} looking for {things} · {{elapsed}}"));
    bar.set_style(style.expect("the template is a constant"));
    bar.enable_steady_tick(TICK);
    bar
}

/// What to say about an image that takes too long.
fn waiting(progress: &Progress) -> Option<String> {
    let (path, time) = progress.longest().filter(|(_, time)| *time >= HANGS_AFTER)?;
    Some(format!("still reading {} after {} s", shown(&path), time.as_secs()))
}
