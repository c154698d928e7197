//! Which anchors the scores of a one-stage detector are learned at.
//!
//! Separate because almost all anchors have no object: learned from all of them, a detector would find nothing.
//! Invariant: an anchor is chosen at most once.

use crate::Target;
use crate::suppress::surest_first;

/// Anchors without an object for each one with an object.
const NEGATIVES: usize = 3;

/// The anchors of one image whose scores are learned, in ascending order: all with an object, and for each of them three
/// of the others, those with the greatest loss.
///
/// # Panics
/// There are more or fewer losses than anchors.
///
/// # Source
/// torchvision, `SSD.compute_loss`. `Reference:` if there are not as many others, it counts anchors with an object twice.
pub fn hardest(targets: &[Target], losses: &[f32]) -> Vec<usize> {
    assert_eq!(targets.len(), losses.len(), "every anchor has a loss");
    let has_object = |&anchor: &usize| matches!(targets[anchor], Target::Object(_));
    let mut chosen: Vec<_> = (0..targets.len()).filter(has_object).collect();
    let n_others = NEGATIVES * chosen.len();
    let others = surest_first(losses).into_iter().filter(|anchor| !has_object(anchor));
    chosen.extend(others.take(n_others));
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Target = Target::Background;
    const SOME: Target = Target::Object(0);

    #[test]
    fn three_of_the_hardest_are_chosen_for_every_anchor_with_an_object() {
        let targets = [NONE, SOME, NONE, NONE, NONE, NONE];
        assert_eq!(hardest(&targets, &[0.1, 0.0, 0.5, 0.4, 0.2, 0.3]), [1, 2, 3, 5]);
        // Of equals the first.
        assert_eq!(hardest(&targets, &[1.0; 6]), [0, 1, 2, 3]);
    }

    #[test]
    fn there_may_be_no_objects_or_few_others() {
        assert_eq!(hardest(&[NONE; 4], &[1.0; 4]), [0; 0]);
        assert_eq!(hardest(&[SOME, NONE, SOME], &[1.0; 3]), [0, 1, 2]);
    }
}
