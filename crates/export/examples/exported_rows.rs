//! Random rows of a network as ONNX files, with images and what our runtime computes of them, for comparisons with other
//! programs.
//!
//!     exported_rows NETWORK N SEED DIR
//!
//! DIR gets, for each of N rows, `I.onnx` and `I.safetensors` with `CASE.input`, `[n, 3, h, w]`, and `CASE.OUTPUT` for every
//! output of the network. The cases differ in the number of images and, for a network that segments, in their size and
//! aspect. Row 0 has the full width, and `0.state.safetensors` is that row as a PyTorch state dict.
//! Weights and statistics are random, and the scores of row 0 go up to [`LARGEST_SCORE`].

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use mutualnet_bundle::{Bundle, BundleParts, safetensors};
use mutualnet_core::rng::{Key, Purpose};
use mutualnet_core::{Network, Resolution, Subnet, Task, Tensor, Weights, Width, WidthRange};
use mutualnet_export::{onnx, write_safetensors};
use mutualnet_runtime::{Model, ModelConfig, Session};
use mutualnet_zoo::NetworkConfig;
use rand::Rng;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The largest score of row 0. In parts of the largest score, rounding costs a random network up to a hundred times what it
/// costs a trained one: there, scores up to 8 differ by 2e-6.
const LARGEST_SCORE: f32 = 1.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, n, seed, dir] = &arguments[..] else {
        return Err("usage: exported_rows NETWORK N SEED DIR".into());
    };
    let rows = rows(n.parse()?, seed.parse()?)?;
    let bundle = bundle(network(name)?, &rows)?;
    let mut session = session(&bundle)?;
    let dir = Path::new(dir);
    write_safetensors(&bundle, rows[0], &dir.join("0.state.safetensors"))?;
    for (idx, &row) in rows.iter().enumerate() {
        onnx::write_onnx(&bundle, row, &dir.join(format!("{idx}.onnx")))?;
        session.switch(row)?;
        let results = results(&bundle, &mut session, row)?;
        safetensors::write(&results, &dir.join(format!("{idx}.safetensors")))?;
    }
    Ok(())
}

/// The network of a name with the outputs that answer, at widths from 0.25 to 1.
fn network(name: &str) -> Result<Network> {
    let widths = WidthRange::new(Width::new(0.25)?, Width::ONE)?;
    let config = NetworkConfig { classes: 21, widths, output_stride: None };
    Ok(mutualnet_zoo::build_for(mutualnet_zoo::Purpose::Inference, name, &config)?)
}

/// Different rows, of which the first has the full width.
fn rows(n: usize, seed: u64) -> Result<Vec<Subnet>> {
    let mut rng = Key::new(seed, Purpose::Sample).stream();
    let mut rows: Vec<Subnet> = Vec::new();
    while rows.len() < n.max(1) {
        let width = if rows.is_empty() { Width::ONE } else { Width::new(rng.random_range(0.25..1.0))? };
        let row = Subnet::image(width, Resolution::new(rng.random_range(40..=96))?);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn session(bundle: &Bundle) -> Result<Session> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let model = Model::with_config(bundle, ModelConfig::choose()?.direct())?;
    Ok(Session::new(Arc::new(model), threads)?)
}

fn bundle(network: Network, rows: &[Subnet]) -> Result<Bundle> {
    let mut parts = mutualnet_testkit::parts(network, rows);
    parts.task = Task::ALL
        .into_iter()
        .find(|task| task.check(&parts.network).is_ok())
        .ok_or("no task has these outputs")?;
    parts.table = parts.table.measuring(parts.task.metric());
    scale_scores(parts, rows[0])
}

/// The bundle whose last layers are such that the scores of a row go up to [`LARGEST_SCORE`].
fn scale_scores(parts: BundleParts, row: Subnet) -> Result<Bundle> {
    let bundle = Bundle::new(parts)?;
    let mut session = session(&bundle)?;
    session.switch(row)?;
    let scores = results(&bundle, &mut session, row)?;
    let scores = scores.iter().filter(|(name, _)| !name.ends_with("input"));
    let largest = scores.flat_map(|(_, tensor)| &tensor.data).fold(0.0_f32, |max, x| max.max(x.abs()));
    let mut parts = bundle.into_parts();
    for head in parts.network.heads() {
        for kind in ["weight", "bias"] {
            let name = format!("{}.{kind}", parts.network.node(head).path);
            if let Some(tensor) = parts.weights.get_mut(&name) {
                tensor.data.iter_mut().for_each(|x| *x *= LARGEST_SCORE / largest);
            }
        }
    }
    Ok(Bundle::new(parts)?)
}

/// Images and outputs of all cases, channels first.
fn results(bundle: &Bundle, session: &mut Session, row: Subnet) -> Result<Weights> {
    let side = row.input.resolution.get() as usize;
    let cases = match bundle.task() {
        Task::Classify | Task::Detect => vec![(1, [side; 2]), (3, [side; 2])],
        _ => vec![(1, [side; 2]), (2, [side, side * 4 / 3]), (1, [side * 3 / 2 + 1, side])],
    };
    let mut results = Weights::new();
    for (case, (n, size)) in cases.into_iter().enumerate() {
        let images = onnx::Images::random(n, size, 3);
        session.run_at(&images.pixels, n, size)?;
        results.insert(format!("{case}.input"), channels_first(&images.pixels, n, (size, 3)));
        for idx in 0..bundle.network().outputs().len() {
            let output = session.output(idx);
            let mut tensor = channels_first(output.data, n, (output.size, output.channels));
            if bundle.task() == Task::Classify {
                tensor.shape.truncate(2);
            }
            results.insert(format!("{case}.{}", output.name), tensor);
        }
    }
    Ok(results)
}

/// `[n, h, w, c]` as `[n, c, h, w]`.
fn channels_first(data: &[f32], n: usize, ([height, width], channels): ([usize; 2], usize)) -> Tensor {
    let positions = height * width;
    let image = |image: &[f32]| -> Vec<f32> {
        (0..channels * positions).map(|i| image[i % positions * channels + i / positions]).collect()
    };
    let data = data.chunks_exact(channels * positions).flat_map(image).collect();
    Tensor { shape: vec![n, channels, height, width], data }
}
