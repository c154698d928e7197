//! Reads a recipe file as text, or says what the file is if it is not a recipe.

use std::path::Path;

use mutualnet_core::{FileKind, Wanted};

use super::document::Node;
use super::problem::{Place, Problem};
use crate::{Error, Result};

/// Reads the text of a recipe file.
pub(super) fn read(path: &Path) -> Result<String> {
    let wrong = |problem| Error::recipe(Some(path), problem);
    if path.is_dir() {
        let problem = Problem::of_file("this is a directory".to_owned());
        return Err(wrong(problem.with_hint("name a recipe, a file that ends in .toml")));
    }
    let bytes = std::fs::read(path).map_err(|source| Error::read(path, source))?;
    let kind = FileKind::of(&bytes);
    if !matches!(kind, FileKind::Recipe | FileKind::Text | FileKind::Unknown | FileKind::Json) {
        let problem = Problem::of_file(format!("this is {}", kind.name()));
        let hint = kind.hint(Wanted::Recipe).unwrap_or("recipes are TOML files; recipes/ has examples");
        return Err(wrong(problem.with_hint(hint)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]);
        let problem = Problem::of_file("the text is not UTF-8".to_owned());
        wrong(problem.with_hint("save the file as UTF-8").at(&Place::of(&before, before.len())))
    })
}

/// Refuses the stored plan of a run, which contains a recipe but is not one.
pub(super) fn refuse_plan(document: &Node) -> Result<(), Problem> {
    if document.get("derived").is_some() && document.get("recipe").is_some() {
        let problem = Problem::of_file("this is the plan of a run, not a recipe".to_owned());
        return Err(problem.with_hint("name the recipe that the run was started with"));
    }
    Ok(())
}
