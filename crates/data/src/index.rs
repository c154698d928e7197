//! The index: from a directory to a list of samples.
//!
//! The modules below know the layouts of directories; the loader reads the images.
//! Invariant: samples are ordered by class and then by name, whatever order the file system lists them in.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use mutualnet_core::Task;
use mutualnet_core::network::Rank;
use mutualnet_detect::coco::{Instances, Shape};
use mutualnet_image::Image;
use mutualnet_image::decode;

use mutualnet_image::Others;

use crate::frame_cache::FrameCache;
use crate::pack;
use crate::quarantine_list;
use crate::table::CACHE_BYTES;
use crate::{Error, Label, Place, Result, SampleError};

pub(crate) mod cifar;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod folders;
pub(crate) mod labels;
pub(crate) mod layout;
pub(crate) mod list;
pub(crate) mod masks;
pub(crate) mod nearby;
pub use nearby::Nearby;
mod notice;
pub(crate) mod objects;
pub use notice::{Notice, SameBy};
mod overlap;
pub(crate) mod parts;
pub use parts::PartsFault;
pub(crate) mod shards;
mod share;
mod short;
mod tables;
use layout::Layout;
use masks::Masked;
use nearby::no_split;

/// A split of a data set, in whichever layout the data set has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The images that the network learns from.
    Train,
    /// The images on which settings may be chosen.
    Val,
    /// The images whose accuracy is reported.
    Test,
}

impl Split {
    /// The split's name, as its folder or files have it.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// Usual names of splits; `validation` is what Hugging Face calls `val`.
    pub const USUAL: [&str; 4] = ["train", "val", "validation", "test"];

    /// The split to measure accuracy on: `test`, or `val` for data sets that have only that (ImageNet).
    ///
    /// # Errors
    /// There is neither.
    pub fn held_out(root: &Path) -> Result<Self> {
        [Self::Test, Self::Val]
            .into_iter()
            // A split that cannot be opened exists all the same; opening it says why.
            .find(|split| !matches!(layout::find(root, split.folder()), Ok(None)))
            .ok_or_else(|| no_split(root, Self::Test.folder()))
    }
}

/// One image or video of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRef {
    /// Where it is.
    pub place: Place,
    /// What is known about it.
    pub label: Label,
}

impl SampleRef {
    /// Its class, within which another sample may stand in for it; 0 for all images with masks or objects.
    pub fn class(&self) -> u32 {
        match self.label {
            Label::Class(class) => class,
            Label::Mask(_) | Label::Objects(_) => 0,
        }
    }
}

/// What a split holds, before the quarantine list is applied.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What its labels are for.
    pub(crate) task: Task,
    /// Whether its samples are images or videos.
    pub(crate) rank: Rank,
    pub(crate) classes: Vec<String>,
    /// The ground truth, if its samples have objects.
    pub(crate) truth: Option<Arc<Instances>>,
    /// Ordered by class and then by name.
    pub(crate) samples: Vec<SampleRef>,
    /// Images without a usable label, and what cannot be read at all.
    pub(crate) broken: Vec<(Place, SampleError)>,
    /// Files whose names are not those of samples.
    pub(crate) others: Others,
    /// What users should know about the layout.
    pub(crate) notices: Vec<Notice>,
}

/// The images or videos of one split.
#[derive(Debug, Clone)]
pub struct Dataset {
    dir: PathBuf,
    task: Task,
    rank: Rank,
    classes: Vec<String>,
    truth: Option<Arc<Instances>>,
    object_masks: bool,
    samples: Vec<SampleRef>,
    /// Where each class begins and ends in `samples`.
    ranges: Vec<Range<usize>>,
    notices: Vec<Notice>,
    /// When the frames of the videos are shown, as far as it is known.
    frames: Arc<FrameCache>,
}

