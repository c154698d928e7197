//! A folder of class folders to a list of samples.
//!
//! Only names and sizes are read here; files are opened by the loader.
//! Invariant: samples are ordered by class and then by path, whatever order the file system lists them in.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::quarantine_list;
use crate::{Error, Result};

mod share;

/// Folders in folders below a class, at most: a link back up must not run forever.
const MAX_DEPTH: usize = 8;

/// Part of a data set, a folder of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What settings may be chosen on.
    Val,
    /// What is reported.
    Test,
}

impl Split {
    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The split to measure accuracy on: `test`, or `val` for data sets that have only that (ImageNet).
    ///
    /// # Errors
    /// Neither folder exists.
    pub fn held_out(root: &Path) -> Result<Self> {
        [Self::Test, Self::Val]
            .into_iter()
            .find(|split| root.join(split.folder()).is_dir())
            .ok_or_else(|| Error::NoDirectory { path: root.join(Self::Test.folder()) })
    }
}

/// One image of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRef {
    /// Path of the file, relative to the data set's directory.
    pub path: PathBuf,
    /// Index into the classes.
    pub class: u32,
    /// Size of the file.
    pub bytes: u64,
}

/// The images of one split.
#[derive(Debug, Clone)]
pub struct Dataset {
    dir: PathBuf,
    classes: Vec<String>,
    samples: Vec<SampleRef>,
    /// Where each class begins and ends in `samples`.
    ranges: Vec<Range<usize>>,
    notices: Vec<Notice>,
}

/// Something a person should know about a data set that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// There is nothing to tell apart.
    OneClass {
        /// The class.
        class: String,
    },
    /// A class folder without images.
    EmptyClass {
        /// The class.
        class: String,
    },
    /// Files that are neither JPEG nor PNG by their name.
    Ignored {
        /// How many.
        files: usize,
    },
    /// Files left out because a quarantine list names them.
    Quarantined {
        /// How many.
        files: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneClass { class } => write!(f, "`{class}` is the only class"),
            Self::EmptyClass { class } => write!(f, "class `{class}` has no images"),
            Self::Ignored { files } => {
                write!(f, "{files} files are neither .jpg, .jpeg nor .png and are ignored")
            }
            Self::Quarantined { files } => {
                write!(f, "{files} files are on a quarantine list and are left out")
            }
        }
    }
}

impl Dataset {
    /// Indexes one split of a data set.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_split(root: &Path, split: Split) -> Result<Self> {
        Self::open(&root.join(split.folder()))
    }

    /// Indexes a folder of class folders; class numbers follow the sorted folder names.
    ///
    /// Files that a quarantine list in the folder or in its parent names are left out.
    ///
    /// # Errors
    /// No such directory, no class folders, no images in them, or a directory that cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::NoDirectory { path: dir.to_owned() });
        }
        let classes = class_folders(dir)?;
        if classes.is_empty() {
            return Err(Error::NoClasses { path: dir.to_owned() });
        }
        let mut dataset = Self {
            dir: dir.to_owned(),
            classes,
            samples: Vec::new(),
            ranges: Vec::new(),
            notices: Vec::new(),
        };
        dataset.collect()?;
        if dataset.samples.is_empty() {
            return Err(Error::NoImages { classes: dataset.classes.len(), path: dir.to_owned() });
        }
        Ok(dataset)
    }

    fn collect(&mut self) -> Result<()> {
        let excluded = quarantine_list::for_split(&self.dir)?;
        let (mut ignored, mut quarantined) = (0, 0);
        if let [class] = self.classes.as_slice() {
            self.notices.push(Notice::OneClass { class: class.clone() });
        }
        for (number, class) in self.classes.iter().enumerate() {
            let found = find_images(&self.dir, Path::new(class))?;
            ignored += found.n_other;
            let first = self.samples.len();
            for (path, bytes) in found.images {
                if excluded.contains(&path) {
                    quarantined += 1;
                } else {
                    self.samples.push(SampleRef { path, class: number as u32, bytes });
                }
            }
            if self.samples.len() == first {
                self.notices.push(Notice::EmptyClass { class: class.clone() });
            }
            self.ranges.push(first..self.samples.len());
        }
        if ignored > 0 {
            self.notices.push(Notice::Ignored { files: ignored });
        }
        if quarantined > 0 {
            self.notices.push(Notice::Quarantined { files: quarantined });
        }
        Ok(())
    }

    /// The directory that sample paths are relative to.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of the classes, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All samples, ordered by class and then by path.
    pub fn samples(&self) -> &[SampleRef] {
        &self.samples
    }

    /// Where the samples of one class are.
    ///
    /// # Panics
    /// No such class.
    pub fn class_range(&self, class: u32) -> Range<usize> {
        self.ranges[class as usize].clone()
    }

    /// What a person should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Checks that labels mean the same in another split.
    ///
    /// # Errors
    /// [`Error::ClassesDiffer`].
    pub fn check_same_classes(&self, other: &Self) -> Result<()> {
        let missing = |a: &Self, b: &Self| a.classes.iter().find(|class| !b.classes.contains(class)).cloned();
        match missing(self, other).or_else(|| missing(other, self)) {
            Some(class) => Err(Error::ClassesDiffer { class }),
            None => Ok(()),
        }
    }

    /// SHA-256 over classes and the path and size of every sample, in hexadecimal: which data a result belongs to.
    ///
    /// It does not depend on where the data lie, and does not read the files.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for class in &self.classes {
            hasher.update(class.as_bytes());
            hasher.update(b"\n");
        }
        for sample in &self.samples {
            for part in sample.path.components() {
                hasher.update(part.as_os_str().as_encoded_bytes());
                hasher.update(b"/");
            }
            hasher.update(sample.bytes.to_le_bytes());
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Paths relative to the root with file sizes, sorted.
    pub(crate) images: Vec<(PathBuf, u64)>,
    /// Files that are no images by their name.
    pub(crate) n_other: usize,
}

