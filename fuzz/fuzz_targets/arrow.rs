//! Reads arbitrary bytes as an Arrow file, either a stream or a file with a footer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mutualnet_fuzz::{init, read_and_check};

fuzz_target!(init: init(), |bytes: &[u8]| read_and_check("train.arrow", bytes));
