//! Parquet and Arrow files: the same as folders, named in every way, damaged.

use std::fs;

use mutualnet_core::network::Rank;
use parquet::basic::Compression;

use crate::index::fixture::{CLASSES, batches, folder, images, quarantined, samples};
use crate::index::shards::tests::data;
use crate::pack::{PackOptions, Store, pack};
use crate::table::arrow_tests::{Kind, arrow};
use crate::table::parquet_tests::{Row, parquet};
use crate::{Dataset, Notice, Progress, Result, Split};

fn train(dir: &tempfile::TempDir) -> Result<Dataset> {
    Dataset::open_split(dir.path(), Split::Train)
}

#[test]
fn rows_are_an_image_folder() {
    let (_dir, expected) = folder();
    let images = images();
    let rows: Vec<Row<'_>> =
        images.iter().map(|(_, class, bytes)| (Some(bytes.as_slice()), Some(*class as i64))).collect();
    let (first, second) = rows.split_at(6);
    let write = |rows, names| parquet(rows, names, Compression::SNAPPY);
    let stream = |rows, names| arrow(rows, names, Kind::Stream);
    let names = Some(&CLASSES[..]);
    let listed = ("classes.txt", CLASSES.join("\n").into_bytes());
    for dir in [
        data(&[
            ("data/train-00000-of-00002.parquet", write(first, names)),
            ("data/train-00001-of-00002.parquet", write(second, names)),
        ]),
        data(&[("train-0.parquet", write(first, names)), ("train-1.parquet", write(second, None))]),
        data(&[("train.parquet", write(&rows, None)), listed.clone()]),
        data(&[("train/0.parquet", write(&rows, names))]),
        data(&[
            ("train/data-00000-of-00002.arrow", stream(first, names)),
            ("train/data-00001-of-00002.arrow", stream(second, names)),
            ("train/cache-0123456789abcdef.arrow", stream(&rows, names)),
            ("train/state.json", b"{}".to_vec()),
        ]),
        data(&[("data/train-0.arrow", stream(first, names)), ("data/train-1.arrow", stream(second, None))]),
        data(&[("train.arrow", stream(&rows, None)), listed]),
        data(&[("ants-train.arrow", stream(&rows, names)), ("ants-test.arrow", stream(first, names))]),
        data(&[
            ("ants-train-00000-of-00002.arrow", stream(first, names)),
            ("ants-train-00001-of-00002.arrow", stream(second, names)),
        ]),
        data(&[("train.feather", arrow(&rows, names, Kind::File))]),
        data(&[("train/0.arrow", stream(first, names)), ("train/1.parquet", write(second, names))]),
    ] {
        let dataset = train(&dir).unwrap();
        assert_eq!(dataset.classes(), CLASSES);
        assert!(batches(&dataset) == batches(&expected));
        assert!(dataset.notices().is_empty());
        assert_eq!(dataset.share(0.5).unwrap().samples().len(), 7);
        assert_eq!(quarantined(dir.path()), [""; 0]);
    }
    let dir = data(&[("train.parquet", write(&rows, None))]);
    assert_eq!(train(&dir).unwrap().classes(), ["0", "1", "2"]);
}

#[test]
fn damage_is_named_and_what_is_whole_is_usable() {
    // All of them differ, because equal ones are stored once.
    let images: Vec<_> = images().into_iter().map(|(.., bytes)| bytes).skip(1).step_by(2).collect();
    let image = &images[0];
    let write = |labels: &[Option<i64>], names: &[&str]| {
        let rows: Vec<Row<'_>> =
            labels.iter().zip(&images).map(|(&label, image)| (Some(image.as_slice()), label)).collect();
        parquet(&rows, Some(names), Compression::UNCOMPRESSED)
    };
    let whole = write(&[Some(1), Some(0), Some(2), None, Some(-1)], &["cat", "dog"]);
    let mut damaged = write(&[Some(0), Some(0)], &["cat", "dog"]);
    let pixels = damaged.windows(8).position(|window| window == &image[20..28]).unwrap();
    damaged[pixels] ^= 1;
    let dir = data(&[
        ("train-0.parquet", whole.clone()),
        ("train-1.parquet", whole[..whole.len() - 10].to_vec()),
        ("train-2.parquet", write(&[Some(0)], &["dog", "cat"])),
        ("train-3.parquet", damaged),
    ]);
    assert!(train(&dir).unwrap_err().hint().unwrap().contains("data check"));
    let broken = quarantined(dir.path());
    let starts = [
        "train-0.parquet/2: label 2 is not a class: they are numbered from 0 to 1",
        "train-0.parquet/3: no label: the record has none",
        "train-0.parquet/4: label -1 is not a class: they are numbered from 0 to 1",
        "train-1.parquet/@0: archive: ",
        "train-2.parquet/@0: archive: its class names differ from those of the first file",
        "train-3.parquet/0: PNG: ",
    ];
    let mut sorted = broken.clone();
    sorted.sort();
    assert_eq!(sorted.len(), starts.len(), "{broken:?}");
    for (line, start) in sorted.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    let dataset = train(&dir).unwrap();
    let expected = [("train-0.parquet/1", 0), ("train-3.parquet/1", 0), ("train-0.parquet/0", 1)];
    assert_eq!(samples(&dataset), expected.map(|(name, class)| (name.to_owned(), class)));
    assert_eq!(dataset.notices(), [Notice::Quarantined { rank: Rank::Image, files: 6 }]);
    // A file that shrinks later is a broken image.
    fs::write(dir.path().join("train-0.parquet"), b"PAR1").unwrap();
    let error = dataset.image(0).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.starts_with("row group: archive: "), "{reason}");
}

