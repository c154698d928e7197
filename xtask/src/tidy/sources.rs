//! Rules for single files: first lines, sizes, names, and forbidden words.
//!
//! Separate from the rules for crates because these need only the text.
//! Invariant: a file that is not UTF-8 is an error, not a pass.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;

/// Lines a Rust file may have without its tests.
const MAX_LINES: usize = 600;

/// Files that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// File names that say nothing about the content.
const EMPTY_NAMES: &[&str] = &["base.rs", "common.rs", "helpers.rs", "misc.rs", "utils.rs"];

/// Words that are forbidden in a Rust file, and what to do instead; split so that this file passes.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "put a slow test behind MUTUALNET_SLOW=1 instead of ignoring it"),
    (concat!("#[", "should_panic"), "test the error or the message, not that something panics"),
];

const TO_DO: &str = concat!("TO", "DO");

/// Applies the rules for each file's kind.
pub(super) fn check_all(root: &Path, files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = vec![];
    for path in files.iter().filter(|path| is_text(path)) {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        findings.extend(check_text(path, &text));
        if path.ends_with(".rs") {
            findings.extend(check_rust(path, &text));
        }
    }
    Ok(findings)
}

fn is_text(path: &str) -> bool {
    let kind = path.rsplit(['.', '/']).next().unwrap_or_default();
    ["cpp", "h", "md", "py", "rs", "run", "sh", "toml"].contains(&kind)
}

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = vec![];
    for (i, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(path, i + 1, "trailing whitespace"));
        }
        if has_nameless_to_do(line) {
            findings.push(Finding::new(path, i + 1, format!("write {TO_DO}(name) or open an issue")));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(path, text.lines().count(), "no line break at the end"));
    }
    findings
}

fn has_nameless_to_do(line: &str) -> bool {
    line.match_indices(TO_DO).any(|(at, word)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part_of_word(before) && !part_of_word(after) && after != Some('(')
    })
}

fn check_rust(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = vec![];
    if !text.starts_with("//!") {
        findings.push(Finding::new(
            path,
            1,
            "begin with `//!`: what is here, why it is separate, its invariant",
        ));
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if EMPTY_NAMES.contains(&name) {
        findings.push(Finding::new(path, 1, "name the file for the one thing in it"));
    }
    let n_lines = lines_without_tests(path, text);
    if n_lines > MAX_LINES && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        let what = format!("{n_lines} lines without tests; {MAX_LINES} is the limit");
        findings.push(Finding::new(path, 1, what));
    }
    for (i, line) in text.lines().enumerate() {
        for (word, what) in FORBIDDEN {
            if line.contains(word) {
                findings.push(Finding::new(path, i + 1, *what));
            }
        }
    }
    findings
}

/// Tests are at a file's end, in `tests.rs` or `<name>_tests.rs`, or below a folder `tests`.
fn lines_without_tests(path: &str, text: &str) -> usize {
    if path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<&str> = text.lines().collect();
    let test_module = lines.windows(2).position(|w| w[0] == "#[cfg(test)]" && w[1].starts_with("mod "));
    test_module.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = check_text(path, text)
            .into_iter()
            .chain(check_rust(path, text))
            .map(|finding| finding.to_string())
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn a_good_file_passes() {
        check("crates/core/src/width.rs", "//! Widths.\n", &[]);
    }

    #[test]
    fn head_name_and_whitespace() {
        check(
            "crates/core/src/utils.rs",
            "fn f() {} \n",
            &[
                "crates/core/src/utils.rs:1: trailing whitespace",
                "crates/core/src/utils.rs:1: begin with",
                "crates/core/src/utils.rs:1: name the file",
            ],
        );
        check("a/b.rs", "//! B.", &["a/b.rs:1: no line break"]);
    }

    #[test]
    fn words_that_may_not_stay() {
        let text = format!("//! B.\n// {TO_DO}: later\n// {TO_DO}(ada): later\n{}]\n", FORBIDDEN[0].0);
        check("a/b.rs", &text, &["a/b.rs:2: write", "a/b.rs:4: put a slow test"]);
        assert!(!has_nameless_to_do("METHODOLOGY and TODOS"));
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let code = "//! B.\n".repeat(MAX_LINES);
        let tests = "#[cfg(test)]\nmod tests {\n}\n".repeat(20);
        check("a/b.rs", &format!("{code}{tests}"), &[]);
        check("a/b.rs", &format!("{code}//\n{tests}"), &["a/b.rs:1: 601 lines"]);
        check("a/tests/it/b.rs", &format!("{code}//\n"), &[]);
    }
}
