//! `mutualnet plan`: what a recipe will do.

use anyhow::Result;
use mutualnet_train::{Plan, Recipe};

use crate::args::PlanArgs;
use crate::text;

pub(super) fn run(args: &PlanArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let planned = Plan::make(&recipe)?;
    for dataset in [&planned.train, &planned.test] {
        for notice in dataset.notices() {
            text::note(&format!("note: {notice}: {}", dataset.dir().display()));
        }
    }
    if args.json { text::json(&planned.plan) } else { print(&planned.plan) }
}

fn print(plan: &Plan) -> Result<()> {
    let (recipe, derived) = (&plan.recipe, &plan.derived);
    let range = recipe.network.widths;
    let resolutions: Vec<_> = recipe.network.resolutions.iter().map(ToString::to_string).collect();
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
