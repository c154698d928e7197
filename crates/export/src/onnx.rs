//! Exports a row as an ONNX file, and runs such a file.
//!
//! Separate from the other exports because it translates the network, which they leave as it is.
//! Invariant: whoever runs the file gets what the row computes, up to rounding: batch norms are folded into the layers
//! before them, and nothing but the side of a classifier's input is fixed.

use std::path::Path;

use mutualnet_bundle::{Bundle, SmallerResolutions, write_atomically};
use mutualnet_core::Subnet;
use prost::Message;
use serde_json::json;

use crate::{Error, Result, slice};

mod proto;
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

mod builder;
mod fold;
mod translate;

mod interpreter;
pub use interpreter::Interpreter;

mod kernels;

mod check;
pub use check::{Difference, Images, compare, images};

/// The version of the format. Newer ones have nothing that we need.
const IR_VERSION: i64 = 8;

/// The version of the operators, which onnxruntime and OpenVINO know: all that we write are the same in it as in
/// versions 15 to 17.
const OPSET: i64 = 17;

/// The bytes of an ONNX file that computes one row.
///
/// # Errors
/// Fails if `subnet` is not a row of the table, if the network has something that cannot be written as ONNX, or if the file
/// would be larger than the 2 GiB that the format allows.
pub fn to_onnx(bundle: &Bundle, subnet: Subnet) -> Result<Vec<u8>> {
    let row = slice(bundle, subnet)?;
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "mutualnet".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!("row {subnet} of {}", row.network().name()),
        graph: Some(translate::graph(&row, subnet)?),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata(&row, subnet),
    };
    let bytes = model.encoded_len();
    if bytes > i32::MAX as usize {
        return Err(Error::TooLarge { bytes });
    }
    Ok(model.encode_to_vec())
}

/// Writes the bytes of [`to_onnx`] to a file. Afterwards the file is either the old or the new one, complete.
///
/// # Errors
/// Fails in the same cases as [`to_onnx`], or if the file cannot be written.
pub fn write_onnx(bundle: &Bundle, subnet: Subnet, path: &Path) -> Result<()> {
    Ok(write_atomically(path, &to_onnx(bundle, subnet)?)?)
}

/// What a program needs besides the graph: how to prepare an image, and what the outputs mean. Keys are sorted, and every
/// value is JSON.
fn metadata(row: &Bundle, subnet: Subnet) -> Vec<StringStringEntryProto> {
    let network = row.network().name();
    let entries = [
        ("classes", json!(row.classes())),
        ("network", json!(network)),
        ("preprocess", json!(row.preprocess())),
        ("provenance", json!(row.provenance())),
        ("row", json!(subnet.to_string())),
        ("smaller_resolutions", json!(SmallerResolutions::BilinearAlignedCorners)),
        ("table", json!(row.table())),
        ("task", json!(row.task())),
    ];
    entries
        .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value: value.to_string() })
        .into()
}
