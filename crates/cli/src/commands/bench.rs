//! `mutualnet bench`: the speed of training and of data loading on this machine.

use anyhow::Result;

use crate::args::BenchCommand;

mod data;
mod train;

pub(super) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Train(args) => train::run(args),
        BenchCommand::Data(args) => data::run(args),
    }
}
