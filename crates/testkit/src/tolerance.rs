//! Compares numbers with a named tolerance, and describes any difference.

/// How close numbers must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// The same bits.
    Exact,
    /// Relative error at most 1e-5: the same arithmetic in a different order.
    Close,
    /// Relative error at most 1e-4: a different implementation, over many layers.
    Loose,
}

impl Tolerance {
    /// The largest relative error that is allowed.
    pub fn limit(self) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Close => 1e-5,
            Self::Loose => 1e-4,
        }
    }
}

/// Compares `got` with `expected`.
///
/// The relative error of a tensor is its largest difference divided by the largest magnitude of `expected`.
/// Numbers that are not finite count as close only with `Exact`, and only if all their bits are equal.
///
/// # Errors
/// Fails if the lengths differ or the error is above the tolerance; the text says by how much and where.
pub fn difference(got: &[f32], expected: &[f32], tolerance: Tolerance) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} numbers, expected {}", got.len(), expected.len()));
    }
    let scale = expected.iter().fold(0.0_f64, |max, b| max.max(f64::from(b.abs())));
    let distance = |(a, b): (&f32, &f32)| {
        if a.to_bits() == b.to_bits() {
            return 0.0;
        }
        let distance = (f64::from(*a) - f64::from(*b)).abs();
        if distance.is_nan() { f64::INFINITY } else { distance }
    };
    let allowed = tolerance.limit() * scale;
    let is_near = |pair: (&f32, &f32)| match tolerance {
        Tolerance::Exact => pair.0.to_bits() == pair.1.to_bits(),
        _ => distance(pair) <= allowed && pair.0.is_finite(),
    };
    let n_far = got.iter().zip(expected).filter(|pair| !is_near(*pair)).count();
    if n_far == 0 {
        return Ok(());
    }
    let far = got.iter().zip(expected).enumerate().filter(|(_, pair)| !is_near(*pair));
    let worst = far.max_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
    let (at, (a, b)) = worst.expect("at least one is far");
    let relative = distance((a, b)) / scale;
    Err(format!(
        "relative error {relative:.2e} is above {tolerance:?} ({:.0e}): {n_far} of {} numbers, the worst at {at}: \
         {a:e}, expected {b:e}; the largest expected magnitude is {scale:.3e}",
        tolerance.limit(),
        got.len(),
    ))
}

/// Asserts that two slices are close; see [`difference`].
///
/// # Panics
/// Panics if they are not; the message begins with `what`.
#[track_caller]
pub fn assert_near(what: &str, got: &[f32], expected: &[f32], tolerance: Tolerance) {
    if let Err(difference) = difference(got, expected, tolerance) {
        panic!("{what}: {difference}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearness_is_relative_to_the_largest() {
        let expected = [100.0, 0.001, -3.0];
        assert_eq!(difference(&[100.0005, 0.0015, -3.0], &expected, Tolerance::Close), Ok(()));
        let error = difference(&[100.0, 0.001, -2.99], &expected, Tolerance::Close).unwrap_err();
        assert!(error.contains("1 of 3") && error.contains("at 2") && error.contains("1.00e-4"), "{error}");
        assert_eq!(difference(&[100.0, 0.001, -2.991], &expected, Tolerance::Loose), Ok(()));
    }

    #[test]
    fn nan_and_infinity_are_not_near() {
        for tolerance in [Tolerance::Close, Tolerance::Loose] {
            for bad in [f32::NAN, f32::INFINITY] {
                assert!(difference(&[bad], &[bad], tolerance).is_err());
                assert!(difference(&[bad], &[1.0], tolerance).is_err());
            }
        }
        assert_eq!(difference(&[f32::NAN], &[f32::NAN], Tolerance::Exact), Ok(()));
        assert!(difference(&[0.0], &[-0.0], Tolerance::Exact).is_err());
        assert!(difference(&[0.0], &[0.0, 0.0], Tolerance::Loose).is_err());
        assert_eq!(difference(&[], &[], Tolerance::Close), Ok(()));
    }
}
