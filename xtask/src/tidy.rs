//! `tidy`: the house rules that the compiler does not check.
//!
//! Separate from CI so that a person can run it alone in seconds.
//! Invariant: each finding is one line, `path:line: what`; without findings the exit code is 0.

mod edges;
mod engine_free;
mod map;
mod sources;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, reference};

/// Whether to build and inspect the deploy binary, which takes longer than everything else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Files and dependency graph only.
    Graph,
    /// Also the list of libraries that the deploy binary needs.
    Binary,
}

/// One broken rule at one place.
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

/// Prints every finding; returns true if there is none.
pub(crate) fn run(root: &Path, depth: Depth) -> Result<bool> {
    let files = tracked_files(root)?;
    let mut findings = sources::check_all(root, &files)?;
    findings.extend(edges::check(root)?);
    findings.extend(engine_free::check_graph(root)?);
    findings.extend(map::check(root)?);
    let stale = reference::stale(root)?.into_iter();
    findings.extend(stale.map(|(page, name)| {
        Finding::new(page, 1, format!("{name}: what is here is stale: run `cargo xtask reference`"))
    }));
    if depth == Depth::Binary {
        findings.extend(engine_free::check_binary(root)?);
    }
    for finding in &findings {
        println!("{finding}");
    }
    eprintln!("tidy: {} files read, {} findings", files.len(), findings.len());
    Ok(findings.is_empty())
}

/// Paths, relative to the root, of files that are committed, or new and not ignored.
fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = process::output(&mut git).context("cannot list the files of the repository")?;
    Ok(listed.lines().filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}
