//! `mutualnet train`: runs a recipe; Ctrl-C and `kill` save the state first.

use anyhow::Result;
use mutualnet_train::{Outcome, Recipe, RunDir};

use crate::args::TrainArgs;
use crate::interrupt::Signals;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let run = RunDir::new(&args.out);
    let signals = Signals::listen()?;
    let mut progress = Progress::new();
    let outcome = if args.resume && run.plan().exists() {
        mutualnet_train::resume(&recipe, &run, signals.stop(), &mut progress)?
    } else {
        mutualnet_train::train(&recipe, &run, signals.stop(), &mut progress)?
    };
    let out = args.out.display();
    match outcome {
        Outcome::Finished => {
            text::note(&format!("next: mutualnet tabulate {out}"));
            Ok(())
        }
        Outcome::Interrupted { step, total_steps } => {
            let remedy = if args.resume {
                "run the same command again to continue"
            } else {
                "add --resume to the same command to continue"
            };
            let state = format!("the state after step {step} of {total_steps} is saved in {out}");
            Err(signals.interrupted(state, remedy).into())
        }
    }
}
