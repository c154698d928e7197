//! Mixup and CutMix: two images of a batch become two mixed ones, each with both labels.
//!
//! Separate from the other augmentations because it needs a finished batch and changes labels.
//! Invariant: the two images of a pair exchange pixels, so that their sum stays the same.

use std::ops::Range;

use mutualnet_core::RngStream;
use rand::Rng;
use rand_distr::{Beta, Distribution};

use crate::{Error, Result};

/// Smallest and largest exponent of the Beta distribution: below, shares are practically 0 or 1; above, one half.
const ALPHA: [f64; 2] = [0.05, 100.0];

/// Draws how pairs are mixed: by mixup, by CutMix, or by one of them with probability one half.
///
/// # Source
/// `[mixup]`, `[CutMix]`; `[timm data Mixup]` in its mode `pair` with its `switch_prob` of 0.5. Reference: timm pairs the
/// first image with the last one, we pair neighbors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixing {
    /// Exponent of mixup; `None` if it is off.
    mixup: Option<f64>,
    /// Exponent of CutMix; `None` if it is off.
    cutmix: Option<f64>,
}

impl Mixing {
    /// Shares of mixup come from Beta(`mixup`, `mixup`), those of CutMix from Beta(`cutmix`, `cutmix`); 0 turns one of
    /// them off, and with both off there is nothing to mix: `None`.
    ///
    /// # Errors
    /// [`Error::Setting`]: an exponent is neither 0 nor from 0.05 to 100.
    pub fn new(mixup: f64, cutmix: f64) -> Result<Option<Self>> {
        let mixing = Self { mixup: checked("mixup", mixup)?, cutmix: checked("cutmix", cutmix)? };
        Ok((mixing.mixup.is_some() || mixing.cutmix.is_some()).then_some(mixing))
    }

    /// Draws what is done with one pair of images of `side` × `side` pixels.
    pub fn draw(&self, side: u32, rng: &mut RngStream) -> Mix {
        let is_cutmix = match (self.mixup, self.cutmix) {
            (Some(_), Some(_)) => rng.random(),
            (_, cutmix) => cutmix.is_some(),
        };
        let alpha = if is_cutmix { self.cutmix } else { self.mixup };
        let alpha = alpha.expect("one of the two is there");
        let share = Beta::new(alpha, alpha).expect("exponents are above 0").sample(rng);
        if is_cutmix {
            let center = [rng.random_range(0..side), rng.random_range(0..side)];
            Mix::exchange(share, center, side)
        } else {
            Mix::Blend { share: share as f32 }
        }
    }
}

fn checked(setting: &'static str, alpha: f64) -> Result<Option<f64>> {
    let [least, most] = ALPHA;
    if alpha == 0.0 {
        Ok(None)
    } else if (least..=most).contains(&alpha) {
        Ok(Some(alpha))
    } else {
        Err(Error::Setting {
            setting,
            reason: format!("{alpha} is neither 0 (off) nor from {least} to {most}"),
        })
    }
}

/// What is done with one pair of images.
#[derive(Debug, Clone, PartialEq)]
pub enum Mix {
    /// Mixup: every number becomes a weighted mean of both images'.
    Blend {
        /// Weight of an image's own numbers, from 0 to 1.
        share: f32,
    },
    /// CutMix: the images exchange a rectangle, which may be empty.
    Exchange {
        /// Rows of the rectangle, in pixels.
        rows: Range<usize>,
        /// Columns of the rectangle, in pixels.
        columns: Range<usize>,
        /// Share of the area that stays, from 0 to 1.
        share: f32,
    },
}

impl Mix {
    /// A rectangle of 1 − `share` of the area around a pixel `[y, x]`, clipped at the edges; the share of the result is
    /// that of the area which really stays.
    ///
    /// # Source
    /// `[timm data cutmix_bbox_and_lam]`. Reference: torchvision rounds half the sides down instead of the sides.
    fn exchange(share: f64, center: [u32; 2], side: u32) -> Self {
        let length = (f64::from(side) * (1.0 - share).sqrt()) as u32;
        let [rows, columns] = center.map(|at| {
            let end = (at + length.div_ceil(2)).min(side);
            at.saturating_sub(length / 2) as usize..end as usize
        });
        let area = (rows.len() * columns.len()) as f64;
        Self::Exchange { share: (1.0 - area / f64::from(side).powi(2)) as f32, rows, columns }
    }

    /// The share that an image's own label has, from 0 to 1; the other image's label has the rest.
    pub fn share(&self) -> f32 {
        match *self {
            Self::Blend { share } | Self::Exchange { share, .. } => share,
        }
    }

