//! `positions JOB list|accept-gap`: how far a job has read, and going on after a gap.

mod accept_gap;

use factmill_connect::sink::postgres::StoredPosition;
use factmill_core::error::ExitCode;
use serde::Serialize;

use super::warehouse;
use crate::cli::{PositionsAction, PositionsArgs};
use crate::config::Needs;
use crate::context::Context;
use crate::printer::{Align, Printer};
use crate::workspace::Workspace;

/// Runs it.
///
/// # Errors
/// An unreachable warehouse, an unknown job.
pub(super) async fn run(arguments: &PositionsArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let project = workspace.project()?;
    let job = project.job(&arguments.job)?;
    let json = match &arguments.action {
        PositionsAction::List { json } => *json,
        PositionsAction::AcceptGap { source, yes, json } => {
            let asked = accept_gap::Asked {
                source: source.as_deref(),
                yes: *yes,
                json: *json,
            };
            return accept_gap::run(&workspace, job, &asked).await;
        }
    };
    let needs = Needs {
        warehouse: true,
        ..Needs::default()
    };
    let servers = workspace.servers(needs, "factmill positions").await?;
    let positions = async {
        let warehouse = warehouse(&servers.connections()).await?;
        let reader = workspace.reader(&job.name);
        anyhow::Ok(
            warehouse
                .list_positions(&reader)
                .await
                .map_err(crate::failure::Failure::classified)?,
        )
    };
    let positions = positions.await;
    servers.close().await?;
    print(&workspace.printer, &positions?, json)?;
    Ok(ExitCode::Done)
}

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    partition: &'a str,
    position: &'a str,
    incarnation: i32,
    identity: &'a str,
    ended: bool,
    updated_at: String,
}

fn print(printer: &Printer, positions: &[StoredPosition], json: bool) -> anyhow::Result<()> {
    let lines = positions.iter().map(|position| Line {
        source: &position.source,
        partition: &position.partition,
        position: &position.position,
        incarnation: position.incarnation.ordinal,
        identity: &position.incarnation.identity,
        ended: position.ended,
        updated_at: position
            .updated_at
            .format("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string(),
    });
    if json {
        for line in lines {
            printer.json(&line)?;
        }
        return Ok(());
    }
    if positions.is_empty() {
        printer.note("nothing has been read yet");
        return Ok(());
    }
    let rows = lines.map(|line| {
        let incarnation = match line.ended {
            true => format!("{} (ended)", line.incarnation),
            false => line.incarnation.to_string(),
        };
        vec![
            line.source.to_owned(),
            line.partition.to_owned(),
            line.position.to_owned(),
            incarnation,
            line.updated_at,
        ]
    });
    let columns = [
        ("source", Align::Left),
        ("partition", Align::Right),
        ("position", Align::Right),
        ("incarnation", Align::Left),
        ("moved", Align::Left),
    ];
    printer.table(&columns, rows.collect())?;
    Ok(())
}
