//! The classification network that a network for segmentation or detection begins with, so that training can start from its
//! weights.
//!
//! Invariant: the two lists of nodes come from the same function, so their parameters are in the same order.

use mutualnet_core::Network;

use crate::family::Backbone;
use crate::{NetworkConfig, build, family};

/// The backbone of a network that segments or detects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackboneNames {
    /// The classification network.
    pub network: &'static str,
    /// The parameters of the backbone: their names in this network, and in the classification network.
    pub names: Vec<(String, String)>,
}

/// What is known about the backbone of a network, if it begins with a network that classifies.
pub fn backbone(name: &str) -> Option<Backbone> {
    family(name)?.backbone(name)
}

/// The backbone of a network that has one, parameter by parameter.
pub fn backbone_names(network: &Network) -> Option<BackboneNames> {
    let backbone = backbone(network.name())?;
    let config = NetworkConfig { classes: network.classes(), widths: network.widths(), output_stride: None };
    let classifier = build(backbone.classifier, &config).ok()?;
    let names = |network: &Network| network.parameters().into_iter().map(|parameter| parameter.name);
    let ours = names(network).filter(|name| name.starts_with(backbone.path));
    Some(BackboneNames { network: backbone.classifier, names: ours.zip(names(&classifier)).collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mutualnet_core::{Width, WidthRange};

    use super::*;
    use crate::FAMILIES;

    #[test]
    fn a_backbone_has_the_shapes_of_its_classification_network() {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        let config = NetworkConfig { classes: 21, widths, output_stride: None };
        for backbone in FAMILIES.iter().flat_map(|family| family.backbones) {
            let net = build(backbone.network, &config).unwrap();
            let found = backbone_names(&net).unwrap();
            assert_eq!(found.network, backbone.classifier);
            let classifier = build(backbone.classifier, &config).unwrap();
            assert_eq!(backbone_names(&classifier), None);
            // All but linear layers, and of MobileNetV2 the last convolution with its batch norm.
            let n_missing = classifier.parameters().len() - found.names.len();
            assert!((2..=5).contains(&n_missing), "{}: {n_missing}", backbone.network);
            for width in [0.25, 0.6, 1.0].map(|width| Width::new(width).unwrap()) {
                let shapes = |net: &Network| {
                    let names = net.parameters().into_iter().map(|parameter| parameter.name);
                    names.zip(net.parameter_shapes(width).unwrap()).collect::<BTreeMap<_, _>>()
                };
                let [ours, theirs] = [shapes(&net), shapes(&classifier)];
                for (name, of_classifier) in &found.names {
                    assert_eq!(ours[name], theirs[of_classifier], "{} {of_classifier}", backbone.network);
                }
            }
        }
    }
}
