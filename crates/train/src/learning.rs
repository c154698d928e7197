//! Tells when a run does not learn, from the losses of its steps.
//!
//! Separate because it only looks on: what it remembers is not part of the state, so a resumed run starts it anew.
//! Invariant: every symptom is told once.

use mutualnet_core::{Width, WidthRange};

use crate::divergence::Divergence;
use crate::events::Symptom;
use crate::mutual_step::StepLosses;
use crate::plan::Plan;
use crate::recipe::Recipe;

/// Share of the steps after which a full network that learns is better than guessing.
const PATIENCE: f64 = 0.2;
/// The fewest steps to wait, so that short trials are not blamed.
const MIN_PATIENCE: u64 = 200;
/// Steps that a running mean looks back, about.
const WINDOW: f64 = 50.0;
/// Steps between two looks.
const EVERY: u64 = 50;
/// A loss that is not below this share of what guessing gives is no better than guessing.
const AS_BAD: f64 = 0.99;
/// What the teacher must know before its students are judged, as a share of all there is to know.
const TAUGHT: f64 = 0.3;
/// Share of the images with the same answer at which a sub-network has collapsed, unless the full network is like that.
const COLLAPSED: f64 = 0.9;
const NOT_COLLAPSED: f64 = 0.7;
/// Equal parts of the width range that are judged apart; the smallest width is one more.
const N_BANDS: usize = 4;

/// A mean over about the last [`WINDOW`] steps.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    n: u64,
    value: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.value += (value - self.value) / (self.n as f64).min(WINDOW);
    }

    /// The mean, once it is of enough steps.
    fn get(self) -> Option<f64> {
        (self.n >= MIN_PATIENCE).then_some(self.value)
    }
}

/// The students of a part of the width range.
#[derive(Debug, Clone, Copy, Default)]
struct Band {
    /// The narrowest width seen.
    width: Option<Width>,
    loss: Mean,
    /// Divergence of a constant answer at the same steps.
    constant: Mean,
    most_frequent: Mean,
    told: bool,
}

/// Looks at the losses of every step.
#[derive(Debug)]
pub(crate) struct LearningWatch {
    /// Loss of a constant guess.
    guessing: f64,
    first_look: u64,
    widths: WidthRange,
    /// Whether the students' losses can be compared with that of a constant answer.
    is_kl: bool,
    full: Mean,
    full_most_frequent: Mean,
    full_told: bool,
    bands: [Band; N_BANDS + 1],
}

impl LearningWatch {
    /// A watch of a run whose full network has the loss `guessing` if it only guesses.
    pub(crate) fn new(plan: &Plan, guessing: f64) -> Self {
        let patience = (PATIENCE * plan.derived.total_steps as f64) as u64;
        Self {
            guessing,
            first_look: patience.max(MIN_PATIENCE).max(plan.learning_rate().warmup_steps),
            widths: plan.recipe.trained_widths(),
            is_kl: plan.recipe.train.divergence == Divergence::Kl,
            full: Mean::default(),
            full_most_frequent: Mean::default(),
            full_told: false,
            bands: [Band::default(); N_BANDS + 1],
        }
    }

    /// Takes in the losses of a step; says what shows since then that a network does not learn.
    pub(crate) fn observe(&mut self, step: u64, losses: &StepLosses) -> Vec<Symptom> {
        self.full.add(losses.full);
        self.full_most_frequent.add(losses.full_most_frequent);
        for student in &losses.students {
            let band = &mut self.bands[band(self.widths, student.subnet.width)];
            let width = student.subnet.width;
            band.width = Some(band.width.map_or(width, |narrowest| narrowest.min(width)));
            band.loss.add(student.loss);
            band.constant.add(losses.constant);
            band.most_frequent.add(student.most_frequent);
        }
        if step < self.first_look || !step.is_multiple_of(EVERY) {
            return Vec::new();
        }
        self.look()
    }

    fn look(&mut self) -> Vec<Symptom> {
        let Some(loss) = self.full.get() else { return Vec::new() };
        let mut symptoms = Vec::new();
        if loss >= AS_BAD * self.guessing {
            if !std::mem::replace(&mut self.full_told, true) {
                symptoms.push(Symptom::AsBadAsGuessing { loss, guessing: self.guessing });
            }
            // Students cannot be better than what they learn from.
            return symptoms;
        }
        let full_varies = self.full_most_frequent.value < NOT_COLLAPSED;
        for band in self.bands.iter_mut().filter(|band| !band.told) {
            let (Some(width), Some(loss), Some(constant)) =
                (band.width, band.loss.get(), band.constant.get())
            else {
                continue;
            };
            let share = band.most_frequent.value;
            let symptom = if full_varies && share >= COLLAPSED {
                Symptom::Collapsed { width, share }
            } else if self.is_kl && constant >= TAUGHT * self.guessing && loss >= AS_BAD * constant {
                Symptom::StudentStalled { width, loss, constant }
            } else {
                continue;
            };
            band.told = true;
            symptoms.push(symptom);
        }
        symptoms
    }
}

