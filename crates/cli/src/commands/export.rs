//! `mutualnet export`: one configuration, cut out of a bundle.

use anyhow::{Result, bail};
use mutualnet_bundle::Bundle;

use super::predict::choose;
use crate::args::ExportArgs;
use crate::text;

pub(super) fn run(args: &ExportArgs) -> Result<()> {
    let bundle = Bundle::read(&args.bundle)?;
    let subnet = choose(&bundle, &args.row, None)?.subnet;
    match args.output.extension().and_then(|extension| extension.to_str()) {
        Some("mnb") => mutualnet_export::slice(&bundle, subnet)?.write(&args.output)?,
        Some("safetensors") => mutualnet_export::write_safetensors(&bundle, subnet, &args.output)?,
        _ => bail!("the name of the output must end in .safetensors or .mnb: {}", args.output.display()),
    }
    text::note(&format!("row {subnet} written to {}", args.output.display()));
    Ok(())
}
