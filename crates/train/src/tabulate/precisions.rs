//! Rows in other precisions than f32: how good they are on the run side, and whether they are faster.
//!
//! Separate because only the run side computes in these precisions, so that the engine cannot evaluate them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_bundle::{Bundle, Latency, Row};
use mutualnet_core::network::List;
use mutualnet_core::text::counted;
use mutualnet_core::{Network, Precision};
use mutualnet_data::Dataset;
use mutualnet_detect::Extent;
use mutualnet_engine::{Device, Tensor};
use mutualnet_runtime::{Model, ModelConfig, Output, Session};

use super::Tabulation;
use crate::Result;
use crate::evaluation::{EVALUATION_LIMITS, evaluation_batch};
use crate::events::{Event, Stage};
use crate::feed::{Feed, IfBroken};
use crate::sweep::scored_row;
use crate::task::{Objective, Outputs, Score, Staged};

impl Tabulation<'_> {
    /// Evaluates every row of a bundle in further precisions. Returns the rows that it has with these.
    pub(super) fn evaluate_in<O: Objective>(
        &mut self,
        precisions: &[Precision],
        test: &Dataset,
        bundle: &Bundle,
    ) -> Result<Vec<Row>> {
        let config = ModelConfig { precisions: precisions.to_vec(), ..ModelConfig::choose()? };
        let threads = NonZeroUsize::new(self.evaluation.cores).unwrap_or(NonZeroUsize::MIN);
        let mut session = Session::new(Arc::new(Model::with_config(bundle, config)?), threads)?;
        let network = bundle.network();
        let rows = bundle.table().rows();
        let mut scores: BTreeMap<_, _> = precisions
            .iter()
            .flat_map(|&precision| rows.iter().map(move |row| (precision, row.subnet)))
            .map(|key| (key, O::Score::default()))
            .collect();
        let recipe = self.evaluation.recipe;
        let loader = self.evaluation.loader(test, evaluation_batch(recipe), Device::Cpu)?;
        let batches = loader.evaluate(&recipe.preprocess())?;
        let mut feed = Feed::new(loader, batches, IfBroken::LeftOut);
        let n_test = test.samples().len();
        while let Some(mut batch) = feed.next_joined(EVALUATION_LIMITS, &mut self.log)? {
            let targets = O::targets(&batch, Device::Cpu)?;
            let (n, size, clip_frames, images) = (batch.n, batch.size, batch.frames, batch.take_images());
            for (&(precision, subnet), score) in &mut scores {
                session.switch_precision(precision)?;
                session.switch(subnet)?;
                match clip_frames {
                    Some(frames) => session.run_clips(&images, (n, [frames, size[0], size[1]]))?,
                    None => session.run_whole(&images, n, size)?,
                };
                let outputs = outputs_of(&session, (network, network.main()), n)?;
                let [height, width] = session.size_of(size).map(|side| side as u32);
                let seen = Extent { height, width };
                let run = &mut |list: &str, input: &Tensor| {
                    let (n, numbers) = (input.shape()[0], input.by_pixel()?.to_vec_f32()?);
                    session.run_list(list, &[&numbers], n)?;
                    outputs_of(&session, (network, network.list(list)?), n)
                };
                O::count(score, Staged { outputs, seen, network, run }, &targets)?;
            }
            let n_seen = scores.values().next().map_or(0, Score::n) as usize;
            let done = n_test + n_seen * precisions.len();
            let of = n_test * (1 + precisions.len());
            self.evaluation.apart.works()?;
            self.evaluation.tell(&mut self.log, Stage::Evaluate, done, of)?;
        }
        self.log.flush()?;
        let scored = scores
            .into_iter()
            .map(|((precision, subnet), score)| Ok(scored_row(network, subnet, &score)?.at(precision)));
        rows.iter().cloned().map(Ok).chain(scored).collect()
    }

    /// Leaves out rows in other precisions than f32 whose median is not below that of the same row in f32 for any number of
    /// threads, and says how many.
    pub(super) fn without_slow(&mut self, rows: Vec<Row>) -> Result<Vec<Row>> {
        let n = rows.iter().filter(|row| !row.precision.is_f32()).count();
        let (kept, slow) = by_speed(rows);
        if let Some(row) = slow.first() {
            let text = format!(
                "left {} of {} in {} out of the table: not faster than in f32 on this machine",
                slow.len(),
                counted(n, "row"),
                row.precision
            );
            self.log.log(&Event::Notice { text })?;
        }
        Ok(kept)
    }
}

