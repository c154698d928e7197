//! Batches that several loaders make together are those that one makes alone.

use super::*;

/// Batches of all parts, laid beside each other.
fn joined(dir: &Path, of: usize, make: impl Fn(&Loader) -> Batches) -> Vec<Content> {
    let parts: Vec<_> = (0..of)
        .map(|index| {
            let config = LoaderConfig { batch_size: 12, part: Part { index, of }, ..config(2) };
            contents(make(&loader(dir, config)))
        })
        .collect();
    let batch = |number: usize| {
        let parts = parts.iter().map(|part| &part[number]);
        parts.cloned().reduce(|mut all, part| {
            assert_eq!((all.epoch, all.step), (part.epoch, part.step), "parts are at the same step");
            all.indices.extend(part.indices);
            all.labels.extend(part.labels);
            all.images.extend(part.images);
            if let (Some(all), Some(part)) = (&mut all.second, part.second) {
                all.labels.extend(part.labels);
                all.shares.extend(part.shares);
            }
            all
        })
    };
    assert!(parts.iter().all(|part| part.len() == parts[0].len()), "parts keep step");
    (0..parts[0].len()).filter_map(batch).collect()
}

#[test]
fn parts_together_are_the_whole() {
    let dir = data(26);
    for repeats in [1, 2] {
        let transform = TrainTransform { repeats, ..transform() };
        let train = |loader: &Loader| {
            loader.train(transform, &preprocess(), Position { epoch: 0, step: 1 }, 3).unwrap()
        };
        let calibrate = |loader: &Loader| loader.calibrate(transform, &preprocess(), 2).unwrap();
        let whole = [joined(dir.path(), 1, train), joined(dir.path(), 1, calibrate)];
        assert_eq!(whole.each_ref().map(Vec::len), [5, 2]);
        for of in [2, 3, 4, 6, 12] {
            assert_eq!([joined(dir.path(), of, train), joined(dir.path(), of, calibrate)], whole);
        }
    }
}

#[test]
fn mixed_parts_together_are_the_whole() {
    let dir = data(26);
    for repeats in [1, 3] {
        let transform = TrainTransform { mixup: 0.4, cutmix: 1.0, repeats, ..transform() };
        let train = |loader: &Loader| loader.train(transform, &preprocess(), Position::default(), 2).unwrap();
        let whole = joined(dir.path(), 1, train);
        assert!(whole.iter().all(|batch| batch.second.is_some()));
        for of in [2, 3, 6] {
            assert_eq!(joined(dir.path(), of, train), whole);
        }
    }
}

#[test]
fn parts_of_an_incomplete_batch_may_be_empty() {
    let dir = data(26);
    let evaluate = |loader: &Loader| loader.evaluate(&preprocess()).unwrap();
    let whole = joined(dir.path(), 1, evaluate);
    assert_eq!(whole[2].indices, [24, 25]);
    assert_eq!(joined(dir.path(), 4, evaluate), whole);
}

#[test]
fn parts_that_cannot_be_are_errors() {
    let dir = data(6);
    let error = |index, of| {
        let config = LoaderConfig { part: Part { index, of }, ..config(1) };
        Loader::new(Arc::new(Dataset::open(dir.path()).unwrap()), config).unwrap_err().to_string()
    };
    assert_eq!(error(0, 3), "part: a batch of 4 cannot be divided into 3 equal parts");
    assert_eq!(error(2, 2), "part: there is no part 2 of 2; parts are numbered from 0");
    let config = LoaderConfig { part: Part { index: 0, of: 4 }, ..config(1) };
    let loader = loader(dir.path(), config);
    let train = |transform| loader.train(transform, &preprocess(), Position::default(), 1).map(drop);
    train(transform()).unwrap();
    assert_eq!(
        train(TrainTransform { mixup: 0.2, ..transform() }).unwrap_err().to_string(),
        "part: mixup and cutmix need parts of an even number of images, not of 1"
    );
    assert_eq!(error(0, 0), "part: there is no part 0 of 0; parts are numbered from 0");
}
