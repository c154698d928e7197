//! timm's names of our modules.

use mutualnet_core::Network;
use mutualnet_core::network::{Conv, Groups, Op};

use super::{resnet_module, resnet_stages, stage_of};

/// Blocks per stage.
const V1_STAGES: [usize; 5] = [1, 2, 2, 6, 2];
const V2_STAGES: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];
const V3_STAGES: [usize; 6] = [1, 2, 3, 4, 2, 3];

/// What timm calls the module at our `path`.
pub(super) fn module(network: &Network, path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('.').collect();
    let stem = match parts[..] {
        ["features", "0", "0"] => Some("conv_stem"),
        ["features", "0", "1"] => Some("bn1"),
        _ => None,
    };
    let name = network.name();
    if matches!(name, "mobilenet_v1" | "mobilenet_v2" | "mobilenet_v3_large" | "efficientnet_b0")
        && let Some(stem) = stem
    {
        return Some(stem.to_owned());
    }
    match name {
        "mobilenet_v1" => mobilenet_v1(&parts),
        "mobilenet_v2" => mobilenet_v2(&parts),
        "mobilenet_v3_large" => mobilenet_v3(network, &parts),
        "efficientnet_b0" => efficientnet(network, &parts),
        name if name.starts_with("mnasnet") => mnasnet(&parts),
        name => resnet_module(&resnet_stages(name)?, path),
    }
}

fn block(stages: &[usize], idx: &str, layer: &str) -> Option<String> {
    let (stage, block) = stage_of(stages, idx.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some(format!("blocks.{stage}.{block}.{layer}"))
}

/// Layers of a block without expansion.
fn separable(layer: &str) -> Option<&'static str> {
    match layer {
        "0" => Some("conv_dw"),
        "1" => Some("bn1"),
        "3" => Some("conv_pw"),
        "4" => Some("bn2"),
        _ => None,
    }
}

/// Layers of a block with expansion.
fn inverted_residual(layer: &str) -> Option<&'static str> {
    match layer {
        "0" => Some("conv_pw"),
        "1" => Some("bn1"),
        "3" => Some("conv_dw"),
        "4" => Some("bn2"),
        "6" => Some("conv_pwl"),
        "7" => Some("bn3"),
        _ => None,
    }
}

fn mobilenet_v1(parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "0"] => Some("classifier".to_owned()),
        ["features", idx, "body", layer] => block(&V1_STAGES, idx, separable(layer)?),
        _ => None,
    }
}

fn mobilenet_v2(parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "0"] => Some("classifier".to_owned()),
        ["features", "18", "0"] => Some("conv_head".to_owned()),
        ["features", "18", "1"] => Some("bn2".to_owned()),
        ["features", "1", "body", layer] => block(&V2_STAGES, "1", separable(layer)?),
        ["features", idx, "body", layer] => block(&V2_STAGES, idx, inverted_residual(layer)?),
        _ => None,
    }
}

/// One list has the stem, the block after it, the stacks of blocks and the last convolution.
fn mnasnet(parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "1"] => Some("classifier".to_owned()),
        ["layers", "0"] => Some("conv_stem".to_owned()),
        ["layers", "1"] => Some("bn1".to_owned()),
        ["layers", "14"] => Some("conv_head".to_owned()),
        ["layers", "15"] => Some("bn2".to_owned()),
        ["layers", layer] => {
            let layer = layer.parse::<usize>().ok()?.checked_sub(3)?;
            Some(format!("blocks.0.0.{}", separable(&layer.to_string())?))
        }
        ["layers", stack, idx, "layers", layer] => {
            let stage = stack.parse::<usize>().ok()?.checked_sub(7)?;
            Some(format!("blocks.{stage}.{idx}.{}", inverted_residual(layer)?))
        }
        _ => None,
    }
}

fn mobilenet_v3(network: &Network, parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "0"] => Some("conv_head".to_owned()),
        ["classifier", "3"] => Some("classifier".to_owned()),
        ["features", "16", "0"] => Some("blocks.6.0.conv".to_owned()),
        ["features", "16", "1"] => Some("blocks.6.0.bn1".to_owned()),
        ["features", idx, "block", ref layer @ ..] => {
            block(&V3_STAGES, idx, mobile_layer(network, &format!("features.{idx}.block"), layer)?)
        }
        _ => None,
    }
}

fn efficientnet(network: &Network, parts: &[&str]) -> Option<String> {
    match *parts {
        ["classifier", "1"] => Some("classifier".to_owned()),
        ["features", "8", "0"] => Some("conv_head".to_owned()),
        ["features", "8", "1"] => Some("bn2".to_owned()),
        ["features", stage, idx, "block", ref layer @ ..] => {
            let block = format!("features.{stage}.{idx}.block");
            let layer = mobile_layer(network, &block, layer)?;
            let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
            Some(format!("blocks.{stage}.{idx}.{layer}"))
        }
        _ => None,
    }
}

/// What timm calls a layer of an inverted residual, which torchvision calls `layer` of `block`.
fn mobile_layer(network: &Network, block: &str, layer: &[&str]) -> Option<&'static str> {
    // What a layer is called depends on whether it comes before or after the depthwise convolution.
    let depthwise = network.nodes().iter().find_map(|node| {
        let rest = node.path.strip_prefix(block)?.strip_prefix('.')?;
        let is_depthwise = matches!(&node.op, Op::Conv(Conv { groups: Groups::Depthwise, .. }));
        is_depthwise.then(|| rest.split('.').next()?.parse::<usize>().ok())?
    })?;
    let expands = depthwise > 0;
    match *layer {
        [_, "fc1"] => Some("se.conv_reduce"),
        [_, "fc2"] => Some("se.conv_expand"),
        [part, layer @ ("0" | "1")] => {
            let part: usize = part.parse().ok()?;
            Some(match (part.cmp(&depthwise), expands, layer) {
                (std::cmp::Ordering::Less, _, "0") => "conv_pw",
                (std::cmp::Ordering::Less, _, _) => "bn1",
                (std::cmp::Ordering::Equal, _, "0") => "conv_dw",
                (std::cmp::Ordering::Equal, true, _) => "bn2",
                (std::cmp::Ordering::Equal, false, _) => "bn1",
                (std::cmp::Ordering::Greater, true, "0") => "conv_pwl",
                (std::cmp::Ordering::Greater, true, _) => "bn3",
                (std::cmp::Ordering::Greater, false, "0") => "conv_pw",
                (std::cmp::Ordering::Greater, false, _) => "bn2",
            })
        }
        _ => None,
    }
}
