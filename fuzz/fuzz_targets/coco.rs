//! Any bytes as COCO's ground truth, as results, and as the compressed text of a mask.
//!
//! A panic, a hang or memory without bounds is a finding; so is a mask that does not come back from its own text.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_detect::coco::{Detections, Instances};
use mutualnet_detect::evaluate::Compare;
use mutualnet_detect::{Extent, Rle};
use mutualnet_fuzz::init;

/// The ids and the size of the image that seeds use.
static TRUTH: LazyLock<Instances> = LazyLock::new(|| {
    let json = br#"{"images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 9}],
        "categories": [{"id": 1, "name": "cat"}], "annotations": []}"#;
    Instances::from_json(json).expect("this is ground truth")
});

/// Largest image that masks are drawn for, in pixels: a hostile size costs memory only once somebody asks for pixels.
const PIXELS: u64 = 1 << 20;

fuzz_target!(init: init(), |bytes: &[u8]| {
    if let Ok(truth) = Instances::from_json(bytes) {
        for annotation in truth.annotations() {
            let extent = truth.images()[annotation.image].extent;
            let mask = annotation.shape.as_ref().filter(|_| extent.pixels() <= PIXELS).map(|shape| shape.mask(extent));
            if let Some(Ok(mask)) = mask {
                check(&mask);
            }
        }
        truth.problems().iter().for_each(|problem| drop(problem.to_string()));
        let _ = Detections::from_json(bytes, &truth, Compare::Boxes);
    }
    if let Ok(detections) = Detections::from_json(bytes, &TRUTH, Compare::Masks) {
        detections.found.iter().filter_map(|found| found.mask.as_ref()).for_each(check);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(mask) = Rle::from_text(Extent { height: 8, width: 9 }, text)
    {
        check(&mask);
    }
});

fn check(mask: &Rle) {
    assert_eq!(Rle::from_text(mask.extent(), &mask.to_text()).as_ref(), Ok(mask));
    assert_eq!(Rle::encode(mask.extent(), &mask.decode()).as_ref(), Ok(mask));
    let [_, _, width, height] = mask.bounds().map(u64::from);
    assert!(mask.area() <= width * height);
    assert_eq!(mask.iou(mask), Some(if mask.area() == 0 { 0.0 } else { 1.0 }));
}
