//! Batches of mixed images: who is mixed with whom, and what must not matter.

use super::*;
use crate::augment::{Mix, Mixing};

fn mixing(mixup: f64, cutmix: f64) -> TrainTransform {
    TrainTransform { mixup, cutmix, ..transform() }
}

fn train_with(loader: &Loader, transform: TrainTransform) -> Vec<Content> {
    contents(loader.train(transform, &preprocess(), Position::default(), 2).unwrap())
}

#[test]
fn neighbors_are_mixed_and_an_odd_last_one_is_left_alone() {
    let dir = data(26);
    let loader = loader(dir.path(), LoaderConfig { batch_size: 5, ..config(2) });
    let plain = train_with(&loader, transform());
    let (mut blends, mut exchanges) = (0, 0);
    for (mixup, cutmix) in [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)] {
        let settings = Mixing::new(mixup, cutmix).unwrap().unwrap();
        let mixed = train_with(&loader, mixing(mixup, cutmix));
        assert_eq!(mixed.len(), plain.len());
        for (mixed, plain) in mixed.iter().zip(&plain) {
            assert_eq!((&mixed.indices, &mixed.labels), (&plain.indices, &plain.labels));
            let second = mixed.second.as_ref().unwrap();
            let mut images = plain.images.clone();
            for pair in [0, 2] {
                // The first sample names the stream.
                let key = mutualnet_core::rng::Key::new(11, Purpose::Mix).epoch(plain.epoch);
                let mix = settings.draw(8, &mut key.sample(plain.indices[pair].into()).stream());
                let (a, b) = images[pair * 192..][..2 * 192].split_at_mut(192);
                mix.apply(a, b, 8);
                assert_eq!(second.shares[pair..pair + 2], [mix.share(); 2]);
                assert_eq!(second.labels[pair..pair + 2], [plain.labels[pair + 1], plain.labels[pair]]);
                match mix {
                    Mix::Blend { .. } => blends += 1,
                    Mix::Exchange { .. } => exchanges += 1,
                }
            }
            assert_eq!((second.shares[4], second.labels[4]), (1.0, plain.labels[4]));
            assert_eq!(mixed.images, images);
        }
    }
    // 20 pairs each of one kind, and 20 of either.
    assert!(blends > 22 && exchanges > 22, "{blends}, {exchanges}");
}

#[test]
fn mixing_depends_on_neither_workers_nor_where_one_starts() {
    let dir = data(26);
    let transform = TrainTransform { repeats: 2, ..mixing(0.2, 1.0) };
    let straight = train_with(&loader(dir.path(), config(1)), transform);
    let many = loader(dir.path(), config(4));
    assert_eq!(train_with(&many, transform), straight);
    let from = Position { epoch: 1, step: 2 };
    assert_eq!(contents(many.train(transform, &preprocess(), from, 2).unwrap()), straight[8..]);
    let shares: Vec<_> = straight.iter().flat_map(|b| b.second.clone().unwrap().shares).step_by(2).collect();
    let distinct = shares.iter().filter(|share| shares.iter().filter(|other| other == share).count() == 1);
    assert!(2 * distinct.count() > shares.len(), "every pair draws for itself: {shares:?}");
}

#[test]
fn calibration_and_evaluation_never_mix() {
    let dir = data(26);
    let loader = loader(dir.path(), config(2));
    let calibrate = |transform| contents(loader.calibrate(transform, &preprocess(), 3).unwrap());
    let calibrated = calibrate(mixing(0.2, 1.0));
    assert_eq!(calibrated, calibrate(transform()));
    let evaluated = contents(loader.evaluate(&preprocess()).unwrap());
    assert!(calibrated.iter().chain(&evaluated).all(|batch| batch.second.is_none()));
}
