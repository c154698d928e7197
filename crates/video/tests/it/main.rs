//! Real files of several codecs and containers, made and decoded by the `ffmpeg` program, against what it says itself.
//!
//! Without the program there is nothing to test, and the tests say so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and one that is skipped says so"
)]

mod files;
mod hostile;
mod random_access;
