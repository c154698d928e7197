//! Masks against pycocotools, and hostile text.

use proptest::prelude::*;

use super::*;
use crate::drawn::Stream;

fn corner(stream: &mut Stream, kind: i64, side: i64) -> f64 {
    match kind {
        0 => stream.between(-8, side + 8) as f64,
        1 => stream.between(-40, 8 * side + 40) as f64 / 8.0,
        2 => stream.between(0, 100 * side) as f64 / 100.0,
        _ => stream.between(-300_000, 300_000) as f64 / 7.0,
    }
}

fn polygon(stream: &mut Stream, extent: Extent) -> Vec<[f64; 2]> {
    let kind = stream.between(0, 3);
    let sides = [extent.width, extent.height].map(i64::from);
    (0..stream.between(3, 12)).map(|_| sides.map(|side| corner(stream, kind, side))).collect()
}

fn extent(stream: &mut Stream, largest: i64) -> Extent {
    let [height, width] = [(); 2].map(|()| stream.between(1, largest) as u32);
    Extent { height, width }
}

#[test]
fn a_moved_mask_has_the_pixels_that_are_shown() {
    for case in 0..200 {
        let mut stream = Stream::new(case);
        let (from, to) = (extent(&mut stream, 40), extent(&mut stream, 60));
        let mask = Rle::from_polygon(from, &polygon(&mut stream, from)).unwrap();
        let mut places = |most: u32, n: u32| -> Vec<u32> {
            let n_shown = stream.between(0, i64::from(n));
            (0..n_shown).map(|_| stream.between(0, i64::from(most) - 1) as u32).collect()
        };
        let (columns, mut rows) = (places(from.width, to.width), places(from.height, to.height));
        rows.sort_unstable();
        let pixels = mask.decode();
        let pixel = |y: u32, x: u32| {
            let (row, column) = (rows.get(y as usize)?, columns.get(x as usize)?);
            Some(pixels[(row * from.width + column) as usize])
        };
        let shown = (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x)));
        let shown: Vec<_> = shown.map(|(y, x)| pixel(y, x).unwrap_or(0)).collect();
        assert_eq!(mask.moved(&columns, &rows, to).unwrap(), Rle::encode(to, &shown).unwrap(), "case {case}");
    }
}

#[test]
fn polygons_become_pycocotools_masks() {
    for (case, line) in include_str!("../../golden/masks/polygons.txt").lines().enumerate() {
        let mut stream = Stream::new(case as u64);
        let extent = extent(&mut stream, 90);
        let masks: Vec<_> = (0..stream.between(1, 3))
            .map(|_| Rle::from_polygon(extent, &polygon(&mut stream, extent)).unwrap())
            .collect();
        let [x, y, w, h] = masks[0].bounds();
        let merged = Rle::union(&masks).unwrap().to_text();
        let found = format!("{} {} {x} {y} {w} {h} {merged}", masks[0].to_text(), masks[0].area());
        assert_eq!(found, line, "case {case}");
    }
}

fn bitmap(stream: &mut Stream, extent: Extent) -> Rle {
    let mut counts = vec![];
    let mut left = extent.pixels() as u32;
    if stream.between(0, 1) == 1 {
        counts.push(0);
    }
    while left > 0 {
        let count = left.min(stream.between(1, i64::from(extent.height)) as u32);
        counts.push(count);
        left -= count;
    }
    Rle::from_counts(extent, counts).unwrap()
}

#[test]
fn two_masks_compare_as_in_pycocotools() {
    for (case, line) in include_str!("../../golden/masks/pairs.txt").lines().enumerate() {
        let mut stream = Stream::new(1000 + case as u64);
        let extent = extent(&mut stream, 20);
        let pair = [(); 2].map(|()| bitmap(&mut stream, extent));
        let [iou, share, union, intersection] =
            line.split(' ').collect::<Vec<_>>().try_into().expect("a line has four parts");
        assert_eq!(pair[0].iou(&pair[1]).unwrap(), iou.parse::<f64>().unwrap(), "case {case}");
        assert_eq!(pair[0].share_in(&pair[1]).unwrap(), share.parse::<f64>().unwrap(), "case {case}");
        assert_eq!(Rle::union(&pair).unwrap().to_text(), union, "case {case}");
        assert_eq!(Rle::intersection(&pair).unwrap().to_text(), intersection, "case {case}");
    }
}

