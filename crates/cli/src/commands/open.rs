//! What a path on the command line stands for: a run directory, a bundle or a table.
//!
//! Separate because every command that reads one accepts them alike.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mutualnet_bundle::{Bundle, QueryTable};
use mutualnet_core::text::quoted;
use mutualnet_report::compare::Origin;

use crate::failure::with_hint;

/// The bundle of a run directory, or a bundle file.
pub(super) fn bundle(path: &Path) -> Result<Bundle> {
    if !path.is_dir() {
        return Ok(Bundle::read(path)?);
    }
    let file = path.join(Bundle::FILE_NAME);
    if file.exists() { Ok(Bundle::read(&file)?) } else { Err(not_tabulated(path, Bundle::FILE_NAME)) }
}

/// Refuses to write over a file that is read.
///
/// # Errors
/// They are the same file, under whatever names.
pub(super) fn check_output(output: &Path, input: &Path) -> Result<()> {
    let bundle = input.join(Bundle::FILE_NAME);
    if is_same_file(output, input) || is_same_file(output, &bundle) {
        let told = format!("the output would overwrite the input: {}", output.display());
        return Err(with_hint(told, "choose another name".to_owned()));
    }
    Ok(())
}

/// Whether two names stand for one file; a file that is not there is none.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The table of a run directory, a bundle or a table file.
pub(super) fn table(path: &Path) -> Result<QueryTable> {
    match table_file(path)? {
        Some(file) => Ok(QueryTable::read(&file)?),
        None => Ok(bundle(path)?.table().clone()),
    }
}

/// As [`table`], with what is known of where its numbers come from.
pub(super) fn table_with_origin(path: &Path) -> Result<(QueryTable, Origin)> {
    let name = path.display().to_string();
    let Some(file) = table_file(path)? else {
        let bundle = bundle(path)?;
        return Ok((bundle.table().clone(), Origin::of(name, bundle.table(), Some(&bundle))));
    };
    let table = QueryTable::read(&file)?;
    let beside = file.with_file_name(Bundle::FILE_NAME);
    let bundle = if beside.exists() { Some(Bundle::read(&beside)?) } else { None };
    let origin = Origin::of(name, &table, bundle.as_ref());
    Ok((table, origin))
}

/// The file of a table that is not inside a bundle.
fn table_file(path: &Path) -> Result<Option<PathBuf>> {
    if path.is_dir() {
        let [table, bundle] = ["table.json", Bundle::FILE_NAME].map(|name| path.join(name));
        return match (table.exists(), bundle.exists()) {
            (true, _) => Ok(Some(table)),
            (false, true) => Ok(None),
            (false, false) => Err(not_tabulated(path, "table.json")),
        };
    }
    Ok(path.extension().is_some_and(|extension| extension == "json").then(|| path.to_owned()))
}

fn not_tabulated(dir: &Path, missing: &str) -> anyhow::Error {
    if dir.join("plan.toml").exists() {
        let hint = format!(
            "`mutualnet tabulate {}` writes it once training has finished; with --step or --best it is in a directory step-N \
             of the run",
            quoted(dir)
        );
        return with_hint(format!("the run has no {missing} yet: {}", dir.display()), hint);
    }
    let hint = "give a run directory, a bundle (.mnb) or, for `table` and `compare`, a table.json".to_owned();
    with_hint(format!("the directory has no {missing}: {}", dir.display()), hint)
}
