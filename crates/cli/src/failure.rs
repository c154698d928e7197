//! Errors on the terminal: what, where, what to do; and the exit code.

use std::process::ExitCode;

/// What went wrong was asked for wrongly.
const USER: u8 = 1;
/// What went wrong is ours.
const OURS: u8 = 2;

/// Prints what clap found, help included.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USER) } else { ExitCode::SUCCESS }
}

/// Prints an error, its causes and its hint.
#[expect(clippy::print_stderr, reason = "this is where errors reach the terminal")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", told(error));
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(if is_ours(error) { OURS } else { USER })
}

/// The error and its causes on one line; a cause that an error above it tells already is left out.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.is_empty() => cause,
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

/// A closed pipe (`mutualnet table … | head`) is a graceful end.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter().any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether the user cannot mend it: the engine refused, or what we made ourselves is refused.
#[cfg(feature = "train")]
fn is_ours(error: &anyhow::Error) -> bool {
    use mutualnet_engine::EngineError::{NoSuchDevice, UnknownDevice};
    use mutualnet_train::Error::{Bundle, Engine, Loader, Nn, Runtime};
    error.downcast_ref::<mutualnet_data::Error>().is_some_and(mutualnet_data::Error::is_internal)
        || error.downcast_ref::<mutualnet_train::Error>().is_some_and(|error| match error {
            Engine(error) => !matches!(error, NoSuchDevice { .. } | UnknownDevice { .. }),
            Loader(error) => error.is_internal(),
            Nn(_) | Bundle(_) | Runtime(_) => true,
            _ => false,
        })
}

/// Everything that the deploy binary reads is the user's.
#[cfg(not(feature = "train"))]
fn is_ours(_: &anyhow::Error) -> bool {
    false
}

/// The first hint of the chain.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let hint = cause.downcast_ref::<mutualnet_bundle::Error>().and_then(|error| error.hint());
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_runtime::Error>().and_then(|error| error.hint()));
        let hint = hint.or_else(|| {
            cause.downcast_ref::<mutualnet_data::Error>().and_then(|error| error.hint()).map(str::to_owned)
        });
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_zoo::Error>().and_then(|error| error.hint()));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_import::Error>().and_then(|error| error.hint()));
        #[cfg(feature = "train")]
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_train::Error>().and_then(|error| error.hint()));
        hint
    })
}
