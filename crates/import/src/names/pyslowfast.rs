//! PySlowFast's names of modules that we call as pytorchvideo does.

/// What PySlowFast calls the module at our `path`.
pub(super) fn module(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('.').collect();
    match parts[..] {
        // pytorchvideo's names are swapped: its `conv_t` looks over space.
        ["blocks", "0", "conv", "conv_t"] => Some("s1.pathway0_stem.conv_xy".to_owned()),
        ["blocks", "0", "conv", "conv_xy"] | ["blocks", "0", "conv"] => {
            Some("s1.pathway0_stem.conv".to_owned())
        }
        ["blocks", "0", "norm"] => Some("s1.pathway0_stem.bn".to_owned()),
        ["blocks", "5", "pool", layer] => {
            let layer = match layer {
                "pre_conv" => "conv_5",
                "pre_norm" => "conv_5_bn",
                "post_conv" => "lin_5",
                _ => return None,
            };
            Some(format!("head.{layer}"))
        }
        ["blocks", "5" | "6", "proj"] => Some("head.projection".to_owned()),
        ["blocks", stage, "res_blocks", block, ref layer @ ..] => {
            let stage = stage.parse::<usize>().ok()? + 1;
            Some(format!("s{stage}.pathway0_res{block}.{}", layer_of_block(layer)?))
        }
        // Pathway 0 is the Slow one of SlowFast, and pathway 1 the Fast one.
        ["blocks", "0", "multipathway_blocks", pathway, layer] => {
            let layer = if layer == "norm" { "bn" } else { layer };
            Some(format!("s1.pathway{pathway}_stem.{layer}"))
        }
        ["blocks", stage, "multipathway_blocks", pathway, "res_blocks", block, ref layer @ ..] => {
            let stage = stage.parse::<usize>().ok()? + 1;
            Some(format!("s{stage}.pathway{pathway}_res{block}.{}", layer_of_block(layer)?))
        }
        ["blocks", stage, "multipathway_fusion", layer] => {
            let stage = stage.parse::<usize>().ok()? + 1;
            let layer = if layer == "norm" { "bn" } else { "conv_f2s" };
            Some(format!("s{stage}_fuse.{layer}"))
        }
        _ => None,
    }
}

fn layer_of_block(layer: &[&str]) -> Option<String> {
    Some(match *layer {
        ["branch1_conv"] => "branch1".to_owned(),
        ["branch1_norm"] => "branch1_bn".to_owned(),
        ["branch2", "norm_b", "1", "block", "0"] => "branch2.se.fc1".to_owned(),
        ["branch2", "norm_b", "1", "block", "2"] => "branch2.se.fc2".to_owned(),
        ["branch2", layer] | ["branch2", layer, "0"] => match layer.split_once('_')? {
            ("conv", which) => format!("branch2.{which}"),
            ("norm", which) => format!("branch2.{which}_bn"),
            _ => return None,
        },
        _ => return None,
    })
}
