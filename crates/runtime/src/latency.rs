//! Measures how long one image or clip takes, for the query table.

use std::time::{Duration, Instant};

use mutualnet_core::network::List;
use mutualnet_core::{Fit, Subnet};

use crate::{Result, Session};

/// How many runs to measure, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureConfig {
    /// Runs before the measurement, which do not count.
    pub warmup: usize,
    /// Runs that count; at least one.
    pub runs: usize,
    /// The measurement ends after this time, even with fewer runs.
    pub time: Duration,
}

/// Wall-clock time of single images or clips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile; the maximum if there are fewer than 100 runs.
    pub p99_ms: f64,
    /// Number of runs that count.
    pub n: usize,
}

/// Times a row with one gray image at the resolution of the row, or one gray clip of its frames, on the threads of the
/// session. The image is a square, or if images are not cropped, as wide as photos usually are: 4:3.
///
/// The session stays on this row.
///
/// # Errors
/// Fails if the sub-network is not a row.
pub fn measure(session: &mut Session, subnet: Subnet, config: MeasureConfig) -> Result<Latency> {
    session.switch(subnet)?;
    let side = subnet.input.resolution.get() as usize;
    let inputs: Vec<_> = session.input_lens().map(|len| vec![0.0; len]).collect();
    let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
    let run: &mut dyn FnMut() -> Result<()> = match session.model().preprocess().fit {
        Fit::CenterCrop | Fit::Square => &mut || session.run_list(List::MAIN, &inputs, 1).map(|_| ()),
        Fit::Whole => {
            let size = [side, (4 * side).div_ceil(3)];
            let input = vec![0.0; session.input_len() / side * size[1]];
            &mut move || session.run_at(&input, 1, size).map(|_| ())
        }
    };
    for _ in 0..config.warmup {
        run()?;
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < config.runs && begin.elapsed() < config.time) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(Latency { p50_ms: percentile(&times, 50), p99_ms: percentile(&times, 99), n: times.len() })
}

/// The smallest of the times that at least `percent` of them do not exceed, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1].as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!([percentile(&times, 50), percentile(&times, 99)], [100.0, 198.0]);
        assert_eq!([percentile(&times[..1], 50), percentile(&times[..3], 99)], [1.0, 3.0]);
    }
}
