//! `setup`: installs libtorch under `.libtorch/` and writes the cargo settings that point the build at it.
//!
//! Separate because other tasks call it first, so it must work before anything is built.
//! Invariant: `.libtorch/` is complete or absent; it is filled under another name and renamed at the end.

mod given;
mod wheels;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use wheels::VERSION;

use crate::process;

const UNPACK: &str = include_str!("setup/unpack.py");

/// How much of libtorch to install.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Linking, and running on the CPU: about 0.5 GB.
    Cpu,
    /// Also running on an NVIDIA GPU: several GB.
    Cuda,
}

/// Installs libtorch if necessary and prints where it is.
///
/// # Errors
/// Fails if the wheels cannot be downloaded or are damaged, or if the user's own libtorch is not 2.11.
pub(crate) fn run(root: &Path, variant: Variant) -> Result<()> {
    let libtorch = match given::libtorch(root)? {
        Some(given) => {
            given::check_version(&given)?;
            eprintln!("using your own libtorch {VERSION}: {}", given.path.display());
            given.path
        }
        None => installed(root, variant)?,
    };
    write_cargo_settings(root, &libtorch)
}

/// What other tasks call first; silent and fast if nothing has to be done.
pub(crate) fn ensure(root: &Path) -> Result<()> {
    let ready = match given::libtorch(root)? {
        Some(given) => {
            given::check_version(&given)?;
            cargo_settings_are(root, &given.path)
        }
        None => is_whole(&home(root), Variant::Cpu) && cargo_settings_are(root, &home(root)),
    };
    if ready { Ok(()) } else { run(root, Variant::Cpu) }
}

/// The directory of the libtorch that everything is built against.
///
/// # Errors
/// `LIBTORCH_USE_PYTORCH` is set, but Python has no torch.
pub(crate) fn libtorch(root: &Path) -> Result<PathBuf> {
    Ok(given::libtorch(root)?.map_or_else(|| home(root), |given| given.path))
}

/// Where our own installation is.
fn home(root: &Path) -> PathBuf {
    root.join(".libtorch")
}

fn is_whole(libtorch: &Path, variant: Variant) -> bool {
    let stamped = fs::read_to_string(libtorch.join("build-version")).is_ok_and(|v| v.trim() == VERSION);
    stamped && (variant == Variant::Cpu || libtorch.join("lib/libtorch_cuda.so").exists())
}

fn installed(root: &Path, variant: Variant) -> Result<PathBuf> {
    let home = home(root);
    let in_place = || is_whole(&home, variant);
    if in_place() {
        eprintln!("libtorch {VERSION} is already installed: {}", home.display());
        return Ok(home);
    }
    let partial = root.join(".libtorch.partial");
    fs::create_dir_all(&partial)?;
    let lock = File::create(partial.join("lock"))?;
    lock.lock().context("cannot lock `.libtorch.partial/lock`")?;
    if in_place() {
        return Ok(home); // Another setup installed it while this one waited for the lock.
    }
    check_platform()?;
    let tree = unpacked(&partial, variant)?;
    let replaced = home.exists();
    if replaced {
        fs::remove_dir_all(&home).context("cannot remove the old `.libtorch`")?;
    }
    fs::rename(&tree, &home).context("cannot move libtorch to `.libtorch`")?;
    fs::remove_dir_all(&partial).context("cannot remove `.libtorch.partial`")?;
    if replaced {
        forget_old_link(root)?;
    }
    eprintln!("libtorch {VERSION} installed: {}", home.display());
    Ok(home)
}

fn check_platform() -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(());
    }
    bail!(
        "setup installs libtorch on 64-bit x86 Linux only; here, install libtorch {VERSION} yourself, \
         set LIBTORCH to its directory and run `cargo xtask setup` again"
    )
}

/// Downloads the missing wheels and extracts the files we need; the version stamp is written last.
fn unpacked(partial: &Path, variant: Variant) -> Result<PathBuf> {
    let downloads = partial.join("wheels");
    let tree = partial.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let wheels = wheels::of(variant);
    download(&downloads, &wheels)?;
    eprintln!("extracting libtorch");
    for wheel in &wheels {
        let path = downloaded(&downloads, wheel)?;
        let mut unpack = process::python();
        unpack.args(["-I", "-c", UNPACK]).arg(&path).arg(&tree).args(wheel.take);
        process::run_quietly(&mut unpack)?;
    }
    // Compilers other than GCC come without a libgomp.so to link with.
    #[cfg(unix)]
    std::os::unix::fs::symlink("libgomp.so.1", tree.join("lib/libgomp.so"))?;
    fs::write(tree.join("build-version"), format!("{VERSION}\n"))?;
    Ok(tree)
}

