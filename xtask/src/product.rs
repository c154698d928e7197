//! The product, as the tasks that run it see it: a release binary `mutualnet`.
//!
//! Separate so that quickstart and benchmarks build and find it in one way.
//! Invariant: the path comes from cargo's own messages, never from a guess about target directories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, setup};

/// Sets up, builds in release mode and returns the binary's path.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    setup::ensure(root)?;
    eprintln!("building mutualnet");
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--release", "--package", "mutualnet-cli", "--bin", "mutualnet"]);
    executable(&process::output_showing_stderr(cargo.arg("--message-format=json-render-diagnostics"))?)
        .context("cargo said it was done, but named no binary")
}

/// The last binary that cargo's JSON messages name.
pub(crate) fn executable(messages: &str) -> Option<PathBuf> {
    executables(messages).next_back()
}

/// The binaries that cargo's JSON messages name.
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
