//! A model being run: the state of one caller, who may switch rows at any time.
//!
//! Invariant: feature maps are as large as the largest row needs from the beginning on, so that neither switching nor
//! running allocates (but for outputs of more images than any call before had).

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_core::{Budget, Subnet};

use crate::kernels::Team;
use crate::plan::Plan;
use crate::{Error, Model, Result, resize};

/// Numbers of feature maps that a session has at least: 16 MiB, of which only what is used is ever committed. Rows
/// that need less take several images in one pass.
const ARENA_LEN: usize = 1 << 22;

/// Runs a [`Model`] on a fixed number of threads; results do not depend on how many.
pub struct Session {
    model: Arc<Model>,
    team: Team,
    threads: usize,
    row: usize,
    logits: Vec<f32>,
}

/// One class of a prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassProbability {
    /// Number of the class.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Softmax of the logits.
    pub probability: f32,
}

impl Session {
    /// A session on the widest row's largest resolution, on `threads` threads, the caller's included.
    ///
    /// # Errors
    /// No memory or no threads.
    pub fn new(model: Arc<Model>, threads: NonZeroUsize) -> Result<Self> {
        let arena_len = model.prepared.arena_len().max(ARENA_LEN);
        let team = Team::new(model.prepared.clone(), threads.get(), arena_len)?;
        let row = model.widest();
        let logits = vec![0.0; model.plan(row).output.channels];
        Ok(Self { model, team, threads: threads.get(), row, logits })
    }

    /// What it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Its threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The row that [`Self::run`] runs.
    pub fn subnet(&self) -> Subnet {
        self.plan().subnet
    }

    /// Runs another row from now on; takes no time.
    ///
    /// # Errors
    /// The sub-network is not a row of the table.
    pub fn switch(&mut self, subnet: Subnet) -> Result<()> {
        self.row = self.model.row(subnet)?;
        Ok(())
    }

    /// Runs the most accurate row within a budget from now on, and says which that is.
    ///
    /// A latency is that of as many threads as the session has, or of the most measured if there is none for these.
    ///
    /// # Errors
    /// No row is within the budget, or no latencies were measured.
    pub fn switch_to_budget(&mut self, budget: Budget) -> Result<Subnet> {
        let measured = self.model.table().threads().any(|threads| threads == self.threads);
        let subnet = self.model.choose(budget, measured.then_some(self.threads))?;
        self.switch(subnet)?;
        Ok(subnet)
    }

    /// Numbers of one image at the row's own resolution.
    pub fn input_len(&self) -> usize {
        let input = self.plan().input;
        input.pixels() * input.channels
    }

    fn plan(&self) -> &Plan {
        self.model.plan(self.row)
    }

    /// Logits of `n` images.
    ///
    /// # Shapes
    /// - `input`: `[n, r, r, channels]` f32, normalized; `r` is the row's own resolution or the model's largest one,
    ///   from which it is shrunk bilinearly with aligned corners.
    /// - returns `[n, classes]`.
    ///
    /// # Errors
    /// The input has another length.
    pub fn run(&mut self, input: &[f32], n: usize) -> Result<&[f32]> {
        let image_len = self.image_len(input.len(), n)?;
        let classes = self.plan().output.channels;
        self.logits.resize((n * classes).max(self.logits.len()), 0.0);
        let capacity = self.team.capacity(self.plan());
        let mut done = 0;
        while done < n {
            let pass = capacity.min(n - done);
            self.load(&input[done * image_len..][..pass * image_len], pass);
            self.team.run(self.row, pass);
            self.unload(done, pass);
            done += pass;
        }
        Ok(&self.logits[..n * classes])
    }

    /// The `top` most probable classes of one image, most probable first.
    ///
    /// # Errors
    /// As [`Self::run`] with one image.
    pub fn predict(&mut self, input: &[f32], top: usize) -> Result<Vec<ClassProbability>> {
        let logits = self.run(input, 1)?;
        let probabilities = softmax(logits);
        let mut order: Vec<_> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        order.truncate(top);
        let classes = self.model.classes();
        let of = |class: usize| ClassProbability {
            class,
            name: classes[class].clone(),
            probability: probabilities[class],
        };
        Ok(order.into_iter().map(of).collect())
    }

    /// Numbers of one image of an input.
    fn image_len(&self, got: usize, n: usize) -> Result<usize> {
        let own = self.input_len();
        let largest = self.model.largest_input_len();
        let fits = |len: usize| n.checked_mul(len) == Some(got);
        match [own, largest].into_iter().find(|&len| fits(len)) {
            Some(len) => Ok(len),
            None => Err(Error::InputLength {
                n,
                subnet: self.subnet(),
                expected: n.saturating_mul(own),
                largest: n.saturating_mul(largest),
                got,
            }),
        }
    }

    /// Brings images into the arena.
    fn load(&mut self, input: &[f32], n: usize) {
        let feature = self.plan().input;
        let image_len = input.len() / n;
        let resize = self.model.resize(self.row).filter(|_| image_len != self.input_len());
        let images = self.team.feature_mut(feature, n).chunks_exact_mut(feature.len());
        for (output, input) in images.zip(input.chunks_exact(image_len)) {
            match resize {
                Some(resize) => resize.apply(input, output, feature),
                None => resize::copy(input, output, feature),
            }
        }
    }

    /// Takes the logits of a pass out of the arena.
    fn unload(&mut self, done: usize, n: usize) {
        let feature = self.plan().output;
        let logits = self.logits[done * feature.channels..].chunks_exact_mut(feature.channels);
        let outputs = self.team.feature_mut(feature, n).chunks_exact(feature.stride_c);
        for (logits, output) in logits.zip(outputs) {
            logits.copy_from_slice(&output[..feature.channels]);
        }
    }
}

/// Probabilities of logits.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_does_not_overflow() {
        let probabilities = softmax(&[1000.0, 1000.0, 0.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }
}
