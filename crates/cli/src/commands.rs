//! The commands, one file each.

use anyhow::Result;

use crate::args::{Command, InspectCommand};

mod bench;
mod compare;
#[cfg(feature = "train")]
mod data;
mod export;
mod import;
mod inspect_bundle;
mod inspect_network;
mod open;
#[cfg(feature = "train")]
mod plan;
mod predict;
mod table;
#[cfg(feature = "train")]
mod tabulate;
#[cfg(feature = "train")]
mod train;

/// Runs what was typed.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        #[cfg(feature = "train")]
        Command::Data(command) => data::run(command),
        #[cfg(feature = "train")]
        Command::Plan(args) => plan::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(&args),
        #[cfg(feature = "train")]
        Command::Tabulate(args) => tabulate::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Inspect(InspectCommand::Network(args)) => inspect_network::run(&args),
        Command::Inspect(InspectCommand::Bundle(args)) => inspect_bundle::run(&args),
        Command::Bench(command) => bench::run(&command),
    }
}
