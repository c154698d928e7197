//! `mutualnet train`: run a recipe, stop on Ctrl-C and `kill` with everything saved.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use mutualnet_train::{Outcome, Recipe, RunDir};

use crate::args::TrainArgs;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let run = RunDir::new(&args.out);
    let stop = stop_flag()?;
    let mut progress = Progress::new();
    let outcome = if args.resume && run.plan().exists() {
        mutualnet_train::resume(&recipe, &run, &stop, &mut progress)?
    } else {
        mutualnet_train::train(&recipe, &run, &stop, &mut progress)?
    };
    let out = args.out.display();
    match outcome {
        Outcome::Finished => text::note(&format!("next: mutualnet tabulate {out}")),
        Outcome::Interrupted => text::note("go on with the same command and --resume"),
    }
    Ok(())
}

/// Set by the first SIGINT or SIGTERM; a second one ends the process at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let exit_code = 128 + signal;
        signal_hook::flag::register_conditional_shutdown(signal, exit_code, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen to signals")?;
    }
    Ok(stop)
}