/// The notice about tables whose images do not fit into a cache.
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

    /// Indexes one split of a data set by its name, with the samples that a network reads and the labels that a task
    /// needs.
    ///
    /// A directory does not say what it is for: `images` and `masks` could be classes.
    ///
    /// # Errors
    /// As [`Dataset::open_named`]. For segmentation: a split that is neither a folder with `images` and `masks` nor a list
    /// of pairs, or no `classes.txt`. A mask that is missing is not an error; the loader reports its image as broken. For
    /// clips: a split that is no folder of class folders, no list, and not packed from videos. For detection: no annotations in
    /// COCO's format, or a file of them that is something else; single annotations that cannot be used are left out with a
    /// notice.
    pub fn open_for(task: Task, rank: Rank, root: &Path, split: &str) -> Result<Self> {
        if task == Task::Segment {
            let Masked { dir, contents } = masks::open(root, split)?;
            return Self::assemble(&dir, contents);
        }
        if task == Task::Detect {
            let (located, contents) = objects::open(root, split)?;
            return Self::assemble(&located.dir, contents);
        }
        match rank {
            Rank::Image => Self::open_named(root, split),
            Rank::Clip => Self::open_videos(root, split),
        }
    }

    /// Indexes the videos of a split, in class folders, in a list or in a packed file. Unlike a table of images, `SPLIT.csv`
    /// is a list.
    fn open_videos(root: &Path, split: &str) -> Result<Self> {
        let csv = root.join(format!("{split}.csv"));
        let csv = csv.is_file().then_some(csv);
        let found = match (layout::find(root, split)?, csv) {
            (Some(Layout::List(first)), Some(second)) => return Err(Error::TwoLayouts { first, second }),
            (Some(Layout::Folders) | None, Some(csv)) => Some(Layout::List(csv)),
            (found, _) => found,
        };
        match found {
            Some(Layout::List(path)) => {
                Self::assemble(root, Contents { rank: Rank::Clip, ..list::contents(root, &path)? })
            }
            Some(Layout::Folders) => {
                let dir = root.join(split);
                let contents = folders::contents(&dir, Rank::Clip)?;
                Self::assemble(&dir, contents)
            }
            Some(Layout::Packed) => Self::open_pack(root, split, Rank::Clip),
            None if pack::is_pack(root) => Self::open_pack(root, split, Rank::Clip),
            Some(_) => Err(Error::NoVideos { split: split.to_owned(), path: root.to_owned() }),
            None => Err(no_split(root, split)),
        }
    }

    /// Indexes one split of a data set of classes by its name, in whichever layout `root` has it.
    ///
    /// # Errors
    /// As [`Dataset::open`]; a split that does not exist, exists in two layouts or lacks a part; a list with a malformed
    /// line; a missing binary file; a label that is not a class or a damaged shard that no quarantine list names.
    pub fn open_named(root: &Path, split: &str) -> Result<Self> {
        match layout::find(root, split)? {
            Some(Layout::Cifar(cifar)) => Self::assemble(root, cifar.split(root, split)?),
            Some(Layout::List(path)) => Self::assemble(root, list::contents(root, &path)?),
            Some(Layout::Shards { dir, files }) => {
                Self::assemble(&dir, shards::contents(&dir, &files, labels::read_names(root)?))
            }
            Some(Layout::Packed) => Self::open_pack(root, split, Rank::Image),
            Some(Layout::Folders) => Self::open(&root.join(split)),
            None if pack::is_pack(root) => Self::open_pack(root, split, Rank::Image),
            None => Err(no_split(root, split)),
        }
    }

    /// Indexes a split of a packed file that must hold samples of a rank.
    fn open_pack(pack: &Path, split: &str, wanted: Rank) -> Result<Self> {
        let contents = pack::contents(pack, split)?;
        match contents.rank {
            rank if rank == wanted => Self::assemble(pack, contents),
            rank => Err(Error::OtherRank { rank, path: pack.to_owned() }),
        }
    }

    /// Indexes a folder of class folders; class numbers follow the sorted folder names.
    ///
    /// Files that a quarantine list in the folder or in its parent names are left out.
    ///
    /// # Errors
    /// No such directory, no class folders, no images in them, or a directory that cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::assemble(dir, folders::contents(dir, Rank::Image)?)
    }

    /// Leaves out what is quarantined and collects the notices.
    fn assemble(dir: &Path, contents: Contents) -> Result<Self> {
        decode::check_variable()?;
        let Contents { task, rank, classes, truth, mut samples, broken, others, mut notices } = contents;
        let excluded = quarantine_list::for_split(dir)?;
        let n_found = samples.len() + broken.len();
        if let Some((place, source)) = broken.into_iter().find(|(place, _)| !excluded.contains(&place.name()))
        {
            return Err(Error::Decode { path: dir.join(place.name()), source });
        }
        let found = class_ranges(&samples, classes.len());
        samples.retain(|sample| !excluded.contains(&sample.place.name()));
        if samples.is_empty() {
            let path = dir.to_owned();
            return Err(match quarantine_list::of_split(dir) {
                Some(list) if n_found > 0 => Error::AllQuarantined { rank, n: n_found, task, list, path },
                _ => Error::NoImages { rank, classes: classes.len(), path, others },
            });
        }
        let ranges = class_ranges(&samples, classes.len());
        if let [class] = classes.as_slice() {
            notices.push(Notice::OneClass { class: class.clone() });
        }
        // Which classes are in a mask is not known before it is read.
        let n_known = if task == Task::Classify { classes.len() } else { 0 };
        let empty = classes.iter().take(n_known).zip(&ranges).zip(found);
        let empty = empty.filter(|((_, range), _)| range.is_empty());
        let empty: Vec<_> = empty.map(|((class, _), found)| (class, found.len())).collect();
        notices.extend(empty_classes(rank, &empty, |quarantined| quarantined == 0));
        notices.extend(empty_classes(rank, &empty, |quarantined| quarantined > 0));
        if !others.is_empty() {
            notices.push(Notice::Ignored { rank, others });
        }
        notices.extend(slow_tables(&samples, CACHE_BYTES));
        if samples.len() < n_found {
            notices.push(Notice::Quarantined { rank, files: n_found - samples.len() });
        }
        let are_files = samples.iter().any(|sample| matches!(sample.place, Place::File { .. }));
        let (frames, odd) = match rank {
            Rank::Clip if are_files => FrameCache::open(dir),
            _ => Default::default(),
        };
        notices.extend(odd);
        let frames = Arc::new(frames);
        Ok(Self {
            dir: dir.to_owned(),
            task,
            rank,
            classes,
            truth,
            object_masks: false,
            samples,
            ranges,
            notices,
            frames,
        })
    }

    /// Makes batches for training have the masks of their objects too, which takes time.
    #[must_use]
    pub fn with_object_masks(self) -> Self {
        Self { object_masks: true, ..self }
    }

    /// Whether batches for training have them.
    pub(crate) fn object_masks(&self) -> bool {
        self.object_masks
    }

    /// The directory that sample paths are relative to.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its labels are for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Whether its samples are images or videos.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// When the frames of its videos are shown.
    pub(crate) fn frames(&self) -> &FrameCache {
        &self.frames
    }

    /// Names of the classes, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The ground truth that its samples have their objects from, if they have.
    pub fn truth(&self) -> Option<&Arc<Instances>> {
        self.truth.as_ref()
    }

    /// All samples, ordered by class and then by name; images with masks or objects by name alone.
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

    /// Checks that an image has the size, columns and rows, that its annotations are for.
    pub(crate) fn check_size(&self, image: usize, found: [u32; 2]) -> Result<(), SampleError> {
        let truth = self.truth.as_ref().expect("samples with objects have their ground truth");
        objects::check_size(truth, image, found)
    }

    /// What users should know about the split.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Checks that labels mean the same thing in another split.
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
    /// A sample's class is hashed too if its name does not begin with it, or the name and size of its mask, or its objects,
    /// and so is whatever else tells files apart if their names do not. The hash does not depend on where the data are, and
    /// no image file is read for it.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for class in &self.classes {
            hasher.update(class.as_bytes());
            hasher.update(b"\n");
        }
        for sample in &self.samples {
            sample.place.hash_into(&mut hasher);
            match &sample.label {
                Label::Class(class) => {
                    if !sample.place.name().starts_with(&self.classes[*class as usize]) {
                        hasher.update(class.to_le_bytes());
                    }
                }
                Label::Mask(mask) => self.hash_mask(mask, &mut hasher),
                Label::Objects(image) => self.hash_objects(*image, &mut hasher),
            }
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn hash_objects(&self, image: usize, hasher: &mut Sha256) {
        let truth = self.truth.as_ref().expect("samples with objects have their ground truth");
        for object in truth.of_image(image) {
            hasher.update((object.category as u64).to_le_bytes());
            hasher.update([u8::from(object.is_crowd)]);
            object.bounds.iter().for_each(|side| hasher.update(side.to_le_bytes()));
            match &object.shape {
                None => {}
                Some(Shape::Polygons(polygons)) => {
                    for polygon in polygons {
                        hasher.update((polygon.len() as u64).to_le_bytes());
                        polygon.iter().flatten().for_each(|at| hasher.update(at.to_le_bytes()));
                    }
                }
                Some(Shape::Runs(mask)) => {
                    mask.counts().iter().for_each(|count| hasher.update(count.to_le_bytes()));
                }
            }
        }
    }

    fn hash_mask(&self, mask: &Path, hasher: &mut Sha256) {
        let file = Place::File { path: mask.to_owned(), bytes: 0 };
        file.hash_into(hasher);
        let bytes = fs::metadata(self.dir.join(mask)).map_or(0, |metadata| metadata.len());
        hasher.update(bytes.to_le_bytes());
    }
}

/// The notice about classes without samples, of those whose number of quarantined samples is as `which` says.
fn empty_classes(rank: Rank, empty: &[(&String, usize)], which: impl Fn(usize) -> bool) -> Option<Notice> {
    let of: Vec<_> = empty.iter().filter(|(_, quarantined)| which(*quarantined)).collect();
    let (first, _) = *of.first()?;
    let quarantined = of.iter().map(|(_, quarantined)| quarantined).sum();
    Some(Notice::EmptyClasses { rank, n: of.len(), first: first.to_string(), quarantined })
}

/// Where each class begins and ends; images with masks or objects are all in the range of the first.
fn class_ranges(samples: &[SampleRef], n_classes: usize) -> Vec<Range<usize>> {
    let begin = |class: usize| samples.partition_point(|sample| (sample.class() as usize) < class);
    (0..n_classes).map(|class| begin(class)..begin(class + 1)).collect()
}

#[cfg(test)]
mod tests;
