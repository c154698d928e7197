//! Runs a row on request, in turn with other programs.
//!
//! Prints `ready`. For `outputs FROM TO` it runs what the file FROM holds, one input of the network behind the other, and
//! writes the first output to TO; both files are f32, little-endian and channels last. For `step N` it runs the same once,
//! then N times, and prints the mean seconds of the N.

use std::fs;
use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mutualnet_core::network::List;
use mutualnet_runtime::Session;

use crate::text;

/// Answers requests until stdin ends.
pub(super) fn answer(session: &mut Session, batch: usize) -> Result<()> {
    let lens: Vec<_> = session.input_lens().map(|len| batch * len).collect();
    let mut numbers = vec![0.0; lens.iter().sum()];
    text::line("ready")?;
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let words: Vec<_> = request.split_whitespace().collect();
        let seconds = match words[..] {
            ["outputs", from, to] => {
                numbers = read(from)?;
                let output = session.run_list(List::MAIN, &split(&numbers, &lens), batch)?;
                let bytes: Vec<u8> = output.iter().flat_map(|number| number.to_le_bytes()).collect();
                fs::write(to, bytes).with_context(|| format!("cannot write {to}"))?;
                0.0
            }
            ["step", n] => {
                let n: usize = n.parse().context("the number of runs must be a number")?;
                ensure!(n > 0, "a step must have at least one run");
                let times = times(session, &split(&numbers, &lens), batch, 1 + n)?;
                times[1..].iter().sum::<Duration>().as_secs_f64() / n as f64
            }
            _ => bail!("a request is `outputs FROM TO` or `step N`, not `{request}`"),
        };
        text::line(&format!("{seconds:.9}"))?;
    }
    Ok(())
}

/// The time of each of `n` runs.
pub(super) fn times(
    session: &mut Session,
    inputs: &[&[f32]],
    batch: usize,
    n: usize,
) -> Result<Vec<Duration>> {
    let time = |_| {
        let start = Instant::now();
        session.run_list(List::MAIN, inputs, batch)?;
        Ok(start.elapsed())
    };
    (0..n).map(time).collect()
}

/// The numbers of each input; what is missing shows when they are run.
pub(super) fn split<'a>(mut numbers: &'a [f32], lens: &[usize]) -> Vec<&'a [f32]> {
    let of = |&len: &usize| {
        let (input, rest) = numbers.split_at(len.min(numbers.len()));
        numbers = rest;
        input
    };
    lens.iter().map(of).collect()
}

fn read(path: &str) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let numbers =
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Ok(numbers.collect())
}
