//! Widths below what a network is made for: most of its layers cannot get any narrower there.
//!
//! Channels are rounded to multiples of eight (`network.channel_divisor`), so a layer that should have fewer than that
//! no longer follows the width: the network loses accuracy and hardly gets cheaper.

use mutualnet_core::network::ChannelRule;
use mutualnet_core::{Network, Width};

/// A warning, with the width to set instead, if more than half of the layers cannot follow the narrowest width.
pub fn too_narrow(network: &Network) -> Option<String> {
    let rules = network.nodes().iter().filter_map(|node| node.op.rule());
    let rules: Vec<_> = rules.filter(|rule| rule.slim).collect();
    let range = network.widths();
    let narrowest = range.smallest();
    let n = stuck(&rules, narrowest);
    if 2 * n <= rules.len() {
        return None;
    }
    let mut hundredths = (1..=100).filter_map(|n| Width::new(f64::from(n) / 100.0).ok());
    let sensible = hundredths.find(|&width| 2 * stuck(&rules, width) <= rules.len())?;
    let full = range.full().max(sensible);
    Some(format!(
        "width {narrowest} is narrower than {} is made for: {n} of {} layers cannot get any narrower; set \
         network.widths=[{sensible},{full}]",
        network.name(),
        rules.len()
    ))
}

/// Number of layers that do not follow the width any more.
fn stuck(rules: &[ChannelRule], width: Width) -> usize {
    let unrounded = |rule: &ChannelRule| f64::from(rule.base) * width.fraction() / rule.ratio;
    rules.iter().filter(|rule| unrounded(rule) < f64::from(rule.divisor)).count()
}

#[cfg(test)]
mod tests {
    use mutualnet_core::WidthRange;
    use mutualnet_zoo::NetworkConfig;

    use super::*;

    fn told(name: &str, widths: [f64; 2]) -> Option<String> {
        let [smallest, full] = widths.map(|width| Width::new(width).unwrap());
        let widths = WidthRange::new(smallest, full).unwrap();
        let config = NetworkConfig { classes: 10, widths, output_stride: None };
        too_narrow(&mutualnet_zoo::build(name, &config).unwrap())
    }

    #[test]
    fn only_widths_that_most_layers_cannot_follow_are_told() {
        for name in mutualnet_zoo::names() {
            assert_eq!(told(name, [0.25, 1.0]), None, "{name}");
        }
        for name in ["mobilenet_v1", "mobilenet_v2"] {
            let text = told(name, [0.01, 1.0]).unwrap();
            assert!(text.starts_with(&format!("width 0.01 is narrower than {name} is made for")), "{text}");
            // What is suggested is not told again.
            let (_, range) = text.rsplit_once('[').unwrap();
            let (low, high) = range.trim_end_matches(']').split_once(',').unwrap();
            let suggested = [low, high].map(|width| width.parse().unwrap());
            assert_eq!(told(name, suggested), None, "{text}");
        }
        assert!(told("mobilenet_v2", [0.02, 0.5]).is_some());
    }
}
