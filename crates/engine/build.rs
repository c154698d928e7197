//! Finds libtorch, checks its version, compiles the C++ shim against its headers and links it.
//!
//! The search order is that of `torch-sys`, so that both always use the same library: `LIBTORCH_USE_PYTORCH`, then
//! `LIBTORCH` (along with `LIBTORCH_INCLUDE` and `LIBTORCH_LIB`).

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const VERSION: &str = "2.11";
const SOURCES: [&str; 5] =
    ["shim/shim.cpp", "shim/norm.cpp", "shim/depthwise.cpp", "shim/resize.cpp", "shim/pixels.cpp"];
const KERNELS: [&str; 4] = [
    "shim/kernels/norm.cpp",
    "shim/kernels/depthwise.cpp",
    "shim/kernels/resize.cpp",
    "shim/kernels/pixels.cpp",
];
/// What only this file includes: names of gloo, of which libtorch has no headers.
const GROUP: (&str, &str) = ("shim/group.cpp", "shim/gloo_names");
const HEADERS: [&str; 5] =
    ["shim/guard.h", "shim/norm.h", "shim/ranks.h", "shim/kernels/kernels.h", "shim/kernels/vector.h"];

/// The instruction sets that the kernels are compiled for, and the flags that select them.
const BASELINE: (&str, &[&str]) = ("baseline", &[]);
const X86: [(&str, &[&str]); 2] = [
    ("avx2", &["-mavx2", "-mfma"]),
    ("avx512", &["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mprefer-vector-width=512"]),
];
const ASK_PYTHON: &str = "import torch, os; print(os.path.dirname(torch.__file__))";

struct Libtorch {
    include: PathBuf,
    lib: PathBuf,
}

fn main() -> ExitCode {
    match find().and_then(|libtorch| check_version(&libtorch).map(|()| libtorch)) {
        Ok(libtorch) => {
            compile(&libtorch);
            compile_group(&libtorch);
            compile_kernels();
            link(&libtorch);
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            println!("cargo::error={sentence}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn find() -> Result<Libtorch, String> {
    let root = match (variable("LIBTORCH_USE_PYTORCH"), variable("LIBTORCH")) {
        (Some(_), _) => ask_python()?,
        (None, Some(root)) => root,
        (None, None) => return Err("libtorch is not set up: run `cargo xtask setup`".into()),
    };
    let include = variable("LIBTORCH_INCLUDE").unwrap_or_else(|| root.clone());
    let lib = variable("LIBTORCH_LIB").unwrap_or(root);
    Ok(Libtorch { include: Path::new(&include).join("include"), lib: Path::new(&lib).join("lib") })
}

fn ask_python() -> Result<String, String> {
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let answer = Command::new(python).args(["-c", ASK_PYTHON]).output();
    match answer {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
        }
        _ => Err(format!(
            "LIBTORCH_USE_PYTORCH is set but `{python}` cannot import torch: \
             unset it and run `cargo xtask setup`"
        )),
    }
}

fn check_version(libtorch: &Libtorch) -> Result<(), String> {
    let header = libtorch.include.join("torch/headeronly/version.h");
    println!("cargo::rerun-if-changed={}", header.display());
    let text = std::fs::read_to_string(&header).map_err(|error| {
        format!("no libtorch {VERSION} headers at {} ({error}): run `cargo xtask setup`", header.display())
    })?;
    let part = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("#define TORCH_VERSION_{name} ")))?;
        line.split_whitespace().nth(2)
    };
    let found = format!("{}.{}", part("MAJOR").unwrap_or("?"), part("MINOR").unwrap_or("?"));
    if found == VERSION {
        return Ok(());
    }
    Err(format!(
        "libtorch at {} is version {found}, but {VERSION} is needed: run `cargo xtask setup`",
        libtorch.include.display()
    ))
}

/// A compiler for the shim, which contains kernels and is therefore optimized in every profile.
fn optimized() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).pic(true).opt_level(3).debug(false).flag("-std=c++20");
    build.flag("-fno-math-errno").flag("-fno-trapping-math").flag("-Wno-psabi");
    build
}

fn compile(libtorch: &Libtorch) {
    for file in SOURCES.iter().chain(&KERNELS).chain(&HEADERS) {
        println!("cargo::rerun-if-changed={file}");
    }
    with_headers(libtorch).flag("-fopenmp").files(SOURCES).compile("mutualnet_shim");
}

fn compile_group(libtorch: &Libtorch) {
    let (file, names) = GROUP;
    for path in [file, names] {
        println!("cargo::rerun-if-changed={path}");
    }
    with_headers(libtorch).include(names).file(file).compile("mutualnet_group");
}

fn with_headers(libtorch: &Libtorch) -> cc::Build {
    let mut build = optimized();
    for include in [libtorch.include.clone(), libtorch.include.join("torch/csrc/api/include")] {
        build.flag(format!("-isystem{}", include.display()));
    }
    build
}

fn compile_kernels() {
    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let sets = std::iter::once(BASELINE).chain(X86.into_iter().filter(|_| x86));
    for (name, flags) in sets {
        let mut build = optimized();
        build.define("MUTUALNET_ISA", name).files(KERNELS);
        for flag in flags {
            build.flag(flag);
        }
        build.compile(&format!("mutualnet_kernels_{name}"));
    }
}

fn link(libtorch: &Libtorch) {
    println!("cargo::rustc-link-search=native={}", libtorch.lib.display());
    for library in ["torch_cpu", "c10", "gomp", "dl"] {
        println!("cargo::rustc-link-lib={library}");
    }
}
