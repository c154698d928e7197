//! `tidy`: checks the house rules that the compiler does not check, in seconds.
//!
//! Invariant: every finding is one line, `path:line: what`; without findings the exit code is 0.

mod edges;
mod engine_free;
mod map;
mod sources;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Whether to also build and check the deploy binary, which takes longer than everything else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only files and the dependency graph.
    Graph,
    /// Also the list of libraries in the deploy binary.
    Binary,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Prints every finding; returns whether there are none.
pub(crate) fn run(root: &Path, depth: Depth) -> Result<bool> {
    let files = tracked_files(root)?;
    let mut findings = sources::check_all(root, &files)?;
    findings.extend(edges::check(root)?);
    findings.extend(engine_free::check_graph(root)?);
    findings.extend(map::check(root)?);
    if depth == Depth::Binary {
        findings.extend(engine_free::check_binary(root)?);
    }
    for finding in &findings {
        println!("{finding}");
    }
    eprintln!("tidy: {} files read, {} findings", files.len(), findings.len());
    Ok(findings.is_empty())
}

/// The files of the repository, relative to the root: those that are committed, and new ones that are not ignored.
fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = process::output(&mut git).context("cannot list the files of the repository with git")?;
    Ok(listed.lines().filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}
