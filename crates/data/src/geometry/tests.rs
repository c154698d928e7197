//! Masks follow their images: through the pipeline, through torchvision's resize, and by hand.

use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Preprocess, Resolution, Task};
use mutualnet_image::decode::Undecoded;
use mutualnet_image::{Canvas, Image};
use proptest::prelude::*;

use super::*;
use crate::augment::PadMode;
use crate::{TrainCrop, TrainPipeline, TrainTransform};

/// Colors of the classes; a mixture of two is nearest to the one that it has more of.
const COLORS: [[u8; 3]; 5] = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];
const SIDE: u32 = 32;

/// A picture of blocks in the colors of the classes, and its mask.
fn picture([columns, rows]: [u32; 2], block: [u32; 2]) -> (Image, Mask) {
    let class = |x: u32, y: u32| ((x / block[0] + 2 * (y / block[1])) % 5) as u8;
    let numbers: Vec<_> = (0..rows).flat_map(|y| (0..columns).map(move |x| class(x, y))).collect();
    let pixels = numbers.iter().flat_map(|&class| COLORS[usize::from(class)]).collect();
    (Image::new(columns, rows, pixels), Mask::new(columns, rows, numbers))
}

fn nearest(pixel: &[f32]) -> u8 {
    let distance = |color: [u8; 3]| -> f32 {
        pixel.iter().zip(color).map(|(value, color)| (255.0 * value - f32::from(color)).powi(2)).sum()
    };
    (0..5).min_by(|&a, &b| distance(COLORS[a]).total_cmp(&distance(COLORS[b]))).unwrap() as u8
}

/// Whether the numbers around a pixel are all the same, so that no other class can be mixed into its color.
fn is_inside(mask: &[u8], geometry: &Geometry, [x, y]: [u32; 2]) -> bool {
    let number = |x: u32, y: u32| mask[(y * SIDE + x) as usize];
    let same =
        || (y - 1..=y + 1).all(|row| (x - 1..=x + 1).all(|column| number(column, row) == number(x, y)));
    let unflipped = if geometry.flip { SIDE - 1 - x } else { x };
    [x, y].iter().all(|at| (1..SIDE - 1).contains(at))
        && !is_at_border(geometry, 0, unflipped)
        && !is_at_border(geometry, 1, y)
        && same()
}

/// Whether a pixel was at the border before the shift: a reflection hides what is beyond.
fn is_at_border(geometry: &Geometry, axis: usize, at: u32) -> bool {
    let (pad, from) = geometry.shift.map_or((0, 0), |shift| (shift.pad.pad, shift.from[axis]));
    [pad, pad + SIDE - 1].contains(&(from + at))
}

fn crops() -> impl Strategy<Value = TrainCrop> {
    prop_oneof![
        Just(TrainCrop::default()),
        Just(TrainCrop::RandomShortSide { shorter: [16, 64] }),
        Just(TrainCrop::RandomShortSide { shorter: [20, 28] }),
        Just(TrainCrop::Pad { pad: 7, mode: PadMode::Reflect }),
        Just(TrainCrop::Pad { pad: 7, mode: PadMode::Zero }),
        Just(TrainCrop::Center),
    ]
}

proptest! {
    #[test]
    fn a_mask_follows_its_image(
        crop in crops(), columns in 40u32..130, rows in 40u32..130, wide in 24u32..50, high in 24u32..50,
        flip: bool, seed: u64,
    ) {
        let preprocess = Preprocess::center_crop(Resolution::new(SIDE).unwrap(), [0.0; 3], [1.0; 3]);
        let transform = TrainTransform { crop, flip, ..TrainTransform::default() };
        let pipeline = TrainPipeline::new_for(Task::Segment, transform, &preprocess).unwrap();
        let (image, mask) = picture([columns, rows], [wide, high]);
        let mut pixels = vec![f32::NAN; 3 * (SIDE * SIDE) as usize];
        let mut rng = Key::new(seed, Purpose::Augment).stream();
        let geometry =
            pipeline.write((Undecoded::decoded(image), [SIDE; 2]), &mut rng, &mut Canvas::default(), &mut pixels).unwrap();
        let mut moved = vec![77; (SIDE * SIDE) as usize];
        geometry.write_mask(&mask, &mut moved);
        if geometry.shift.is_none() {
            // The pixels of one number are moved alike as an object's.
            let extent = |[width, height]: [u32; 2]| Extent { height, width };
            let of_number = |numbers: &[u8], size| {
                let pixels: Vec<_> = numbers.iter().map(|&number| u8::from(number == 1)).collect();
                Rle::encode(extent(size), &pixels).unwrap()
            };
            let object = of_number(mask.numbers(), mask.size());
            prop_assert_eq!(geometry.moved_mask(&object).unwrap(), of_number(&moved, [SIDE; 2]));
        }
        let inside: Vec<_> = (0..SIDE * SIDE).filter(|i| is_inside(&moved, &geometry, [i % SIDE, i / SIDE])).collect();
        prop_assert!(inside.len() > 200, "only {} pixels can be compared", inside.len());
        for i in inside {
            let pixel = &pixels[3 * i as usize..][..3];
            let expected = moved[i as usize];
            let seen = if expected == IGNORE { 0 } else { expected };
            prop_assert_eq!(nearest(pixel), seen, "{:?} at {}, {}: {:?}", geometry, i % SIDE, i / SIDE, pixel);
        }
    }
}

