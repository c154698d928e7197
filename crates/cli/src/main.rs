//! The `mutualnet` program: one file per command, which reads arguments, calls a library and prints.
//!
//! Data go to stdout, everything else to stderr.
//! Exit codes: 0 success, 1 a problem with the input, 2 a bug of ours, 130 and 143 interrupted by SIGINT or SIGTERM.

use std::process::ExitCode;

use clap::Parser;

#[cfg(feature = "train")]
mod allocator;
mod args;
mod commands;
mod failure;
#[cfg(feature = "train")]
mod interrupt;
#[cfg(feature = "train")]
mod pace;
#[cfg(feature = "train")]
mod progress;
mod text;
#[cfg(feature = "train")]
mod watch;

/// What made a bundle: the version and the commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MUTUALNET_COMMIT"), ")");

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return failure::usage(&error),
    };
    #[cfg(feature = "train")]
    interrupt::report_size_limits();
    match commands::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
