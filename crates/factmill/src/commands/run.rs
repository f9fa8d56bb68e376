//! `run`: models over the whole history as a batch, with dbt's lines and exit codes.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use factmill_connect::sink::postgres::{Swap, Warehouse, WarehouseError};
use factmill_core::diagnostic::Diagnostics;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::error::ExitCode;
use factmill_core::source::{BoxedError, Classified, boxed};
use factmill_core::table::{Table, TableName};
use factmill_core::table_reader::RowStream;
use factmill_engine::lake::{Lake, LakeError, LakeSnapshot};
use factmill_engine::{BatchPlan, Inputs, Memory, reference};
use factmill_project::{Model, Project};
use futures::StreamExt;
use serde::Serialize;

use super::{lake, warehouse};
use crate::cli::RunArgs;
use crate::config::Needs;
use crate::context::Context;
use crate::databases::Databases;
use crate::failure::{Failure, chain};
use crate::printer::{BAD, GOOD, Printer, WARN, grouped};
use crate::workspace::Workspace;

/// Runs it: 0 when every model succeeded, 1 when one failed; what keeps the run from starting is
/// an error, and 2.
///
/// # Errors
/// What is wrong in the project, servers that are not there.
pub(super) async fn run(arguments: &RunArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let named: Vec<String> = arguments.job.iter().cloned().collect();
    let project = workspace.project_with(&named, &arguments.settings)?;
    let (models, lake_schema) = match &arguments.job {
        Some(name) => {
            let job = project.job(name)?;
            (project.job_models(job)?, job.lake.schema.clone())
        }
        None => {
            let chosen = chosen(&project, &arguments.select, &arguments.exclude)?;
            (chosen, None)
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = BatchPlan::compile(&project, &models, &Memory::batch(), cores).await?;
    let writers = writers(&project, &workspace)?;
    let needs = Needs::DATA.and_databases_of(&project, &models);
    let servers = workspace.servers(needs, "factmill run").await?;
    let built = async {
        let connections = servers.connections();
        let warehouse = warehouse(&connections).await?;
        let batch = Batch {
            project: &project,
            plan: &plan,
            writers,
            fallback: workspace.reader(&project.name),
            lake: lake(&connections, &warehouse).await?,
            lake_schema,
            databases: Databases::new(warehouse.clone(), connections.database_configs())
                .relations(),
            warehouse,
            printer: &workspace.printer,
            json: arguments.json,
        };
        batch.build().await
    };
    let built = built.await;
    servers.close().await?;
    Ok(if built? {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// The chosen models and the views that they read, in the project's order.
fn chosen(
    project: &Project,
    select: &[String],
    exclude: &[String],
) -> Result<Vec<Model>, Diagnostics> {
    let selection = project.select(select, exclude)?;
    let mut wanted: BTreeSet<&str> = selection.models.iter().map(String::as_str).collect();
    // From the last to the first: a view that a chosen model reads is inlined into it.
    for model in project.models.iter().rev() {
        if wanted.contains(model.name.as_str()) {
            wanted.extend(model.models_read().filter(|name| {
                project
                    .model(name)
                    .is_some_and(|read| read.materialized.is_inlined())
            }));
        }
    }
    Ok(project
        .models
        .iter()
        .filter(|model| wanted.contains(model.name.as_str()))
        .cloned()
        .collect())
}

/// The job that writes each table: a table that a stream keeps is written on behalf of its job.
fn writers(
    project: &Project,
    workspace: &Workspace,
) -> Result<HashMap<TableName, Reader>, Diagnostics> {
    let mut writers = HashMap::new();
    for job in &project.jobs {
        for model in project.job_models(job)? {
            writers.insert(model.relation, workspace.reader(&job.name));
        }
    }
    Ok(writers)
}

struct Batch<'a> {
    project: &'a Project,
    plan: &'a BatchPlan,
    writers: HashMap<TableName, Reader>,
    /// On whose behalf a table is written that no job writes.
    fallback: Reader,
    lake: Lake,
    /// Where the job keeps its sources in the lake, when not in schemas of their groups.
    lake_schema: Option<String>,
    databases: reference::Databases,
    warehouse: Warehouse,
    printer: &'a Printer,
    json: bool,
}

/// How one model ended.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    table: String,
    status: &'static str,
    rows: Option<u64>,
    seconds: f64,
    message: Option<String>,
}

impl Batch<'_> {
    /// Builds every table; whether all succeeded.
    async fn build(&self) -> anyhow::Result<bool> {
        let tables = self.plan.tables();
        let began = Instant::now();
        let lake = self.newest().await.map_err(Failure::classified)?;
        let (mut done, mut failed, mut skipped) = (0, BTreeSet::new(), 0);
        for (index, table) in tables.iter().enumerate() {
            let started = Instant::now();
            let line = if self.reads_any(&table.model, &failed) {
                failed.insert(table.model.clone());
                skipped += 1;
                self.line(
                    table,
                    "skipped",
                    None,
                    started,
                    Some("a model that it reads failed".into()),
                )
            } else {
                match self.table(index, table, &lake).await {
                    Ok(rows) => {
                        done += 1;
                        self.line(table, "success", Some(rows), started, None)
                    }
                    Err(error) => {
                        failed.insert(table.model.clone());
                        self.line(table, "error", None, started, Some(message(&*error)))
                    }
                }
            };
            self.print(index + 1, tables.len(), &line)?;
        }
        if !self.json {
            let errors = failed.len() - skipped;
            let seconds = began.elapsed().as_secs_f64();
            self.printer.line(format_args!(
                "Done in {seconds:.2}s. PASS={done} WARN=0 ERROR={errors} SKIP={skipped} TOTAL={}",
                tables.len()
            ))?;
        }
        Ok(failed.is_empty())
    }

    /// The lake as it is now.
    async fn newest(&self) -> Result<LakeSnapshot, LakeError> {
        let newest = self.lake.newest().await?;
        Ok(newest.in_schema(self.lake_schema.clone()))
    }

    /// Builds one table. A stream of its job may commit meanwhile: then the table is built again with
    /// the stream paused, or what was committed since would be missing from it for good.
    async fn table(
        &self,
        index: usize,
        table: &Table,
        lake: &LakeSnapshot,
    ) -> Result<u64, BoxedError> {
        let reader = self.writers.get(&table.name).unwrap_or(&self.fallback);
        let read = Epoch::new(lake.id());
        let rows = self.rows(index, lake).await?;
        let swap = Swap::Replace { read };
        let replaced = self
            .warehouse
            .load_shadow_and_swap(reader, table, rows, swap);
        let loaded = match replaced.await {
            Err(WarehouseError::Outrun { newest, .. }) => {
                self.printer.note(format_args!(
                    "job {} committed up to epoch {newest} while {} was computed up to {read}: \
                     it is computed again, and the job waits meanwhile",
                    reader.job, table.name
                ));
                let paused = self.warehouse.pause(reader).await.map_err(boxed)?;
                let lake = self.newest().await.map_err(boxed)?;
                let rows = self.rows(index, &lake).await?;
                paused.load_shadow_and_swap(table, rows).await
            }
            loaded => loaded,
        };
        loaded.map(|loaded| loaded.rows).map_err(boxed)
    }

    /// Computes a table from the lake.
    async fn rows(&self, index: usize, lake: &LakeSnapshot) -> Result<RowStream, BoxedError> {
        let inputs = Inputs {
            lake: Some(lake.clone()),
            databases: self.databases.clone(),
        };
        let rows = self.plan.run(index, &inputs).await.map_err(boxed)?;
        Ok(rows.batches.map(|batch| batch.map_err(boxed)).boxed())
    }

    /// Whether a model reads one of `failed`, itself or through views.
    fn reads_any(&self, model: &str, failed: &BTreeSet<String>) -> bool {
        self.project.model(model).is_some_and(|model| {
            model.models_read().any(|read| {
                failed.contains(read)
                    || self
                        .project
                        .model(read)
                        .is_some_and(|read| read.materialized.is_inlined())
                        && self.reads_any(read, failed)
            })
        })
    }

    fn line<'t>(
        &self,
        table: &'t Table,
        status: &'static str,
        rows: Option<u64>,
        started: Instant,
        message: Option<String>,
    ) -> Line<'t> {
        Line {
            model: &table.model,
            table: table.name.to_string(),
            status,
            rows,
            seconds: started.elapsed().as_secs_f64(),
            message,
        }
    }

    fn print(&self, number: usize, of: usize, line: &Line<'_>) -> anyhow::Result<()> {
        if self.json {
            return self.printer.json(line);
        }
        let (style, word) = match line.status {
            "success" => (GOOD, "OK"),
            "skipped" => (WARN, "SKIP"),
            _ => (BAD, "ERROR"),
        };
        let rows = line
            .rows
            .map(|rows| format!("{} rows in ", grouped(rows)))
            .unwrap_or_default();
        let name = format!("{} ", line.table);
        self.printer.line(format_args!(
            "{number:>width$} of {of} {style}{word:<5}{style:#} {name:.<50} {rows}{seconds:.2}s",
            width = of.to_string().len(),
            seconds = line.seconds
        ))?;
        if let Some(message) = &line.message {
            self.printer.error(message);
        }
        Ok(())
    }
}

fn message(error: &dyn Classified) -> String {
    let error: &(dyn std::error::Error + 'static) = error;
    chain(error)
}
