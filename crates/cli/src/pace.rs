//! How long work still takes, told by how long its latest steps took.
//!
//! Separate from the bars, whose own estimate follows the clock: after a pause, as of a laptop that sleeps, it is hours off.
//! Invariant: an interval counts at most as [`LONGEST`] typical ones.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many intervals are remembered.
const REMEMBERED: usize = 200;
/// Before so many nothing is said: the first ones are slower than the rest.
const FEWEST: usize = 5;
/// The longest interval that is believed, in medians.
const LONGEST: f64 = 5.0;

/// The speed of something that is done step by step.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    latest: VecDeque<Interval>,
    last: Option<(Instant, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Interval {
    steps: u64,
    seconds: f64,
}

impl Interval {
    fn seconds_per_step(self) -> f64 {
        self.seconds / self.steps as f64
    }
}

impl Pace {
    /// Learns that so many steps were done by a time.
    pub(crate) fn reach(&mut self, position: u64, now: Instant) {
        if let Some((then, before)) = self.last {
            if position <= before {
                return;
            }
            self.latest.push_back(Interval {
                steps: position - before,
                seconds: now.saturating_duration_since(then).as_secs_f64(),
            });
            if self.latest.len() > REMEMBERED {
                self.latest.pop_front();
            }
        }
        self.last = Some((now, position));
    }

    /// The time until `end` steps are done; `None` if too few were seen to tell.
    pub(crate) fn left(&self, end: u64) -> Option<Duration> {
        let (_, position) = self.last?;
        if self.latest.len() < FEWEST && position < end {
            return None;
        }
        let mut speeds: Vec<_> = self.latest.iter().map(|interval| interval.seconds_per_step()).collect();
        speeds.sort_by(f64::total_cmp);
        let most = LONGEST * speeds.get(speeds.len() / 2).copied().unwrap_or(0.0);
        let steps: u64 = self.latest.iter().map(|interval| interval.steps).sum();
        let believed = self.latest.iter().map(|i| i.seconds_per_step().min(most) * i.steps as f64);
        let per_step = believed.sum::<f64>() / steps.max(1) as f64;
        Duration::try_from_secs_f64(per_step * end.saturating_sub(position) as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds left of 1000 steps, when steps took so long.
    fn left(seconds: &[f64]) -> Option<u64> {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        pace.reach(1, now);
        for (step, &seconds) in (2..).zip(seconds) {
            now += Duration::from_secs_f64(seconds);
            pace.reach(step, now);
        }
        Some(pace.left(1000)?.as_secs_f64().round() as u64)
    }

    #[test]
    fn the_rest_takes_as_long_as_the_latest_steps() {
        assert_eq!(left(&[2.0; 9]), Some(1980));
        assert_eq!(left(&[1.0, 3.0, 1.0, 3.0, 1.0, 3.0]), Some(1986));
        assert_eq!(left(&[vec![9.0; 300], vec![1.0; 200]].concat()), Some(499));
    }

    #[test]
    fn a_pause_hardly_counts() {
        let paused = left(&[vec![1.0; 98], vec![36_000.0], vec![1.0]].concat());
        assert!(paused.is_some_and(|seconds| (899..950).contains(&seconds)), "{paused:?}");
    }

    #[test]
    fn nothing_is_said_at_first_and_nothing_is_left_at_the_end() {
        assert_eq!(left(&[1.0; FEWEST - 1]), None);
        let mut pace = Pace::default();
        assert_eq!(pace.left(3), None);
        pace.reach(3, Instant::now());
        pace.reach(3, Instant::now());
        assert_eq!(pace.left(3), Some(Duration::ZERO));
    }
}
