//! One file for each command.

mod completions;
mod dead_letters;
mod doctor;
mod infer;
mod new;
mod positions;
mod produce;
mod run;
mod sampling;
mod serve;
mod sql;
mod stream;

use factmill_connect::sink::lake::Lake;
use factmill_connect::sink::postgres::Warehouse;
use factmill_core::error::ExitCode;
use factmill_engine::Inputs;

use crate::cli::Command;
use crate::config::Connections;
use crate::context::Context;
use crate::databases::Databases;
use crate::failure::{self, Failure};
use crate::lake_reader;

/// Runs a command to its end.
///
/// # Errors
/// What [`crate::failure::report`] prints and turns into an exit code.
pub(crate) async fn dispatch(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions(arguments) => completions::run(&arguments, context),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments, context).await,
        Command::Doctor(arguments) => doctor::run(&arguments, context).await,
        Command::Infer(arguments) => Box::pin(infer::run(&arguments, context)).await,
        Command::New(arguments) => Box::pin(new::run(&arguments, context)).await,
        Command::Positions(arguments) => positions::run(&arguments, context).await,
        Command::Produce(arguments) => Box::pin(produce::run(&arguments, context)).await,
        Command::Run(arguments) => match Box::pin(run::run(&arguments, context)).await {
            Ok(code) => Ok(code),
            // dbt's verbs have dbt's codes: 2 for whatever kept them from running.
            Err(error) => Ok(match failure::report(&context.printer, &error) {
                ExitCode::Done => ExitCode::Done,
                _ => ExitCode::Usage,
            }),
        },
        Command::Serve(arguments) => Box::pin(serve::run(&arguments, context)).await,
        Command::Sql(arguments) => Box::pin(sql::run(&arguments, context)).await,
        Command::Stream(arguments) => Box::pin(stream::run(&arguments, context)).await,
    }
}

/// Refuses the first of these flags that was given; `why` completes "`--flag` …".
///
/// # Errors
/// When one was given.
fn refuse(flags: &[(&str, bool)], why: &str) -> Result<(), Failure> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::usage(format!("`{flag}` {why}; leave it out"))),
        None => Ok(()),
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

/// Opens lake and warehouse for reading, at the lake's newest snapshot.
///
/// # Errors
/// When one of them cannot be had.
async fn reading(connections: &Connections) -> anyhow::Result<Inputs> {
    let warehouse = warehouse(connections).await?;
    let lake = lake(connections, &warehouse).await?;
    Ok(Inputs {
        lake: Some(lake.newest().await.map_err(Failure::classified)?),
        databases: Databases::new(warehouse, connections.database_configs()).relations(),
    })
}

/// Opens the lake for reading.
///
/// # Errors
/// When it cannot be had.
async fn lake(
    connections: &Connections,
    warehouse: &Warehouse,
) -> anyhow::Result<factmill_engine::lake::Lake> {
    let (Some(settings), Some(place)) = (&connections.warehouse, &connections.lake) else {
        return Err(Failure::usage("the profile has no `warehouse` or no `lake`").into());
    };
    let location = place.location().map_err(Failure::classified)?;
    // The catalog is made where no job has streamed yet: a lake without tables.
    let client = warehouse.client().await.map_err(Failure::classified)?;
    Lake::open(&client, location.clone())
        .await
        .map_err(Failure::classified)?;
    let lake = lake_reader::open(settings.url_with_tls().expose(), &location).await;
    Ok(lake.map_err(Failure::classified)?)
}
