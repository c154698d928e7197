//! Builds the product, the release binary `mutualnet`, for the tasks that run it.
//!
//! Separate so that all tasks build and find it in the same way.
//! Invariant: the path comes from cargo's messages, never from a guess about target directories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, setup};

/// Runs setup, builds in release mode and returns the path of the binary.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    setup::ensure(root)?;
    eprintln!("building mutualnet");
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--release", "--package", "mutualnet-cli", "--bin", "mutualnet"]);
    executable(&process::output_showing_stderr(cargo.arg("--message-format=json-render-diagnostics"))?)
        .context("cargo succeeded but reported no binary")
}

/// The last binary in cargo's JSON messages.
pub(crate) fn executable(messages: &str) -> Option<PathBuf> {
    executables(messages).next_back()
}

/// The binaries in cargo's JSON messages.
pub(crate) fn executables(messages: &str) -> impl DoubleEndedIterator<Item = PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_binary_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/mutualnet\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/mutualnet")));
    }
}
