//! Builds the product, the release binary `mutualnet`, for the tasks that run it.
//!
//! Separate so that all tasks build and find it in the same way.
//! Invariant: the path comes from cargo's messages, never from a guess about target directories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, setup};

/// The name of the product's binary.
const PRODUCT: &str = "mutualnet";

/// How the product is compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Release,
    /// As for the tests, so that nothing is compiled again after them.
    Debug,
}

/// Runs setup, builds in release mode and returns the path of the binary.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    build_in(root, Mode::Release)
}

/// Runs setup, builds in the given mode and returns the path of the binary.
pub(crate) fn build_in(root: &Path, mode: Mode) -> Result<PathBuf> {
    setup::ensure(root)?;
    eprintln!("building mutualnet");
    let mut cargo = process::cargo(root);
    match mode {
        Mode::Release => cargo.args(["build", "--release", "--package", "mutualnet-cli", "--bin", PRODUCT]),
        // The package alone would get other features of its dependencies than with the tests.
        Mode::Debug => cargo.args(["test", "--no-run", "--workspace"]),
    };
    product(&process::output_showing_stderr(cargo.arg("--message-format=json-render-diagnostics"))?)
        .context("cargo succeeded but reported no binary")
}

/// The product in cargo's JSON messages, not the tests of its parts.
fn product(messages: &str) -> Option<PathBuf> {
    let is_product = |message: &Value| {
        message["target"]["name"] == PRODUCT && message["profile"]["test"].as_bool() != Some(true)
    };
    executables_that(messages, is_product).next_back()
}

/// Builds the binary that devices run, in release mode and without the training side, and returns its path.
pub(crate) fn build_to_deploy(root: &Path) -> Result<PathBuf> {
    build_engine_free(root, &["--package", "mutualnet-cli", "--no-default-features", "--bin", "mutualnet"])
}

/// Builds an example of a crate that needs no libtorch, in release mode, and returns its path.
pub(crate) fn build_example(root: &Path, krate: &str, name: &str) -> Result<PathBuf> {
    build_engine_free(root, &["--package", krate, "--example", name])
}

fn build_engine_free(root: &Path, what: &[&str]) -> Result<PathBuf> {
    eprintln!("building {}", what.join(" "));
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--release"]).args(what).arg("--message-format=json-render-diagnostics");
    executable(&process::output_showing_stderr(&mut cargo)?).context("cargo succeeded but reported no binary")
}

/// The last binary in cargo's JSON messages.
pub(crate) fn executable(messages: &str) -> Option<PathBuf> {
    executables(messages).next_back()
}

/// The binaries in cargo's JSON messages.
pub(crate) fn executables(messages: &str) -> impl DoubleEndedIterator<Item = PathBuf> {
    executables_that(messages, |_| true)
}

fn executables_that(
    messages: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> impl DoubleEndedIterator<Item = PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed
        .filter(move |message| is_wanted(message))
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
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

    #[test]
    fn the_product_is_neither_its_tests_nor_another_program() {
        let message = |name: &str, is_test: bool, path: &str| {
            let profile = serde_json::json!({ "test": is_test });
            let target = serde_json::json!({ "name": name });
            serde_json::json!({ "target": target, "profile": profile, "executable": path }).to_string()
        };
        let all = [("mutualnet", false, "/t/a"), ("mutualnet", true, "/t/b"), ("xtask", false, "/t/c")];
        let all = all.map(|(name, is_test, path)| message(name, is_test, path)).join("\n");
        assert_eq!(product(&all), Some(PathBuf::from("/t/a")));
    }
}
