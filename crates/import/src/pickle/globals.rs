//! What the names in a pickle stand for: a tensor, a dict, something that is skipped, or a reason to refuse the file.
//!
//! Separate so that all of it can be read at a glance. No name is ever looked up or called: it only says what the values
//! after it mean. So an unknown name does no harm. A name that would run code in Python still makes us refuse the file,
//! so that its user is warned not to load it there (docs/decisions/0010-what-a-pickle-may-name.md).

use crate::dtype::Dtype;
use crate::{Error, Result};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2` and its predecessor: a view of a storage.
    Tensor,
    /// `torch._utils._rebuild_parameter` and the like: its first argument.
    Parameter,
    /// `torch._tensor._rebuild_from_type_v2`: its first argument, called with the third one.
    Subclass,
    Storage(Dtype),
    /// `builtins.getattr`.
    Attribute,
    /// Anything else: calling it makes a value that is skipped.
    Opaque,
}

/// Plain data and settings, which are not worth a line in the report.
const PLAIN: &[(&str, &[&str])] = &[
    ("argparse", &["Namespace"]),
    ("_codecs", &["encode"]),
    ("collections", &["Counter", "OrderedDict", "defaultdict", "deque"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("pathlib", &["PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"]),
    ("pathlib._local", &["PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"]),
    ("io", &["BytesIO", "StringIO"]),
    ("types", &["MappingProxyType", "SimpleNamespace"]),
    // Counters of slimmable networks' training program.
    ("utils.meters", &["Meter", "ScalarMeter"]),
];

/// The types among Python's builtins; the other builtins evaluate, open or look up something.
const BUILTIN_TYPES: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Modules and packages of Python whose functions run code or programs, or reach files and the network.
const RUNS_CODE: &[&str] = &[
    "_ctypes",
    "_io",
    "_operator",
    "_osx_support",
    "_pickle",
    "_posixsubprocess",
    "_pyrepl",
    "_socket",
    "_thread",
    "aiohttp",
    "asyncio",
    "bdb",
    "cProfile",
    "cffi",
    "cloudpickle",
    "compileall",
    "ctypes",
    "dill",
    "distutils",
    "doctest",
    "ensurepip",
    "fileinput",
    "ftplib",
    "http",
    "httplib",
    "httpx",
    "idlelib",
    "imaplib",
    "importlib",
    "joblib",
    "lib2to3",
    "linecache",
    "marshal",
    "mmap",
    "multiprocessing",
    "nt",
    "ntpath",
    "os",
    "paramiko",
    "pdb",
    "pickle",
    "pip",
    "pipes",
    "pkg_resources",
    "pkgutil",
    "popen2",
    "poplib",
    "posix",
    "posixpath",
    "psutil",
    "pty",
    "py_compile",
    "pydoc",
    "requests",
    "rlcompleter",
    "runpy",
    "setuptools",
    "shelve",
    "shlex",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "sysconfig",
    "tarfile",
    "telnetlib",
    "tempfile",
    "threading",
    "timeit",
    "tkinter",
    "tracemalloc",
    "unittest",
    "urllib",
    "urllib2",
    "urllib3",
    "venv",
    "webbrowser",
    "winreg",
    "xmlrpc",
    "zipapp",
    "zipfile",
    "zipimport",
];

/// Modules that do, but whose names people also give to packages of their own; what is below them is allowed.
const RUNS_CODE_ITSELF: &[&str] = &[
    "ast", "cmd", "code", "codeop", "commands", "gc", "glob", "imp", "inspect", "io", "operator", "platform",
    "profile", "site", "trace", "types",
];

/// Modules and packages that do, in libraries whose other modules do not.
const RUNS_CODE_WITHIN: &[&str] = &[
    "numpy.distutils",
    "numpy.f2py",
    "numpy.testing",
    "pandas.core.computation",
    "pandas.io",
    "torch.distributed.rpc",
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.utils.bottleneck",
    "torch.utils.cpp_extension",
    "torch.utils.data.datapipes.utils.decoder",
    "torch.utils.model_zoo",
];

/// Functions that do, in modules whose other functions do not.
const FUNCTIONS_THAT_RUN_CODE: &[(&str, &str)] = &[
    ("codecs", "open"),
    ("numpy", "fromfile"),
    ("numpy", "load"),
    ("numpy", "loadtxt"),
    ("numpy", "save"),
    ("numpy", "savetxt"),
    ("pandas", "eval"),
    ("pandas", "read_pickle"),
    ("torch", "compile"),
    ("torch", "load"),
    ("torch", "save"),
    ("torch.serialization", "load"),
    ("torch.serialization", "save"),
    ("torch.storage", "_load_from_bytes"),
];

/// What `module.name` stands for.
///
/// # Errors
/// Calling it in Python would run code.
pub(super) fn resolve(module: &str, name: &str) -> Result<Global> {
    let is_storage = matches!(module, "torch" | "torch.cuda" | "torch.storage");
    let storage = name.strip_suffix("Storage").filter(|_| is_storage).and_then(Dtype::from_storage);
    match (module, name) {
        _ if storage.is_some() => Ok(storage.map_or(Global::Opaque, Global::Storage)),
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Ok(Global::Tensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Ok(Global::Parameter),
        ("torch._tensor", "_rebuild_from_type_v2") => Ok(Global::Subclass),
        ("builtins" | "__builtin__", "getattr") => Ok(Global::Attribute),
        _ if runs_code(module, name) => Err(forbidden(module, name)),
        _ => Ok(Global::Opaque),
    }
}

/// Whether an opaque name is one that state dicts and training scripts use for plain data.
pub(super) fn is_plain(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => true,
        // `torch.Size`, `torch.device`, and number types such as `torch.float32`.
        "torch" => !name.contains('.'),
        _ => is_listed(module, name),
    }
}

fn is_listed(module: &str, name: &str) -> bool {
    PLAIN.iter().any(|(of, names)| *of == module && names.contains(&name))
}

/// The error for a name that would run code.
pub(super) fn forbidden(module: &str, name: &str) -> Error {
    Error::Forbidden { name: format!("{module}.{name}") }
}

fn runs_code(module: &str, name: &str) -> bool {
    // Since protocol 4 a name may be a path of attributes, and `_rebuild_tensor.__globals__` leads to everything.
    if name.split('.').any(is_inner) {
        return true;
    }
    if matches!(module, "builtins" | "__builtin__") {
        return !BUILTIN_TYPES.contains(&name);
    }
    if is_listed(module, name) {
        return false;
    }
    let within = |outer: &&str| {
        module.strip_prefix(*outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let first = module.split('.').next().unwrap_or(module);
    RUNS_CODE.contains(&first)
        || RUNS_CODE_ITSELF.contains(&module)
        || RUNS_CODE_WITHIN.iter().any(within)
        || FUNCTIONS_THAT_RUN_CODE.contains(&(module, name))
}

/// Whether an attribute belongs to the inner workings of Python.
pub(super) fn is_inner(name: &str) -> bool {
    name.starts_with("__")
        && name.ends_with("__")
        && !matches!(name, "__newobj__" | "__newobj_ex__" | "__main__")
}
