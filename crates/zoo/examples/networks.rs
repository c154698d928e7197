//! Prints what is known about every network, or about the named one with its lists of nodes, as JSON.
//!
//! An example because scripts and `xtask` need it, which must not link the product.
//! Invariant: everything comes from `FAMILIES` and from the lists.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

use std::process::ExitCode;

use mutualnet_core::network::Lists;
use mutualnet_core::{Subnet, Width, WidthRange};
use mutualnet_zoo::{Error, FAMILIES, Family, NetworkConfig, Purpose, build, build_for, family, golden};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let told = match std::env::args().nth(1) {
        Some(name) => one(&name),
        None => {
            let all = FAMILIES.iter().flat_map(|family| family.names.iter().map(move |name| (family, *name)));
            all.map(listed).collect::<Result<_, _>>().map(Value::Array)
        }
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

fn config() -> Result<NetworkConfig, Error> {
    Ok(NetworkConfig { classes: 1000, widths: WidthRange::new(Width::ONE, Width::ONE)?, output_stride: None })
}

/// Its golden folders, what it is compared with, and the lists with the rules of their channels.
fn one(name: &str) -> Result<Value, Error> {
    let network = build(name, &config()?)?;
    let folders: Vec<_> = golden::folders(name).into_iter().map(golden::Folder::path).collect();
    let mut told = json!({ "name": name, "golden": folders, "lists": Lists::from(&network) });
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

/// A line of a list: the costs are those of the images or clips, and the classes, that the network is published for.
fn listed((family, name): (&'static Family, &'static str)) -> Result<Value, Error> {
    let config = NetworkConfig { classes: family.classes, ..config()? };
    let network = build_for(Purpose::Inference, name, &config)?;
    let clip = family.clip(name);
    let input = family.input(name)?.expect("the name is one of the family's common ones");
    let subnet = Subnet { width: Width::ONE, input };
    Ok(json!({
        "name": name,
        "task": family.task.name(),
        "params": network.params(Width::ONE)?,
        "side": input.resolution.get(),
        "frames": clip.map(|clip| clip.frames),
        "macs": network.macs(subnet)?.0,
        "origin": family.origin.name(),
        "torchvision": family.torchvision.contains(&name),
        "timm": family.timm(name),
        "pytorchvideo": clip.is_some(),
        "lists": network.lists().len(),
    }))
}
