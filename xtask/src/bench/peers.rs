//! The other programs: a separate Python environment, the authors' code, jemalloc.
//!
//! Separate because it downloads. Everything is kept in the user's cache directory and reused.
//! Invariant: nothing is written into the tree or into the user's own Python.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, setup};

/// The torchvision version that belongs to our torch version.
pub(super) const TORCHVISION: &str = "0.26.0";

const AUTHORS: &str = "https://github.com/taoyang1122/MutualNet";

const JEMALLOC_PLACES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2",
    "/usr/lib64/libjemalloc.so.2",
    "/usr/lib/libjemalloc.so.2",
];

/// A Python with the torch version that we are built against, torchvision, numpy and yaml.
pub(super) fn python() -> Result<PathBuf> {
    python_with(&[])
}

/// Like [`python`], with more packages.
pub(crate) fn python_with(packages: &[&str]) -> Result<PathBuf> {
    let system = PathBuf::from("python3");
    if has_torch(&system, packages) {
        return Ok(system);
    }
    let venv = cache()?.join("venv");
    let python = venv.join("bin/python");
    if !has_torch(&python, packages) {
        eprintln!("creating a Python environment with PyTorch in {} (about 5 GB, once)", venv.display());
        process::run(process::python().args(["-m", "venv"]).arg(&venv).stdout(process::to_stderr()))?;
        let torch = format!("torch=={}", setup::VERSION);
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", &torch]);
        pip.args([&format!("torchvision=={TORCHVISION}"), "numpy", "pillow", "pyyaml"]).args(packages);
        process::run(pip.stdout(process::to_stderr()))?;
    }
    Ok(python)
}

/// A Python of its own for packages that need no PyTorch.
pub(crate) fn small_python(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let venv = cache()?.join(format!("venv-{name}"));
    let python = venv.join("bin/python");
    let installed = venv.join(packages.join("-"));
    if !installed.exists() {
        process::run(process::python().args(["-m", "venv"]).arg(&venv).stdout(process::to_stderr()))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check"]).args(packages);
        process::run(pip.stdout(process::to_stderr()))?;
        fs::write(&installed, "").with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(python)
}

fn has_torch(python: &Path, packages: &[&str]) -> bool {
    let modules = [&["torch", "torchvision", "numpy", "yaml"], packages].concat().join(", ");
    let script = format!("import {modules}; print(torch.__version__.split('+')[0])");
    process::output(Command::new(python).args(["-c", &script])).is_ok_and(|v| v.trim() == setup::VERSION)
}

/// A checkout of the authors' code: `MUTUALNET_AUTHORS_CODE`, or cloned once.
pub(crate) fn authors_code() -> Result<PathBuf> {
    if let Some(given) = env::var_os("MUTUALNET_AUTHORS_CODE").map(PathBuf::from) {
        if given.join("train.py").exists() {
            return Ok(given);
        }
        bail!("MUTUALNET_AUTHORS_CODE is {}, which has no train.py", given.display());
    }
    let checkout = cache()?.join("authors");
    if !checkout.join("train.py").exists() {
        let mut clone = Command::new("git");
        clone.args(["clone", "--depth", "1", AUTHORS]).arg(&checkout);
        process::run(clone.stdout(process::to_stderr()))
            .context("without network, set MUTUALNET_AUTHORS_CODE to a checkout of the authors' code")?;
    }
    Ok(checkout)
}

/// The jemalloc to preload: `MUTUALNET_JEMALLOC`, the system's, or Debian's package unpacked in the cache.
pub(super) fn jemalloc() -> Result<PathBuf> {
    if let Some(given) = env::var_os("MUTUALNET_JEMALLOC").map(PathBuf::from) {
        return Ok(given);
    }
    let unpacked = cache()?.join("jemalloc");
    let places = || JEMALLOC_PLACES.iter();
    let found = || {
        let in_cache = places().map(|place| unpacked.join(place.trim_start_matches('/')));
        places().map(PathBuf::from).chain(in_cache).find(|path| path.exists())
    };
    if let Some(path) = found() {
        return Ok(path);
    }
    let script = "apt-get download libjemalloc2 && dpkg-deb -x libjemalloc2_*.deb .";
    fs::create_dir_all(&unpacked)?;
    let mut apt = Command::new("sh");
    apt.args(["-c", script]).current_dir(&unpacked).stdout(process::to_stderr());
    let hint = "install jemalloc (Debian: libjemalloc2) or set MUTUALNET_JEMALLOC to its libjemalloc.so.2";
    process::run(&mut apt).context(hint)?;
    found().context(hint)
}

/// `mutualnet/bench` in the user's cache directory.
pub(crate) fn cache() -> Result<PathBuf> {
    let from_home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(from_home);
    let dir = base.unwrap_or_else(env::temp_dir).join("mutualnet/bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}