#[test]
fn every_pixel_that_an_image_does_not_fill_is_ignored_and_black() {
    let preprocess = Preprocess::center_crop(Resolution::new(SIDE).unwrap(), [0.0; 3], [1.0; 3]);
    let crop = TrainCrop::RandomShortSide { shorter: [16, 16] };
    // Colors must not lighten the border.
    let transform = TrainTransform { crop, color_jitter: 0.9, ..TrainTransform::default() };
    let pipeline = TrainPipeline::new_for(Task::Segment, transform, &preprocess).unwrap();
    let (image, mask) = (Image::new(80, 40, vec![200; 9600]), Mask::new(80, 40, vec![3; 3200]));
    let mut pixels = vec![f32::NAN; 3 * 1024];
    let mut rng = Key::new(1, Purpose::Augment).stream();
    let geometry = pipeline
        .write((Undecoded::decoded(image), [SIDE; 2]), &mut rng, &mut Canvas::default(), &mut pixels)
        .unwrap();
    let mut moved = vec![77; 1024];
    geometry.write_mask(&mask, &mut moved);
    assert!(moved[..512].iter().all(|&number| number == 3));
    assert!(moved[512..].iter().all(|&number| number == IGNORE));
    assert!(pixels[..3 * 512].iter().all(|&value| value > 0.0));
    assert!(pixels[3 * 512..].iter().all(|&value| value == 0.0));
}

#[test]
fn masks_are_resized_as_by_torchvision() {
    let mask = Mask::new(7, 5, (0..35).collect());
    for line in include_str!("../../golden/mask_resize/resized.txt").lines() {
        let (size, numbers) = line.split_once(": ").unwrap();
        let size: Vec<u32> = size.split(' ').map(|side| side.parse().unwrap()).collect();
        let expected: Vec<u8> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let mut resized = vec![77; expected.len()];
        let size = [size[0], size[1]];
        Geometry::cut(Rect::whole([7, 5]), size, size).write_mask(&mask, &mut resized);
        assert_eq!(resized, expected, "{size:?}");
    }
}

#[test]
fn shift_and_flip_by_hand() {
    // Rows of 1 2 3 4, of which the middle two are shifted.
    let mask = Mask::new(4, 2, vec![1, 2, 3, 4, 1, 2, 3, 4]);
    let middle = Geometry::of(Fitted::center([4, 2], 2, 2));
    let line = |mode, from, flip| {
        let shift = Some(Shift { pad: PadCrop { pad: 1, mode }, from });
        let mut out = [77; 4];
        Geometry { shift, flip, ..middle }.write_mask(&mask, &mut out);
        out
    };
    assert_eq!(line(PadMode::Zero, [1, 1], false), [2, 3, 2, 3]);
    assert_eq!(line(PadMode::Zero, [0, 1], false), [IGNORE, 2, IGNORE, 2]);
    assert_eq!(line(PadMode::Zero, [0, 2], true), [2, IGNORE, IGNORE, IGNORE]);
    assert_eq!(line(PadMode::Reflect, [0, 2], false), [3, 2, 3, 2]);
    assert_eq!(line(PadMode::Reflect, [0, 0], true), [2, 3, 2, 3]);
}
