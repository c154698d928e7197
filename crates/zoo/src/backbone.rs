//! The classification network that a network for segmentation or detection begins with, so that training can start from its
//! weights.
//!
//! Invariant: the two lists of nodes come from the same function, so their parameters are in the same order.

use mutualnet_core::Network;

use crate::family::Trunk;
use crate::{NetworkConfig, build, family};

/// The trunk of a network that segments or detects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// The classification network.
    pub network: &'static str,
    /// The parameters of the trunk: their names in this network, and in the classification network.
    pub names: Vec<(String, String)>,
}

/// What is known about the trunk of a network, if it begins with a network that classifies.
pub fn trunk(name: &str) -> Option<Trunk> {
    family(name)?.trunk(name)
}

/// The trunk of a network that has one, parameter by parameter.
pub fn backbone(network: &Network) -> Option<Backbone> {
    let trunk = trunk(network.name())?;
    let config = NetworkConfig { classes: network.classes(), widths: network.widths(), output_stride: None };
    let classifier = build(trunk.classifier, &config).ok()?;
    let names = |network: &Network| network.parameters().into_iter().map(|parameter| parameter.name);
    let ours = names(network).filter(|name| name.starts_with(trunk.path));
    Some(Backbone { network: trunk.classifier, names: ours.zip(names(&classifier)).collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mutualnet_core::{Width, WidthRange};

    use super::*;
    use crate::FAMILIES;

    #[test]
    fn a_trunk_has_the_shapes_of_its_classification_network() {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        let config = NetworkConfig { classes: 21, widths, output_stride: None };
        for trunk in FAMILIES.iter().flat_map(|family| family.trunks) {
            let net = build(trunk.network, &config).unwrap();
            let found = backbone(&net).unwrap();
            assert_eq!(found.network, trunk.classifier);
            let classifier = build(trunk.classifier, &config).unwrap();
            assert_eq!(backbone(&classifier), None);
            // All but linear layers, and of MobileNetV2 the last convolution with its batch norm.
            let n_missing = classifier.parameters().len() - found.names.len();
            assert!((2..=5).contains(&n_missing), "{}: {n_missing}", trunk.network);
            for width in [0.25, 0.6, 1.0].map(|width| Width::new(width).unwrap()) {
                let shapes = |net: &Network| {
                    let names = net.parameters().into_iter().map(|parameter| parameter.name);
                    names.zip(net.parameter_shapes(width).unwrap()).collect::<BTreeMap<_, _>>()
                };
                let [ours, theirs] = [shapes(&net), shapes(&classifier)];
                for (name, of_classifier) in &found.names {
                    assert_eq!(ours[name], theirs[of_classifier], "{} {of_classifier}", trunk.network);
                }
            }
        }
    }
}
