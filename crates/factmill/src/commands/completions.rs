//! `completions`: a script for the shell.

use clap::CommandFactory;
use factmill_core::error::ExitCode;

use crate::cli::{Cli, CompletionsArgs};
use crate::context::Context;

/// Prints the script.
///
/// # Errors
/// When standard output is closed.
pub(super) fn run(arguments: &CompletionsArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "factmill",
        &mut script,
    );
    context.printer.bytes(&script)?;
    Ok(ExitCode::Done)
}
