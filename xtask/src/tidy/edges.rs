//! Which crate of the workspace may depend on which: the arrows of ARCHITECTURE.md, as a table.
//!
//! Separate because a new arrow is a decision, made in a commit of its own that changes this table.
//! Invariant: the table has no cycle and names only crates that exist.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::process;

/// A crate and what its library may depend on. Tests may depend on more, see [`ENGINE_SIDE`].
struct Allowed {
    krate: &'static str,
    may_name: &'static [&'static str],
}

const ALLOWED: &[Allowed] = &[
    Allowed { krate: "core", may_name: &[] },
    Allowed { krate: "zoo", may_name: &["core"] },
    Allowed { krate: "bundle", may_name: &["core"] },
    Allowed { krate: "runtime", may_name: &["bundle", "core"] },
    Allowed { krate: "export", may_name: &["bundle", "core"] },
    // The entry of a family says whose names its checkpoints have.
    Allowed { krate: "import", may_name: &["core", "zoo"] },
    Allowed { krate: "report", may_name: &["bundle", "core"] },
    Allowed { krate: "image", may_name: &["core"] },
    Allowed { krate: "detect", may_name: &["core"] },
    Allowed { krate: "video", may_name: &["core", "image"] },
    Allowed { krate: "predict", may_name: &["bundle", "core", "detect", "image", "runtime", "video"] },
    Allowed { krate: "data", may_name: &["core", "detect", "image", "video"] },
    Allowed { krate: "engine", may_name: &[] },
    Allowed { krate: "nn", may_name: &["core", "engine"] },
    // `tabulate` times each row in the executor that users run, and writes the run's report.
    Allowed {
        krate: "train",
        may_name: &["bundle", "core", "data", "detect", "engine", "nn", "report", "runtime", "zoo"],
    },
    // `bench` sets the threads of `engine` and makes the smaller resolutions of a batch.
    Allowed {
        krate: "cli",
        may_name: &[
            "bundle", "core", "data", "engine", "export", "image", "import", "predict", "report", "runtime",
            "train", "zoo",
        ],
    },
    Allowed { krate: "testkit", may_name: &["bundle", "core"] },
];

/// The crates that need libtorch. The others must build and pass their tests without it.
const ENGINE_SIDE: &[&str] = &["engine", "nn", "train", "cli"];

/// The crates of the table that must never reach libtorch.
pub(super) fn engine_free() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().map(|row| row.krate).filter(|krate| !ENGINE_SIDE.contains(krate))
}

/// Compares every declared edge, including optional ones, with the table.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut command = process::cargo(root);
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    Ok(packages.iter().flat_map(check_package).chain(absent(packages)).collect())
}

/// A row of the table for a crate that does not exist.
fn absent(packages: &[Value]) -> Vec<Finding> {
    let exists = |krate: &str| packages.iter().any(|package| package["name"] == format!("mutualnet-{krate}"));
    let named = ALLOWED.iter().flat_map(|row| row.may_name.iter().chain([&row.krate]));
    let absent: std::collections::BTreeSet<_> = named.filter(|krate| !exists(krate)).collect();
    let finding =
        |krate| Finding::new("xtask/src/tidy/edges.rs", 1, format!("crate `{krate}` does not exist"));
    absent.into_iter().map(finding).collect()
}

fn check_package(package: &Value) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(krate) = name.strip_prefix("mutualnet-") else {
        return if name == "xtask" { check_xtask(package) } else { vec![] };
    };
    let manifest = format!("crates/{krate}/Cargo.toml");
    let Some(row) = ALLOWED.iter().find(|row| row.krate == krate) else {
        let what = format!("crate `{krate}` is not in the table of xtask/src/tidy/edges.rs");
        return vec![Finding::new(&manifest, 1, what)];
    };
    let edges = workspace_edges(package);
    let bad = edges.into_iter().filter(|edge| !is_allowed(row, edge));
    bad.map(|edge| {
        let how = if edge.in_tests { "may not, even in tests, depend" } else { "may not depend" };
        Finding::new(&manifest, 1, format!("`{krate}` {how} on `{}`", edge.to))
    })
    .collect()
}

fn check_xtask(package: &Value) -> Vec<Finding> {
    let edges = workspace_edges(package).into_iter();
    edges
        .map(|e| Finding::new("xtask/Cargo.toml", 1, format!("xtask may not depend on `{}`", e.to)))
        .collect()
}

struct Edge {
    to: String,
    in_tests: bool,
}

fn workspace_edges(package: &Value) -> Vec<Edge> {
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let edge = |dependency: &Value| {
        let to = dependency["name"].as_str()?.strip_prefix("mutualnet-")?.to_owned();
        Some(Edge { to, in_tests: dependency["kind"] == "dev" })
    };
    dependencies.iter().filter_map(edge).collect()
}

fn is_allowed(row: &Allowed, edge: &Edge) -> bool {
    let to = edge.to.as_str();
    if edge.in_tests {
        return ENGINE_SIDE.contains(&row.krate) || !ENGINE_SIDE.contains(&to);
    }
    row.may_name.contains(&to)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(name: &str, to: &str, kind: Value) -> Vec<String> {
        let package = json!({ "name": name, "dependencies": [{ "name": to, "kind": kind }] });
        check_package(&package).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrows_of_the_table_pass() {
        assert!(findings("mutualnet-runtime", "mutualnet-bundle", Value::Null).is_empty());
        assert!(findings("mutualnet-runtime", "rayon", Value::Null).is_empty());
        assert!(findings("mutualnet-runtime", "mutualnet-zoo", json!("dev")).is_empty());
    }

    #[test]
    fn arrows_outside_the_table_are_found() {
        let found = findings("mutualnet-runtime", "mutualnet-train", Value::Null);
        assert_eq!(found, ["crates/runtime/Cargo.toml:1: `runtime` may not depend on `train`"]);
        assert_eq!(findings("mutualnet-core", "mutualnet-nn", json!("dev")).len(), 1);
        assert_eq!(findings("mutualnet-bundle", "mutualnet-zoo", Value::Null).len(), 1);
        assert_eq!(findings("mutualnet-new", "mutualnet-zoo", Value::Null).len(), 1);
        assert_eq!(findings("xtask", "mutualnet-core", Value::Null).len(), 1);
    }

    #[test]
    fn crates_that_do_not_exist_are_found() {
        let mut packages: Vec<_> =
            ALLOWED.iter().map(|row| json!({ "name": format!("mutualnet-{}", row.krate) })).collect();
        assert!(absent(&packages).is_empty());
        packages.remove(0);
        let found: Vec<_> = absent(&packages).iter().map(Finding::to_string).collect();
        assert_eq!(found, ["xtask/src/tidy/edges.rs:1: crate `core` does not exist"]);
    }

    #[test]
    fn the_table_has_no_cycle() {
        fn depth(krate: &str, left: usize) -> usize {
            assert!(left > 0, "a cycle goes through {krate}");
            let row = ALLOWED.iter().find(|row| row.krate == krate).unwrap();
            row.may_name.iter().map(|next| 1 + depth(next, left - 1)).max().unwrap_or(0)
        }
        for row in ALLOWED {
            depth(row.krate, ALLOWED.len());
        }
    }
}
