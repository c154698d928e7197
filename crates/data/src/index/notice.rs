//! What users should know about a data set, other than errors.
//!
//! Separate so that every command words the same finding in the same way.

use std::fmt;
use std::path::PathBuf;

use mutualnet_core::network::Rank;
use mutualnet_core::text::{counted, shown};

use crate::table::CACHE_BYTES;
use mutualnet_image::Others;

/// Something odd about a split.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// There is only one class.
    OneClass {
        /// The class.
        class: String,
    },
    /// A class without images.
    EmptyClass {
        /// The class.
        class: String,
        /// How many images of it are on a quarantine list.
        quarantined: usize,
    },
    /// Files whose names are not those of samples.
    Ignored {
        /// What the samples are.
        rank: Rank,
        /// How many, by extension.
        others: Others,
    },
    /// Images of Parquet and Arrow files that do not fit into the cache, so that many are read to get one.
    SlowTables {
        /// Size of all images in MiB.
        mib: u64,
    },
    /// Files left out because a quarantine list names them.
    Quarantined {
        /// How many.
        files: usize,
    },
    /// Lines of a list that name what operating systems leave behind.
    JunkListed {
        /// How many.
        lines: usize,
    },
    /// Class folders that are named like the two folders of segmentation data.
    LooksMasked,
    /// Masks without an image.
    MasksAlone {
        /// How many.
        masks: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// Annotations that cannot be used or that leave their image.
    Annotations {
        /// How many problems there are.
        problems: usize,
        /// The first of them.
        first: String,
    },
    /// Boxes that are all smaller than a pixel.
    TinyBoxes {
        /// How many.
        boxes: usize,
    },
    /// Boxes most of which leave their image.
    BoxesBeyond {
        /// How many leave it.
        boxes: usize,
        /// How many boxes there are.
        of: usize,
    },
    /// What is kept about the frames of videos is damaged.
    FramesDamaged {
        /// The file.
        path: PathBuf,
        /// How many videos it still tells about.
        kept: usize,
    },
    /// A file in the place of what is kept about the frames of videos.
    FramesIgnored {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Test images that are training images as well.
    Overlap {
        /// How many of the test images.
        n: usize,
        /// How many test images there are.
        of: usize,
        /// How they are known to be the same.
        by: SameBy,
    },
}

/// How images of two splits are known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameBy {
    /// They are the same files.
    File,
    /// All of them have the class, the name and the size of a training image.
    NameAndSize,
}

impl Notice {
    /// Whether it makes results misleading, or is about a damaged file.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Overlap { .. }
                | Self::TinyBoxes { .. }
                | Self::BoxesBeyond { .. }
                | Self::LooksMasked
                | Self::FramesDamaged { .. }
                | Self::FramesIgnored { .. }
        )
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneClass { class } => write!(f, "`{class}` is the only class"),
            Self::EmptyClass { class, quarantined: 0 } => write!(f, "class `{class}` has no images"),
            Self::EmptyClass { class, quarantined } => {
                write!(
                    f,
                    "class `{class}` has no images, because a quarantine list leaves out all {quarantined}"
                )
            }
            Self::Ignored { rank: Rank::Image, others } => {
                write!(f, "ignored files that are not JPEG, PNG or WebP: {others}")
            }
            Self::Ignored { rank: Rank::Clip, others } => {
                write!(f, "ignored files that are not videos: {others}")
            }
            Self::SlowTables { mib } => write!(
                f,
                "Parquet and Arrow files are slow to read in random order when they have more than {} MiB of images \
                 ({mib} MiB here); train from a packed copy, which `mutualnet data pack` makes",
                CACHE_BYTES >> 20
            ),
            Self::TinyBoxes { boxes } => write!(
                f,
                "all {boxes} boxes are smaller than a pixel; `bbox` is left, top, width and height in pixels"
            ),
            Self::BoxesBeyond { boxes, of } => write!(
                f,
                "{boxes} of {of} boxes leave their image; `bbox` is left, top, width and height, not left, top, right and \
                 bottom"
            ),
            Self::Quarantined { files } => {
                write!(f, "a quarantine list leaves out {}", counted(*files, "image"))
            }
            Self::JunkListed { lines } => {
                let lines = counted(*lines, "line");
                write!(f, "ignored {lines} of the list with files that operating systems leave behind")
            }
            Self::LooksMasked => f.write_str(
                "the classes `images` and `masks` look like segmentation data, which need task = \"segment\"",
            ),
            Self::MasksAlone { masks, first } => {
                write!(f, "no image for {}, such as {}", counted(*masks, "mask"), shown(first))
            }
            Self::Annotations { problems, first } => write!(
                f,
                "{} with annotations, such as {first}; `mutualnet data check --task detect` names all",
                counted(*problems, "problem")
            ),
            Self::FramesDamaged { path, kept } => write!(
                f,
                "{} is damaged behind the frames of {}; the other videos are indexed again",
                shown(path),
                counted(*kept, "video")
            ),
            Self::FramesIgnored { path, reason } => write!(
                f,
                "{} is not used: {reason}; every start indexes the videos again until it is deleted",
                shown(path)
            ),
            Self::Overlap { n, of, by } => {
                match n == of {
                    true => write!(f, "all {of} images are training images as well")?,
                    false => write!(f, "{n} of {of} images are training images as well")?,
                }
                if *by == SameBy::NameAndSize {
                    f.write_str(" (same class, name and size)")?;
                }
                f.write_str("; accuracy on them says nothing about new images")
            }
        }
    }
}
