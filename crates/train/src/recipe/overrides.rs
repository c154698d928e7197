//! TOML text plus `key=value` overrides to a typed value, with errors that name the nearest key.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Error, Result};

/// Reads `text`, lays `overrides` over it and types the result.
pub(super) fn parse<T: DeserializeOwned>(text: &str, overrides: &[String]) -> Result<T> {
    if overrides.is_empty() {
        // Straight from the text, so that errors show the line.
        return toml::from_str(text).map_err(|error| wrong(&error));
    }
    let mut table: Table = toml::from_str(text).map_err(|error| wrong(&error))?;
    for text in overrides {
        let (key, value) = text.split_once('=').ok_or_else(|| Error::Recipe {
            path: None,
            reason: format!("override `{text}` is not of the form key=value"),
            hint: Some("write for example train.epochs=3".to_owned()),
        })?;
        set(&mut table, key.trim(), read_value(value.trim()))?;
    }
    Value::Table(table).try_into().map_err(|error| wrong(&error))
}

/// A TOML value; what does not read as one is a string, so that paths need no quotes.
fn read_value(text: &str) -> Value {
    let table: std::result::Result<Table, _> = toml::from_str(&format!("value = {text}"));
    let value = table.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut at = table;
    let mut parts: Vec<_> = key.split('.').collect();
    let last = parts.pop().expect("split yields at least one part");
    for part in parts {
        let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| Error::Recipe {
            path: None,
            reason: format!("override `{key}`: `{part}` is not a section"),
            hint: None,
        })?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

fn wrong(error: &toml::de::Error) -> Error {
    Error::Recipe {
        path: None,
        reason: without_expected(&error.to_string()),
        hint: nearest_key(error.message()),
    }
}

/// The message without serde's list of all keys: there are dozens, and the nearest one goes into the hint.
fn without_expected(message: &str) -> String {
    let lines = message.trim_end().lines();
    let lines = lines.map(|line| match line.split_once(", expected one of `") {
        Some((says, _)) if says.contains("unknown field") => says,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Out of serde's "unknown field `x`, expected one of `a`, `b`" the key most like `x`.
fn nearest_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let similarity = |name: &str| strsim::jaro_winkler(name, unknown);
    let nearest = names.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    Some(format!("did you mean `{nearest}`?"))
}