impl Symptom {
    /// What to try.
    pub(crate) fn hint(&self, recipe: &Recipe) -> String {
        let train = &recipe.train;
        let mut tries = Vec::new();
        if !train.zero_init_residual && train.init.is_none() {
            tries.push("train.zero_init_residual=true".to_owned());
        }
        if train.warmup_epochs == 0.0 && train.epochs > 1 {
            tries.push("train.warmup_epochs=1".to_owned());
        }
        if !matches!(self, Self::AsBadAsGuessing { .. }) && train.students_start == 0.0 {
            tries.push("train.students_start=0.2".to_owned());
        }
        tries.push(format!("a lower learning rate (train.lr={})", train.lr / 2.0));
        let last = tries.pop().expect("there is always one");
        if tries.is_empty() { format!("try {last}") } else { format!("try {}, or {last}", tries.join(", ")) }
    }
}

/// The place of a width in the range: 0 is the smallest, and the rest are equal parts.
fn band(widths: WidthRange, width: Width) -> usize {
    let (smallest, full) = (widths.smallest(), widths.full());
    if width == smallest {
        return 0;
    }
    let place = (width.fraction() - smallest.fraction()) / (full.fraction() - smallest.fraction());
    1 + ((place * N_BANDS as f64) as usize).min(N_BANDS - 1)
}

#[cfg(test)]
mod tests {
    use mutualnet_core::Subnet;

    use super::*;
    use crate::events::StudentLoss;

    const LN_12: f64 = 2.484_906_649_788;

    fn watch() -> LearningWatch {
        LearningWatch {
            guessing: LN_12,
            first_look: 200,
            widths: WidthRange::new(Width::new(0.25).unwrap(), Width::ONE).unwrap(),
            is_kl: true,
            full: Mean::default(),
            full_most_frequent: Mean::default(),
            full_told: false,
            bands: [Band::default(); N_BANDS + 1],
        }
    }

    /// A step with a full loss, what the teacher knows, and the loss and most frequent answer of width 0.25 and of 0.7.
    fn step(full: f64, constant: f64, students: [(f64, f64); 2]) -> StepLosses {
        let student = |(subnet, (loss, most_frequent)): (&str, _)| StudentLoss {
            subnet: subnet.parse::<Subnet>().unwrap(),
            loss,
            most_frequent,
        };
        StepLosses {
            full,
            full_accuracy: 0.1,
            full_most_frequent: 0.15,
            constant,
            students: ["0.25-20", "0.7-32"].into_iter().zip(students).map(student).collect(),
        }
    }

    /// Everything that is told in `n` steps.
    fn told(n: u64, mut losses: impl FnMut(u64) -> StepLosses) -> Vec<(u64, Symptom)> {
        let mut watch = watch();
        let steps = (0..n).flat_map(|step| {
            let symptoms = watch.observe(step, &losses(step));
            symptoms.into_iter().map(move |symptom| (step, symptom))
        });
        steps.collect()
    }

    #[test]
    fn a_run_that_learns_is_left_alone() {
        let symptoms = told(1000, |at| {
            let full = 2.6 * (-(at as f64) / 150.0).exp();
            let known = (LN_12 - full).clamp(0.0, 2.3);
            // As a student that is new to what its teacher has just learned.
            step(full, known, [(0.6 * known + 0.02, 0.4), (0.3 * known + 0.02, 0.2)])
        });
        assert_eq!(symptoms, []);
    }

    #[test]
    fn a_full_loss_like_that_of_guessing_is_told_once() {
        let symptoms =
            told(1000, |at| step(LN_12 + 0.1 * (at as f64).sin(), 0.01, [(0.02, 0.9), (0.02, 0.9)]));
        assert!(
            matches!(symptoms[..], [(200, Symptom::AsBadAsGuessing { guessing: LN_12, .. })]),
            "{symptoms:?}"
        );
        // Trials of a few steps are not blamed.
        assert_eq!(told(200, |_| step(3.0, 0.0, [(0.1, 0.5), (0.1, 0.5)])), []);
    }

    #[test]
    fn a_sub_network_with_one_answer_is_told_by_its_width() {
        let symptoms = told(1000, |_| step(0.5, 2.0, [(2.3, 0.97), (0.4, 0.2)]));
        let width = Width::new(0.25).unwrap();
        assert!(
            matches!(symptoms[..], [(200, Symptom::Collapsed { width: told, .. })] if told == width),
            "{symptoms:?}"
        );
    }

    #[test]
    fn a_student_that_knows_nothing_of_its_teacher_is_told() {
        let symptoms = told(1000, |_| step(0.5, 2.0, [(0.4, 0.2), (2.1, 0.3)]));
        let width = Width::new(0.7).unwrap();
        assert!(
            matches!(symptoms[..], [(200, Symptom::StudentStalled { width: told, .. })] if told == width),
            "{symptoms:?}"
        );
        // Nothing can be said of students as long as their teacher knows little itself.
        assert_eq!(told(1000, |_| step(2.3, 0.1, [(0.2, 0.5), (0.2, 0.5)])), []);
    }
}
