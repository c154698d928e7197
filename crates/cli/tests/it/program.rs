//! Runs the built program and writes down what it says, volatile parts filtered.

use std::path::Path;
use std::process::{Command, Output};

/// A directory of its own for a test, and the program in it.
pub(crate) struct Program {
    pub(crate) dir: tempfile::TempDir,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mutualnet"));
        command.current_dir(self.dir.path()).args(args).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Status, stdout and stderr as one text.
    pub(crate) fn told(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(args);
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let text = format!("exit {}\n-- stdout\n{stdout}-- stderr\n{stderr}", status.code().unwrap_or(-1));
        text.replace(&self.dir.path().display().to_string(), "[DIR]")
    }

    /// Stdout of a command that must succeed, as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.run(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A data set of a few images in `data`.
    pub(crate) fn with_shapes(self) -> Self {
        let told =
            self.told(&["data", "make", "shapes", "data", "--train", "48", "--test", "24", "--seed", "1"]);
        assert!(told.starts_with("exit 0"), "{told}");
        self
    }

    /// Some image of the test split, relative to the directory.
    pub(crate) fn image(&self) -> String {
        let class = first(&self.path("data/test"));
        first(&class).strip_prefix(self.dir.path()).unwrap().display().to_string()
    }
}

/// The first entry of a directory, by name.
fn first(dir: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.min().unwrap()
}
