//! From the pixels of an object to the polygons around them.
//!
//! Invariant: corners lie between pixels, so the area of a polygon is its number of pixels.

use std::collections::BTreeSet;

/// The borders of an object.
#[derive(Debug, PartialEq)]
pub(super) struct Borders {
    /// The border of each connected part: x and y of its corners, clockwise on the screen. Pixels that only touch at a
    /// corner are not connected.
    pub(super) polygons: Vec<Vec<[u32; 2]>>,
    /// Whether a part has a hole.
    pub(super) has_hole: bool,
}

/// Side of a pixel: the corner that it starts at, and its direction.
type Edge = ([i64; 2], usize);

/// Follows the borders of the pixels that `owner` has in a square of pixels.
pub(super) fn trace(owners: &[Option<u8>], side: u32, owner: u8) -> Borders {
    let is_mine = |x: i64, y: i64| {
        let inside = (0..i64::from(side)).contains(&x) && (0..i64::from(side)).contains(&y);
        inside && owners[(y * i64::from(side) + x) as usize] == Some(owner)
    };
    // Edges of pixels with a neighbor that belongs to something else, each with the object on its right: from a corner in
    // one of the directions right, down, left and up.
    let mut edges: BTreeSet<Edge> = BTreeSet::new();
    for idx in 0..owners.len() {
        let [x, y] = [idx as i64 % i64::from(side), idx as i64 / i64::from(side)];
        if !is_mine(x, y) {
            continue;
        }
        for (direction, (start, [dx, dy])) in
            [([x, y], [0, -1]), ([x + 1, y], [1, 0]), ([x + 1, y + 1], [0, 1]), ([x, y + 1], [-1, 0])]
                .into_iter()
                .enumerate()
        {
            if !is_mine(x + dx, y + dy) {
                edges.insert((start, direction));
            }
        }
    }
    let mut borders = Borders { polygons: Vec::new(), has_hole: false };
    while let Some(&first) = edges.first() {
        let corners = follow(&mut edges, first);
        // Twice the area: positive around a part, negative around a hole.
        let pairs = corners.iter().zip(corners.iter().cycle().skip(1));
        if pairs.map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<i64>() > 0 {
            borders.polygons.push(corners.iter().map(|corner| corner.map(|n| n as u32)).collect());
        } else {
            borders.has_hole = true;
        }
    }
    borders
}

/// Takes the edges of one closed border, and returns the corners at which it turns.
fn follow(edges: &mut BTreeSet<Edge>, first: Edge) -> Vec<[i64; 2]> {
    const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];
    let mut corners = vec![first.0];
    let (mut at, mut direction) = first;
    loop {
        edges.remove(&(at, direction));
        let [dx, dy] = STEPS[direction];
        at = [at[0] + dx, at[1] + dy];
        if at == first.0 {
            break;
        }
        // To the right first: where two parts touch at a corner, the border stays with its own part.
        let turns = [(direction + 1) % 4, direction, (direction + 3) % 4];
        let next = turns.into_iter().find(|&turn| edges.contains(&(at, turn)));
        let next = next.expect("the border of pixels is closed");
        if next != direction {
            corners.push(at);
        }
        direction = next;
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borders(rows: &[&str]) -> Borders {
        let owners: Vec<_> =
            rows.iter().flat_map(|row| row.bytes().map(|byte| (byte == b'x').then_some(0))).collect();
        trace(&owners, rows.len() as u32, 0)
    }

    #[test]
    fn corners_lie_between_pixels() {
        let found = borders(&["....", ".xx.", ".xx.", ".x.."]);
        assert_eq!(found.polygons, [vec![[1, 1], [3, 1], [3, 3], [2, 3], [2, 4], [1, 4]]]);
        assert!(!found.has_hole);
    }

    #[test]
    fn parts_that_touch_at_a_corner_are_two() {
        let found = borders(&["x..", ".x.", "..."]);
        assert_eq!(found.polygons.len(), 2);
        assert!(found.polygons.iter().all(|polygon| polygon.len() == 4), "{found:?}");
    }

    #[test]
    fn holes_are_told() {
        let found = borders(&["xxx", "x.x", "xxx"]);
        assert_eq!((found.polygons.len(), found.has_hole), (1, true));
        assert_eq!(borders(&["...", "...", "..."]), Borders { polygons: vec![], has_hole: false });
    }
}
