//! Parquet files as the library `datasets` writes them, and damaged ones.

use std::fs;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::table;

pub(crate) const SCHEMA: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

/// An image and a label.
pub(crate) type Row<'a> = (Option<&'a [u8]>, Option<i64>);

/// A file with two rows in a group.
pub(crate) fn parquet(rows: &[Row<'_>], names: Option<&[&str]>, compression: Compression) -> Vec<u8> {
    let about = |names: &[&str]| vec![KeyValue::new("huggingface".to_owned(), description(names))];
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_key_value_metadata(names.map(about))
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for rows in rows.chunks(2) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<_> =
            rows.iter().map(|row| row.0.map(|image| ByteArray::from(image.to_vec()))).collect();
        column::<ByteArrayType>(&mut group, 2, images);
        column::<ByteArrayType>(&mut group, 2, rows.iter().map(|_| Some(ByteArray::from("a.png"))).collect());
        column::<Int64Type>(&mut group, 1, rows.iter().map(|row| row.1).collect());
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// What `datasets` says of classes.
pub(crate) fn description(names: &[&str]) -> String {
    serde_json::json!({"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}).to_string()
}

fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    max_level: i16,
    values: Vec<Option<T::T>>,
) {
    let levels: Vec<i16> = values.iter().map(|value| if value.is_some() { max_level } else { 0 }).collect();
    let values: Vec<_> = values.into_iter().flatten().collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
}

type Found = (Vec<Option<i64>>, Vec<Result<Vec<u8>, String>>, Option<Vec<String>>);

/// Labels, images and names of a file.
fn found(bytes: &[u8]) -> Result<Found, String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.parquet"), bytes).unwrap();
    let scan = table::scan(dir.path(), "a.parquet".into(), 0, &Arc::default()).map_err(|e| e.to_string())?;
    let mut buffer = Vec::new();
    let images =
        (0..scan.labels.len()).map(|row| match scan.table.read(dir.path(), row as u32, &mut buffer) {
            Ok(()) => Ok(buffer.clone()),
            Err(reason) => Err(reason.to_string()),
        });
    let images = images.collect();
    Ok((scan.labels, images, scan.names))
}

const ROWS: [Row<'static>; 5] = [
    (Some(b"one"), Some(1)),
    (Some(&[7; 5000]), Some(0)),
    (None, Some(2)),
    (Some(b""), None),
    (Some(b"five"), Some(-1)),
];

#[test]
fn rows_are_found_in_their_groups() {
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())]
    {
        let (labels, images, names) = found(&parquet(&ROWS, Some(&["a", "b"]), compression)).unwrap();
        assert_eq!(labels, [Some(1), Some(0), Some(2), None, Some(-1)]);
        let expected = [Ok(b"one".to_vec()), Ok(vec![7; 5000]), Err(()), Ok(vec![]), Ok(b"five".to_vec())];
        let plain: Vec<_> = images.iter().map(|image| image.clone().map_err(|_| ())).collect();
        assert_eq!(plain, expected);
        assert_eq!(images[2], Err("archive: the record has no image".to_owned()));
        assert_eq!(names.unwrap(), ["a", "b"]);
    }
}

#[test]
fn columns_that_are_not_there_are_named() {
    let write = |schema: &str| {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
        found(&writer.into_inner().unwrap())
    };
    let error = write("message schema { optional int64 label; optional int64 image; }").unwrap_err();
    assert_eq!(
        error,
        "archive: no column `image.bytes`, `img.bytes`, `image`, `img` with values that can be read"
    );
    let error = write("message schema { optional binary img; repeated int64 label; }").unwrap_err();
    assert!(error.contains("`label`, `fine_label`"), "{error}");
    let (labels, ..) = write("message schema { required binary img; required int32 fine_label; }").unwrap();
    assert!(labels.is_empty());
}

#[test]
fn no_byte_that_is_changed_and_no_end_that_is_cut_stops_the_process() {
    let rows = [(Some(&b"one"[..]), Some(1)), (Some(&[7; 40]), Some(0)), (Some(b"three"), None)];
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        let bytes = parquet(&rows, Some(&["a"]), compression);
        for len in (0..bytes.len()).step_by(31) {
            found(&bytes[..len]).unwrap_err();
        }
        for i in (0..bytes.len()).step_by(2) {
            let mut changed = bytes.clone();
            changed[i] = [0, 0x7f, 0xff][i % 3];
            _ = found(&changed);
        }
    }
}
