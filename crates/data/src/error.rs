//! The errors of finding, reading, checking and packing a data set.
//!
//! A broken file is a value ([`BrokenFile`]) and not a reason to stop; an [`Error`] stops.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mutualnet_core::network::Rank;
use mutualnet_core::text::{counted, shown, shown_dir};
use mutualnet_core::{FileKind, Task, Wanted};
use mutualnet_image::Others;

use crate::IGNORE;
use crate::index::{Nearby, PartsFault};
use crate::quarantine_list;

mod sample;
pub use sample::{MaskFault, SampleError};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a data set cannot be read, loaded or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An image by itself, or what all images have in common.
    #[error(transparent)]
    Image(#[from] mutualnet_image::Error),
    /// A video cannot be read or written.
    #[error(transparent)]
    Video(#[from] mutualnet_video::Error),
    /// The operating system refuses access to a file or directory.
    #[error("cannot {action} {}", shown(path))]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is not enough memory of the kind that batches need.
    #[error("cannot allocate a batch of {floats} values")]
    Memory {
        /// Size of the batch.
        floats: usize,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no data set at a path.
    #[error("no such directory: {}", shown(path))]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A file where the directory of a data set should be.
    #[error("a file, not the directory of a data set: {}", shown(path))]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A packed data set would get a name that does not say what it is.
    #[error("the name of a packed data set must end in .mnpack: {}", shown(path))]
    PackName {
        /// The name.
        path: PathBuf,
    },
    /// A directory without class folders.
    #[error("no class folders in {}{}", shown(path), there.but())]
    NoClasses {
        /// The directory.
        path: PathBuf,
        /// The files in it.
        there: Others,
    },
    /// A split that the data set does not have.
    #[error("no split `{split}` in {}", shown(path))]
    NoSplit {
        /// The split that was asked for.
        split: String,
        /// The directory.
        path: PathBuf,
        /// What is there instead.
        near: Nearby,
    },
    /// A split that was not packed.
    #[error("no split `{split}` in {}, which has {}", shown(path), splits.join(", "))]
    NotPacked {
        /// The split that was asked for.
        split: String,
        /// The splits of the packed data set.
        splits: Vec<String>,
        /// The packed data set.
        path: PathBuf,
    },
    /// A split that could be read in two ways.
    #[error("the split exists twice: {} and {}", shown(first), shown(second))]
    TwoLayouts {
        /// One of its places.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// Files whose names say that they are parts of a set, which is not complete.
    #[error("{fault}")]
    Parts {
        /// What is wrong with them.
        fault: PartsFault,
    },
    /// A line of a list that does not name an image and its label.
    #[error("{}, line {line}: {reason}", shown(path))]
    Line {
        /// The list.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A list without a line.
    #[error("{} names no file", shown(path))]
    EmptyList {
        /// The list.
        path: PathBuf,
    },
    /// A list none of whose files exists.
    #[error("none of the {lines} files listed in {} exists, such as {}", shown(list), shown(first))]
    NothingListed {
        /// The list.
        list: PathBuf,
        /// How many files it names.
        lines: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// A data set with masks, of which a packed file would keep only the images.
    #[error("images with masks cannot be packed: {}", shown(path))]
    PackMasks {
        /// The data set.
        path: PathBuf,
    },
    /// A split without the folders of images with masks.
    #[error("no folder `{folder}` in {}", shown(path))]
    NoMasks {
        /// The folder that is missing.
        folder: &'static str,
        /// The split's folder.
        path: PathBuf,
    },
    /// A split without a file of annotations.
    #[error("the split `{split}` has no annotations in COCO's format, in {}", shown(path))]
    NoAnnotations {
        /// The split.
        split: String,
        /// The data set's directory.
        path: PathBuf,
        /// The splits that have annotations.
        annotated: Vec<String>,
    },
    /// Annotations without an image that can be used.
    #[error(
        "no image in {} can be used{}",
        shown(path),
        first.as_ref().map_or(String::new(), |first| format!("; the first problem: {first}"))
    )]
    NoAnnotatedImages {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong with it.
        first: Option<String>,
    },
    /// Annotations of images of which none is where its name says.
    #[error(
        "none of the {} that {} names exists; the first is {}",
        counted(*images, "image"),
        shown(path),
        shown(first)
    )]
    AnnotatedImagesMissing {
        /// The file.
        path: PathBuf,
        /// How many it names.
        images: usize,
        /// Where the first one should be.
        first: PathBuf,
    },
    /// A file of annotations that cannot be used.
    #[error(transparent)]
    Annotations(#[from] mutualnet_detect::Error),
    /// Masks whose numbers have no names.
    #[error("no names of classes in {}", shown(path))]
    NoClassNames {
        /// The file that should have them.
        path: PathBuf,
    },
    /// More classes than a mask has numbers for.
    #[error("{classes} classes in {}, but masks have numbers for {IGNORE}", shown(path))]
    ManyClasses {
        /// How many.
        classes: usize,
        /// The file that names them.
        path: PathBuf,
    },
    /// A directory without images or shards.
    #[error("no JPEG, PNG or WebP files in {}{}", shown(path), others.but())]
    NothingFound {
        /// The directory.
        path: PathBuf,
        /// All other files.
        others: Others,
    },
    /// Classes without images.
    #[error("no {} {}in {}{}", wanted(*rank), of_classes(*classes), shown(path), others.but())]
    NoImages {
        /// What the samples are.
        rank: Rank,
        /// How many classes there are.
        classes: usize,
        /// The directory.
        path: PathBuf,
        /// All other files.
        others: Others,
    },
    /// A data set of images whose frames are asked for, or the other way round.
    #[error("{} has {}, but the network reads {}", shown(path), rank.samples(), other(*rank).samples())]
    OtherRank {
        /// What it has.
        rank: Rank,
        /// The directory.
        path: PathBuf,
    },
    /// A split in a layout that holds images only.
    #[error("split `{split}` of {} has no videos", shown(path))]
    NoVideos {
        /// The name of the split.
        split: String,
        /// The data set.
        path: PathBuf,
    },
    /// A quarantine list that leaves nothing of a split.
    #[error("a quarantine list leaves out all {n} {} in {}: {}", rank.samples(), shown(path), shown(list))]
    AllQuarantined {
        /// What the samples are.
        rank: Rank,
        /// How many there are.
        n: usize,
        /// What the split is for.
        task: Task,
        /// The list.
        list: PathBuf,
        /// The directory.
        path: PathBuf,
    },
    /// A check that found a split without a sample that can be used.
    #[error("no {} in {} can be used, of {n}; the first: {first}", rank.sample(), shown(path))]
    AllBroken {
        /// What the samples are.
        rank: Rank,
        /// How many there are.
        n: usize,
        /// The first of them, and why.
        first: String,
        /// What the first file is, as far as that is known.
        kind: FileKind,
        /// The directory.
        path: PathBuf,
    },
    /// Two splits that have the same classes in a different order, so that their labels mean different things.
    #[error(
        "the splits have their classes in different orders: number {number} is `{first}` in one and `{second}` in the other"
    )]
    ClassOrder {
        /// The first number that differs.
        number: usize,
        /// What it is in one split.
        first: String,
        /// What it is in the other.
        second: String,
    },
    /// Two splits that have different classes, so that their labels mean different things.
    #[error("the splits have different classes: `{class}` is only in one of them")]
    ClassesDiffer {
        /// The first class that is missing in the other split.
        class: String,
    },
    /// A setting with an impossible value.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting's name in the recipe.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A training split that does not fill one batch.
    #[error("a batch of {batch_size} needs more images than the {images} there are")]
    BatchTooLarge {
        /// Images per batch.
        batch_size: usize,
        /// Images in the split.
        images: usize,
    },
    /// An image that was asked for by name cannot be decoded, or a sample has no usable label.
    #[error("cannot {} {}", if source.is_found_by_indexing() { "use" } else { "decode" }, shown(path))]
    Decode {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: SampleError,
    },
    /// More files are broken than the recipe allows.
    #[error("{} cannot be decoded, more than the limit of {limit}:{}", counted(files.len(), "file"), list(files))]
    TooManyBroken {
        /// How many are allowed.
        limit: usize,
        /// All that were found.
        files: Vec<BrokenFile>,
    },
    /// No image of a class can be decoded, so that none can replace another.
    #[error("no image of class `{class}` can be decoded")]
    ClassUnreadable {
        /// The class.
        class: String,
    },
    /// No image can be used together with its mask or its annotations, so that none can replace another.
    #[error("no image in {} can be used with its mask or its annotations", shown(path))]
    LabelsUnreadable {
        /// The data set's directory.
        path: PathBuf,
    },
    /// A loader thread panicked, which is a bug.
    #[error("a loader thread panicked: {message}")]
    WorkerPanic {
        /// The panic's message.
        message: String,
    },
    /// Worker threads cannot be started.
    #[error("cannot start {workers} loader threads")]
    Threads {
        /// How many were asked for.
        workers: usize,
        /// The thread pool's error.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// A file that is not a packed data set, or a damaged one.
    #[error("not a complete packed data set: {reason}: {}", shown(path))]
    Pack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A data set would be written into a directory that holds something else.
    #[error("not an empty directory: {}", shown(path))]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

/// What the files of samples are.
fn wanted(rank: Rank) -> &'static str {
    match rank {
        Rank::Image => "JPEG, PNG or WebP files",
        Rank::Clip => "videos",
    }
}

fn other(rank: Rank) -> Rank {
    match rank {
        Rank::Image => Rank::Clip,
        Rank::Clip => Rank::Image,
    }
}

/// `of the 2 classes `, if there are any.
fn of_classes(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => "of the only class ".to_owned(),
        _ => format!("of the {n} classes "),
    }
}

