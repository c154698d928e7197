//! `mutualnet inspect network`: what a sub-network computes and costs.

use anyhow::Result;
use mutualnet_core::network::Rank;
use mutualnet_core::{Frames, InputSize, Macs, Network, Resolution, Subnet, WidthRange};
use mutualnet_zoo::{NetworkConfig, OutputStride};
use serde::Serialize;

use crate::args::InspectNetworkArgs;
use crate::failure::with_hint;
use crate::text;

#[derive(Serialize)]
struct Report {
    network: String,
    subnet: Subnet,
    /// With as many regions as the lists for them may run on.
    macs: Macs,
    params: u64,
    lists: Vec<OneList>,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct OneList {
    name: String,
    /// For an image or clip, or for one region.
    macs: Macs,
    /// On how many of an image it may run, of a list for regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<u32>,
}

#[derive(Serialize)]
struct Layer {
    path: String,
    op: &'static str,
    inputs: Vec<String>,
    channels: usize,
    /// Time, height, width.
    extent: [u32; 3],
    macs: Macs,
    params: u64,
}

pub(super) fn run(args: &InspectNetworkArgs) -> Result<()> {
    let subnet =
        Subnet { width: args.width, input: InputSize { resolution: args.resolution, frames: args.frames } };
    let config = NetworkConfig {
        classes: args.classes,
        widths: WidthRange::new(args.width, args.width)?,
        output_stride: args.output_stride.map(OutputStride::try_from).transpose()?,
    };
    let network = with_fast_clip(mutualnet_zoo::build(&args.name, &config)?, args)?;
    let costs = network.costs(subnet)?;
    let layers = network.nodes().iter().zip(&costs).map(|(node, cost)| Layer {
        path: node.path.clone(),
        op: node.op.name(),
        inputs: node.inputs.iter().map(|&input| network.node(input).path.clone()).collect(),
        channels: cost.shape.channels,
        extent: cost.shape.extent,
        macs: cost.macs,
        params: cost.params,
    });
    let lists = network.lists().iter().map(|list| {
        let (name, macs) = (list.name().to_owned(), network.list_macs(list, subnet)?);
        Ok(OneList { name, macs, regions: list.regions() })
    });
    let report = Report {
        network: args.name.clone(),
        subnet,
        macs: network.macs(subnet)?,
        params: network.params(args.width)?,
        lists: lists.collect::<Result<_>>()?,
        layers: layers.collect(),
    };
    if args.json { text::json(&report) } else { print(&report, network.rank()) }
}

/// The network for the clip that its Fast pathway should read.
fn with_fast_clip(network: Network, args: &InspectNetworkArgs) -> Result<Network> {
    if args.fast_frames.is_none() && args.fast_resolution.is_none() {
        return Ok(network);
    }
    let Some([frames, side, _]) = network.whole_clip() else {
        let hint = "remove --fast-frames and --fast-resolution".to_owned();
        return Err(with_hint(format!("network `{}` has no Fast pathway", args.name), hint));
    };
    let side = args.fast_resolution.map_or(side, Resolution::get);
    Ok(network.with_whole_clip([args.fast_frames.map_or(frames, Frames::get), side, side])?)
}

fn print(report: &Report, rank: Rank) -> Result<()> {
    let reads_clips = rank == Rank::Clip;
    let rows = report.layers.iter().map(|layer| {
        let [frames, height, width] = layer.extent;
        let frames = if reads_clips { format!("{frames}×") } else { String::new() };
        vec![
            layer.path.clone(),
            layer.op.to_owned(),
            format!("{}×{frames}{height}×{width}", layer.channels),
            layer.macs.0.to_string(),
            layer.params.to_string(),
        ]
    });
    text::table(&["layer", "operation", "output", "MACs", "parameters"], &rows.collect::<Vec<_>>())?;
    text::line("")?;
    for OneList { name, macs, regions } in &report.lists {
        if let Some(n) = regions {
            text::line(&format!(
                "list {name}: {} MACs for a region, of which an image has at most {n}",
                macs.0
            ))?;
        }
    }
    text::line(&format!(
        "{} at {}: {} MACs, {} parameters",
        report.network, report.subnet, report.macs.0, report.params
    ))
}
