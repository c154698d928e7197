//! `mutualnet export`: write one row of a bundle to a file of its own.

use anyhow::{Result, bail};

use super::open;
use super::predict::choose;
use crate::args::ExportArgs;
use crate::text;

pub(super) fn run(args: &ExportArgs) -> Result<()> {
    let bundle = open::bundle(&args.bundle)?;
    let subnet = choose(&bundle, &args.row, None)?.subnet;
    match args.output.extension().and_then(|extension| extension.to_str()) {
        Some("mnb") => mutualnet_export::slice(&bundle, subnet)?.write(&args.output)?,
        Some("safetensors") => mutualnet_export::write_safetensors(&bundle, subnet, &args.output)?,
        _ => bail!("the output file must end in .safetensors or .mnb: {}", args.output.display()),
    }
    text::note(&format!("row {subnet} written to {}", args.output.display()));
    Ok(())
}
