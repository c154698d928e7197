//! The results as a Markdown page: the product's comparison, with the conditions it holds under.
//!
//! Separate so that it is tested without training anything.

use anyhow::{Context, Result};

use super::{ENSEMBLE, SEEDS};

/// The page of a comparison, as `mutualnet compare --markdown` prints it, of runs with the given plan.
pub(super) fn markdown(comparison: &str, plan: &str, overrides: &[String]) -> Result<String> {
    let command = ["cargo xtask experiment cifar-methods"].into_iter();
    let command: Vec<_> = command.chain(overrides.iter().map(String::as_str)).collect();
    Ok(format!(
        "# Methods on CIFAR-10\n\nWritten by `{}`.\n\n{}`mutual-ensemble` is `{}`.\n\n\
         Test accuracy in % of the best row that costs at most that many MACs, mean ± standard deviation over the n \
         seeds:\n\n{comparison}\n\
         The last column is the area between a method's curve and the first one's over the logarithm of the MACs where \
         both have rows, divided by its length: the mean lead in percentage points.\n\n\
         ![accuracy over MACs](cifar10-methods.svg)\n",
        command.join(" "),
        conditions(plan)?,
        ENSEMBLE.join(" "),
    ))
}

/// What was trained on what: the lines of the plan that decide it.
fn conditions(plan: &str) -> Result<String> {
    let value = |key: &str| {
        let line = plan.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned()).with_context(|| format!("the plan has no {key}"))
    };
    Ok(format!(
        "{}, widths {}, resolutions {}; {} training images (the same for all), {} test images; \
         {} epochs of {} steps of {} images, learning rate {}; {} seeds.\n",
        value("name")?,
        value("widths")?,
        list(plan, "resolutions"),
        value("n_train")?,
        value("n_test")?,
        value("epochs")?,
        value("steps_per_epoch")?,
        value("batch")?,
        value("lr")?,
        SEEDS.len(),
    ))
}

/// A list of the plan, on one line or on several.
fn list(plan: &str, key: &str) -> String {
    let start = plan.find(&format!("{key} = [")).unwrap_or(plan.len());
    let list = plan[start..].split(['[', ']']).nth(1).unwrap_or_default();
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "[derived]\nn_train = 10000\nn_test = 500\nsteps_per_epoch = 156\n[recipe.network]\n\
                        name = \"wide_resnet10_1\"\nwidths = [0.25, 1.0]\nresolutions = [\n    32,\n    20,\n]\n\
                        [recipe.train]\nepochs = 12\nbatch = 64\nlr = 0.05\n";

    #[test]
    fn a_page_has_the_conditions_and_the_comparison() {
        let page = markdown("| method |\n|---|\n", PLAN, &["train.epochs=2".to_owned()]).unwrap();
        for line in [
            "Written by `cargo xtask experiment cifar-methods train.epochs=2`.",
            "wide_resnet10_1, widths [0.25, 1.0], resolutions 32, 20; 10000 training images (the same \
             for all), 500 test images; 12 epochs of 156 steps of 64 images, learning rate 0.05; 3 seeds.",
            "| method |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let error = markdown("", "name = \"x\"", &[]).unwrap_err().to_string();
        assert_eq!(error, "the plan has no widths");
    }
}
