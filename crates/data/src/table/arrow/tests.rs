//! Arrow files of every kind that is read, those that are refused, and damaged ones.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray, FixedSizeListArray,
    Int64Array, LargeBinaryArray, ListArray, NullArray, RecordBatch, StringArray, StringViewArray,
    StructArray, UInt8Array, UInt64Array,
};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Field, Schema};
use proptest::prelude::*;

use super::columns::Columns;
use super::{Reader, next_group};
use crate::table::parquet_tests::{Row, description};
use crate::table::scan;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    File,
}

const KINDS: [Kind; 2] = [Kind::Stream, Kind::File];

/// A file as the library `datasets` writes it, with two rows in a batch.
pub(crate) fn arrow(rows: &[Row<'_>], names: Option<&[&str]>, kind: Kind) -> Vec<u8> {
    let batch = |rows: &[Row<'_>]| {
        vec![("image", around(binary(rows))), ("label", Arc::new(Int64Array::from(labels(rows))) as ArrayRef)]
    };
    let batches: Vec<_> = rows.chunks(2).map(batch).collect();
    let batches = if batches.is_empty() { vec![batch(&[])] } else { batches };
    write(&batches, names, kind, IpcWriteOptions::default()).unwrap()
}

type Batch = Vec<(&'static str, ArrayRef)>;

/// A file of batches, all of the same columns.
fn write(
    batches: &[Batch],
    names: Option<&[&str]>,
    kind: Kind,
    options: IpcWriteOptions,
) -> Result<Vec<u8>, ArrowError> {
    let about: HashMap<_, _> =
        names.into_iter().map(|names| ("huggingface".to_owned(), description(names))).collect();
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new_with_metadata(batches[0].iter().map(field).collect::<Vec<_>>(), about));
    let batches = batches.iter().map(|columns| {
        let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
        RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap()
    });
    let mut bytes = Vec::new();
    match kind {
        Kind::Stream => {
            let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options)?;
            batches.into_iter().try_for_each(|batch| writer.write(&batch))?;
            writer.finish()?;
        }
        Kind::File => {
            let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options)?;
            batches.into_iter().try_for_each(|batch| writer.write(&batch))?;
            writer.finish()?;
        }
    }
    Ok(bytes)
}

