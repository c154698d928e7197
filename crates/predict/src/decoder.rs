//! What every task has to say about the numbers that a network computes.
//!
//! Invariant: the one place on the run side that chooses by the task.

use mutualnet_core::network::List;
use mutualnet_core::{Network, Task};
use mutualnet_image::Image;
use mutualnet_runtime::Output;
use serde_json::{Map, Value};

use crate::classify::Classify;
use crate::detect::Detect;
use crate::regions::DetectRegions;
use crate::segment::Segment;
use crate::{Config, Error, FoundObject, Regions, Result};

/// Turns the outputs of a network into an answer.
pub trait Decoder: Send + Sync {
    /// Whether its answers have pictures.
    fn draws(&self) -> bool;

    /// Whether its answers have masks.
    fn has_masks(&self) -> bool;

    /// Whether its answers have objects.
    fn finds_objects(&self) -> bool {
        false
    }

    /// The regions that another list of the network has to run on first before the image can be decoded, which the network saw
    /// at a height and a width; `None` if there is no such list.
    ///
    /// # Errors
    /// The outputs are not those of the task.
    fn regions(&self, _outputs: &[Output<'_>], _seen: [usize; 2]) -> Result<Option<Regions>> {
        Ok(None)
    }

    /// What comes of the outputs of that list; of none if there are no regions. `size` is as for [`Self::decode`].
    ///
    /// # Errors
    /// The outputs are not those of the task, or the network has no regions.
    fn decode_regions(&self, _regions: Regions, _outputs: &[Output<'_>], _size: [u32; 2]) -> Result<Step> {
        Err(Error::NoDetector)
    }

    /// The answer for one image, or for one video of which the network saw one or several clips, from the outputs in the
    /// order of the network. `size` is the height and the width of the image before it was resized.
    ///
    /// # Errors
    /// The outputs are not those of the task.
    fn decode(&self, outputs: &[Output<'_>], size: [u32; 2]) -> Result<Box<dyn Prediction>>;
}

/// What comes of the outputs of a list that ran on regions.
pub enum Step {
    /// Regions that one more list has to run on.
    Regions(Regions),
    /// The answer.
    Answer(Box<dyn Prediction>),
}

/// An answer for one image.
pub trait Prediction: Send {
    /// One line for people.
    fn text(&self) -> String;

    /// The keys of its JSON object.
    fn json(&self) -> Map<String, Value>;

    /// The answer drawn over the image, upright; `None` if there is nothing to draw.
    fn picture(&self, image: &Image) -> Option<Image>;

    /// The objects of the image, surest first; `None` if the task finds none.
    fn objects(&self) -> Option<&[FoundObject]> {
        None
    }

    /// The class of every pixel of the image, `[height, width]`, and the color of every class; `None` if pixels have no
    /// classes. Pixels that the network did not see have the number 255.
    fn mask(&self, size: [u32; 2]) -> Option<(Vec<u8>, Vec<[u8; 3]>)>;
}

/// The outputs of a kind, which are named `kind.0`, `kind.1` and so on.
pub(crate) fn maps<'a>(outputs: &[Output<'a>], kind: &str) -> Vec<Output<'a>> {
    let is_of_kind = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
    outputs.iter().filter(|output| is_of_kind(output.name)).copied().collect()
}

/// The decoder of a task with a network, for classes of these names.
pub fn decoder(task: Task, network: &Network, classes: &[String], config: Config) -> Box<dyn Decoder> {
    let classes = classes.to_vec();
    match task {
        Task::Classify => Box::new(Classify { classes, top: config.top }),
        Task::Segment => Box::new(Segment { classes: classes.into() }),
        Task::Detect => match network.list(List::BOX) {
            Ok(list) => {
                let masks = network.list(List::MASK).ok();
                Box::new(DetectRegions {
                    classes: classes.into(),
                    least_score: config.least_score,
                    most_regions: list.regions(),
                    draws_masks: masks.is_some(),
                    most_masks: masks.and_then(List::regions),
                })
            }
            Err(_) => Box::new(Detect { classes: classes.into(), least_score: config.least_score }),
        },
        other => unreachable!("no such task: {other}"),
    }
}
