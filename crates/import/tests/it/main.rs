//! Checkpoints as PyTorch writes them, and hostile ones, through the crate's public interface.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; the exception for tests covers test functions alone"
)]

/// Every format and shape of checkpoint that PyTorch wrote into `golden`.
mod checkpoints;

/// Cut off, damaged and hostile files.
mod hostile;

/// What surrounds the weights in checkpoints of training programs.
mod surroundings;

use mutualnet_core::{Network, Tensor, Weights};
use mutualnet_import::{Imported, Result, Rules, StateDict, import};

pub(crate) const AUTHORS: &[u8] = include_bytes!("../../golden/authors.pt");
pub(crate) const AUTHORS_LEGACY: &[u8] = include_bytes!("../../golden/authors_legacy.pt");
pub(crate) const VIEWS: &[u8] = include_bytes!("../../golden/views.pt");
pub(crate) const PLAIN: &[u8] = include_bytes!("../../golden/plain.safetensors");
pub(crate) const HOSTILE: &[u8] = include_bytes!("../../golden/hostile.pt");

/// The network of the golden checkpoints.
pub(crate) fn network() -> Network {
    mutualnet_testkit::small_network()
}

pub(crate) fn imported(bytes: &[u8]) -> Result<Imported> {
    import(&StateDict::read(bytes, None)?, &network(), Rules::default())
}

/// What `golden/make.py` filled in.
pub(crate) fn expected() -> Weights {
    let network = network();
    let shapes = network.parameter_shapes(network.widths().full()).unwrap();
    let tensors =
        network.parameters().into_iter().zip(shapes).enumerate().map(|(idx, (parameter, shape))| {
            let n: usize = shape.iter().product();
            let data = (0..n).map(|n| ((n * 37 + idx * 11) % 97) as f32 / 64.0 - 0.75).collect();
            (parameter.name, Tensor { shape, data })
        });
    tensors.collect()
}
