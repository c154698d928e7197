//! The classification network that a segmentation network begins with, so that training can start from its weights.
//!
//! Invariant: the two lists of nodes come from the same function, so their parameters are in the same order.

use mutualnet_core::Network;

use crate::{NetworkConfig, build, mobilenet_v2, mobilenet_v3};

/// What the names of the tensors of the trunk begin with.
const PREFIX: &str = "backbone.";

/// The trunk of a segmentation network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// The classification network.
    pub network: &'static str,
    /// The parameters of the trunk: their names in the segmentation network, and in the classification network.
    pub names: Vec<(String, String)>,
}

/// The name of the classification network that a segmentation network begins with.
pub fn backbone_name(name: &str) -> Option<&'static str> {
    match name {
        "lraspp_mobilenet_v3_large" => Some(mobilenet_v3::NAME),
        "deeplabv3_resnet50" => Some("resnet50"),
        "deeplabv3_mobilenet_v2" => Some(mobilenet_v2::NAME),
        _ => None,
    }
}

/// The trunk of a network that segments; `None` for any other network.
pub fn backbone(network: &Network) -> Option<Backbone> {
    let name = backbone_name(network.name())?;
    let config = NetworkConfig { classes: network.classes(), widths: network.widths(), output_stride: None };
    let classifier = build(name, &config).ok()?;
    let names = |network: &Network| network.parameters().into_iter().map(|parameter| parameter.name);
    let ours = names(network).filter(|name| name.starts_with(PREFIX));
    Some(Backbone { network: name, names: ours.zip(names(&classifier)).collect() })
}
