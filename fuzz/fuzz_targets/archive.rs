//! Reads arbitrary bytes as a shard or a list of labels; the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mutualnet_fuzz::{init, read_and_check};

fuzz_target!(init: init(), |bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let name = ["train.tar", "train.zip", "train.txt"][usize::from(kind) % 3];
    read_and_check(name, bytes);
});