/// One call per wheel, so that an interrupted download keeps the complete wheels, which pip then skips.
fn download(downloads: &Path, wheels: &[&wheels::Wheel]) -> Result<()> {
    if !process::is_installed("python3", &["-m", "pip", "--version"]) {
        bail!("setup needs python3 with pip (on Debian and Ubuntu: `apt-get install python3-pip`)");
    }
    eprintln!("downloading libtorch {VERSION} with pip (about 0.5 GB, with --cuda 3 GB)");
    for wheel in wheels {
        let mut pip = process::python();
        pip.args(["-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]);
        // The wheel is only read as an archive, so the running Python's own version does not matter.
        pip.args(["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]);
        pip.arg("--dest").arg(downloads).arg(wheel.requirement);
        process::run_quietly(pip.stdout(process::to_stderr()))
            .context("pip cannot download libtorch; fix the cause and run `cargo xtask setup` again")?;
    }
    Ok(())
}

fn downloaded(downloads: &Path, wheel: &wheels::Wheel) -> Result<PathBuf> {
    for entry in fs::read_dir(downloads)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(wheel.file_prefix) && name.ends_with(".whl") {
            return Ok(path);
        }
    }
    bail!("pip succeeded, but `{}` is not in {}", wheel.requirement, downloads.display())
}

/// torch-sys looks for the GPU libraries only once and does not notice that the directory has changed.
fn forget_old_link(root: &Path) -> Result<()> {
    for profile in [&[][..], &["--release"]] {
        let mut clean = process::cargo(root);
        clean.args(["clean", "--quiet", "--package", "torch-sys"]).args(profile);
        process::run_quietly(&mut clean)?;
    }
    Ok(())
}

fn cargo_settings_path(root: &Path) -> PathBuf {
    root.join(".cargo/libtorch.toml")
}

/// The run path lets every program and test find libtorch, wherever the target directory is.
fn cargo_settings(libtorch: &Path) -> Result<String> {
    let libtorch = libtorch.to_str().context("the path of libtorch is not UTF-8")?;
    let env = toml_string(libtorch);
    let run_path = toml_string(&format!("link-arg=-Wl,-rpath,{libtorch}/lib"));
    Ok(format!(
        "# Written by `cargo xtask setup`; read by config.toml.\n\
         [env]\n\
         LIBTORCH = {{ value = {env}, relative = true }}\n\n\
         [target.'cfg(target_os = \"linux\")']\n\
         rustflags = [\"-C\", {run_path}]\n"
    ))
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn cargo_settings_are(root: &Path, libtorch: &Path) -> bool {
    let mut found = String::new();
    let read = File::open(cargo_settings_path(root)).and_then(|mut file| file.read_to_string(&mut found));
    read.is_ok() && cargo_settings(libtorch).is_ok_and(|expected| expected == found)
}

fn write_cargo_settings(root: &Path, libtorch: &Path) -> Result<()> {
    if cargo_settings_are(root, libtorch) {
        return Ok(());
    }
    let path = cargo_settings_path(root);
    let beside = path.with_extension("toml.new");
    fs::write(&beside, cargo_settings(libtorch)?)?;
    fs::rename(&beside, &path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_quote_odd_paths() {
        let text = cargo_settings(Path::new("/a \"b\"")).unwrap();
        assert!(text.contains(r#"value = "/a \"b\"""#), "{text}");
    }

    #[test]
    fn an_unstamped_directory_is_not_whole() {
        let dir = std::env::temp_dir().join(format!("mutualnet-setup-{}", std::process::id()));
        fs::create_dir_all(dir.join("lib")).unwrap();
        assert!(!is_whole(&dir, Variant::Cpu));
        fs::write(dir.join("build-version"), "2.11.0\n").unwrap();
        assert!(is_whole(&dir, Variant::Cpu));
        assert!(!is_whole(&dir, Variant::Cuda));
        fs::remove_dir_all(&dir).unwrap();
    }
}
