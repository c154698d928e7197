//! Which object an anchor or a region should find.
//!
//! Separate because it decides what a detector learns, and its ties are the hardest part to get right.

use crate::Corners;
use crate::boxes::overlap;

/// What an anchor or a region should answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The object with this index.
    Object(usize),
    /// Anything: the overlap is neither high nor low.
    Ignored,
    /// That there is no object.
    Background,
}

/// The rule by which objects are assigned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matcher {
    /// From this overlap on, an anchor finds the object.
    pub high: f32,
    /// Below this overlap, an anchor finds nothing.
    pub low: f32,
    /// What happens to objects that no anchor overlaps enough.
    pub rescue: Rescue,
}

/// What happens to objects that no anchor overlaps enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescue {
    /// Nothing.
    Nothing,
    /// Every anchor that overlaps an object as much as the best one does, gets what it overlaps most itself.
    ///
    /// As in torchvision: if nothing overlaps an object, these are all anchors that do not overlap it.
    AllBest,
    /// The first anchor that overlaps an object most, gets that object; later objects go before earlier ones.
    FirstBest,
}

impl Matcher {
    /// For anchors of networks that propose regions.
    pub const ANCHORS: Self = Self { high: 0.7, low: 0.3, rescue: Rescue::AllBest };
    /// For regions.
    pub const REGIONS: Self = Self { high: 0.5, low: 0.5, rescue: Rescue::Nothing };
    /// For the default boxes of SSD.
    pub const DEFAULT_BOXES: Self = Self { high: 0.5, low: 0.5, rescue: Rescue::FirstBest };

    /// The target of every anchor; background if there are no objects. Of objects that an anchor overlaps equally it gets
    /// the first.
    ///
    /// # Source
    /// torchvision, `Matcher` and `SSDMatcher`. `Reference:` it refuses images without objects in SSD's case.
    pub fn targets(self, objects: &[Corners], anchors: &[Corners]) -> Vec<Target> {
        if objects.is_empty() {
            return vec![Target::Background; anchors.len()];
        }
        let found: Vec<_> = anchors.iter().map(|&anchor| best(objects, anchor)).collect();
        let mut targets: Vec<_> = found.iter().map(|&found| self.target(found)).collect();
        for (object, &corners) in objects.iter().enumerate() {
            let overlaps = || anchors.iter().map(move |&anchor| overlap(corners, anchor));
            match self.rescue {
                Rescue::Nothing => break,
                Rescue::AllBest => {
                    let most = overlaps().fold(f32::NEG_INFINITY, f32::max);
                    for (anchor, _) in overlaps().enumerate().filter(|(_, overlap)| *overlap == most) {
                        targets[anchor] = Target::Object(found[anchor].0);
                    }
                }
                Rescue::FirstBest => {
                    if let Some(anchor) = first_largest(overlaps()) {
                        targets[anchor.0] = Target::Object(object);
                    }
                }
            }
        }
        targets
    }

    fn target(self, (object, overlap): (usize, f32)) -> Target {
        if overlap >= self.high {
            Target::Object(object)
        } else if overlap >= self.low {
            Target::Ignored
        } else {
            Target::Background
        }
    }
}

/// The first object that an anchor overlaps most, and how much.
fn best(objects: &[Corners], anchor: Corners) -> (usize, f32) {
    first_largest(objects.iter().map(|&object| overlap(object, anchor))).expect("there are objects")
}

fn first_largest(numbers: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    numbers.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}
