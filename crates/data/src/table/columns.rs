//! Names of the columns and classes of a table.
//!
//! Separate because they are the same in every format that the library `datasets` writes.
//! Invariant: a column that is missing or has the wrong type is an error that names it.

use crate::SampleError;

/// Where images may be, in order of preference: a struct's field or the column itself.
pub(super) const IMAGES: [&str; 4] = ["image.bytes", "img.bytes", "image", "img"];
pub(super) const LABELS: [&str; 2] = ["label", "fine_label"];

/// The first column of these names that can be used, and its name.
pub(super) fn find<T>(
    names: &[&'static str],
    usable: impl Fn(&str) -> Option<T>,
) -> Result<(T, &'static str), SampleError> {
    let found = names.iter().find_map(|name| Some((usable(name)?, *name)));
    found.ok_or_else(|| SampleError::Archive {
        reason: format!("no column `{}` with values that can be read", names.join("`, `")),
    })
}

/// Names of the classes in the description that `datasets` writes into a file under the key `huggingface`.
pub(super) fn class_names(description: &str, label: &str) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(description).ok()?;
    let names = json.get("info")?.get("features")?.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
