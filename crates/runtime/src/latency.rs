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
/// session. The image is a square, or if images are not cropped, as wide as photos usually are: 4:3. If the network looks at
/// regions, the lists for them run on as many as they [may](List::regions); cutting them out of the maps is not timed.
///
/// The session stays on this row.
///
/// # Errors
/// Fails if the sub-network is not a row.
pub fn measure(session: &mut Session, subnet: Subnet, config: MeasureConfig) -> Result<Latency> {
    session.switch(subnet)?;
    let example = Example::of(session)?;
    let mut run = || example.run(session);
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

/// What is run for one image or clip.
struct Example {
    /// Height and width, if images are not cropped.
    whole: Option<[usize; 2]>,
    /// The inputs of the list `main`.
    inputs: Vec<Vec<f32>>,
    /// Lists for regions, on how many they run, and their inputs.
    of_regions: Vec<(String, usize, Vec<Vec<f32>>)>,
}

impl Example {
    fn of(session: &Session) -> Result<Self> {
        let side = session.subnet().input.resolution.get() as usize;
        let (whole, wider) = match session.model().preprocess().fit {
            Fit::CenterCrop | Fit::Square => (None, side),
            Fit::Whole => (Some([side, (4 * side).div_ceil(3)]), (4 * side).div_ceil(3)),
        };
        let inputs = session.input_lens().map(|len| vec![0.0; len / side * wider]).collect();
        let lists = session.model().network().lists().iter();
        let of_regions = lists.filter_map(|list| Some((list.name().to_owned(), list.regions()? as usize)));
        let with_inputs = |(list, n): (String, usize)| {
            let inputs = session.list_input_lens(&list)?.into_iter().map(|len| vec![0.0; n * len]);
            Ok((list, n, inputs.collect()))
        };
        Ok(Self { whole, inputs, of_regions: of_regions.map(with_inputs).collect::<Result<_>>()? })
    }

    fn run(&self, session: &mut Session) -> Result<()> {
        match self.whole {
            Some(size) => session.run_at(&self.inputs[0], 1, size)?,
            None => session.run_list(List::MAIN, &slices(&self.inputs), 1)?,
        };
        for (list, n, inputs) in &self.of_regions {
            session.run_list(list, &slices(inputs), *n)?;
        }
        Ok(())
    }
}

fn slices(inputs: &[Vec<f32>]) -> Vec<&[f32]> {
    inputs.iter().map(Vec::as_slice).collect()
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