const BROKEN_HINT: &str =
    "`mutualnet data check DIR` lists broken files and writes a quarantine list, which leaves them out";
const LAYOUT_HINT: &str = "a data set is a directory with one of the layouts in docs/formats.md, such as train/CLASS/*.jpg and test/CLASS/*.jpg for classification";

const MASKS_HINT: &str = "segmentation needs SPLIT/images/NAME.jpg and SPLIT/masks/NAME.png, or a list SPLIT.txt with an image and its mask on every line";

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Image(error) => error.hint()?,
            Self::Video(error) => error.hint()?,
            Self::NoSplit { split, path, near } => {
                return Some(near.hint(split, path).unwrap_or_else(|| LAYOUT_HINT.to_owned()));
            }
            Self::AllQuarantined { rank, list, path, task, .. } => {
                let is_own = *list == quarantine_list::place(path);
                let dir = if is_own { path } else { list.parent().unwrap_or(path) };
                let task = match task {
                    Task::Classify => String::new(),
                    task => format!(" --task {}", task.name()),
                };
                return Some(format!(
                    "if the {} are fine now, run `mutualnet data check {}{task}` again or delete the list",
                    rank.samples(),
                    shown_dir(dir)
                ));
            }
            Self::NoClasses { there, path } if there.n_images() > 0 => {
                let split = shown(path);
                return Some(format!(
                    "put the images of each class into a folder of its own, or list paths and labels in {split}.txt"
                ));
            }
            Self::NoImages { others, .. } | Self::NothingFound { others, .. }
                if others.remedy().is_some() =>
            {
                others.remedy()?
            }
            Self::NoDirectory { .. } | Self::NothingFound { .. } => LAYOUT_HINT,
            Self::NotADirectory { .. } => "name the directory that contains it",
            Self::TwoLayouts { .. } => "move one of them out of the data set, or name another split",
            Self::Parts { fault: PartsFault::Missing { .. } } => {
                "fetch the missing files, or drop `-of-` from the names if there are no more parts"
            }
            Self::Parts { .. } => "keep the files of one version of the data set, and move the others away",
            Self::Line { .. } | Self::EmptyList { .. } => {
                "a line is the path of an image or video, a tab or a space, and the number or name of its class or, for \
                 segmentation, the path of its mask; in a .csv file of videos there may be a comma; put `#` before a header"
            }
            Self::PackMasks { .. } => "train from the folders; only data sets of classes can be packed",
            Self::NoMasks { .. } => MASKS_HINT,
            Self::NoAnnotations { annotated, .. } if !annotated.is_empty() => {
                let annotated = annotated.join(", ");
                return Some(format!("name a split with data.train and data.test; these have annotations: {annotated}"));
            }
            Self::NoAnnotations { .. } => {
                "put them in SPLIT/instances.json, beside SPLIT/images; or in annotations/instances_SPLIT.json, beside the folder SPLIT with the images"
            }
            Self::NoAnnotatedImages { .. } => {
                "every object of `images` needs `id`, a whole number, `file_name`, `height` and `width`"
            }
            Self::AnnotatedImagesMissing { .. } => {
                "move the images there, or correct `file_name`; with SPLIT/instances.json names are relative to SPLIT/images, with \
                 annotations/instances_SPLIT.json to SPLIT"
            }
            Self::Annotations(error) => error.hint()?,
            Self::NoClassNames { .. } => {
                "write the name of each class on a line of its own, in the order of their numbers in the masks; the first \
                 line is class 0, such as `background`"
            }
            Self::ManyClasses { .. } => "join classes, because 255 stands for pixels without a class",
            Self::NothingListed { .. } => "paths in a list are relative to the directory that the list is in",
            Self::NotPacked { .. } => {
                "name one of them with data.train or data.test, or pack the data set again"
            }
            Self::Decode { source, .. } => {
                source.hint().or_else(|| source.is_found_by_indexing().then_some(BROKEN_HINT))?
            }
            Self::NoClasses { .. } | Self::NoImages { .. } => {
                "every class is a folder with its files in it: JPEG, PNG or WebP, or videos for a network that reads clips"
            }
            Self::NoVideos { .. } => {
                "videos are in a folder for each class, or named by a list; other layouts hold images"
            }
            Self::AllBroken { kind, .. } => kind.hint(Wanted::Image).unwrap_or(
                "the files are probably not what their names say, or the download was incomplete; no quarantine list \
                 is written, because it would leave out everything",
            ),
            Self::ClassesDiffer { .. } => {
                "give every split the same classes: class folders, which may be empty, names in classes.txt, or the categories \
                 of the annotations"
            }
            Self::ClassOrder { .. } => "write both splits with the same list of class names",
            Self::BatchTooLarge { .. } => "make the batch smaller",
            Self::TooManyBroken { .. } => {
                "`mutualnet data check DIR` (with --task detect for annotations) lists them all and leaves them out of new \
                 runs; this one goes on with `mutualnet train … --resume` and a higher data.broken_limit"
            }
            Self::Pack { .. } => "pack the data set again with `mutualnet data pack`",
            Self::NotEmpty { .. } => "name a new directory, or empty this one",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the fault is in this program, not in what it was given.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::WorkerPanic { .. })
    }
}

/// A file that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenFile {
    /// Path relative to the data set's directory.
    pub path: PathBuf,
    /// Why it cannot be decoded, in one line.
    pub reason: String,
}

impl fmt::Display for BrokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.path), self.reason)
    }
}

/// Most broken files that a message names; the caller has the whole list.
const LISTED: usize = 20;

fn list(files: &[BrokenFile]) -> String {
    let mut text: String = files.iter().take(LISTED).map(|file| format!("\n  {file}")).collect();
    if files.len() > LISTED {
        text += &format!("\n  and {} more", files.len() - LISTED);
    }
    text
}
