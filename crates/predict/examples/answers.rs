//! Answers for an image on request, in turn with other programs, for benchmarks of detectors.
//!
//! usage: `answers BUNDLE ROW THREADS`, for example `answers detector.mnb 1.0-320 1`
//!
//! Prints `ready`. For `outputs FROM TO` it answers for the square image of the file FROM, normalized numbers in f32,
//! little-endian and channels last, and writes what it finds to TO: an array of `{"class", "score", "box", "pixels"}`, where
//! the last is how many pixels the mask has. For `step N` it answers for the same image once, then N times, and prints the mean
//! seconds of the N.

use std::error::Error;
use std::fs;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use mutualnet_bundle::Bundle;
use mutualnet_core::Subnet;
use mutualnet_image::Preprocessed;
use mutualnet_predict::{Config, FoundObject, Predictor};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[expect(clippy::print_stdout, reason = "the protocol is spoken on stdout")]
fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [bundle, row, threads] = &args[..] else {
        return Err("usage: answers BUNDLE ROW THREADS".into());
    };
    let bundle = Bundle::read(Path::new(bundle))?;
    let mut predictor = Predictor::new(&bundle, threads.parse()?, Config::default())?;
    predictor.session_mut().switch(row.parse::<Subnet>()?)?;
    let mut image = None;
    println!("ready");
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let words: Vec<_> = request.split_whitespace().collect();
        let seconds = match words[..] {
            ["outputs", from, to] => {
                let image = image.insert(read(Path::new(from))?);
                let answer = predictor.answer(image)?;
                let objects = answer.prediction.objects().ok_or("the network finds no objects")?;
                let found: Vec<_> = objects.iter().map(written).collect();
                fs::write(to, serde_json::to_vec(&found)?)?;
                0.0
            }
            ["step", n] => {
                let image = image.as_ref().ok_or("`outputs` comes first")?;
                let n: u32 = n.parse()?;
                predictor.answer(image)?;
                let begun = Instant::now();
                for _ in 0..n {
                    predictor.answer(image)?;
                }
                begun.elapsed().as_secs_f64() / f64::from(n)
            }
            _ => return Err(format!("a request is `outputs FROM TO` or `step N`, not `{request}`").into()),
        };
        println!("{seconds:.9}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Preprocessed> {
    let bytes = fs::read(path)?;
    let (numbers, _) = bytes.as_chunks();
    let pixels: Vec<_> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let side = (pixels.len() / 3).isqrt();
    Ok(Preprocessed { size: [side; 2], pixels, own_size: [u32::try_from(side)?; 2] })
}

fn written(found: &FoundObject) -> Value {
    let FoundObject { class, score, corners, mask } = found;
    json!({ "class": class, "score": score, "box": corners, "pixels": mask.as_ref().map(|mask| mask.area()) })
}
