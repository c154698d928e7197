//! The names that a pickle may use; every other one is refused.
//!
//! Separate so that the whole list can be read at a glance. Even these are never looked up anywhere: they only say
//! what the values after them mean.

use crate::dtype::Dtype;
use crate::{Error, Result};

/// What a permitted name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2` and its predecessor: a view of a storage.
    Tensor,
    /// `torch._utils._rebuild_parameter`: its first argument.
    Parameter,
    Storage(Dtype),
    /// Calling it makes something that is read over.
    Inert,
}

/// Classes of optimizers' and training scripts' leftovers: numbers, settings, paths.
const INERT: &[(&str, &str)] = &[
    ("torch", "Size"),
    ("torch", "device"),
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("builtins", "set"),
    ("builtins", "int"),
    ("builtins", "float"),
    ("builtins", "list"),
    ("builtins", "dict"),
    ("__builtin__", "set"),
    // Counters of slimmable networks' training program.
    ("utils.meters", "Meter"),
    ("utils.meters", "ScalarMeter"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
];

/// Number types as attributes of the module `torch`.
const TORCH_DTYPES: &[&str] =
    &["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"];

/// What `module.name` stands for.
pub(super) fn resolve(module: &str, name: &str) -> Result<Global> {
    let is_storage = matches!(module, "torch" | "torch.cuda" | "torch.storage");
    let storage = name.strip_suffix("Storage").filter(|_| is_storage).and_then(Dtype::from_storage);
    match (module, name) {
        _ if storage.is_some() => Ok(storage.map_or(Global::Inert, Global::Storage)),
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Ok(Global::Tensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Global::Parameter),
        ("torch", name) if TORCH_DTYPES.contains(&name) => Ok(Global::Inert),
        _ if INERT.contains(&(module, name)) => Ok(Global::Inert),
        _ => Err(Error::Forbidden { name: format!("{module}.{name}") }),
    }
}
