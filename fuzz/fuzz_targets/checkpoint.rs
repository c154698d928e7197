//! Any bytes as a checkpoint: a pickle in either of PyTorch's containers, or safetensors.
//!
//! A panic, a hang or memory without bounds is a finding; an error is not. What is imported must be what the network needs.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mutualnet_core::Network;
use mutualnet_fuzz::{init, network};
use mutualnet_import::{Extra, Head, Matching, Rules, StateDict, classes, import};

static NETWORK: LazyLock<Network> = LazyLock::new(network);

fuzz_target!(init: init(), |bytes: &[u8]| {
    for entry in [None, Some("model")] {
        let Ok(state) = StateDict::read(bytes, entry) else { continue };
        for matching in [Matching::Name, Matching::Position] {
            for (head, prefix) in [(Head::Imported, None), (Head::LeftOut, Some("net."))] {
                let rules = Rules { matching, extra: Extra::LeaveOut, head, prefix };
                let _ = classes(&state, &NETWORK, rules);
                let Ok(imported) = import(&state, &NETWORK, rules) else { continue };
                for (name, tensor) in &imported.weights {
                    assert_eq!(tensor.data.len(), tensor.shape.iter().product::<usize>(), "{name}");
                    assert!(tensor.data.iter().all(|number| number.is_finite()), "{name}");
                }
            }
        }
    }
});
