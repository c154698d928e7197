//! Pixels as our data path makes them, for `bench/peers/pixels.py` to compare.
//!
//! usage: pixels OUT FILE…
//! For every file, in the order given, OUT gets: width and height (u32, little-endian) and the RGB bytes of the decoded
//! image; then 3 x 224 x 224 bytes of its test-time crop (shorter side to 256); then as many of its central 60 percent
//! (rounded down) brought to 224 x 224.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mutualnet_image::decode::decode_file;
use mutualnet_image::resize::{Along, Rect, Resizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut out = BufWriter::new(File::create(args.next().ok_or("usage: pixels OUT FILE…")?)?);
    let mut resizer = Resizer::default();
    for file in args {
        let image = decode_file(Path::new(&file))?;
        out.write_all(&image.width().to_le_bytes())?;
        out.write_all(&image.height().to_le_bytes())?;
        out.write_all(image.pixels())?;
        let test = resizer.shorter_side_crop(image.view(), [256, 224], Along::Middle, Vec::new());
        out.write_all(test.pixels())?;
        let (width, height) = (image.width() * 6 / 10, image.height() * 6 / 10);
        let crop = Rect { left: image.width() / 5, top: image.height() / 5, width, height };
        out.write_all(resizer.crop_resize(image.view(), crop, [224; 2], Vec::new()).pixels())?;
    }
    out.flush()?;
    Ok(())
}
