//! The classification network that a network for segmentation or detection begins with, so that training can start from its
//! weights.
//!
//! Invariant: the two lists of nodes come from the same function, so their parameters are in the same order.

use mutualnet_core::Network;

use crate::{NetworkConfig, build, mobilenet_v2, mobilenet_v3, two_stage};

/// The trunk of a network that segments or detects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// The classification network.
    pub network: &'static str,
    /// The parameters of the trunk: their names in this network, and in the classification network.
    pub names: Vec<(String, String)>,
}

/// The name of the classification network that a network for segmentation or detection begins with; `None` for any other
/// network, and for SSDlite, whose last blocks have other channels.
pub fn backbone_name(name: &str) -> Option<&'static str> {
    match name {
        "lraspp_mobilenet_v3_large"
        | "fasterrcnn_mobilenet_v3_large_fpn"
        | "maskrcnn_mobilenet_v3_large_fpn" => Some(mobilenet_v3::NAME),
        "deeplabv3_resnet50" | "fasterrcnn_resnet50_fpn" | "maskrcnn_resnet50_fpn" => Some("resnet50"),
        "deeplabv3_mobilenet_v2" => Some(mobilenet_v2::NAME),
        _ => None,
    }
}

/// What the names of the parameters of a trunk begin with: a detector has its pyramid in the backbone too.
fn prefix(name: &str) -> &'static str {
    if two_stage().any(|other| other == name) { "backbone.body." } else { "backbone." }
}

/// The trunk of a network that has a [`backbone_name`].
pub fn backbone(network: &Network) -> Option<Backbone> {
    let name = backbone_name(network.name())?;
    let prefix = prefix(network.name());
    let config = NetworkConfig { classes: network.classes(), widths: network.widths(), output_stride: None };
    let classifier = build(name, &config).ok()?;
    let names = |network: &Network| network.parameters().into_iter().map(|parameter| parameter.name);
    let ours = names(network).filter(|name| name.starts_with(prefix));
    Some(Backbone { network: name, names: ours.zip(names(&classifier)).collect() })
}
