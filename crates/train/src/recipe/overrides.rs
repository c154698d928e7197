//! Overrides: `key=value` arguments that take precedence over the file.

use super::document::Node;
use super::names;
use super::problem::{Place, Problem, shown};

/// Applies all overrides to the recipe; later ones win.
pub(super) fn lay(document: &mut Node, overrides: &[String]) -> Result<(), Problem> {
    for (idx, text) in overrides.iter().enumerate() {
        let place = Place::Override(text.clone());
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
                document.set(key.trim(), value.trim(), &place)?;
            }
            _ => return Err(no_assignment(text, &overrides[idx + 1..])),
        }
    }
    Ok(())
}

/// An argument without key or value; what was meant may be spread over the ones that follow.
fn no_assignment(text: &str, rest: &[String]) -> Problem {
    let (key, mut value) = text.split_once([':', '=']).map_or((text, ""), |(key, value)| (key, value.trim()));
    if value.is_empty() {
        // `train.lr 0.1`, `train.lr = 0.1`, `train.lr =0.1`.
        let mut rest = rest.iter().map(|text| text.trim()).filter(|text| *text != "=");
        let next = rest.next().unwrap_or_default();
        value = next.strip_prefix('=').unwrap_or(if next.contains('=') { "" } else { next });
    }
    let is_empty = value.is_empty() && text.trim_end().ends_with('=') && text.trim() != "=";
    let key = names::the_key(key.trim());
    let hint = match (key, value) {
        (Some(key), "") => format!("write {key}=VALUE"),
        (Some(key), value) => format!("write it as one argument: {key}={}", shown(value)),
        (None, _) => "write overrides like train.epochs=3".to_owned(),
    };
    let wrong = if is_empty { "has no value" } else { "is not of the form key=value" };
    Problem::of_file(format!("`{}` {wrong}", shown(text))).with_hint(hint)
}

/// The error for an override that was written as an option: `args` are the option without its dashes and the arguments
/// after it. `None` if no key is similar.
pub fn dashed(args: &[String]) -> Option<crate::Error> {
    let (first, rest) = args.split_first()?;
    let (key, value) = first.split_once('=').unwrap_or((first, ""));
    let key = names::the_key(key)?;
    let value = if value.is_empty() { rest.first().map_or("VALUE", String::as_str) } else { value };
    let problem = Problem::of_file("not an option".to_owned())
        .with_hint(format!("keys of a recipe are written without dashes: {key}={}", shown(value)));
    Some(crate::Error::recipe(None, problem.at(&Place::Override(format!("--{first}")))))
}
