//! What the zoo says about its networks, as JSON.
//!
//! Separate because this crate may not link the product, so an example of the zoo prints it; that example compiles in
//! seconds and needs no libtorch.
//! Invariant: no name of a network is written down in this crate for what the zoo can say.

use std::path::Path;

use anyhow::Result;

use crate::process;

/// What is known about all networks, or about the one in `arguments`.
pub(crate) fn facts(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut cargo = process::cargo(root);
    cargo
        .args(["run", "--quiet", "--package", "mutualnet-zoo", "--example", "networks", "--"])
        .args(arguments);
    process::output_showing_stderr(&mut cargo)
}
