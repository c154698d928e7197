//! Checks that the run side is free of libtorch, in the dependency graph and in the built binary.
//!
//! Separate from the table of edges because it follows dependencies through external crates too.
//! Invariant: it checks the graph that cargo resolves and the file that cargo builds, not what manifests say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, edges};
use crate::{process, product};

const ENGINES: &[&str] = &["tch", "torch-sys"];

/// Package names and the names that each one builds or links.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Checks that neither an engine-free crate nor the deploy binary reaches libtorch.
pub(super) fn check_graph(root: &Path) -> Result<Vec<Finding>> {
    let full = graph(root, &[])?;
    let mut findings = vec![];
    for krate in edges::engine_free() {
        let what = "reaches the tensor engine through";
        findings.extend(finding(&full, krate, what));
    }
    let deploy = graph(root, &["--no-default-features"])?;
    findings.extend(finding(&deploy, "cli", "without default features reaches the engine through"));
    Ok(findings)
}

/// Checks that the deploy binary does not link libtorch.
pub(super) fn check_binary(root: &Path) -> Result<Vec<Finding>> {
    let mut build = process::cargo(root);
    build.args(["build", "--package", "mutualnet-cli", "--no-default-features"]);
    let messages = process::output_showing_stderr(build.arg("--message-format=json-render-diagnostics"))?;
    let binary = product::executable(&messages).context("cargo built no binary from mutualnet-cli")?;
    let listed = process::output(Command::new("readelf").arg("--dynamic").arg(&binary))?;
    let binary = binary.to_string_lossy();
    let bad = needed(&listed).filter(|library| is_libtorch(library));
    Ok(bad.map(|library| Finding::new(&binary, 1, format!("the deploy binary links {library}"))).collect())
}

fn graph(root: &Path, features: &[&str]) -> Result<Graph> {
    let mut command = process::cargo(root);
    command.args(["metadata", "--format-version", "1"]).args(features);
    graph_of(&serde_json::from_str(&process::output(&mut command)?)?)
        .context("cargo metadata has no dependency graph")
}

fn graph_of(metadata: &Value) -> Option<Graph> {
    let packages = metadata["packages"].as_array()?;
    let names: BTreeMap<&str, &str> =
        packages.iter().filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?))).collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array()? {
        let from = graph.entry((*names.get(node["id"].as_str()?)?).to_owned()).or_default();
        for dependency in node["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                from.insert((*names.get(dependency["pkg"].as_str()?)?).to_owned());
            }
        }
    }
    Some(graph)
}

fn finding(graph: &Graph, krate: &str, what: &str) -> Option<Finding> {
    let way = way_to_engine(graph, &format!("mutualnet-{krate}"))?;
    let path = format!("crates/{krate}/Cargo.toml");
    Some(Finding::new(&path, 1, format!("`{krate}` {what} {}", way.join(" -> "))))
}

/// The names on a path from `start` to an engine.
fn way_to_engine(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut open = vec![vec![start.to_owned()]];
    while let Some(way) = open.pop() {
        let here = way.last()?.clone();
        if ENGINES.contains(&here.as_str()) {
            return Some(way);
        }
        if seen.insert(here.clone()) {
            let next = graph.get(&here).into_iter().flatten();
            open.extend(next.map(|name| way.iter().chain([name]).cloned().collect()));
        }
    }
    None
}

/// The library names in the output of `readelf --dynamic`.
fn needed(listed: &str) -> impl Iterator<Item = &str> {
    let names = listed.lines().filter(|line| line.contains("(NEEDED)"));
    names.filter_map(|line| line.split_once('[')?.1.strip_suffix(']'))
}

fn is_libtorch(library: &str) -> bool {
    ["libtorch", "libc10", "libcudart"].iter().any(|start| library.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(kind: Value) -> Value {
        json!({
            "packages": [
                { "id": "1", "name": "mutualnet-runtime" }, { "id": "2", "name": "odd" }, { "id": "3", "name": "tch" }
            ],
            "resolve": { "nodes": [
                { "id": "1", "deps": [{ "pkg": "2", "dep_kinds": [{ "kind": kind }] }] },
                { "id": "2", "deps": [{ "pkg": "3", "dep_kinds": [{ "kind": null }] }] },
                { "id": "3", "deps": [] }
            ] }
        })
    }

    #[test]
    fn an_engine_behind_another_crate_is_found() {
        let found = finding(&graph_of(&metadata(Value::Null)).unwrap(), "runtime", "reaches").unwrap();
        let expected = "crates/runtime/Cargo.toml:1: `runtime` reaches mutualnet-runtime -> odd -> tch";
        assert_eq!(found.to_string(), expected);
    }

    #[test]
    fn dependencies_of_tests_do_not_count() {
        assert!(finding(&graph_of(&metadata(json!("dev"))).unwrap(), "runtime", "reaches").is_none());
    }

    #[test]
    fn reads_the_needed_libraries() {
        let listed = " 0x01 (NEEDED)  Shared library: [libc10.so]\n 0x01 (NEEDED)  Shared library: [libc.so.6]\n\
                       0x1d (RUNPATH) Library runpath: [/x/libtorch]\n";
        let bad: Vec<&str> = needed(listed).filter(|library| is_libtorch(library)).collect();
        assert_eq!(bad, ["libc10.so"]);
    }
}
