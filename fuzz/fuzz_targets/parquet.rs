//! Reads arbitrary bytes as a Parquet file. Its library may panic, and such panics are caught.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mutualnet_fuzz::{allow_caught_panics, read_and_check};

fuzz_target!(init: allow_caught_panics(), |bytes: &[u8]| read_and_check("train.parquet", bytes));
