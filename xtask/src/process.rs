//! Running other programs, in one place so that every task prints and fails alike.
//!
//! Invariant: a program that fails is an error that names the whole command line.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The directory of the root `Cargo.toml`.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace root").to_owned()
}

/// A program, run from `dir`.
pub(crate) fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    command
}

/// The cargo that runs this task, in the workspace root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    if users_libtorch().is_none() {
        // Set by the cargo that started us, perhaps before set-up; the child reads the settings anew.
        command.env_remove("LIBTORCH");
    }
    if let Some(flags) = rust_flags_with_run_path(root) {
        command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    }
    command
}

/// Flags in the environment replace those of cargo's settings, so the run path has to be added to them.
fn rust_flags_with_run_path(root: &Path) -> Option<String> {
    let split_at_spaces =
        || Some(std::env::var("RUSTFLAGS").ok()?.split_whitespace().collect::<Vec<_>>().join("\x1f"));
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").ok().or_else(split_at_spaces)?;
    let libtorch = users_libtorch().unwrap_or_else(|| root.join(".libtorch"));
    let run_path = format!("-Clink-arg=-Wl,-rpath,{}/lib", libtorch.display());
    Some(if flags.is_empty() { run_path } else { format!("{flags}\x1f{run_path}") })
}

/// `LIBTORCH` if it is the user's: cargo puts the workspace's own setting there too.
pub(crate) fn users_libtorch() -> Option<PathBuf> {
    let root = workspace_root();
    let path = PathBuf::from(std::env::var_os("LIBTORCH")?);
    (path != root.join(".libtorch") && path != root.join(".cargo/no-libtorch")).then_some(path)
}

/// Python 3: set-up needs it for pip and for reading wheels (which are zip files).
pub(crate) fn python() -> Command {
    Command::new("python3")
}

/// Whether `program` can be started at all (it is called with `--version`).
pub(crate) fn is_installed(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Says on stderr what is about to run, then runs it; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", shown(command));
    run_quietly(command)
}

/// Runs it without saying so.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs it and returns what it printed, while its stderr is seen as it comes.
pub(crate) fn output_showing_stderr(command: &mut Command) -> Result<String> {
    output(command.stderr(Stdio::inherit()))
}

/// Runs it and returns what it printed; its stderr is shown only in the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}\n{}", shown(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed bytes, not text", shown(command)))
}

/// Our standard error as a child's standard output.
pub(crate) fn to_stderr() -> Stdio {
    Stdio::from(io::stderr())
}

/// The command as a person would type it, shortened in the middle of long words (inline scripts).
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(word).collect::<Vec<_>>().join(" ")
}

fn word(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains('\n') { "<script>".to_owned() } else { word.into_owned() }
}
