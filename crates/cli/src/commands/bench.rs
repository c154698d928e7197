//! `mutualnet bench`: the speed of training, of data loading and of running on this machine.

use anyhow::Result;

use crate::args::BenchCommand;

#[cfg(feature = "train")]
mod data;
mod runtime;
#[cfg(feature = "train")]
mod train;

pub(super) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        #[cfg(feature = "train")]
        BenchCommand::Train(args) => train::run(args),
        #[cfg(feature = "train")]
        BenchCommand::Data(args) => data::run(args),
        BenchCommand::Runtime(args) => runtime::run(args),
    }
}
