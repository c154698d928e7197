//! `mutualnet tabulate`: from a trained run to table and bundle.

use anyhow::Result;
use mutualnet_train::RunDir;

use crate::args::TabulateArgs;
use crate::progress::Progress;
use crate::text;

pub(super) fn run(args: &TabulateArgs) -> Result<()> {
    let run = RunDir::new(&args.run);
    let table = mutualnet_train::tabulate(&run, crate::VERSION, &mut Progress::new())?;
    text::note(&format!(
        "{} rows, {} of them on the Pareto front",
        table.rows().len(),
        table.pareto().count()
    ));
    text::note(&format!("bundle: {}", run.bundle().display()));
    text::note(&format!("report: {}", run.report().display()));
    Ok(())
}
