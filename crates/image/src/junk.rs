//! Names that are skipped: hidden files, and what operating systems, file servers and tools leave in folders.
//!
//! Folders, shards and lists all ask here, so that they agree on what is never a class and never holds an image.
//! Invariant: no name that a person would give to a class or an image is on the list.

use std::ffi::OsStr;
use std::path::{Component, Path};

/// Names that are junk in any mixture of upper and lower case.
const NAMES: &[&str] = &[
    // macOS, in archives and on servers.
    "__MACOSX",
    "Network Trash Folder",
    "Temporary Items",
    "TheVolumeSettingsFolder",
    "Icon\r",
    // Windows.
    "$RECYCLE.BIN",
    "System Volume Information",
    "Thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "Picasa.ini",
    // Linux and Android.
    "lost+found",
    "LOST.DIR",
    // Synology, QNAP and NetApp.
    "@eaDir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@__thumb",
    "@Recently-Snapshot",
    "~snapshot",
    // Python.
    "__pycache__",
];

/// Whether a file or folder of this name is skipped without being counted.
pub fn is_skipped(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || is_junk(name)
}

/// Whether a path leads through anything that is skipped, or is skipped itself.
pub fn has_skipped_part(path: &Path) -> bool {
    names(path).any(is_skipped)
}

/// Whether a path has a part that is junk whoever wrote the path down; a folder that is merely hidden is not.
pub fn has_junk_part(path: &Path) -> bool {
    names(path).any(is_junk)
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn is_junk(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    // The resource forks of macOS, streams of Windows and Synology as files, and folders of recovered clusters.
    name.starts_with(b"._")
        || name.ends_with(b":Zone.Identifier")
        || name.ends_with(b"@SynoEAStream")
        || name.ends_with(b"@SynoResource")
        || is_found_clusters(name)
        || name == b".DS_Store"
        || name == b".Trashes"
        || name == b".ipynb_checkpoints"
        || NAMES.iter().any(|junk| name.eq_ignore_ascii_case(junk.as_bytes()))
}

/// `FOUND.000` and so on, which `chkdsk` makes.
fn is_found_clusters(name: &[u8]) -> bool {
    name.split_at_checked(6).is_some_and(|(found, number)| {
        found.eq_ignore_ascii_case(b"found.") && number.len() == 3 && number.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_is_skipped_and_names_of_classes_are_not() {
        for name in NAMES.iter().copied().chain([
            "$Recycle.Bin",
            "THUMBS.DB",
            "._cat",
            ".Trashes",
            ".git",
            "found.012",
            "1.jpg:Zone.Identifier",
            "1.jpg@SynoEAStream",
        ]) {
            assert!(is_skipped(OsStr::new(name)), "{name}");
        }
        for name in [
            "recycle",
            "Recycled",
            "trash",
            "lost",
            "found.12",
            "found.jpg",
            "macosx",
            "tmp",
            "_cat",
            "#1",
            "@home",
        ] {
            assert!(!is_skipped(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn paths_are_judged_by_their_parts() {
        assert!(has_skipped_part(Path::new("train/__MACOSX/cat/1.jpg")));
        assert!(has_skipped_part(Path::new("a/.cache/1.jpg")) && !has_junk_part(Path::new("a/.cache/1.jpg")));
        assert!(has_junk_part(Path::new("a/._1.jpg")) && !has_skipped_part(Path::new("../a/./1.jpg")));
    }
}