/// Finds JPEG and PNG files below `root/below`, in folders of folders too.
pub(crate) fn find_images(root: &Path, below: &Path) -> Result<Found> {
    let mut found = Found::default();
    descend(root, below, MAX_DEPTH, &mut found)?;
    found.images.sort();
    Ok(found)
}

fn descend(root: &Path, below: &Path, depth: usize, found: &mut Found) -> Result<()> {
    for (name, kind) in list(&root.join(below))? {
        let path = below.join(&name);
        match kind {
            Kind::Folder if depth > 0 => descend(root, &path, depth - 1, found)?,
            Kind::Folder => {}
            Kind::File(bytes) if is_image_name(&path) => found.images.push((path, bytes)),
            Kind::File(_) => found.n_other += 1,
        }
    }
    Ok(())
}

fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn class_folders(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, kind) in list(dir)? {
        if matches!(kind, Kind::Folder) {
            names.push(name.into_os_string().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

enum Kind {
    Folder,
    File(u64),
}

/// Entries of a directory without hidden ones; links are followed, broken ones are files of size 0.
fn list(dir: &Path) -> Result<Vec<(PathBuf, Kind)>> {
    let fail = |source| Error::Io { action: "list", path: dir.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => Kind::Folder,
            Ok(metadata) => Kind::File(metadata.len()),
            // It stays in the list, and the loader reports it as broken.
            Err(_) => Kind::File(0),
        };
        entries.push((PathBuf::from(name), kind));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
        }
        dir
    }

    #[test]
    fn classes_and_samples_are_sorted() {
        let dir = tree(&[
            "train/dog/2.JPG",
            "train/cat/b.png",
            "train/cat/a/z.jpeg",
            "train/dog/10.jpg",
            "train/ant/",
        ]);
        let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
        assert_eq!(dataset.classes(), ["ant", "cat", "dog"]);
        let paths: Vec<_> = dataset.samples().iter().map(|s| (s.path.to_str().unwrap(), s.class)).collect();
        assert_eq!(paths, [("cat/a/z.jpeg", 1), ("cat/b.png", 1), ("dog/10.jpg", 2), ("dog/2.JPG", 2)]);
        assert_eq!(dataset.class_range(0), 0..0);
        assert_eq!(dataset.class_range(2), 2..4);
        assert_eq!(dataset.notices(), [Notice::EmptyClass { class: "ant".into() }]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tree(&["none/readme.txt", "text/cat/readme.txt"]);
        let message = |name: &str| Dataset::open(&dir.path().join(name)).unwrap_err().to_string();
        assert!(message("nowhere").starts_with("no such directory: "));
        assert!(message("none").starts_with("no class folders in "));
        assert!(message("text").starts_with("no JPEG or PNG images in the 1 class folders of "));
        assert!(Split::held_out(dir.path()).unwrap_err().hint().unwrap().contains("test/CLASS"));
    }

    #[test]
    fn oddities_are_noticed() {
        let dir = tree(&["cat/a.jpg", "cat/notes.txt", "cat/.hidden", ".git/x"]);
        let dataset = Dataset::open(dir.path()).unwrap();
        assert_eq!(
            dataset.notices(),
            [Notice::OneClass { class: "cat".into() }, Notice::Ignored { files: 1 }]
        );
    }

    #[test]
    fn quarantined_files_are_left_out_and_change_the_hash() {
        let dir = tree(&["train/cat/a.jpg", "train/cat/b.jpg", "train/dog/a.jpg"]);
        let before = Dataset::open_split(dir.path(), Split::Train).unwrap();
        fs::write(dir.path().join(quarantine_list::FILE), "train/cat/a.jpg\tthe file is empty\n").unwrap();
        let after = Dataset::open_split(dir.path(), Split::Train).unwrap();
        assert_eq!(after.samples().len(), 2);
        assert_eq!(after.notices(), [Notice::Quarantined { files: 1 }]);
        assert_ne!(before.hash(), after.hash());
    }

    #[test]
    fn the_hash_depends_on_content_and_not_on_place() {
        let (a, b, c) =
            (tree(&["x/1.png", "y/2.png"]), tree(&["y/2.png", "x/1.png"]), tree(&["x/1.png", "y/3.png"]));
        let hash = |dir: &tempfile::TempDir| Dataset::open(dir.path()).unwrap().hash();
        assert_eq!(hash(&a), hash(&b));
        assert_ne!(hash(&a), hash(&c));
        assert_eq!(hash(&a).len(), 64);
        fs::write(a.path().join("x/1.png"), "longer than before").unwrap();
        assert_ne!(hash(&a), hash(&b));
    }

    #[test]
    fn splits_must_agree_on_classes() {
        let dir = tree(&["train/a/1.png", "train/b/1.png", "test/a/1.png", "val/a/1.png", "val/b/"]);
        let open = |split| Dataset::open_split(dir.path(), split).unwrap();
        let error = open(Split::Train).check_same_classes(&open(Split::Test)).unwrap_err();
        assert!(error.to_string().contains("`b`"), "{error}");
        open(Split::Train).check_same_classes(&open(Split::Val)).unwrap();
        assert_eq!(Split::held_out(dir.path()).unwrap(), Split::Test);
    }
}
