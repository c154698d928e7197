//! `mutualnet plan`: what a recipe will do.

use anyhow::Result;
use mutualnet_train::plan::DataFacts;
use mutualnet_train::{Plan, Recipe};

use crate::args::PlanArgs;
use crate::{text, watch};

pub(super) fn run(args: &PlanArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let plan = match (args.train_images, args.classes) {
        (Some(n_train), Some(classes)) => {
            let classes = (0..classes).map(|class| format!("class {class}")).collect();
            // About what the share of each class makes together.
            let n_train = (n_train as f64 * recipe.data.train_share).round() as usize;
            Plan::of(&recipe, DataFacts { classes, n_train, ..DataFacts::default() })?.0
        }
        _ => {
            let planned = {
                let _display = watch::searching();
                Plan::make(&recipe)?
            };
            for dataset in [&planned.train, &planned.test] {
                for notice in dataset.notices() {
                    text::note(&format!("note: {notice}: {}", dataset.dir().display()));
                }
            }
            planned.plan
        }
    };
    if args.json { text::json(&plan) } else { print(&plan) }
}

fn print(plan: &Plan) -> Result<()> {
    let (recipe, derived) = (&plan.recipe, &plan.derived);
    let range = recipe.trained_widths();
    let resolutions: Vec<_> = recipe.resolutions().iter().map(ToString::to_string).collect();
    for (what, value) in [
        (
            "network",
            format!(
                "{}, widths {} to {}, {} px",
                recipe.network.name,
                range.smallest(),
                range.full(),
                resolutions.join("/")
            ),
        ),
        ("method", recipe.train.method.name().to_owned()),
        ("full network", format!("{} MACs, {} parameters", derived.full_macs, derived.params)),
        ("smallest network", format!("{} MACs", derived.smallest_macs)),
        (
            "data",
            format!(
                "{} training and {} test images, {} classes",
                derived.n_train,
                derived.n_test,
                derived.classes.len()
            ),
        ),
        (
            "steps",
            format!(
                "{} epochs × {} steps of {} images = {}",
                recipe.train.epochs, derived.steps_per_epoch, recipe.train.batch, derived.total_steps
            ),
        ),
        ("cost of a step", format!("{:.2} × one of plain training", derived.relative_cost)),
        ("query table", format!("{} rows", derived.rows)),
    ] {
        text::line(&format!("{what:<18}{value}"))?;
    }
    Ok(())
}