#[test]
fn damage_of_arrow_files_is_named_and_what_is_whole_is_usable() {
    let images: Vec<_> = images().into_iter().map(|(.., bytes)| bytes).collect();
    let write = |labels: &[Option<i64>], names: &[&str]| {
        // The last one has no image.
        let image = |i: usize| Some(images[i].as_slice()).filter(|_| i + 1 < labels.len());
        let rows: Vec<Row<'_>> = labels.iter().enumerate().map(|(i, &label)| (image(i), label)).collect();
        arrow(&rows, Some(names), Kind::Stream)
    };
    let whole = write(&[Some(1), Some(0), Some(2), None, Some(-1), Some(0)], &["cat", "dog"]);
    let dir = data(&[
        ("data/train-0.arrow", whole.clone()),
        ("data/train-1.arrow", whole[..whole.len() - 10].to_vec()),
        ("data/train-2.arrow", write(&[Some(0)], &["dog", "cat"])),
        ("data/train-3.arrow", whole[..100].to_vec()),
    ]);
    assert!(train(&dir).unwrap_err().hint().unwrap().contains("data check"));
    let mut broken = quarantined(dir.path());
    broken.sort();
    let starts = [
        "data/train-0.arrow/2: label 2 is not a class: they are numbered from 0 to 1",
        "data/train-0.arrow/3: no label: the record has none",
        "data/train-0.arrow/4: label -1 is not a class: they are numbered from 0 to 1",
        "data/train-0.arrow/5: archive: the record has no image",
        "data/train-1.arrow/2: label 2 is not a class: they are numbered from 0 to 1",
        "data/train-1.arrow/3: no label: the record has none",
        "data/train-1.arrow/@",
        "data/train-2.arrow/@0: archive: its class names differ from those of the first file",
        "data/train-3.arrow/@0: archive: ",
    ];
    assert_eq!(broken.len(), starts.len(), "{broken:?}");
    for (line, start) in broken.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(broken[6].contains(": archive: "), "{broken:?}");
    let dataset = train(&dir).unwrap();
    let usable =
        ["data/train-0.arrow/1", "data/train-1.arrow/1", "data/train-0.arrow/0", "data/train-1.arrow/0"];
    assert_eq!(samples(&dataset).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), usable);
    // A file that shrinks later is a broken image.
    fs::write(dir.path().join("data/train-0.arrow"), b"ARROW1").unwrap();
    let error = dataset.image(0).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().starts_with("row group: "), "{error}");
}

#[test]
fn a_packed_copy_of_an_arrow_file_is_the_same() {
    let (_dir, expected) = folder();
    let images = images();
    let rows: Vec<Row<'_>> =
        images.iter().map(|(_, class, bytes)| (Some(bytes.as_slice()), Some(*class as i64))).collect();
    let dir = data(&[("train.arrow", arrow(&rows, Some(&CLASSES), Kind::Stream))]);
    let out = dir.path().join("out.mnpack");
    let options = PackOptions { store: Store::Raw, ..PackOptions::default() };
    assert_eq!(pack(dir.path(), &out, &options, &Progress::default()).unwrap().n_samples, rows.len());
    assert!(batches(&Dataset::open_split(&out, Split::Train).unwrap()) == batches(&expected));
}

#[test]
fn a_hash_is_of_sizes_and_a_split_is_in_one_place() {
    let rows: [Row<'_>; 2] = [(Some(b"one"), Some(0)), (Some(b"two"), Some(0))];
    let file = |names| arrow(&rows, Some(names), Kind::Stream);
    let hash = |file| train(&data(&[("train.arrow", file)])).unwrap().hash();
    assert_eq!(hash(file(&["a"])), hash(file(&["a"])));
    // The same records in a file of another size.
    let shifted = arrow(&rows, Some(&["a"]), Kind::File);
    assert_ne!(hash(file(&["a"])), hash(shifted));
    let file = file(&["a"]);
    let dir = data(&[("train.arrow", file.clone()), ("train.feather", file.clone())]);
    assert!(train(&dir).unwrap_err().to_string().starts_with("the split exists twice: "));
    let dir = data(&[("train.arrow", file.clone()), ("data/train-0.arrow", file)]);
    assert!(train(&dir).unwrap_err().to_string().starts_with("the split exists twice: "));
}

#[test]
fn no_rows_are_no_images() {
    let dir = data(&[("test.parquet", parquet(&[], None, Compression::UNCOMPRESSED))]);
    let error = Dataset::open_split(dir.path(), Split::held_out(dir.path()).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("no JPEG, PNG or WebP files in "), "{error}");
}

#[test]
fn tables_that_do_not_fit_into_the_cache_are_told_as_slow() {
    let image = vec![7; 5000];
    let rows: Vec<Row<'_>> = (0..10).map(|i| (Some(image.as_slice()), Some(i % 2))).collect();
    let dir = data(&[("train.arrow", arrow(&rows, None, Kind::Stream))]);
    let dataset = train(&dir).unwrap();
    assert_eq!(dataset.notices(), []);
    assert_eq!(crate::index::slow_tables(dataset.samples(), 50_000), None);
    let notice = crate::index::slow_tables(dataset.samples(), 49_000).unwrap();
    assert!(notice.to_string().contains("`mutualnet data pack`"), "{notice}");
}
