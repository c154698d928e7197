//! SIGINT (Ctrl-C) and SIGTERM (`kill`, a job scheduler): how long-running commands end, and with which exit code.
//!
//! Separate because what a command does at a signal differs, but not how it says so.
//! Invariant: an interrupted command exits with 128 + the signal, as is usual in shells, so that `train && tabulate`
//! and Slurm's `afterok` stop; a second signal ends the process at once.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::text;

/// Time between two checks for a signal.
const TICK: Duration = Duration::from_millis(50);

/// Makes writing beyond the limit on the size of files (`ulimit -f`) an error like that of a full disk. The system would
/// otherwise end the process without a word.
#[cfg(unix)]
pub(crate) fn report_size_limits() {
    // Without the handler the process ends as it would have ended before.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// There is no such signal.
#[cfg(not(unix))]
pub(crate) fn report_size_limits() {}

/// Listens to the signals.
#[derive(Clone)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Signals {
    /// Keeps the first signal from ending the process.
    pub(crate) fn listen() -> Result<Self> {
        let signals = Self { stop: Arc::default(), signal: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            signals.register(signal).context("cannot listen for signals")?;
        }
        Ok(signals)
    }

    fn register(&self, signal: i32) -> std::io::Result<()> {
        use signal_hook::flag::{register, register_conditional_shutdown, register_usize};
        // In the order in which they run: the shutdown must see the flag as it was before this signal.
        register_conditional_shutdown(signal, exit_code(signal), Arc::clone(&self.stop))?;
        register_usize(signal, Arc::clone(&self.signal), signal as usize)?;
        register(signal, Arc::clone(&self.stop))?;
        Ok(())
    }

    /// Set once a signal has arrived.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// The error of a command that ended because of a signal.
    pub(crate) fn interrupted(&self, state: String, remedy: &'static str) -> Interrupted {
        Interrupted { signal: self.signal.load(Ordering::Relaxed) as i32, state, remedy }
    }

    /// For commands that have nothing to save: ends the process at the first signal, from a thread of its own.
    pub(crate) fn end_the_process(self, state: String, remedy: &'static str) {
        std::thread::spawn(move || {
            while !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
            }
            if std::io::stderr().is_terminal() {
                // A progress bar leaves the cursor behind it.
                text::error("");
            }
            let interrupted = self.interrupted(state, remedy);
            interrupted.tell();
            // Without destructors: other threads are at work in libtorch.
            signal_hook::low_level::exit(exit_code(interrupted.signal));
        });
    }
}

/// What shells report for a program that a signal ended; without a signal of its own, as for SIGTERM.
fn exit_code(signal: i32) -> i32 {
    128 + if signal == 0 { SIGTERM } else { signal }
}

/// A command ended because of a signal.
#[derive(Debug)]
pub(crate) struct Interrupted {
    /// 0 if the signal went to another process, with which this one trains.
    signal: i32,
    /// What is saved, or that nothing is.
    state: String,
    /// How to continue.
    remedy: &'static str,
}

impl Interrupted {
    /// Says what happened and how to continue.
    pub(crate) fn tell(&self) {
        text::error(&self.to_string());
        text::error(&format!("hint: {}", self.remedy));
    }

    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(exit_code(self.signal)).expect("signals are small numbers")
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.signal {
            0 => "another process",
            SIGINT => "SIGINT",
            _ => "SIGTERM",
        };
        write!(f, "interrupted by {name}: {}", self.state)
    }
}

impl std::error::Error for Interrupted {}
