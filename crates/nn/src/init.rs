//! Initial weights.

use mutualnet_core::network::ParameterKind;
use mutualnet_core::rng::{Key, Purpose};
use rand_distr::{Distribution, Normal};

/// Initial values of parameter number `index`, which has shape `shape`, in row-major order.
///
/// Weights of convolutions, including depthwise ones, come from N(0, √(2 / (kernel positions · out))). Those of linear layers
/// and of convolutions that give a result (`is_last`) come from N(0, 0.01), so that no class starts ahead. Batch norms start
/// with 1 and 0, and biases with 0.
///
/// # Source
/// `[MN-code models/mobilenet_v2.py reset_parameters]`; for results, the heads of torchvision's detectors.
pub(crate) fn first_values(
    (kind, is_last): (ParameterKind, bool),
    shape: &[usize],
    seed: u64,
    index: usize,
) -> Vec<f32> {
    let n = shape.iter().product();
    let deviation = match kind {
        ParameterKind::ConvWeight | ParameterKind::TransposedConvWeight if is_last => 0.01,
        ParameterKind::ConvWeight | ParameterKind::DepthwiseWeight => {
            let positions: usize = shape[2..].iter().product();
            (2.0 / (positions * shape[0]) as f64).sqrt()
        }
        // Its second axis is that of the outputs.
        ParameterKind::TransposedConvWeight => {
            let positions: usize = shape[2..].iter().product();
            (2.0 / (positions * shape[1]) as f64).sqrt()
        }
        ParameterKind::LinearWeight => 0.01,
        ParameterKind::Scale => return vec![1.0; n],
        ParameterKind::Shift | ParameterKind::Bias => return vec![0.0; n],
    };
    let normal = Normal::new(0.0, deviation).expect("the deviation is finite and positive");
    let mut rng = Key::new(seed, Purpose::Init).sample(index as u64).stream();
    (0..n).map(|_| normal.sample(&mut rng) as f32).collect()
}
