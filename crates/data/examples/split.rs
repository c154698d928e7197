//! Lists what we read from one split of a data set, for `bench/peers/arrow.py` to compare.
//!
//! usage: split DIRECTORY SPLIT OUT
//! For every image, in the order of the data set, OUT gets a line: its name, its class, width, height and
//! the SHA-256 of its RGB bytes, with tabs between them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mutualnet_data::Dataset;
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, split, out] = args.as_slice() else {
        return Err("usage: split DIRECTORY SPLIT OUT".into());
    };
    let dataset = Dataset::open_named(Path::new(directory), split)?;
    let mut out = BufWriter::new(File::create(out)?);
    for (i, sample) in dataset.samples().iter().enumerate() {
        let image = dataset.image(i)?;
        let (name, class) = (sample.place.name(), &dataset.classes()[sample.class() as usize]);
        let (width, height) = (image.width(), image.height());
        write!(out, "{}\t{class}\t{width}\t{height}\t", name.display())?;
        for byte in Sha256::digest(image.pixels()) {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
