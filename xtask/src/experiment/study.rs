//! What a study is: arms, seeds, and where their trainings and summaries lie.
//!
//! Separate so that paths are tested without training anything.

use std::path::{Path, PathBuf};

use super::data::Data;

/// Arms that are trained with the same seeds on the same data and compared.
pub(super) struct Study {
    pub(super) name: &'static str,
    /// Name of its results and of the directory of its summaries.
    pub(super) results: &'static str,
    pub(super) data: Data,
    pub(super) seeds: &'static [u64],
    pub(super) arms: Vec<Arm>,
    pub(super) page: Page,
    /// Recipe keys from the command line, for every arm.
    pub(super) overrides: Vec<String>,
}

/// The page that a study writes.
#[derive(Clone, Copy)]
pub(super) enum Page {
    /// All arms at equal MACs.
    Methods {
        /// Title of the page.
        title: &'static str,
        /// What the tables measure.
        metric: &'static str,
    },
    /// Every arm's full network at the largest resolution.
    FullWidth,
    /// The ends of every seed's table.
    Seeds,
}

/// One way of training. Its table is made of one or more trainings per seed.
pub(super) struct Arm {
    pub(super) name: &'static str,
    /// Tells arms of the same name apart, as in `mobilenet_v2-0.7`; empty if there is only one.
    pub(super) setting: &'static str,
    pub(super) recipe: &'static str,
    /// Overrides of the recipe, one list per training.
    pub(super) keys: Vec<Vec<String>>,
}

impl Arm {
    /// An arm of one training per seed; `keys` are separated by spaces.
    pub(super) fn new(name: &'static str, recipe: &'static str, keys: &str) -> Self {
        let keys = keys.split_whitespace().map(str::to_owned).collect();
        Self { name, setting: "", recipe, keys: vec![keys] }
    }
}

/// One training of an arm.
pub(super) struct Training<'a> {
    /// Unique within the study.
    pub(super) name: String,
    pub(super) recipe: &'static str,
    pub(super) seed: u64,
    /// Overrides that decide the result.
    pub(super) keys: Vec<&'a str>,
}

impl Study {
    /// All trainings, those of the first seed first.
    pub(super) fn trainings(&self) -> impl Iterator<Item = Training<'_>> {
        self.seeds.iter().flat_map(move |&seed| self.arms.iter().flat_map(move |arm| self.of_arm(arm, seed)))
    }

    /// The trainings of an arm with one seed.
    pub(super) fn of_arm<'a>(&'a self, arm: &'a Arm, seed: u64) -> impl Iterator<Item = Training<'a>> {
        arm.keys.iter().enumerate().map(move |(idx, keys)| {
            let mut name = arm.name.to_owned();
            if !arm.setting.is_empty() {
                name += &format!("-{}", arm.setting);
            }
            if arm.keys.len() > 1 {
                name += &format!("-{idx}");
            }
            let keys = keys.iter().chain(&self.overrides).map(String::as_str).collect();
            Training { name: format!("{name}-{seed}"), recipe: arm.recipe, seed, keys }
        })
    }

    /// Directory of the trainings, with one directory per set of overrides; deleting it starts over.
    pub(super) fn home(&self, runs: &Path) -> PathBuf {
        let plain = |text: &str| text.replace(|c: char| !(c.is_alphanumeric() || "._=-".contains(c)), "_");
        let set = if self.overrides.is_empty() {
            "as-shipped".to_owned()
        } else {
            plain(&self.overrides.join("_"))
        };
        runs.join(self.name).join(set)
    }

    /// Directory of the summaries: in the project, or with overrides beside the trainings.
    pub(super) fn summaries(&self, root: &Path, runs: &Path) -> PathBuf {
        if self.overrides.is_empty() {
            root.join("docs/results").join(self.results)
        } else {
            self.home(runs).join("summaries")
        }
    }

    /// The path of the results without its ending.
    pub(super) fn results_path(&self, root: &Path, runs: &Path) -> PathBuf {
        if self.overrides.is_empty() {
            root.join("docs/results").join(self.results)
        } else {
            self.home(runs).join("results")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::studies;
    use super::*;

    #[test]
    fn every_training_has_a_name_of_its_own() {
        for name in studies::NAMES {
            let study = studies::named(name).unwrap();
            let names: Vec<_> = study.trainings().map(|training| training.name).collect();
            let unique: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{names:?}");
            assert!(names[0].ends_with(&format!("-{}", study.seeds[0])), "{names:?}");
        }
    }

    #[test]
    fn overrides_do_not_touch_what_is_committed() {
        let study = studies::named("cifar-methods").unwrap();
        let (root, runs) = (Path::new("/root"), Path::new("/runs"));
        assert_eq!(study.summaries(root, runs), Path::new("/root/docs/results/cifar10-methods"));
        let other = Study { overrides: vec!["train.epochs=2".to_owned()], ..study };
        let home = "/runs/cifar-methods/train.epochs=2";
        assert_eq!(other.home(runs), Path::new(home));
        assert_eq!(other.summaries(root, runs), Path::new(home).join("summaries"));
        assert!(other.trainings().all(|training| training.keys.contains(&"train.epochs=2")));
    }
}
