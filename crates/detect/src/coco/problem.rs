//! What can be wrong with a part of a COCO file, and what follows from it.
//!
//! Separate because reading only collects problems; whoever asked for the file decides whether to show them or to stop.

use std::fmt;

use mutualnet_core::text::printable;

use crate::RleFault;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What it is wrong with.
    pub subject: Subject,
    /// What is wrong.
    pub fault: Fault,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The image with an id.
    Image(i64),
    /// An image without an id, by its place in the list, from 1.
    ImageNumber(usize),
    /// The category with an id.
    Category(i64),
    /// A category without an id, by its place in the list, from 1.
    CategoryNumber(usize),
    /// The annotation with an id.
    Annotation(i64),
    /// An annotation without an id, by its place in the list, from 1.
    AnnotationNumber(usize),
    /// A detection, by its place in a results file, from 1.
    Detection(usize),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It has no id, or one that is not a whole number.
    #[error("its `id` is missing or not a whole number")]
    NoId,
    /// Another one before it has the same id.
    #[error("another one before it has the same id")]
    DuplicateId,
    /// An image without `file_name`, or a category without `name`.
    #[error("has no `{key}`")]
    NoName {
        /// The key that is missing.
        key: &'static str,
    },
    /// A category whose name another one before it has too.
    #[error(
        "another one before it has the same name, `{}`; where data are trained on, both are one class",
        printable(name)
    )]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A category that no annotation has.
    #[error("has no annotations")]
    Unused,
    /// An image without sides, or with impossible ones.
    #[error("has a height of {height} and a width of {width}, which must be whole numbers from 1 to 65535")]
    Sides {
        /// The height, NaN if it is missing.
        height: f64,
        /// The width, NaN if it is missing.
        width: f64,
    },
    /// An image whose file does not exist.
    #[error("there is no file `{}`", printable(file_name))]
    NoFile {
        /// Its name.
        file_name: String,
    },
    /// An image id that the list of images does not have, or that was left out.
    #[error("{}", unknown("image", *id))]
    UnknownImage {
        /// The id, if it is one.
        id: Option<i64>,
    },
    /// A category id that the list of categories does not have.
    #[error("{}", unknown("category", *id))]
    UnknownCategory {
        /// The id, if it is one.
        id: Option<i64>,
    },
    /// A detection with neither a box nor a mask, or an annotation without a box.
    #[error("has no box of four numbers")]
    NoBox,
    /// A box with NaN or infinity.
    #[error("the box has a number that is not finite")]
    BoxNotFinite,
    /// A box that encloses nothing.
    #[error("the box is {width} wide and {height} high")]
    BoxEmpty {
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
    /// A box of which no part is in the image.
    #[error("the box is outside of the image")]
    BoxOutside,
    /// A box that leaves the image by more than a pixel.
    #[error("the box leaves the image by {by} pixels")]
    BoxBeyond {
        /// The largest distance of its sides from the image.
        by: f64,
    },
    /// An annotation without a usable `area`, for which that of its box counts.
    #[error("its `area` is missing or not a number from 0 on, so that of the box counts")]
    NoArea,
    /// A detection without a finite score.
    #[error("has no finite score")]
    NoScore,
    /// A segmentation without a usable polygon.
    #[error("the segmentation has no polygon with three corners")]
    NoPolygon,
    /// A polygon among others that cannot be used.
    #[error("polygon {number} {why}")]
    Polygon {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A segmentation that is neither polygons nor runs.
    #[error("the segmentation is neither a list of polygons nor an object with `size` and `counts`")]
    NoSegmentation,
    /// Runs for a mask of another size than the image.
    #[error("the mask is {mask_height} by {mask_width} pixels, but the image {height} by {width}")]
    MaskSize {
        /// Rows of the mask, according to `size`; NaN if it is not there.
        mask_height: f64,
        /// Columns of the mask.
        mask_width: f64,
        /// Rows of the image.
        height: u32,
        /// Columns of the image.
        width: u32,
    },
    /// Runs that are no mask.
    #[error("the mask cannot be read: {0}")]
    Runs(RleFault),
}

fn unknown(what: &str, id: Option<i64>) -> String {
    match id {
        Some(id) => format!("there is no {what} {id}"),
        None => format!("its `{what}_id` is missing or not a whole number"),
    }
}

/// What follows from a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is not used at all.
    LeftOut,
    /// Only its box is used.
    WithoutMask,
    /// The rest of its mask is used.
    WithoutPolygon,
    /// It is used as it is.
    Kept,
}

impl Fault {
    /// What follows from it.
    pub fn effect(&self) -> Effect {
        match self {
            Self::DuplicateName { .. } | Self::Unused | Self::BoxBeyond { .. } | Self::NoArea => Effect::Kept,
            Self::Polygon { .. } => Effect::WithoutPolygon,
            Self::NoPolygon | Self::NoSegmentation | Self::MaskSize { .. } | Self::Runs(_) => {
                Effect::WithoutMask
            }
            _ => Effect::LeftOut,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => write!(f, "image {id}"),
            Self::ImageNumber(number) => write!(f, "image number {number} of the list"),
            Self::Category(id) => write!(f, "category {id}"),
            Self::CategoryNumber(number) => write!(f, "category number {number} of the list"),
            Self::Annotation(id) => write!(f, "annotation {id}"),
            Self::AnnotationNumber(number) => write!(f, "annotation number {number} of the list"),
            Self::Detection(number) => write!(f, "detection number {number} of the list"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.fault.effect() {
            Effect::LeftOut => "; it is left out",
            Effect::WithoutMask => "; only its box is used",
            Effect::WithoutPolygon => "; that polygon is left out",
            Effect::Kept => "",
        };
        write!(f, "{}: {}{effect}", self.subject, self.fault)
    }
}
