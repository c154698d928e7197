//! Non-maximum suppression: of boxes that overlap, only the surest stays.
//!
//! Separate because proposals and detections need it, per level and per class.

use std::collections::BTreeMap;

use crate::Corners;
use crate::boxes::area;

/// Boxes above which groups are separated by torchvision on the CPU, instead of being moved apart.
const MAX_MOVED: usize = 1000;

/// The boxes that stay, surest first. A box goes if it overlaps a surer one by more than the threshold; equally sure boxes are
/// taken in their order.
///
/// # Panics
/// There are more or fewer scores than boxes.
///
/// # Source
/// torchvision, `nms` on the CPU.
pub fn suppress(boxes: &[Corners], scores: &[f32], threshold: f64) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "every box has a score");
    let order = surest_first(scores);
    let areas: Vec<_> = boxes.iter().map(|&corners| area(corners)).collect();
    let mut is_gone = vec![false; boxes.len()];
    let mut kept = vec![];
    for (place, &i) in order.iter().enumerate() {
        if is_gone[i] {
            continue;
        }
        kept.push(i);
        let [left, top, right, bottom] = boxes[i];
        for &j in &order[place + 1..] {
            let width = (right.min(boxes[j][2]) - left.max(boxes[j][0])).max(0.0);
            let height = (bottom.min(boxes[j][3]) - top.max(boxes[j][1])).max(0.0);
            let common = width * height;
            if f64::from(common / (areas[i] + areas[j] - common)) > threshold {
                is_gone[j] = true;
            }
        }
    }
    kept
}

/// As [`suppress`], but boxes only go for others of their group, which is a class or a level.
///
/// torchvision has two ways to do this on the CPU, and both are followed to the bit: up to 1000 boxes it moves the groups
/// apart, which rounds coordinates and may tip overlaps that are very near the threshold; above, each group is done by
/// itself. (On a GPU the limit is 25,000.) In the second way torchvision leaves the order of equally sure boxes open; here it
/// is that of the boxes in both.
///
/// # Panics
/// There are more or fewer scores or groups than boxes.
///
/// # Source
/// torchvision, `batched_nms`.
pub fn suppress_in_groups(boxes: &[Corners], scores: &[f32], groups: &[usize], threshold: f64) -> Vec<usize> {
    assert_eq!(boxes.len(), groups.len(), "every box has a group");
    if boxes.len() > MAX_MOVED {
        return separately(boxes, scores, groups, threshold);
    }
    let largest = boxes.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max);
    let moved = |(corners, &group): (&Corners, &usize)| {
        let offset = group as f32 * (largest + 1.0);
        corners.map(|at| at + offset)
    };
    let moved: Vec<_> = boxes.iter().zip(groups).map(moved).collect();
    suppress(&moved, scores, threshold)
}

fn separately(boxes: &[Corners], scores: &[f32], groups: &[usize], threshold: f64) -> Vec<usize> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (idx, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(idx);
    }
    let kept_of = |members: Vec<usize>| {
        let boxes: Vec<_> = members.iter().map(|&idx| boxes[idx]).collect();
        let scores: Vec<_> = members.iter().map(|&idx| scores[idx]).collect();
        suppress(&boxes, &scores, threshold).into_iter().map(move |kept| members[kept])
    };
    let mut kept: Vec<_> = members.into_values().flat_map(kept_of).collect();
    kept.sort_unstable();
    let of_kept: Vec<_> = kept.iter().map(|&idx| scores[idx]).collect();
    surest_first(&of_kept).into_iter().map(|place| kept[place]).collect()
}

/// Indices by score, highest first; equal scores in their order, and NaN before all others, as PyTorch sorts.
pub(crate) fn surest_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..scores.len()).collect();
    // Adding 0 makes 0 out of −0, which are equal; all NaN become one.
    let key = |idx: usize| if scores[idx].is_nan() { f32::NAN } else { scores[idx] + 0.0 };
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    order
}
