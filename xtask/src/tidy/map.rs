//! Checks that every path in a table of ARCHITECTURE.md exists.
//!
//! Separate because it reads prose. Invariant: only text in backticks within a table is checked.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;

const MAP: &str = "ARCHITECTURE.md";

/// Checks each path, and each `crate::module` of our own crates.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let path = root.join(MAP);
    if !path.exists() {
        return Ok(vec![Finding::new(MAP, 1, "is missing")]);
    }
    let text = fs::read_to_string(path)?;
    let named = named_in_tables(&text);
    let absent = named.into_iter().filter(|(_, name)| !exists(root, name));
    Ok(absent.map(|(line, name)| Finding::new(MAP, line, format!("`{name}` does not exist"))).collect())
}

/// Line number and text of everything in backticks in a row of a table.
fn named_in_tables(text: &str) -> Vec<(usize, &str)> {
    let rows = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with('|'));
    rows.flat_map(|(i, line)| line.split('`').skip(1).step_by(2).map(move |name| (i + 1, name))).collect()
}

/// Also true for words that are not paths (a type, a command, a pattern).
fn exists(root: &Path, name: &str) -> bool {
    if name.contains(|c: char| c.is_whitespace() || "<>*…{}()$".contains(c)) {
        return true;
    }
    if let Some((krate, rest)) = name.split_once("::") {
        let source = root.join("crates").join(krate).join("src");
        return !source.exists() || module_exists(&source, rest);
    }
    let is_path = name.contains('/') || [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end));
    !is_path || root.join(name).exists()
}

/// `rest` starts with the name of a module; the item after it is not checked.
fn module_exists(source: &Path, rest: &str) -> bool {
    let module = rest.split("::").next().unwrap_or(rest);
    source.join(format!("{module}.rs")).exists() || source.join(module).exists() || in_lib(source, module)
}

/// Items that the crate root defines or re-exports.
fn in_lib(source: &Path, item: &str) -> bool {
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap_or_default();
    lib.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_are_read() {
        let text = "see `a/b.rs`\n| 1 | `x/y.rs` and `train::plan` |\n";
        assert_eq!(named_in_tables(text), [(2, "x/y.rs"), (2, "train::plan")]);
    }

    #[test]
    fn paths_and_modules_are_looked_up() {
        let root = crate::process::workspace_root().unwrap();
        for name in ["xtask/src/main.rs", "core::width", "Vec::new", "mutualnet data make", "Subnet"] {
            assert!(exists(&root, name), "{name}");
        }
        for name in ["xtask/src/absent.rs", "core::absent", "ABSENT.md"] {
            assert!(!exists(&root, name), "{name}");
        }
    }
}
