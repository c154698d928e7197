//! `mutualnet tabulate`: makes the query table and the bundle of a finished run.

use anyhow::Result;
use mutualnet_core::text::counted;
use mutualnet_train::{Ranks, RunDir};

use crate::args::TabulateArgs;
use crate::failure::with_hint;
use crate::interrupt::Signals;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TabulateArgs) -> Result<()> {
    let n_launched = Ranks::n_launched()?;
    if n_launched > 1 {
        let hint = "run it once, without the launcher, after training".to_owned();
        return Err(with_hint(format!("tabulate is one process, and {n_launched} were started"), hint));
    }
    let run = RunDir::new(&args.run);
    let state = format!("no table was written to {}", args.run.display());
    Signals::listen()?.end_the_process(state, "run the same command again to start over");
    let table = mutualnet_train::tabulate(&run, crate::VERSION, &mut Progress::new())?;
    text::note(&format!(
        "{}, {} of them on the Pareto front",
        counted(table.rows().len(), "row"),
        table.pareto().count()
    ));
    text::note(&format!("bundle: {}", run.bundle().display()));
    text::note(&format!("report: {}", run.report().display()));
    Ok(())
}