fn labels(rows: &[Row<'_>]) -> Vec<Option<i64>> {
    rows.iter().map(|row| row.1).collect()
}

fn binary(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(BinaryArray::from_iter(rows.iter().map(|row| row.0)))
}

fn large_binary(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(LargeBinaryArray::from_iter(rows.iter().map(|row| row.0)))
}

/// The struct of a path and of images that `datasets` has, null where an image is empty.
fn around(images: ArrayRef) -> ArrayRef {
    let paths: ArrayRef = Arc::new(StringArray::from_iter((0..images.len()).map(|_| Some("a.png"))));
    let fields = [("path", &paths), ("bytes", &images)];
    let fields: Vec<_> = fields.map(|(name, array)| Field::new(name, array.data_type().clone(), true)).into();
    let is_there: Vec<bool> = (0..images.len()).map(|i| i % 5 != 4).collect();
    Arc::new(StructArray::new(fields.into(), vec![paths, images], Some(is_there.into())))
}

/// Labels, images, names of the classes, and why the rest is missing.
#[derive(Debug, PartialEq)]
struct Found {
    labels: Vec<Option<i64>>,
    images: Vec<Result<Vec<u8>, String>>,
    names: Option<Vec<String>>,
    rest: Option<(u64, String)>,
}

fn found(bytes: &[u8]) -> Result<Found, String> {
    found_in(tempfile::tempdir().unwrap().path(), bytes)
}

/// As `found`, for many files: making directories takes most of the time, and so does writing over a file.
fn found_in(dir: &Path, bytes: &[u8]) -> Result<Found, String> {
    _ = fs::remove_file(dir.join("a.arrow"));
    fs::write(dir.join("a.arrow"), bytes).unwrap();
    let scan = scan(dir, "a.arrow".into(), 0, &Arc::default()).map_err(|e| e.to_string())?;
    let mut buffer = Vec::new();
    let images = (0..scan.labels.len() as u32).map(|row| {
        let read = scan.table.read(dir, row, &mut buffer).map_err(|reason| reason.to_string());
        read.map(|()| buffer.clone())
    });
    let images = images.collect();
    let rest = scan.rest.map(|(offset, reason)| (offset, reason.to_string()));
    Ok(Found { labels: scan.labels, images, names: scan.names, rest })
}

const ROWS: [Row<'static>; 6] = [
    (Some(b"one"), Some(1)),
    (Some(&[7; 5000]), Some(0)),
    (None, Some(2)),
    (Some(b""), None),
    (Some(b"five"), Some(-1)),
    (Some(b"six"), Some(0)),
];

/// What is read of rows; those whose struct is null have no image.
fn expected(rows: &[Row<'_>], in_structs: bool) -> Vec<Result<Vec<u8>, String>> {
    let missing = || "archive: the record has no image".to_owned();
    let image = |(i, row): (usize, &Row<'_>)| {
        row.0.filter(|_| !in_structs || i % 5 != 4).map(<[u8]>::to_vec).ok_or_else(missing)
    };
    rows.iter().enumerate().map(image).collect()
}

#[test]
fn rows_are_found_in_their_batches() {
    for kind in KINDS {
        let Found { labels: found_labels, images, names, rest } =
            found(&arrow(&ROWS, Some(&["a", "b"]), kind)).unwrap();
        assert_eq!(found_labels, labels(&ROWS));
        // No batch is so long that a struct in it is null.
        assert_eq!(images, expected(&ROWS, false));
        assert_eq!((names.unwrap().join(" "), rest), ("a b".to_owned(), None));
    }
}

#[test]
fn images_and_labels_are_of_many_types() {
    let label = |row: &Row<'_>| row.1;
    let small: ArrayRef = Arc::new(arrow_array::Int8Array::from_iter(
        ROWS.iter().map(label).map(|label| label.map(|label| label as i8)),
    ));
    let large: ArrayRef =
        Arc::new(UInt64Array::from(vec![Some(1), Some(0), Some(2), None, Some(u64::MAX), Some(0)]));
    for kind in KINDS {
        for (name, images, in_structs) in [
            ("image", around(binary(&ROWS)), true),
            ("img", around(large_binary(&ROWS)), true),
            ("image", large_binary(&ROWS), false),
            ("img.bytes", binary(&ROWS), false),
            ("image", around(Arc::new(BinaryViewArray::from_iter(ROWS.iter().map(|row| row.0)))), true),
        ] {
            for (label, array, fifth) in
                [("label", &small, -1), ("fine_label", &small, -1), ("label", &large, i64::MAX)]
            {
                let columns = vec![(label, Arc::clone(array)), (name, Arc::clone(&images))];
                let file = write(&[columns], None, kind, IpcWriteOptions::default()).unwrap();
                let found = found(&file).unwrap();
                assert_eq!(found.images, expected(&ROWS, in_structs), "{name} {kind:?}");
                assert_eq!(found.labels, [Some(1), Some(0), Some(2), None, Some(fifth), Some(0)]);
                assert_eq!((found.names, found.rest), (None, None));
            }
        }
    }
}

#[test]
fn columns_before_the_images_are_passed_over() {
    let n = ROWS.len() as i32;
    let text = |i: i32| format!("a text that is longer than a view holds: {i}");
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..n).map(|i| Some(vec![Some(i); 3])));
    let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..n).map(|i| Some(vec![Some(i), None])),
        2,
    );
    let words: DictionaryArray<Int8Type> = (0..n).map(|i| if i % 2 == 0 { "even" } else { "odd" }).collect();
    let columns: Batch = vec![
        ("nothing", Arc::new(NullArray::new(n as usize))),
        ("view", Arc::new(StringViewArray::from_iter_values((0..n).map(text)))),
        ("lists", Arc::new(lists)),
        ("pairs", Arc::new(pairs)),
        ("words", Arc::new(words)),
        ("yes", Arc::new(BooleanArray::from(vec![true; n as usize]))),
        ("nested", around(around(binary(&ROWS)))),
        ("views", Arc::new(BinaryViewArray::from_iter_values((0..n).map(text)))),
        ("image", around(binary(&ROWS))),
        ("label", Arc::new(Int64Array::from(labels(&ROWS)))),
    ];
    for kind in KINDS {
        let file = write(&[columns.clone(), columns.clone()], None, kind, IpcWriteOptions::default());
        let found = found(&file.unwrap()).unwrap();
        assert_eq!(found.images, [expected(&ROWS, true), expected(&ROWS, true)].concat());
        assert_eq!(found.labels, [labels(&ROWS), labels(&ROWS)].concat());
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let label = || ("label", Arc::new(Int64Array::from(labels(&ROWS))) as ArrayRef);
    let dictionary: ArrayRef = Arc::new(DictionaryArray::new(UInt8Array::from(vec![0; 6]), binary(&ROWS)));
    for kind in KINDS {
        let refused = |columns: Batch| {
            found(&write(&[columns], None, kind, IpcWriteOptions::default()).unwrap()).unwrap_err()
        };
        for (name, images) in [
            ("image", around(Arc::clone(&dictionary))),
            ("img", dictionary.clone()),
            ("picture", binary(&ROWS)),
        ] {
            assert_eq!(
                refused(vec![(name, images), label()]),
                "archive: no column `image.bytes`, `img.bytes`, `image`, `img` with values that can be read"
            );
        }
        let error = refused(vec![("image", binary(&ROWS)), ("label", binary(&ROWS))]);
        assert!(error.contains("`label`, `fine_label`"), "{error}");
    }
    // By pyarrow 26: `pa.ipc.new_stream(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))`.
    for (bytes, codec) in [(&include_bytes!("zstd.arrow")[..], "zstd"), (include_bytes!("lz4.arrow"), "lz4")]
    {
        let error = found(bytes).unwrap_err();
        assert!(error.starts_with("archive: ") && error.contains(codec), "{error}");
    }
    for (bytes, reason) in [
        (&b""[..], "an empty file, not an Arrow file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not an Arrow file"),
        (
            b"FEA1\0\0\x01\x02",
            "archive: Feather version 1 is not supported: write it as version 2, or as Parquet",
        ),
        (b"ARROW1\0\0", "archive: "),
        (b"\xff\xff\xff\xff\0\0\0\0", "archive: "),
        (b"\xff\xff\xff\xff\0\0\0\x7f", "archive: "),
    ] {
        let error = found(bytes).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }
}

