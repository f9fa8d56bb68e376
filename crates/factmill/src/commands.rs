//! One file for each command.

mod completions;

use factmill_core::error::ExitCode;

use crate::cli::Command;
use crate::context::Context;

/// Runs a command to its end.
///
/// # Errors
/// What [`crate::failure::report`] prints and turns into an exit code.
pub(crate) async fn dispatch(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions(arguments) => completions::run(&arguments, context),
        _ => anyhow::bail!("this command is not in this build yet"),
    }
}
