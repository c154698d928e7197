//! Says what a file is that is not what it was taken for.
//!
//! Separate because images, shards, tables and packed data sets are all told apart by the same table of `core`.
//! Invariant: only a file that could not be read gets here; what can be read is never refused for its first bytes.

use std::path::Path;

use mutualnet_core::{FileKind, Wanted};

use mutualnet_image::decode::start;

use crate::SampleError;

/// What a file was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// A tar archive.
    Tar,
    /// A zip archive.
    Zip,
    /// A Parquet file.
    Parquet,
    /// An Arrow file.
    Arrow,
    /// A packed data set.
    Packed,
}

impl Expected {
    /// What it is called in a message, with its article.
    pub(crate) fn name(self) -> &'static str {
        self.kind().name()
    }

    fn kind(self) -> FileKind {
        match self {
            Self::Tar => FileKind::Tar,
            Self::Zip => FileKind::Zip,
            Self::Parquet => FileKind::Parquet,
            Self::Arrow => FileKind::Arrow,
            Self::Packed => FileKind::Packed,
        }
    }

    /// What to do about a file that is of another kind.
    pub(crate) fn hint(self, kind: FileKind) -> Option<&'static str> {
        match kind {
            FileKind::Tar | FileKind::Zip | FileKind::Parquet | FileKind::Arrow | FileKind::Packed => {
                Some("rename it: .tar, .zip, .parquet, .arrow and .mnpack say how a file is read")
            }
            // A whole file, which a data set has no use for under that name.
            kind if kind.is_image() || kind.is_model() || kind == FileKind::Bundle => None,
            FileKind::Pdf | FileKind::Video | FileKind::Recipe => None,
            kind => kind.hint(Wanted::Image),
        }
    }

    /// What the file is instead, if its first bytes show it.
    pub(crate) fn instead(self, path: &Path) -> Option<SampleError> {
        let kind = FileKind::of(&start(path)?);
        let is_other = kind != self.kind() && kind != FileKind::Unknown;
        is_other.then_some(SampleError::OtherKind { kind, expected: self })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::check::check;
    use crate::{Dataset, Error, Split};

    const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

    #[test]
    fn a_container_that_is_something_else_is_called_by_its_name() {
        let contents: [(&[u8], &str, Option<&str>); 5] = [
            (POINTER, "a Git LFS pointer", Some("git lfs pull")),
            (b"<!DOCTYPE html><html><head><title>404</title>", "an HTML page", Some("web page")),
            (b"", "an empty file", Some("download")),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image", None),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "a gzip-compressed file", Some("unpack")),
        ];
        for (name, expected) in [
            ("train.tar", "a tar archive"),
            ("train.zip", "a zip archive"),
            ("train.parquet", "a Parquet file"),
            ("train.arrow", "an Arrow file"),
        ] {
            for (bytes, kind, hint) in contents {
                // A tar file may be empty.
                let dir = tempfile::tempdir().unwrap();
                fs::write(dir.path().join(name), bytes).unwrap();
                let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err();
                let Error::Decode { source, .. } = &error else { panic!("{error}") };
                assert_eq!(source.to_string(), format!("{kind}, not {expected}"), "{name}");
                let told = error.hint().unwrap_or_default();
                assert!(hint.is_none_or(|hint| told.contains(hint)), "{name}: {told}");
                let broken = check(dir.path()).unwrap().broken;
                assert_eq!(broken[0].reason, format!("{kind}, not {expected}"));
            }
        }
    }

    #[test]
    fn damage_stays_damage() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.parquet"), b"PAR1 and no more").unwrap();
        let Err(Error::Decode { source, .. }) = Dataset::open_split(dir.path(), Split::Train) else {
            panic!()
        };
        assert!(matches!(source, SampleError::Archive { .. }), "{source}");
    }
}
