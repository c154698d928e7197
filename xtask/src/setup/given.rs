//! A libtorch that the user already has and names in `LIBTORCH` or `LIBTORCH_USE_PYTORCH`.
//!
//! Separate from the installation because nothing here writes. Both variables mean the same as for torch-sys.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::VERSION;
use crate::process;

/// The directory (with `include/` and `lib/`) and the variable that named it.
pub(super) struct Given {
    pub(super) path: PathBuf,
    variable: &'static str,
}

/// The user's own libtorch, if the environment names one.
pub(super) fn libtorch(root: &Path) -> Result<Option<Given>> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        let path = of_python().context("LIBTORCH_USE_PYTORCH is set, but Python has no torch")?;
        return Ok(Some(Given { path, variable: "LIBTORCH_USE_PYTORCH" }));
    }
    Ok(process::users_libtorch(root).map(|path| Given { path, variable: "LIBTORCH" }))
}

/// Refuses a libtorch other than the pinned one, unless `LIBTORCH_BYPASS_VERSION_CHECK` is set.
pub(super) fn check_version(given: &Given) -> Result<()> {
    if env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some() {
        return Ok(());
    }
    let header = given.path.join("include/torch/headeronly/version.h");
    let found = fs::read_to_string(&header).ok().and_then(|text| version_in(&text));
    if found.as_deref() == Some(VERSION) {
        return Ok(());
    }
    let found = found.map_or("no libtorch".to_owned(), |version| format!("libtorch {version}"));
    bail!(
        "{} points to {}, which has {found} instead of {VERSION}: unset it, delete \
         `.cargo/libtorch.toml` and run `cargo xtask setup`",
        given.variable,
        given.path.display()
    )
}

/// Asks the same interpreter as torch-sys.
fn of_python() -> Result<PathBuf> {
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import os, torch\nprint(os.path.dirname(torch.__file__))";
    let printed = process::output(Command::new(python).args(["-c", script]))?;
    Ok(PathBuf::from(printed.trim_end()))
}

/// `major.minor.patch` from libtorch's version header.
fn version_in(header: &str) -> Option<String> {
    let part = |name: &str| {
        header.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name).map(str::trim))
    };
    let parts = [part("TORCH_VERSION_MAJOR ")?, part("TORCH_VERSION_MINOR ")?, part("TORCH_VERSION_PATCH ")?];
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_header() {
        let header = "// Major\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n\
                      #define TORCH_VERSION_PATCH 0\n";
        assert_eq!(version_in(header).as_deref(), Some("2.11.0"));
        assert_eq!(version_in("#define OTHER 1"), None);
    }

    #[test]
    fn an_empty_directory_is_refused_with_the_remedy() {
        let given = Given { path: PathBuf::from("/nonexistent"), variable: "LIBTORCH" };
        let error = check_version(&given).unwrap_err().to_string();
        assert!(error.contains("no libtorch") && error.contains("cargo xtask setup"), "{error}");
    }
}
