//! Real files of several codecs and containers, made and decoded by the `ffmpeg` program, against what it says itself.
//!
//! Without the program there is nothing to test, and the tests say so.

mod files;
mod hostile;
mod random_access;
