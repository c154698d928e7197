//! What the processor can do at most: multiply-accumulates per second, and bytes per second at several sizes.
//!
//! Both are measured, because neither the clock under load nor the share of a virtual machine can be looked up.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::kernels::Kernels;
use crate::{Isa, LayerTime, Precision};

/// The time that each measurement takes.
const TIME: Duration = Duration::from_millis(30);

/// The sizes for which the speed of memory is measured: from well inside the second-level cache to beyond all caches.
const SIZES: [usize; 6] = [1 << 17, 1 << 19, 1 << 21, 1 << 23, 1 << 25, 1 << 27];

/// The measured limits of a number of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Peak {
    /// Multiply-accumulates per second, of numbers in registers.
    pub macs_per_s: f64,
    /// Bytes moved per second when so many bytes are moved at a time, the fewest first.
    pub bytes_per_s: Vec<(u64, f64)>,
}

/// What a layer cannot be faster than.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Its multiply-accumulates.
    Arithmetic,
    /// The bytes it moves.
    Bytes,
}

impl Peak {
    /// Measures the limits of `threads` threads that use an instruction set, in about half a second.
    ///
    /// # Panics
    /// Panics if the processor lacks the instruction set.
    pub fn measure(isa: Isa, threads: usize) -> Self {
        let kernels = Kernels::of(isa, Precision::F32);
        let macs_per_s = on_each(threads, |_| rate(|| kernels.most_macs(1 << 14)));
        let bytes_per_s = SIZES.iter().map(|&size| {
            let each = size / threads.max(1);
            let of_thread = |_| {
                let (from, mut to) = (vec![1_u8; each / 2], vec![0_u8; each / 2]);
                rate(|| {
                    to.copy_from_slice(std::hint::black_box(&from));
                    std::hint::black_box(&mut to);
                    each as u64
                })
            };
            (size as u64, on_each(threads, of_thread))
        });
        Self { macs_per_s, bytes_per_s: bytes_per_s.collect() }
    }

    /// The least time that a layer needs at these limits, and which of the two it is.
    pub fn least(&self, layer: &LayerTime) -> (Duration, Bound) {
        let arithmetic = layer.macs as f64 / self.macs_per_s;
        let fits = self.bytes_per_s.iter().find(|(size, _)| *size >= layer.bytes);
        let speed = fits.or(self.bytes_per_s.last()).map_or(f64::INFINITY, |(_, speed)| *speed);
        let bytes = layer.bytes as f64 / speed;
        let bound = if arithmetic >= bytes { Bound::Arithmetic } else { Bound::Bytes };
        (Duration::from_secs_f64(arithmetic.max(bytes)), bound)
    }
}

/// The sum of what `of_thread` returns on each of several threads at the same time.
fn on_each(threads: usize, of_thread: impl Fn(usize) -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads.max(1));
    let measured = |thread| {
        barrier.wait();
        of_thread(thread)
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (1..threads).map(|thread| scope.spawn(move || measured(thread))).collect();
        measured(0) + handles.into_iter().map(|handle| handle.join().unwrap_or(0.0)).sum::<f64>()
    })
}

/// How much per second `work` does, where each call returns how much it did: the best of many short measurements.
fn rate(mut work: impl FnMut() -> u64) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0_f64;
    while begin.elapsed() < TIME {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < TIME / 20 {
            done += work();
        }
        best = best.max(done as f64 / start.elapsed().as_secs_f64());
    }
    best
}

#[cfg(test)]
mod tests {
    use mutualnet_core::NodeId;

    use super::*;

    #[test]
    fn a_layer_is_bound_by_what_takes_longer() {
        let peak = Peak { macs_per_s: 1e9, bytes_per_s: vec![(1000, 1e6), (10_000, 1e5)] };
        let layer = |macs, bytes| LayerTime {
            node: NodeId(1),
            frames: 1,
            size: [1; 2],
            channels: 1,
            macs,
            bytes,
            time: Duration::ZERO,
        };
        let least = |macs, bytes| peak.least(&layer(macs, bytes));
        assert_eq!(least(1_000_000, 1000), (Duration::from_millis(1), Bound::Arithmetic));
        assert_eq!(least(0, 500), (Duration::from_micros(500), Bound::Bytes));
        assert_eq!(least(0, 2000), (Duration::from_millis(20), Bound::Bytes));
        assert_eq!(least(0, 20_000), (Duration::from_millis(200), Bound::Bytes));
    }

    /// No kernel computes more than a loop that does nothing but multiply and add.
    #[test]
    fn every_instruction_set_has_a_peak() {
        for isa in Isa::available() {
            let peak = Peak::measure(isa, 2);
            assert!(peak.macs_per_s > 1e6, "{isa}: {peak:?}");
            assert!(peak.bytes_per_s.iter().all(|(_, speed)| *speed > 1e6), "{isa}: {peak:?}");
        }
    }
}
