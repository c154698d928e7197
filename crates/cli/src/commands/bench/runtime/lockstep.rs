//! Runs a row on request, in turn with other programs.
//!
//! Prints `ready`. For `outputs FROM TO` it runs the images of the file FROM and writes the first output to TO; both files
//! are f32, little-endian and channels last. For `step N` it runs the same images once, then N times, and prints the mean
//! seconds of the N.

use std::fs;
use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mutualnet_runtime::Session;

use crate::text;

/// Answers requests until stdin ends.
pub(super) fn answer(session: &mut Session, batch: usize) -> Result<()> {
    let mut images = vec![0.0; batch * session.input_len()];
    text::line("ready")?;
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let words: Vec<_> = request.split_whitespace().collect();
        let seconds = match words[..] {
            ["outputs", from, to] => {
                images = read(from)?;
                let output = session.run(&images, batch)?;
                let bytes: Vec<u8> = output.iter().flat_map(|number| number.to_le_bytes()).collect();
                fs::write(to, bytes).with_context(|| format!("cannot write {to}"))?;
                0.0
            }
            ["step", n] => {
                let n: usize = n.parse().context("the number of runs must be a number")?;
                ensure!(n > 0, "a step must have at least one run");
                let times = times(session, &images, batch, 1 + n)?;
                times[1..].iter().sum::<Duration>().as_secs_f64() / n as f64
            }
            _ => bail!("a request is `outputs FROM TO` or `step N`, not `{request}`"),
        };
        text::line(&format!("{seconds:.9}"))?;
    }
    Ok(())
}

/// The time of each of `n` runs.
pub(super) fn times(session: &mut Session, images: &[f32], batch: usize, n: usize) -> Result<Vec<Duration>> {
    let time = |_| {
        let start = Instant::now();
        session.run(images, batch)?;
        Ok(start.elapsed())
    };
    (0..n).map(time).collect()
}

fn read(path: &str) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let numbers =
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Ok(numbers.collect())
}
