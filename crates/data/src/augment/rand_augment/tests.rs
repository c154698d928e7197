//! Every operation against torchvision's (`golden/rand_augment/make.py`), and what is drawn.

use std::collections::BTreeSet;

use mutualnet_core::rng::{Key, Purpose};

use super::*;
use mutualnet_image::decode::decode;

/// Columns of a sheet.
const MAGNITUDES: [u32; 7] = [1, 5, 9, 14, 15, 22, 30];

/// As `picture` of the script.
fn picture(width: u32, height: u32, base: u32, span: u32) -> Image {
    let pixel = |x: u32, y: u32| {
        [0, 1, 2].map(|c| {
            let block = 40 * ((x / 5 + y / 4) % 3);
            (base + (x * (5 + c) + y * (9 - 3 * c) + block) % span) as u8
        })
    };
    Image::new(width, height, (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect())
}

/// The tolerance is none: every byte is equal.
fn check_sheet(png: &[u8], image: &Image) {
    let sheet = decode(png).unwrap();
    let signs = |operation: Operation| if operation.is_signed() { &[1.0, -1.0][..] } else { &[1.0] };
    let rows = Operation::ALL.into_iter().flat_map(|op| signs(op).iter().map(move |&sign| (op, sign)));
    let rows: Vec<_> = rows.collect();
    assert_eq!(sheet.height(), image.height() * rows.len() as u32);
    for (row, &(operation, sign)) in rows.iter().enumerate() {
        for (column, &magnitude) in MAGNITUDES.iter().enumerate() {
            let mut ours = image.clone();
            operation.apply(&mut ours, &mut Vec::new(), sign * operation.strength(magnitude, image));
            let (left, top) = (column as u32 * image.width(), row as u32 * image.height());
            for y in 0..image.height() {
                for x in 0..image.width() {
                    let (got, want) = (ours.pixel(x, y), sheet.pixel(left + x, top + y));
                    assert_eq!(got, want, "{operation:?} {magnitude} {sign} ({x}, {y})");
                }
            }
        }
    }
}

#[test]
fn operations_are_torchvisions() {
    check_sheet(include_bytes!("../../../golden/rand_augment/busy.png"), &picture(32, 32, 0, 256));
    check_sheet(include_bytes!("../../../golden/rand_augment/dim.png"), &picture(29, 18, 60, 70));
}

#[test]
fn the_stream_decides_and_all_operations_are_drawn() {
    let image = picture(32, 32, 0, 256);
    let augmented = |n, sample| {
        let mut image = image.clone();
        let mut rng = Key::new(1, Purpose::Augment).sample(sample).stream();
        RandAugment { n, magnitude: 9 }.apply(&mut image, &mut Vec::new(), &mut rng);
        image
    };
    assert_eq!(augmented(0, 1), image);
    assert_eq!(augmented(2, 1), augmented(2, 1));
    let different: BTreeSet<_> = (0..600).map(|sample| augmented(1, sample).pixels().to_vec()).collect();
    // 9 operations with two signs and 5 without; each comes about 600 / 28 or 600 / 14 times.
    assert_eq!(different.len(), 23);
}

#[test]
fn every_magnitude_of_every_operation_takes_every_shape() {
    for (width, height) in [(1, 1), (1, 9), (9, 2), (3, 3)] {
        for operation in Operation::ALL {
            for magnitude in 0..=RandAugment::MAX_MAGNITUDE {
                let mut image = picture(width, height, 0, 256);
                let strength = operation.strength(magnitude, &image);
                operation.apply(&mut image, &mut Vec::new(), -strength);
                operation.apply(&mut image, &mut Vec::new(), strength);
                assert_eq!((image.width(), image.height()), (width, height));
            }
        }
    }
}
