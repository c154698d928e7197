//! `mutualnet tabulate`: makes the query table and the bundle of a finished run.

use anyhow::Result;
use mutualnet_core::text::counted;
use mutualnet_train::{Ranks, Reporter, RunDir};

use crate::args::TabulateArgs;
use crate::interrupt::Signals;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TabulateArgs) -> Result<()> {
    let ranks = Ranks::from_environment(args.processes.timeout())?;
    let mut run = RunDir::new(&args.run);
    if let Some(step) = args.step {
        run = run.at_step(step);
    } else if args.best && ranks.is_first() {
        run = run.at_best()?;
    }
    let state = format!("no table was written to {}", args.run.display());
    Signals::listen()?.end_the_process(state, "run the same command again to start over");
    let mut progress = Progress::new();
    let console: &mut dyn Reporter = if ranks.is_first() { &mut progress } else { &mut () };
    let Some(table) = mutualnet_train::tabulate_together(&run, crate::VERSION, &ranks, console)? else {
        return Ok(());
    };
    text::note(&format!(
        "{}, {} of them on the Pareto front",
        counted(table.rows().len(), "row"),
        table.pareto().count()
    ));
    text::note(&format!("bundle: {}", run.bundle().display()));
    text::note(&format!("report: {}", run.report().display()));
    Ok(())
}