/// Rows in f32 or faster than that for some number of threads, and the others.
fn by_speed(rows: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
    let medians = |row: &Row| row.latency.iter().map(Latency::p50).collect::<Vec<_>>();
    let single = rows.iter().filter(|row| row.precision.is_f32());
    let single: BTreeMap<_, _> = single.map(|row| (row.subnet, medians(row))).collect();
    let is_faster = |row: &Row| medians(row).iter().zip(&single[&row.subnet]).any(|(ours, f32)| ours < f32);
    rows.into_iter().partition(|row| row.precision.is_f32() || is_faster(row))
}

/// The outputs of the list that was run last, on `n` things.
fn outputs_of<'a>(session: &Session, (network, list): (&'a Network, &List), n: usize) -> Result<Outputs<'a>> {
    let n_outputs = network.outputs_of(list).count();
    let tensors = (0..n_outputs).map(|idx| tensor(n, session.output(idx))).collect::<Result<_>>()?;
    Ok(Outputs::of(network, list, tensors))
}

/// An output of the run side as a tensor `[n, channels, h, w]`.
fn tensor(n: usize, output: Output<'_>) -> Result<Tensor> {
    let Output { size: [height, width], channels, data, .. } = output;
    Ok(Tensor::from_nhwc(data, [n, height, width, channels], Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mutualnet_bundle::{BundleParts, Provenance, Quality, QueryTable};
    use mutualnet_core::Macs;
    use mutualnet_data::clips::{self, ClipsSpec};
    use mutualnet_data::shapes::{ShapesSpec, generate};
    use mutualnet_nn::Parameters;

    use super::super::{shipped, to_stats};
    use super::*;
    use crate::evaluation::Evaluation;
    use crate::events::EventLog;
    use crate::plan::Plan;
    use crate::plan::Planned;
    use crate::ranks::Ranks;
    use crate::recipe::Recipe;
    use crate::task::Classify;

    /// A network with its first weights is as good on the run side as in the engine, and nearly so in bf16.
    #[test]
    fn rows_are_evaluated_on_the_run_side() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        generate(&data, &ShapesSpec { seed: 3, train: 96, test: 96, side: 32 }).unwrap();
        let recipe = r#"
            network = { name = "mobilenet_v2", widths = [0.25, 1.0], resolutions = [32, 24] }
            data = { path = "set below" }
            train = { epochs = 1, batch = 8, lr = 0.05 }
            tabulate = { width_step = 0.75, calibration_batches = 2 }
        "#;
        assert_alike(dir.path(), recipe);
    }

    #[test]
    fn rows_of_clips_are_evaluated_on_the_run_side() {
        let dir = tempfile::tempdir().unwrap();
        let spec = ClipsSpec { seed: 3, train: 16, test: 96, side: 32, frames: 4 };
        clips::generate(&dir.path().join("data"), &spec).unwrap();
        let recipe = r#"
            network = { name = "x3d_xs", widths = [0.25, 0.5], resolutions = [32, 24], frames = [4, 2] }
            data = { path = "set below", augment = { flip = false } }
            train = { epochs = 1, batch = 8, lr = 0.05 }
            tabulate = { width_step = 0.25, calibration_batches = 2 }
        "#;
        assert_alike(dir.path(), recipe);
    }

    #[test]
    fn rows_of_two_pathways_are_evaluated_on_the_run_side() {
        let dir = tempfile::tempdir().unwrap();
        let spec = ClipsSpec { seed: 3, train: 16, test: 96, side: 32, frames: 4 };
        clips::generate(&dir.path().join("data"), &spec).unwrap();
        let recipe = r#"
            network = { name = "slowfast_r14_4x16", widths = [0.25, 0.5], resolutions = [16, 12], frames = [2, 1], fast_frames = 4 }
            data = { path = "set below", augment = { flip = false } }
            train = { epochs = 1, batch = 8, lr = 0.05 }
            tabulate = { width_step = 0.25, calibration_batches = 2 }
        "#;
        assert_alike(dir.path(), recipe);
    }

    /// Whether the rows of an untrained network are alike in the engine and on the run side, on 96 samples.
    fn assert_alike(dir: &std::path::Path, recipe: &str) {
        let data = dir.join("data");
        let recipe = Recipe::parse(recipe, &[format!("data.path={data:?}")]).unwrap();
        let Planned { shipped: network, train, test, plan, .. } = Plan::make(&recipe).unwrap();
        let parameters = Parameters::init(&network, 1, Device::Cpu).unwrap();
        let weights = shipped(&network, parameters.to_weights().unwrap());
        let mut console = ();
        let rows = recipe.table_rows();
        let alone = Ranks::alone();
        let place = (Device::Cpu, &alone);
        let evaluation = Evaluation::new((&recipe, &network), &weights, rows, place).unwrap();
        let log = EventLog::open(&dir.join("events.jsonl"), &mut console).unwrap();
        let mut tabulation = Tabulation { evaluation, log };
        let statistics = tabulation.evaluation.calibrate::<Classify>(&train, &mut tabulation.log).unwrap();
        let rows =
            tabulation.evaluation.evaluate::<Classify>(&test, &statistics, &mut tabulation.log).unwrap();
        let bundle = Bundle::new(BundleParts {
            task: recipe.task,
            network,
            classes: plan.derived.classes,
            preprocess: recipe.preprocess(),
            table: QueryTable::new(rows.clone()).unwrap(),
            weights,
            stats: to_stats(&statistics).unwrap(),
            provenance: Provenance::default(),
        })
        .unwrap();
        for (precision, most) in [(Precision::F32, 1.0), (Precision::Bf16, 10.0)] {
            let all = tabulation.evaluate_in::<Classify>(&[precision], &test, &bundle).unwrap();
            let (engine, run_side) = all.split_at(rows.len());
            assert_eq!(run_side.len(), rows.len());
            for row in run_side {
                let same = engine.iter().find(|other| other.subnet == row.subnet).unwrap();
                let off = (row.quality.value - same.quality.value).abs() * 96.0;
                assert!(row.quality.n == 96 && off <= most, "{} is off by {off} images", row.name());
            }
        }
    }

    #[test]
    fn slow_rows_are_left_out() {
        let row = |name: &str, precision, ms: [f64; 2]| {
            let latency =
                ms.iter().zip([1, 2]).map(|(&ms, threads)| Latency { threads, p50_ms: ms, p99_ms: ms, n: 1 });
            let quality = Quality::of_counts(1, 2).unwrap();
            Row::new(name.parse().unwrap(), Macs(1), quality, latency.collect()).at(precision)
        };
        let rows = [
            row("1.0-32", Precision::F32, [2.0, 1.0]),
            row("1.0-32", Precision::Bf16, [2.5, 0.9]),
            row("0.5-32", Precision::F32, [1.0, 0.5]),
            row("0.5-32", Precision::Bf16, [1.0, 0.6]),
        ];
        let (kept, slow) = by_speed(rows.to_vec());
        assert_eq!(kept.iter().map(Row::name).collect::<Vec<_>>(), ["1.0-32", "1.0-32 bf16", "0.5-32"]);
        assert_eq!(slow.iter().map(Row::name).collect::<Vec<_>>(), ["0.5-32 bf16"]);
        assert_eq!(kept[0].latency[0].p50(), Duration::from_millis(2));
    }
}