    /// Mixes two images in place, each with the other.
    ///
    /// # Shapes
    /// - `first`, `second`: `[side, side, 3]` f32, normalized
    ///
    /// # Panics
    /// An image has another length, or the mix was drawn for another side.
    pub fn apply(&self, first: &mut [f32], second: &mut [f32], side: u32) {
        let side = side as usize;
        assert!(first.len() == 3 * side * side && second.len() == first.len(), "images of side {side}");
        match self {
            Self::Blend { share } => {
                let rest = 1.0 - share;
                for (a, b) in first.iter_mut().zip(second) {
                    (*a, *b) = (share * *a + rest * *b, share * *b + rest * *a);
                }
            }
            Self::Exchange { rows, columns, .. } => {
                for row in rows.clone() {
                    let part = 3 * (row * side + columns.start)..3 * (row * side + columns.end);
                    first[part.clone()].swap_with_slice(&mut second[part]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    fn numbers(line: &str) -> Vec<f64> {
        line.split(' ').map(|number| number.parse().unwrap()).collect()
    }

    #[test]
    fn rectangles_are_timms() {
        let mut n = 0;
        for line in include_str!("../../golden/mixing/rectangles.txt").lines() {
            let [side, share, y, x, top, bottom, left, right, corrected] = numbers(line).try_into().unwrap();
            let mix = Mix::exchange(share, [y as u32, x as u32], side as u32);
            let (rows, columns) = (top as usize..bottom as usize, left as usize..right as usize);
            assert_eq!(mix, Mix::Exchange { rows, columns, share: corrected as f32 }, "{line}");
            n += 1;
        }
        assert_eq!(n, 112);
    }

    #[test]
    fn pairs_become_what_timm_makes_of_them() {
        /// The script's `image`.
        fn image(offset: usize) -> Vec<f32> {
            (0..48).map(|i| ((i * 5 + offset) % 23) as f32 / 8.0 - 1.0).collect()
        }
        let mut n = 0;
        for line in include_str!("../../golden/mixing/pairs.txt").lines() {
            let (kind, rest) = line.split_once(' ').unwrap();
            let (mix, share, expected) = match (kind, numbers(rest).as_slice()) {
                ("mixup", [lambda, share, expected @ ..]) => {
                    (Mix::Blend { share: *lambda as f32 }, *share, expected.to_vec())
                }
                (_, [lambda, y, x, share, expected @ ..]) => {
                    (Mix::exchange(*lambda, [*y as u32, *x as u32], 4), *share, expected.to_vec())
                }
                _ => panic!("{line}"),
            };
            let (mut first, mut second) = (image(0), image(11));
            mix.apply(&mut first, &mut second, 4);
            assert_eq!(mix.share(), share as f32);
            // timm computes with the rest of the share in double precision.
            let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 2e-7;
            assert_eq!(expected.len(), 96);
            assert!([first, second].concat().iter().zip(&expected).all(near), "{line}");
            n += 1;
        }
        assert_eq!(n, 5);
    }

    /// Mean and variance of the shares of 20 000 pairs, and how many of them exchange a rectangle.
    fn shares(mixup: f64, cutmix: f64) -> (f64, f64, usize) {
        let mixing = Mixing::new(mixup, cutmix).unwrap().unwrap();
        let mut rng = Key::new(5, Purpose::Mix).stream();
        let mixes: Vec<_> = (0..20_000).map(|_| mixing.draw(512, &mut rng)).collect();
        let shares: Vec<_> = mixes.iter().map(|mix| f64::from(mix.share())).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / 20_000.0;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 20_000.0;
        (mean, variance, mixes.iter().filter(|mix| matches!(mix, Mix::Exchange { .. })).count())
    }

    #[test]
    fn shares_are_distributed_as_asked() {
        for alpha in [0.05, 0.2, 0.8, 1.0, 4.0] {
            let (mean, variance, exchanges) = shares(alpha, 0.0);
            // Of Beta(α, α).
            assert!((mean - 0.5).abs() < 0.015, "{alpha}: {mean}");
            assert!((variance - 0.25 / (2.0 * alpha + 1.0)).abs() < 0.005, "{alpha}: {variance}");
            assert_eq!(exchanges, 0);
        }
    }

    #[test]
    fn each_kind_mixes_half_of_the_pairs_when_both_are_asked_for() {
        let (_, _, exchanges) = shares(0.2, 1.0);
        assert!((9_700..10_300).contains(&exchanges), "{exchanges}");
        let (mean, _, exchanges) = shares(0.0, 1.0);
        assert_eq!(exchanges, 20_000);
        // A square of uniform area keeps one half on average; cut off at the edges, more: 1 − E[(r − r²/4)²] with
        // E[r^n] = 2 / (n + 2) for the relative side r, which is 1 − (1/2 − 1/5 + 1/48).
        assert!((mean - 0.679).abs() < 0.01, "{mean}");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(Mixing::new(0.0, 0.0).unwrap(), None);
        for (mixup, cutmix, says) in [
            (-0.1, 0.0, "mixup: -0.1 is neither 0 (off) nor from 0.05 to 100"),
            (0.2, 101.0, "cutmix: 101 is neither 0 (off) nor from 0.05 to 100"),
            (f64::NAN, 0.0, "mixup: NaN is neither 0 (off) nor from 0.05 to 100"),
        ] {
            assert_eq!(Mixing::new(mixup, cutmix).unwrap_err().to_string(), says);
        }
    }
}
