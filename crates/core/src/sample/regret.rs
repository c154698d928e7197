//! Tracks where students lag behind their teacher, so that random sub-networks can be drawn there more often.

use rand::Rng;

use crate::{InputSize, Subnet, Width, WidthRange};

/// Number of bands that the range of widths is divided into.
const N_BANDS: usize = 8;
/// Weight of a new observation in the running mean of its cell, so that about the last twenty count.
const FOLLOW: f32 = 0.05;
/// The value of a cell without observations.
const UNSEEN: f32 = -1.0;

/// Running means of the students' divergence from the teacher, over bands of width × sizes of inputs.
///
/// The divergence stands for what a row of the query table loses against the most expensive one. Every step computes it,
/// while an accuracy would need an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Regret {
    widths: WidthRange,
    inputs: Vec<InputSize>,
    share: f64,
    /// A mean or [`UNSEEN`] for every cell, ordered by band and then by size.
    cells: Vec<f32>,
}

impl Regret {
    /// Starts without observations. `share` of the draws will follow the observations, and the others stay uniform.
    pub fn new(widths: WidthRange, inputs: &[InputSize], share: f64) -> Self {
        let cells = vec![UNSEEN; N_BANDS * inputs.len()];
        Self { widths, inputs: inputs.to_vec(), share, cells }
    }

    /// Records the divergence of a student; ignores one that is not finite or belongs to an unknown size.
    pub fn observe(&mut self, student: Subnet, divergence: f64) {
        let Some(input) = self.inputs.iter().position(|input| *input == student.input) else { return };
        let (smallest, full) = (self.widths.smallest().fraction(), self.widths.full().fraction());
        let place = (student.width.fraction() - smallest) / (full - smallest).max(f64::MIN_POSITIVE);
        let band = ((place * N_BANDS as f64) as usize).min(N_BANDS - 1);
        if divergence.is_finite() {
            let value = divergence.max(0.0) as f32;
            let cell = &mut self.cells[band * self.inputs.len() + input];
            *cell = if *cell == UNSEEN { value } else { *cell + FOLLOW * (value - *cell) };
        }
    }

    /// Draws a width and the index of a size, with a probability in proportion to the lag there. Returns `None` if
    /// this draw is to be uniform. A cell without observations counts as much as the worst one.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<(Width, usize)> {
        let worst = self.cells.iter().copied().fold(0.0_f32, f32::max);
        if !rng.random_bool(self.share) || worst == 0.0 {
            return None;
        }
        let weight = |cell: f32| f64::from(if cell == UNSEEN { worst } else { cell });
        let mut left = rng.random_range(0.0..self.cells.iter().map(|&cell| weight(cell)).sum::<f64>());
        let mut chosen = self.cells.len() - 1;
        for (idx, &cell) in self.cells.iter().enumerate() {
            left -= weight(cell);
            if left < 0.0 {
                chosen = idx;
                break;
            }
        }
        let (band, input) = (chosen / self.inputs.len(), chosen % self.inputs.len());
        let (smallest, full) = (self.widths.smallest(), self.widths.full());
        let place = (band as f64 + rng.random_range(0.0..1.0)) / N_BANDS as f64;
        let fraction = smallest.fraction() + place * (full.fraction() - smallest.fraction());
        let width = Width::new(fraction).expect("a number between two widths is a width");
        Some((width.clamp(smallest, full), input))
    }

    /// The means of all cells, for a checkpoint.
    pub fn cells(&self) -> &[f32] {
        &self.cells
    }

    /// Restores means from a checkpoint; `None` if their number is not that of the cells.
    pub fn with_cells(self, cells: &[f32]) -> Option<Self> {
        (cells.len() == self.cells.len()).then(|| Self { cells: cells.to_vec(), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolution;
    use crate::rng::{Key, Purpose};

    fn regret(share: f64) -> Regret {
        let widths = WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap();
        Regret::new(widths, &[32, 24].map(|r| InputSize::image(Resolution::new(r).unwrap())), share)
    }

    #[test]
    fn draws_follow_the_lag() {
        let mut regret = regret(1.0);
        let mut rng = Key::new(1, Purpose::Sample).stream();
        assert_eq!(regret.draw(&mut rng), None, "nothing was observed");
        for width in [0.26, 0.36, 0.45, 0.55, 0.65, 0.73, 0.83, 0.95] {
            for side in ["32", "24"] {
                let lag = if width < 0.3 && side == "24" { 9.0 } else { 1.0 };
                regret.observe(format!("{width}-{side}").parse().unwrap(), lag);
            }
        }
        let draws: Vec<_> = (0..2000).map(|_| regret.draw(&mut rng).unwrap()).collect();
        let worst = draws.iter().filter(|(width, r)| width.fraction() < 0.34375 && *r == 1).count();
        // 9 of 24 parts.
        assert!((650..850).contains(&worst), "{worst}");
        assert!(draws.iter().all(|(width, _)| regret.widths.contains(*width)));
    }

    #[test]
    fn a_share_stays_uniform_and_nan_changes_nothing() {
        let mut regret = regret(0.25);
        let before = regret.clone();
        regret.observe("0.5-32".parse().unwrap(), f64::NAN);
        regret.observe("0.5-28".parse().unwrap(), 1.0);
        assert_eq!(regret, before);
        regret.observe("0.5-32".parse().unwrap(), 2.0);
        let mut rng = Key::new(1, Purpose::Sample).stream();
        let followed = (0..1000).filter(|_| regret.draw(&mut rng).is_some()).count();
        assert!((180..320).contains(&followed), "{followed}");
        let restored = before.clone().with_cells(regret.cells()).unwrap();
        assert_eq!(restored, regret);
        assert_eq!(before.with_cells(&[0.0]), None);
    }
}