#[test]
fn pixels_and_runs_are_the_same_mask() {
    let extent = Extent { height: 2, width: 3 };
    let mask = Rle::encode(extent, &[1, 0, 1, 1, 1, 0]).unwrap();
    assert_eq!(mask.counts(), [0, 2, 1, 2, 1]);
    assert_eq!(mask.decode(), [1, 0, 1, 1, 1, 0]);
    assert_eq!((mask.area(), mask.bounds()), (4, [0, 0, 3, 2]));
    let empty = Rle::empty(extent).unwrap();
    assert_eq!(empty, Rle::encode(extent, &[0; 6]).unwrap());
    assert_eq!((empty.bounds(), empty.iou(&empty)), ([0; 4], Some(0.0)));
    let other = Rle::empty(Extent { height: 3, width: 2 }).unwrap();
    assert_eq!(mask.iou(&other), None);
    assert_eq!(Rle::union([&mask, &other]), None);
    assert_eq!(Rle::union([]), None);
}

#[test]
fn empty_runs_inside_are_joined() {
    let extent = Extent { height: 1, width: 6 };
    let mask = Rle::from_counts(extent, [0, 2, 0, 1, 3, 0]).unwrap();
    assert_eq!(mask.counts(), [0, 3, 3]);
    assert_eq!(mask.bounds(), [0, 0, 3, 1]);
}

#[test]
fn runs_that_are_no_mask_are_refused() {
    let extent = Extent { height: 2, width: 2 };
    let of = |counts: &[u32]| Rle::from_counts(extent, counts.iter().copied()).unwrap_err().to_string();
    assert_eq!(of(&[1, 2]), "the runs cover 3 of 4 pixels");
    assert_eq!(of(&[1, u32::MAX]), "the runs cover 4294967296 of 4 pixels");
    let text = |text| Rle::from_text(extent, text).unwrap_err().to_string();
    assert_eq!(text("1é"), "no character of compressed runs, at byte 1");
    assert_eq!(text("1P"), "the compressed runs end within a number");
    assert_eq!(text("1O"), "run number 1 is no length");
    assert_eq!(text("oooooooooo"), "run number 0 is no length");
    assert_eq!(text(""), "the runs cover 0 of 4 pixels");
    let none = Extent { height: 0, width: 2 };
    assert_eq!(Rle::empty(none).unwrap_err().to_string(), "a mask of 0 by 2 pixels");
    assert!(Rle::encode(extent, &[1; 3]).is_err());
}

#[test]
fn polygons_without_bounds_end() {
    let extent = Extent { height: 3, width: 3 };
    for corners in [vec![], vec![[f64::NAN; 2]; 3], vec![[f64::INFINITY, 0.0], [-1e300, 5.0], [1e300, 1e300]]]
    {
        Rle::from_polygon(extent, &corners).unwrap();
    }
    let wide = Extent { height: 1, width: u32::MAX };
    let far = [[0.0, 0.0], [1e9, 1.0], [0.0, 1.0]];
    assert_eq!(
        Rle::from_polygon(wide, &far).unwrap_err().to_string(),
        "the border of a polygon crosses more than 67108864 columns"
    );
}

proptest! {
    #[test]
    fn text_round_trips(counts in prop::collection::vec(1_u32..400, 1..40), starts_inside: bool) {
        let counts: Vec<_> = [0].into_iter().filter(|_| starts_inside).chain(counts).collect();
        let extent = Extent { height: 1, width: counts.iter().sum() };
        let mask = Rle::from_counts(extent, counts.iter().copied()).unwrap();
        prop_assert_eq!(mask.counts(), &counts[..]);
        prop_assert_eq!(&Rle::from_text(extent, &mask.to_text()).unwrap(), &mask);
        prop_assert_eq!(Rle::encode(extent, &mask.decode()).unwrap(), mask);
    }
}
