//! Runs other programs, in one place so that every task prints and fails alike.
//!
//! Invariant: if a program fails, the error names the whole command line.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace that cargo runs this task for, or else of the one around the current directory.
///
/// Found when the task runs, not when it is compiled: a binary in a copied checkout must not drive the original.
pub(crate) fn workspace_root() -> Result<PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => env::current_dir().context("cannot tell the current directory")?,
    };
    root_around(&start)
}

fn root_around(start: &Path) -> Result<PathBuf> {
    let root = start.ancestors().find(|dir| dir.join("xtask/Cargo.toml").is_file());
    root.map(Path::to_owned)
        .with_context(|| format!("{} is not in a checkout of this repository", start.display()))
}

/// A program, run from `dir`.
pub(crate) fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    command
}

/// The cargo that runs this task, in the workspace root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    if users_libtorch(root).is_none() {
        // Set by the cargo that started us, perhaps before setup; the child reads the settings again.
        command.env_remove("LIBTORCH");
    }
    if let Some(flags) = rust_flags_with_run_path(root) {
        command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    }
    command
}

/// Flags in the environment replace those in cargo's configuration, so the run path has to be added to them.
fn rust_flags_with_run_path(root: &Path) -> Option<String> {
    let split_at_spaces =
        || Some(env::var("RUSTFLAGS").ok()?.split_whitespace().collect::<Vec<_>>().join("\x1f"));
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").ok().or_else(split_at_spaces)?;
    let libtorch = users_libtorch(root).unwrap_or_else(|| root.join(".libtorch"));
    let run_path = format!("-Clink-arg=-Wl,-rpath,{}/lib", libtorch.display());
    Some(if flags.is_empty() { run_path } else { format!("{flags}\x1f{run_path}") })
}

/// `LIBTORCH` if the user set it: cargo puts the workspace's own setting there too.
pub(crate) fn users_libtorch(root: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("LIBTORCH")?);
    (path != root.join(".libtorch") && path != root.join(".cargo/no-libtorch")).then_some(path)
}

/// Python 3: setup needs it for pip and for reading wheels, which are zip files.
pub(crate) fn python() -> Command {
    Command::new("python3")
}

/// Whether `program` can be started at all (it is called with `--version`).
pub(crate) fn is_installed(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Prints the command on stderr, then runs it; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", shown(command));
    run_quietly(command)
}

/// Runs a command without printing it.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout, while its stderr goes to ours.
pub(crate) fn output_showing_stderr(command: &mut Command) -> Result<String> {
    output(command.stderr(Stdio::inherit()))
}

/// Runs a command and returns its stdout; its stderr appears only in the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed with {}\n{}", shown(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// Our stderr, for a child to use as its stdout.
pub(crate) fn to_stderr() -> Stdio {
    Stdio::from(io::stderr())
}

/// The command as a person would type it, without the text of inline scripts.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(word).collect::<Vec<_>>().join(" ")
}

fn word(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains('\n') { "<script>".to_owned() } else { word.into_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_root_is_that_of_the_checkout_around() {
        let checkout = env::temp_dir().join(format!("xtask-root-{}", std::process::id()));
        fs::create_dir_all(checkout.join("xtask")).unwrap();
        fs::write(checkout.join("xtask/Cargo.toml"), "").unwrap();
        let inside = root_around(&checkout.join("xtask")).unwrap();
        let outside = root_around(Path::new("/")).unwrap_err().to_string();
        fs::remove_dir_all(&checkout).unwrap();
        assert_eq!(inside, checkout);
        assert!(outside.contains("not in a checkout"), "{outside}");
    }
}
