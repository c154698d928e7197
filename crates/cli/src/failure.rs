//! Errors on the terminal (what happened, where, and what to do) and the exit code.

use std::process::ExitCode;

use mutualnet_core::text::printable_lines;

use crate::text;

/// Exit code when the user can fix it.
const USER: u8 = 1;
/// Exit code when it is a fault of the program.
const OURS: u8 = 2;

/// An error that was printed where it happened: only the exit code is left.
#[derive(Debug)]
pub(crate) struct AlreadyTold;

impl std::fmt::Display for AlreadyTold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("something failed, as reported above")
    }
}

impl std::error::Error for AlreadyTold {}

/// An error of this program itself, with what to do about it.
#[derive(Debug)]
struct Hinted {
    message: String,
    hint: String,
}

impl std::fmt::Display for Hinted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// An error with a hint.
pub(crate) fn with_hint(message: String, hint: String) -> anyhow::Error {
    Hinted { message, hint }.into()
}

/// Prints what clap found, help included.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    #[cfg(feature = "train")]
    if let Some(told) = key_with_dashes(error, std::env::args()) {
        return report(&told);
    }
    let plain = error.render().to_string();
    if printable_lines(&plain) == plain {
        // Nothing can be done when the terminal is gone.
        let _ = error.print();
    } else {
        // The message quotes an argument with control characters in it; colors are lost with them.
        text::error(plain.trim_end());
    }
    if error.use_stderr() { ExitCode::from(USER) } else { ExitCode::SUCCESS }
}

/// `--train.lr=0.1` and `--lr 0.1`: keys of a recipe, written as options.
#[cfg(feature = "train")]
fn key_with_dashes(error: &clap::Error, typed: impl Iterator<Item = String>) -> Option<anyhow::Error> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    use mutualnet_train::recipe;

    let typed: Vec<String> = typed.skip(1).collect();
    let takes_keys = typed.first().is_some_and(|command| command == "plan" || command == "train");
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument || !takes_keys {
        return None;
    }
    let at = typed.iter().position(|arg| arg.split('=').next() == Some(option))?;
    let rest = typed[at + 1..].iter().filter(|arg| !arg.starts_with('-')).cloned();
    let assignment: Vec<String> =
        [typed[at].trim_start_matches('-').to_owned()].into_iter().chain(rest).collect();
    recipe::dashed(&assignment).map(anyhow::Error::from)
}

/// Prints an error, its causes and its hint, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    #[cfg(feature = "train")]
    if let Some(interrupted) = error.downcast_ref::<crate::interrupt::Interrupted>() {
        interrupted.tell();
        return ExitCode::from(interrupted.exit_code());
    }
    if !error.is::<AlreadyTold>() {
        print(error);
    }
    ExitCode::from(if is_ours(error) || is_wrong_export(error) { OURS } else { USER })
}

/// Prints an error, its causes and its hint.
pub(crate) fn print(error: &anyhow::Error) {
    text::error(&format!("error: {}", told(error)));
    if let Some(hint) = hint(error) {
        text::error(&format!("hint: {hint}"));
    }
}

/// The error and its causes on one line; a cause that the errors before it already contain is left out.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.is_empty() => cause,
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

/// A closed pipe (`mutualnet table … | head`) is not a failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter().any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether an exported file does not compute what its row computes.
fn is_wrong_export(error: &anyhow::Error) -> bool {
    error.downcast_ref::<mutualnet_export::Error>().is_some_and(mutualnet_export::Error::is_internal)
}

/// Whether it is a fault of the program: the engine failed, or the program does not accept its own output.
#[cfg(feature = "train")]
fn is_ours(error: &anyhow::Error) -> bool {
    use mutualnet_engine::EngineError::{NoSuchDevice, UnknownDevice};
    use mutualnet_train::Error::{Bundle, Engine, Loader, Nn, Runtime};
    error.downcast_ref::<mutualnet_data::Error>().is_some_and(mutualnet_data::Error::is_internal)
        || error.downcast_ref::<mutualnet_train::Error>().is_some_and(|error| match error {
            Engine(error) => !matches!(error, NoSuchDevice { .. } | UnknownDevice { .. }),
            Loader(error) => error.is_internal(),
            Bundle(error) => error.io_kind().is_none(),
            Nn(_) | Runtime(_) => true,
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
        let hint = cause.downcast_ref::<Hinted>().map(|error| error.hint.clone());
        let hint = hint
            .or_else(|| cause.downcast_ref::<mutualnet_core::Error>().and_then(mutualnet_core::Error::hint));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_bundle::Error>().and_then(|error| error.hint()));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_runtime::Error>().and_then(|error| error.hint()));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_predict::Error>().and_then(|error| error.hint()));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_export::Error>().and_then(|error| error.hint()));
        let hint = hint.or_else(|| cause.downcast_ref::<mutualnet_image::Error>()?.hint().map(str::to_owned));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_zoo::Error>().and_then(|error| error.hint()));
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_import::Error>().and_then(|error| error.hint()));
        #[cfg(feature = "train")]
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_data::Error>().and_then(|error| error.hint()));
        #[cfg(feature = "train")]
        let hint =
            hint.or_else(|| cause.downcast_ref::<mutualnet_train::Error>().and_then(|error| error.hint()));
        hint
    })
}
