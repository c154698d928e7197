//! What is generated, and whether mask, box and polygon of an object agree.

use super::*;
use crate::shapes::tests::fnv;
use mutualnet_image::decode::decode;

const SPEC: ScenesSpec = ScenesSpec { seed: 1, train: 6, test: 2, side: 96, min_object: 24 };

#[test]
fn the_same_seed_gives_the_same_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    generate(a.path(), &SPEC).unwrap();
    generate(b.path(), &SPEC).unwrap();
    for file in [
        "classes.txt",
        "train/instances.json",
        "train/images/00005.jpg",
        "train/masks/00005.png",
        "test/masks/00001.png",
    ] {
        let read = |dir: &Path| fs::read(dir.join(file)).unwrap();
        assert!(read(a.path()) == read(b.path()), "{file}");
    }
    let error = generate(a.path(), &SPEC).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    let mask = fs::read(a.path().join("test/masks/00000.png")).unwrap();
    let colors = decode(&mask).unwrap();
    let expected: Vec<_> =
        scene(&SPEC, Split::Test, 0).mask.iter().flat_map(|&class| PALETTE[class as usize]).collect();
    assert_eq!(colors.pixels(), expected);
}

/// Fails when the scenes change, on this or on another machine: results would no longer compare.
#[test]
fn the_scenes_are_these() {
    let mut bytes = Vec::new();
    for i in 0..12 {
        let Scene { mask, objects, image } = scene(&SPEC, Split::Train, i);
        bytes.extend(encode_jpeg(&image, QUALITY));
        bytes.extend(mask);
        bytes.extend(objects.iter().flat_map(|object| format!("{object:?}").into_bytes()));
    }
    assert_eq!(fnv(&bytes), 0xbd21_1f19_2987_d3de, "{:#x}", fnv(&bytes));
}

#[test]
fn masks_boxes_and_polygons_say_the_same() {
    let mut counts = [0; 5];
    for i in 0..60 {
        let Scene { mask, objects, image } = scene(&SPEC, Split::Train, i);
        assert_eq!((image.width(), mask.len()), (96, 96 * 96));
        for Instance { class, area, bounds: [left, top, width, height], polygons } in &objects {
            counts[usize::from(*class)] += 1;
            let twice: i64 = polygons.iter().map(|corners| twice_area(corners)).sum();
            assert_eq!(twice, 2 * *area as i64, "scene {i}");
            let corners = || polygons.iter().flatten();
            assert_eq!(corners().map(|corner| corner[0]).min(), Some(*left));
            assert_eq!(corners().map(|corner| corner[1]).max(), Some(top + height));
            assert!(left + width <= 96 && *area > 100, "scene {i}: {area}");
        }
        for class in 1..=4 {
            let in_mask = mask.iter().filter(|&&found| found == class).count();
            let in_objects = objects.iter().filter(|object| object.class == class).map(|object| object.area);
            assert_eq!(in_objects.sum::<usize>(), in_mask, "scene {i} class {class}");
        }
    }
    assert!(counts[1..].iter().all(|&n| n > 30), "{counts:?}");
}

fn twice_area(corners: &[[u32; 2]]) -> i64 {
    let next = corners.iter().cycle().skip(1);
    let of = |(a, b): (&[u32; 2], &[u32; 2])| {
        i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])
    };
    corners.iter().zip(next).map(of).sum()
}

#[test]
fn settings_that_cannot_work_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = |spec| generate(dir.path(), &spec).unwrap_err().to_string();
    assert_eq!(error(ScenesSpec { side: 32, ..SPEC }), "side: 32 is not from 64 to 2048");
    let reason = "min_object: 40 is not from 8 to 32, a third of the side";
    assert_eq!(error(ScenesSpec { min_object: 40, ..SPEC }), reason);
}