const FEW: [Row<'static>; 5] = [
    (Some(b"one"), Some(1)),
    (Some(&[7; 40]), Some(0)),
    (None, None),
    (Some(b"four"), Some(3)),
    (Some(b"five"), Some(2)),
];

#[test]
fn what_comes_before_a_cut_is_usable_and_every_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let stream = arrow(&FEW, Some(&["a"]), Kind::Stream);
    let whole = found(&stream).unwrap();
    let mut n_rows = std::collections::BTreeSet::new();
    for len in 0..stream.len() {
        let Ok(found) = found_in(dir.path(), &stream[..len]) else { continue };
        let n = found.labels.len();
        n_rows.insert(n);
        assert_eq!((&found.labels[..], &found.images[..]), (&whole.labels[..n], &whole.images[..n]));
        let (offset, reason) = found.rest.unwrap();
        assert!(offset <= len as u64 && reason.starts_with("archive: "), "{reason}");
    }
    assert_eq!(n_rows.into_iter().collect::<Vec<_>>(), [2, 4, 5]);
    let file = arrow(&FEW, None, Kind::File);
    for len in 0..file.len() {
        found_in(dir.path(), &file[..len]).unwrap_err();
    }
}

#[test]
fn a_batch_that_contradicts_itself_is_not_read() {
    for kind in KINDS {
        let bytes = arrow(&FEW, None, kind);
        // Offsets of the last batch, with the zeros before them.
        let old = [0_i32, 0, 4].map(i32::to_le_bytes).concat();
        let at = bytes.windows(old.len()).rposition(|window| window == old).unwrap();
        for wrong in [[0, -1, 4], [0, 4, 3], [0, 0, i32::MAX]] {
            let mut changed = bytes.clone();
            changed[at..at + old.len()].copy_from_slice(&wrong.map(i32::to_le_bytes).concat());
            let found = found(&changed).unwrap();
            assert_eq!(found.labels, [Some(1), Some(0), None, Some(3)], "{wrong:?}");
            let (_, reason) = found.rest.unwrap();
            assert!(reason.starts_with("archive: "), "{reason}");
        }
    }
}

#[test]
fn a_footer_that_promises_more_than_the_file_takes_no_memory() {
    let bytes = arrow(&FEW, None, Kind::File);
    let footer_at =
        bytes.len() - 10 - u32::from_le_bytes(bytes[bytes.len() - 10..][..4].try_into().unwrap()) as usize;
    let footer = arrow_ipc::root_as_footer(&bytes[footer_at..bytes.len() - 10]).unwrap();
    let block = footer.recordBatches().unwrap().get(0);
    // Offset, length of the description, padding, length of the body.
    let at = footer_at + bytes[footer_at..].windows(24).position(|window| window == block.0).unwrap();
    for (field, wrong) in [(0, 1_i64 << 62), (16, 1 << 40), (16, -1)] {
        let mut changed = bytes.clone();
        changed[at + field..][..8].copy_from_slice(&wrong.to_le_bytes());
        assert_eq!(found(&changed).unwrap_err(), "archive: it ends within a batch: the file is truncated");
    }
    let mut changed = bytes.clone();
    changed[bytes.len() - 10..][..4].copy_from_slice(&i32::MAX.to_le_bytes());
    assert_eq!(found(&changed).unwrap_err(), "archive: it ends within a batch: the file is truncated");
}

#[test]
fn a_batch_with_more_rows_than_the_file_can_have_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.arrow");
    fs::write(&path, arrow(&FEW, None, Kind::Stream)).unwrap();
    let columns = Columns::find(&Reader::open(&path, None).unwrap().schema()).unwrap().0;
    for (most_rows, is_read) in [(1, false), (2, true)] {
        let mut reader = Reader::open(&path, Some(columns)).unwrap();
        assert_eq!(next_group(&mut reader, &columns, most_rows).is_ok(), is_read);
    }
}

#[test]
fn no_byte_that_is_changed_stops_the_process() {
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let bytes = arrow(&FEW, Some(&["a"]), kind);
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] = [0, 0x7f, 0xff][i % 3];
            _ = found_in(dir.path(), &changed);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_that_are_changed_stop_the_process(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_file in any::<bool>(),
    ) {
        let mut bytes = arrow(&FEW, Some(&["a"]), KINDS[usize::from(is_file)]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        _ = found(&bytes);
    }
}
