//! A directory to a list of samples.
//!
//! How a directory is laid out is known by the modules below; images are read by the loader.
//! Invariant: samples are ordered by class and then by name, whatever order the file system lists them in.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::decode;
use crate::pack;
use crate::quarantine_list;
use crate::table::CACHE_BYTES;
use crate::{DecodeError, Error, Image, Place, Result};

pub(crate) mod cifar;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod folders;
pub(crate) mod labels;
pub(crate) mod layout;
pub(crate) mod list;
pub(crate) mod shards;
mod share;
mod tables;
use cifar::Cifar;
use layout::Layout;

/// Part of a data set: a folder of that name, or what else a data set can have for it.
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
    /// The split's name, which is that of its folder or its files.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// Names that splits usually have; `validation` is what Hugging Face calls `val`.
    pub const USUAL: [&str; 4] = ["train", "val", "validation", "test"];

    /// The split to measure accuracy on: `test`, or `val` for data sets that have only that (ImageNet).
    ///
    /// # Errors
    /// There is neither.
    pub fn held_out(root: &Path) -> Result<Self> {
        [Self::Test, Self::Val]
            .into_iter()
            // One that is there twice is there; opening it says so.
            .find(|split| !matches!(layout::find(root, split.folder()), Ok(None)))
            .ok_or_else(|| Error::NoDirectory { path: root.join(Self::Test.folder()) })
    }
}

/// One image of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRef {
    /// Where it is.
    pub place: Place,
    /// Index into the classes.
    pub class: u32,
}

/// What a layout holds, before the quarantine list is obeyed.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) classes: Vec<String>,
    /// Ordered by class and then by name.
    pub(crate) samples: Vec<SampleRef>,
    /// What has no class because its label cannot be read.
    pub(crate) broken: Vec<(Place, DecodeError)>,
    /// Files that are no images by their name.
    pub(crate) n_other: usize,
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
    /// Files that are neither JPEG, PNG nor WebP by their name.
    Ignored {
        /// How many.
        files: usize,
    },
    /// Images of Parquet and Arrow files that do not fit into the cache, so that every one is read with many others.
    SlowTables {
        /// Size of all images in MiB.
        mib: u64,
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
                write!(f, "{files} files are neither .jpg, .jpeg, .png nor .webp and are ignored")
            }
            Self::SlowTables { mib } => write!(
                f,
                "Parquet and Arrow files are slow to read in random order when they have more than {} MiB of images \
                 ({mib} MiB here); train from a packed copy, which `mutualnet data pack` makes",
                CACHE_BYTES >> 20
            ),
            Self::Quarantined { files } => {
                write!(f, "{files} files are on a quarantine list and are left out")
            }
        }
    }
}

/// Tells of tables whose images do not fit into a cache.
fn slow_tables(samples: &[SampleRef], cache_bytes: u64) -> Option<Notice> {
    let in_tables = samples.iter().filter(|sample| matches!(sample.place, Place::Row { .. }));
    let bytes: u64 = in_tables.map(|sample| sample.place.bytes()).sum();
    (bytes > cache_bytes).then_some(Notice::SlowTables { mib: bytes >> 20 })
}

impl Dataset {
    /// Indexes one split of a data set.
    ///
    /// # Errors
    /// As [`Dataset::open_named`].
    pub fn open_split(root: &Path, split: Split) -> Result<Self> {
        Self::open_named(root, split.folder())
    }

    /// Indexes one split of a data set by its name, in whichever layout `root` has it.
    ///
    /// # Errors
    /// As [`Dataset::open`]; the split in two layouts at once; a list with a malformed line; a label that is no class or
    /// a damaged shard that no quarantine list names; of binary files one that is missing, or another split.
    pub fn open_named(root: &Path, split: &str) -> Result<Self> {
        match layout::find(root, split)? {
            Some(Layout::Cifar(cifar)) => Self::assemble(root, cifar.split(root, split)?),
            Some(Layout::List(path)) => Self::assemble(root, list::contents(root, &path)?),
            Some(Layout::Shards { dir, files }) => {
                Self::assemble(&dir, shards::contents(&dir, &files, labels::read_names(root)?))
            }
            Some(Layout::Packed) => Self::assemble(root, pack::contents(root, split)?),
            None if pack::is_pack(root) => Self::assemble(root, pack::contents(root, split)?),
            None if Cifar::of(root).is_some() => {
                Err(Error::NoSplit { split: split.to_owned(), path: root.to_owned() })
            }
            Some(Layout::Folders) | None => Self::open(&root.join(split)),
        }
    }

