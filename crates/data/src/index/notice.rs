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
    /// Classes without samples.
    EmptyClasses {
        /// What the samples are.
        rank: Rank,
        /// How many there are.
        n: usize,
        /// The first of them.
        first: String,
        /// How many samples of them a quarantine list leaves out; 0 if there never were any.
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
        /// What they are.
        rank: Rank,
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
    /// Videos that are shorter than a clip.
    ShortVideos {
        /// How many of those that were looked at.
        short: usize,
        /// How many were looked at.
        of: usize,
        /// From the first to the last frame of a clip, in frames.
        span: usize,
    },
    /// Test samples that are training samples as well.
    Overlap {
        /// What the samples are.
        rank: Rank,
        /// How many of the test samples.
        n: usize,
        /// How many test samples there are.
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
                | Self::ShortVideos { .. }
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
            Self::EmptyClasses { rank, n, first, quarantined } => {
                match n {
                    1 => write!(f, "class `{first}` has no {}", rank.samples())?,
                    _ => write!(f, "{n} classes have no {}, such as `{first}`", rank.samples())?,
                }
                match quarantined {
                    0 => Ok(()),
                    _ => write!(f, ", because a quarantine list leaves out all {quarantined}"),
                }
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
            Self::Quarantined { rank, files } => {
                write!(f, "a quarantine list leaves out {}", counted(*files, rank.sample()))
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
            Self::ShortVideos { short, of, span } => write!(
                f,
                "a clip spans {span} frames, and {short} of {of} videos have fewer: their last frame is repeated"
            ),
            Self::Overlap { rank, n, of, by } => {
                let samples = rank.samples();
                match n == of {
                    true => write!(f, "all {of} {samples} are training {samples} as well")?,
                    false => write!(f, "{n} of {of} {samples} are training {samples} as well")?,
                }
                if *by == SameBy::NameAndSize {
                    f.write_str(" (same class, name and size)")?;
                }
                write!(f, "; accuracy on them says nothing about new {samples}")
            }
        }
    }
}
