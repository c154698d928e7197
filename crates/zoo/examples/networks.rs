//! Prints what is known about every network, or about the named one with its list of nodes, as JSON.
//!
//! An example because scripts and `xtask` need it, which must not link the product.
//! Invariant: everything comes from `FAMILIES` and from the lists.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

use std::process::ExitCode;

use mutualnet_core::{InputSize, Resolution, Subnet, Task, Width, WidthRange};
use mutualnet_zoo::{
    Error, FAMILIES, Family, NetworkConfig, OutputStride, Purpose, all_names, build_small, family, golden,
    origin,
};
use mutualnet_zoo::{fasterrcnn, maskrcnn, segment, ssdlite, two_stage};
use serde_json::{Value, json};

/// The side of the images for which MACs are told: of most networks, and of those that are for small images. A network that
/// reads clips tells those of the clips that it is published for.
const SIDES: [u32; 2] = [224, 32];
/// The same of networks that segment, which torchvision evaluates at this side, and their number of classes.
const SEGMENT_SIDE: u32 = 520;
const SEGMENT_CLASSES: usize = 21;
/// The number of classes of networks that detect, with the background: that of COCO in torchvision.
const DETECT_CLASSES: usize = 91;

fn main() -> ExitCode {
    let told = match std::env::args().nth(1) {
        Some(name) => one(&name),
        None => all_names().map(listed).collect::<Result<_, _>>().map(Value::Array),
    };
    match told {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            eprintln!("error: {error}{hint}");
            ExitCode::FAILURE
        }
    }
}

fn config(full: f64, output_stride: Option<OutputStride>) -> Result<NetworkConfig, Error> {
    let full = Width::new(full)?;
    Ok(NetworkConfig { classes: 1000, widths: WidthRange::new(full, full)?, output_stride })
}

/// Its golden folders, what it is compared with, and the list with the rules of its channels.
fn one(name: &str) -> Result<Value, Error> {
    let config = config(1.0, None)?;
    let network = build_small(name, &config)?;
    let folders: Vec<_> = golden::folders(name).into_iter().map(golden::Folder::path).collect();
    let mut told = json!({ "name": name, "golden": folders, "network": network });
    if let Some(family) = family(name) {
        told["torchvision"] = json!(family.torchvision.contains(&name));
        told["timm"] = json!(family.timm(name));
        told["full"] = json!(family.sample(name).map(|sample| sample.widths[1]));
        if let Some(clip) = family.clip(name) {
            (told["frames"], told["side"], told["fast"]) =
                (json!(clip.frames), json!(clip.side), json!(clip.fast));
        }
    }
    Ok(told)
}

/// A line of a list.
fn listed(name: &'static str) -> Result<Value, Error> {
    let usual = config(1.0, None)?;
    let is_for_small = mutualnet_zoo::build(name, &config(1.0, Some(OutputStride::S32))?).is_err();
    let usual_side = SIDES[usize::from(is_for_small)];
    let (task, side, classes) = match name {
        ssdlite::NAME => (Task::Detect.name(), ssdlite::SIDE, DETECT_CLASSES),
        name if two_stage().any(|other| other == name) => {
            (Task::Detect.name(), fasterrcnn::SIDE, DETECT_CLASSES)
        }
        name if segment::NAMES.contains(&name) => (Task::Segment.name(), SEGMENT_SIDE, SEGMENT_CLASSES),
        _ => (Task::Classify.name(), usual_side, usual.classes),
    };
    let network = mutualnet_zoo::build_for(Purpose::Inference, name, &NetworkConfig { classes, ..usual })?;
    let family: Option<&Family> = FAMILIES.iter().find(|family| family.names.contains(&name));
    let clip = family.and_then(|family| family.clip(name));
    let input = match clip {
        Some(clip) => clip.input()?,
        None => InputSize::image(Resolution::new(side)?),
    };
    let subnet = Subnet { width: Width::ONE, input };
    let is_composed = name == maskrcnn::NAMES[0];
    let others = || segment::TORCHVISION.contains(&name) || (task == Task::Detect.name() && !is_composed);
    Ok(json!({
        "name": name,
        "task": task,
        "params": network.params(Width::ONE)?,
        "side": input.resolution.get(),
        "frames": clip.map(|clip| clip.frames),
        "macs": network.macs(subnet)?.0,
        "origin": origin(name).name(),
        "torchvision": family.map_or_else(others, |family| family.torchvision.contains(&name)),
        "timm": family.and_then(|family| family.timm(name)),
        "pytorchvideo": clip.is_some(),
        "lists": network.lists().len(),
    }))
}
