//! `mutualnet export`: write one row of a bundle to a file of its own.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use mutualnet_bundle::Bundle;
use mutualnet_core::Subnet;
use mutualnet_export::onnx::{self, Difference, Interpreter};
use mutualnet_runtime::{Model, ModelConfig, Session};

use super::open;
use super::predict::choose;
use crate::args::ExportArgs;
use crate::text;

pub(super) fn run(args: &ExportArgs) -> Result<()> {
    open::check_output(&args.output, &args.bundle)?;
    let bundle = open::bundle(&args.bundle)?;
    let subnet = choose(&bundle, &args.row, (None, None))?.subnet;
    let output = &args.output;
    let mut checked = None;
    match output.extension().and_then(|extension| extension.to_str()) {
        Some("mnb") => mutualnet_export::slice(&bundle, subnet)?.write(output)?,
        Some("safetensors") => mutualnet_export::write_safetensors(&bundle, subnet, output)?,
        Some("onnx") => {
            onnx::write_onnx(&bundle, subnet, output)?;
            checked = Some(check(&bundle, subnet, output)?);
        }
        _ => bail!("the output file must end in .onnx, .safetensors or .mnb: {}", output.display()),
    }
    text::note(&format!("row {subnet} written to {}", output.display()));
    if let Some(Difference { largest, scale }) = checked {
        text::note(&format!(
            "checked: run from the file, outputs differ from the row's by at most {largest:.1e} (the largest is \
             {scale:.1})"
        ));
    }
    Ok(())
}

/// Runs the written file and the row on the same images. A file that computes something else is removed.
fn check(bundle: &Bundle, subnet: Subnet, path: &Path) -> Result<Difference> {
    let difference = difference(bundle, subnet, path).and_then(|difference| {
        difference.check(path)?;
        Ok(difference)
    });
    if difference.is_err() {
        std::fs::remove_file(path)?;
    }
    difference
}

fn difference(bundle: &Bundle, subnet: Subnet, path: &Path) -> Result<Difference> {
    let file = Interpreter::read(path)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let model = Model::with_config(bundle, ModelConfig::choose()?.direct())?;
    let mut session = Session::new(Arc::new(model), threads)?;
    session.switch(subnet)?;
    let mut difference = Difference::default();
    for images in onnx::images(bundle, subnet)? {
        session.run_at(&images.pixels, images.n, images.size)?;
        let outputs = (0..bundle.network().outputs().len()).map(|idx| session.output(idx));
        let outputs: Vec<_> = outputs.map(|output| (output.name, output.data)).collect();
        difference = difference.max(onnx::compare(&file, &images, &outputs)?);
    }
    Ok(difference)
}
