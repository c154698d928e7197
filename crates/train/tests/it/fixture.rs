//! A generated data set of a few images and a recipe that trains on it in seconds; networks that do as well.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mutualnet_core::{Network, Subnet, Width, WidthRange};
use mutualnet_data::shapes::{ShapesSpec, generate};
use mutualnet_train::{Event, Outcome, Recipe, Reporter, RunDir};
use mutualnet_zoo::{NetworkConfig, OutputStride};
use tempfile::TempDir;

/// Batch 8, 96 training images.
pub(crate) const STEPS_PER_EPOCH: u64 = 12;

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        generate(&dir.path().join("data"), &ShapesSpec { seed: 3, train: 96, test: 48, side: 32 }).unwrap();
        Self { dir }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn recipe(&self, overrides: &[&str]) -> Recipe {
        recipe_in(self.dir.path(), include_str!("recipe.toml"), overrides).unwrap()
    }

    pub(crate) fn run(&self, name: &str) -> RunDir {
        RunDir::new(self.dir.path().join(name))
    }

    /// Trains to the end.
    pub(crate) fn train(&self, name: &str, overrides: &[&str]) -> RunDir {
        let run = self.run(name);
        let outcome = mutualnet_train::train(&self.recipe(overrides), &run, &AtomicBool::new(false), &mut ());
        assert_eq!(outcome.unwrap(), Outcome::Finished);
        run
    }
}

/// A recipe for the data set `data` of a directory.
pub(crate) fn recipe_in(
    dir: &Path,
    text: &str,
    overrides: &[&str],
) -> Result<Recipe, mutualnet_train::Error> {
    let mut keys = vec![format!("data.path={:?}", dir.join("data"))];
    keys.extend(overrides.iter().map(|&key| key.to_owned()));
    Recipe::parse(text, &keys)
}

/// The same, trained to the end.
pub(crate) fn train_in(dir: &Path, text: &str, overrides: &[&str]) -> RunDir {
    let recipe = recipe_in(dir, text, overrides).unwrap();
    let run = RunDir::new(dir.join("run"));
    let outcome = mutualnet_train::train(&recipe, &run, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    run
}

/// The weights and momentum after `step` steps, as they lie in the files.
pub(crate) fn state(run: &RunDir, step: u64) -> [Vec<u8>; 2] {
    let dir = run.checkpoints().join(step.to_string());
    ["weights.safetensors", "momentum.safetensors"].map(|name| std::fs::read(dir.join(name)).unwrap())
}

/// All events of a run.
pub(crate) fn events(run: &RunDir) -> Vec<Event> {
    let text = std::fs::read_to_string(run.events()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks for an end after a number of steps.
pub(crate) struct StopAfter<'a> {
    pub(crate) step: u64,
    pub(crate) stop: &'a AtomicBool,
}

impl Reporter for StopAfter<'_> {
    fn report(&mut self, event: &Event) {
        if matches!(event, Event::Step { step, .. } if step + 1 == self.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Removes a checkpoint.
pub(crate) fn forget(run: &RunDir, step: u64) {
    std::fs::remove_dir_all(run.checkpoints().join(step.to_string())).unwrap();
}

/// Whether a path exists below the run.
pub(crate) fn has(run: &RunDir, name: &str) -> bool {
    Path::new(run.path()).join(name).exists()
}

/// A sample of a family for 32 pixels, at the widths that the family names for tests.
pub(crate) fn small_network(name: &str) -> Network {
    let sample = mutualnet_zoo::family(name).and_then(|family| family.sample(name)).unwrap();
    let [smallest, full] = sample.widths.map(|width| Width::new(width).unwrap());
    let widths = WidthRange::new(smallest, full).unwrap();
    let config = NetworkConfig { classes: 4, widths, output_stride: Some(OutputStride::S16) };
    mutualnet_zoo::build_small(name, &config).unwrap()
}

/// How good rows are.
type Values = Vec<(Subnet, f64)>;

/// Evaluations of a run: step, values from the cheapest row on, and whether they are the best so far.
pub(crate) fn evaluations(run: &RunDir) -> Vec<(u64, Values, bool)> {
    let of = |event| match event {
        Event::Evaluated { step, rows, is_best, .. } => {
            Some((step, rows.into_iter().map(|row| (row.subnet, row.value)).collect(), is_best))
        }
        _ => None,
    };
    events(run).into_iter().filter_map(of).collect()
}
