//! `mutualnet train`: runs a recipe, alone or as one of several processes; Ctrl-C and `kill` save the state first.

use anyhow::Result;
use mutualnet_core::text::quoted;
use mutualnet_train::{Outcome, Ranks, Recipe, Reporter, RunDir};

use crate::args::TrainArgs;
use crate::interrupt::Signals;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe.recipe, &args.recipe.overrides)?;
    let run = RunDir::new(&args.out);
    let ranks = Ranks::from_environment(args.processes.timeout())?;
    let is_first = ranks.is_first();
    let signals = Signals::listen()?;
    let mut progress = Progress::new();
    let console: &mut dyn Reporter = if is_first { &mut progress } else { &mut () };
    let outcome =
        mutualnet_train::train_together(&recipe, (&run, args.resume), ranks, signals.stop(), console)?;
    let out = args.out.display();
    match outcome {
        Outcome::Finished if !is_first => Ok(()),
        Outcome::Finished => {
            text::note(&format!("next: mutualnet tabulate {}", quoted(&args.out)));
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