    /// Indexes a folder of class folders; class numbers follow the sorted folder names.
    ///
    /// Files that a quarantine list in the folder or in its parent names are left out.
    ///
    /// # Errors
    /// No such directory, no class folders, no images in them, or a directory that cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::assemble(dir, folders::contents(dir)?)
    }

    /// Leaves out what is quarantined and notes what a person should know.
    fn assemble(dir: &Path, contents: Contents) -> Result<Self> {
        decode::check_variable()?;
        let Contents { classes, mut samples, broken, n_other } = contents;
        let excluded = quarantine_list::for_split(dir)?;
        let n_found = samples.len() + broken.len();
        if let Some((place, source)) = broken.into_iter().find(|(place, _)| !excluded.contains(&place.name()))
        {
            return Err(Error::Decode { path: dir.join(place.name()), source });
        }
        samples.retain(|sample| !excluded.contains(&sample.place.name()));
        if samples.is_empty() {
            return Err(Error::NoImages { classes: classes.len(), path: dir.to_owned() });
        }
        let ranges = class_ranges(&samples, classes.len());
        let mut notices = Vec::new();
        if let [class] = classes.as_slice() {
            notices.push(Notice::OneClass { class: class.clone() });
        }
        let empty = classes.iter().zip(&ranges).filter(|(_, range)| range.is_empty());
        notices.extend(empty.map(|(class, _)| Notice::EmptyClass { class: class.clone() }));
        if n_other > 0 {
            notices.push(Notice::Ignored { files: n_other });
        }
        notices.extend(slow_tables(&samples, CACHE_BYTES));
        if samples.len() < n_found {
            notices.push(Notice::Quarantined { files: n_found - samples.len() });
        }
        Ok(Self { dir: dir.to_owned(), classes, samples, ranges, notices })
    }

    /// The directory that sample paths are relative to.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of the classes, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All samples, ordered by class and then by name.
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

    /// Reads one image.
    ///
    /// # Errors
    /// [`Error::Decode`] with its name and the reason.
    ///
    /// # Panics
    /// No such sample.
    pub fn image(&self, index: usize) -> Result<Image> {
        let place = &self.samples[index].place;
        place.read(&self.dir).map_err(|source| Error::Decode { path: self.dir.join(place.name()), source })
    }

    /// What a person should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Checks that labels mean the same in another split.
    ///
    /// # Errors
    /// [`Error::ClassesDiffer`], [`Error::ClassOrder`].
    pub fn check_same_classes(&self, other: &Self) -> Result<()> {
        let missing = |a: &Self, b: &Self| a.classes.iter().find(|class| !b.classes.contains(class)).cloned();
        if let Some(class) = missing(self, other).or_else(|| missing(other, self)) {
            return Err(Error::ClassesDiffer { class });
        }
        match self.classes.iter().zip(&other.classes).enumerate().find(|(_, (a, b))| a != b) {
            Some((number, (first, second))) => {
                Err(Error::ClassOrder { number, first: first.clone(), second: second.clone() })
            }
            None => Ok(()),
        }
    }

    /// SHA-256 over classes and the name and size of every sample, in hexadecimal: which data a result belongs to.
    ///
    /// The class counts where a name does not begin with it, and the content of files where a name says nothing of it.
    /// It does not depend on where the data lie, and does not read the files.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for class in &self.classes {
            hasher.update(class.as_bytes());
            hasher.update(b"\n");
        }
        for sample in &self.samples {
            sample.place.hash_into(&mut hasher);
            if !sample.place.name().starts_with(&self.classes[sample.class as usize]) {
                hasher.update(sample.class.to_le_bytes());
            }
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where each class begins and ends.
fn class_ranges(samples: &[SampleRef], n_classes: usize) -> Vec<Range<usize>> {
    let begin = |class: usize| samples.partition_point(|sample| (sample.class as usize) < class);
    (0..n_classes).map(|class| begin(class)..begin(class + 1)).collect()
}

#[cfg(test)]
mod tests;
