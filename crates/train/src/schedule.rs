//! The learning rate over the run.

/// Learning rate of a step: from `lr` down to 0 along half a cosine, one value per step.
///
/// # Source
/// `[MN-code train.py]`: `CosineAnnealingLR` stepped per iteration.
pub fn cosine(lr: f64, step: u64, total_steps: u64) -> f64 {
    let progress = step as f64 / total_steps as f64;
    0.5 * lr * (1.0 + (std::f64::consts::PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn falls_from_lr_to_zero() {
        assert_eq!(cosine(0.5, 0, 100), 0.5);
        assert!((cosine(0.5, 50, 100) - 0.25).abs() < 1e-12);
        assert!(cosine(0.5, 99, 100) < 2e-4);
        assert!((1..100).all(|step| cosine(0.5, step, 100) < cosine(0.5, step - 1, 100)));
    }
}
