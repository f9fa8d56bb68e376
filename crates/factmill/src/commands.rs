//! One file for each command.

mod completions;
mod dead_letters;
mod doctor;
mod positions;
mod produce;

use factmill_connect::sink::postgres::Warehouse;
use factmill_core::error::ExitCode;

use crate::cli::Command;
use crate::config::Connections;
use crate::context::Context;
use crate::failure::Failure;

/// Runs a command to its end.
///
/// # Errors
/// What [`crate::failure::report`] prints and turns into an exit code.
pub(crate) async fn dispatch(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions(arguments) => completions::run(&arguments, context),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments, context).await,
        Command::Doctor(arguments) => doctor::run(&arguments, context).await,
        Command::Positions(arguments) => positions::run(&arguments, context).await,
        Command::Produce(arguments) => produce::run(&arguments, context).await,
        _ => anyhow::bail!("this command is not in this build yet"),
    }
}

/// Connects to the warehouse, whose control schema is made where it is missing.
///
/// # Errors
/// An unreachable warehouse, or one that a newer factmill has migrated.
async fn warehouse(connections: &Connections) -> anyhow::Result<Warehouse> {
    let Some(settings) = &connections.warehouse else {
        return Err(Failure::usage("the profile has no `warehouse`").into());
    };
    let warehouse = Warehouse::connect(settings.config())
        .await
        .map_err(Failure::classified)?;
    warehouse.migrate().await.map_err(Failure::classified)?;
    Ok(warehouse)
}
