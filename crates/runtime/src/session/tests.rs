//! Layouts for images that are no squares.

use std::time::Duration;

use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::{Fit, Preprocess};

use super::*;
use crate::{MeasureConfig, measure};

/// A session of a model with a row, whose images are not cropped.
fn session(row: Subnet) -> Session {
    let bundle = mutualnet_testkit::bundle(mutualnet_testkit::small_network(), &[row]).into_parts();
    let preprocess = Preprocess { fit: Fit::Whole, ..bundle.preprocess };
    let bundle = Bundle::new(BundleParts { preprocess, ..bundle }).unwrap();
    Session::new(Arc::new(Model::new(&bundle).unwrap()), NonZeroUsize::MIN).unwrap()
}

#[test]
fn layouts_of_the_latest_sizes_are_remembered() {
    let mut session = session("1.0-16".parse().unwrap());
    for width in 17..17 + 2 * MAX_SIZES {
        session.run_at(&vec![0.5; 16 * width * 3], 1, [16, width]).unwrap();
        assert!(session.sizes.len() <= MAX_SIZES, "{} layouts", session.sizes.len());
    }
    let latest: Vec<_> = session.sizes.iter().map(|known| known.program.clone()).collect();
    let oldest = latest.last().unwrap();
    let width = oldest.input().size[1];
    session.run_at(&vec![0.5; 16 * width * 3], 1, [16, width]).unwrap();
    assert!(Arc::ptr_eq(&session.sizes[0].program, oldest), "its layout was made again");
}

#[test]
fn whole_images_are_timed_at_four_to_three() {
    let row = "1.0-16".parse().unwrap();
    let mut session = session(row);
    measure(&mut session, row, MeasureConfig { warmup: 0, runs: 1, time: Duration::ZERO }).unwrap();
    assert_eq!(session.latest.0.input().size, [16, 22]);
}
