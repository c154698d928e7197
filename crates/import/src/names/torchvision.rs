//! torchvision's names, where they differ from ours.

use mutualnet_core::Network;

use super::{resnet_module, resnet_stages};

/// What torchvision calls the module at our `path`.
pub(super) fn module(network: &Network, path: &str) -> Option<String> {
    match network.name() {
        "mobilenet_v2" => mobilenet_v2(path),
        name => resnet_module(&resnet_stages(name)?, path),
    }
}

/// Within a block, convolution, norm and activation form a module of their own, except at the last convolution.
fn mobilenet_v2(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('.').collect();
    let layer = match parts[..] {
        ["classifier", "0"] => return Some("classifier.1".to_owned()),
        ["features", _, _] => return Some(path.to_owned()),
        // The first block expands nothing.
        ["features", "1", "body", layer] => match layer {
            "0" => "0.0",
            "1" => "0.1",
            "3" => "1",
            "4" => "2",
            _ => return None,
        },
        ["features", _, "body", layer] => match layer {
            "0" => "0.0",
            "1" => "0.1",
            "3" => "1.0",
            "4" => "1.1",
            "6" => "2",
            "7" => "3",
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("features.{}.conv.{layer}", parts[1]))
}
