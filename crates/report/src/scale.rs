//! Axes: maps numbers to coordinates, and finds round numbers to label them with.

/// One axis of a plot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    begin: f64,
    end: f64,
    is_log: bool,
}

impl Scale {
    /// An axis with equal steps for equal differences.
    pub(crate) fn linear([low, high]: [f64; 2], [begin, end]: [f64; 2]) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, begin, end, is_log: false }
    }

    /// An axis with equal steps for equal factors; numbers must be positive.
    pub(crate) fn log([low, high]: [f64; 2], places: [f64; 2]) -> Self {
        Self { is_log: true, ..Self::linear([low.ln(), high.ln()], places) }
    }

    /// The place of a number.
    pub(crate) fn place(self, value: f64) -> f64 {
        let value = if self.is_log { value.ln() } else { value };
        self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)
    }

    /// Round numbers within the axis, about eight at most.
    pub(crate) fn ticks(self) -> Vec<f64> {
        if self.is_log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(self) -> Vec<f64> {
        let rough = (self.high - self.low) / 6.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(10.0 * magnitude);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        // 122 × 0.1 is not 12.2, but 122 ÷ 10 is.
        let per_unit = magnitude.recip().round().max(1.0);
        (first..=last).map(|i| (i as f64 * step * per_unit).round() / per_unit).collect()
    }

    fn log_ticks(self) -> Vec<f64> {
        let (low, high) = (self.low.exp(), self.high.exp());
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let ticks_with = |multiples: &[f64]| -> Vec<f64> {
            let all =
                decades.clone().flat_map(|decade| multiples.iter().map(move |m| m * 10_f64.powi(decade)));
            all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
        };
        let fine = ticks_with(&[1.0, 2.0, 5.0]);
        if fine.len() <= 8 { fine } else { ticks_with(&[1.0]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_at_the_ends() {
        let scale = Scale::log([1e6, 1e9], [50.0, 650.0]);
        assert!((scale.place(1e6) - 50.0).abs() < 1e-9 && (scale.place(1e9) - 650.0).abs() < 1e-9);
        assert!((Scale::linear([60.0, 90.0], [400.0, 40.0]).place(75.0) - 220.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::linear([61.0, 93.0], [0.0, 1.0]).ticks(), [70.0, 80.0, 90.0]);
        assert_eq!(Scale::linear([12.1, 13.1], [0.0, 1.0]).ticks(), [12.2, 12.4, 12.6, 12.8, 13.0]);
        assert_eq!(Scale::log([1.3e6, 2.4e7], [0.0, 1.0]).ticks(), [2e6, 5e6, 1e7, 2e7]);
        assert!(!Scale::linear([5.0, 5.0], [0.0, 1.0]).ticks().is_empty());
    }
}
