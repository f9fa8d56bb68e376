//! `run`: models over the whole history as a batch, with dbt's lines and exit codes.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use factmill_connect::sink::postgres::{Swap, Warehouse};
use factmill_core::diagnostic::Diagnostics;
use factmill_core::epoch::Reader;
use factmill_core::error::ExitCode;
use factmill_core::source::{BoxedError, Classified, boxed};
use factmill_core::table::{Table, TableName};
use factmill_engine::{BatchPlan, Inputs, Memory};
use factmill_project::{Dependency, Model, Project};
use futures::StreamExt;
use serde::Serialize;

use super::{reading, warehouse};
use crate::cli::RunArgs;
use crate::config::Needs;
use crate::context::Context;
use crate::failure::chain;
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
        let mut inputs = reading(&connections).await?;
        inputs.lake = inputs.lake.map(|lake| lake.in_schema(lake_schema));
        let batch = Batch {
            project: &project,
            plan: &plan,
            writers,
            fallback: workspace.reader(&project.name),
            inputs,
            warehouse: warehouse(&connections).await?,
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
            wanted.extend(read_models(model).filter(|name| {
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

fn read_models(model: &Model) -> impl Iterator<Item = &str> {
    model
        .depends_on
        .iter()
        .filter_map(|dependency| match dependency {
            Dependency::Model(name) => Some(name.as_str()),
            Dependency::Seed(_) | Dependency::Source(_) => None,
        })
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
    inputs: Inputs,
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
                match self.table(index, table).await {
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

    async fn table(&self, index: usize, table: &Table) -> Result<u64, BoxedError> {
        let rows = self.plan.run(index, &self.inputs).await.map_err(boxed)?;
        let rows = rows.batches.map(|batch| batch.map_err(boxed));
        let reader = self.writers.get(&table.name).unwrap_or(&self.fallback);
        let loaded = self
            .warehouse
            .load_shadow_and_swap(reader, table, rows.boxed(), Swap::Replace)
            .await;
        loaded.map(|loaded| loaded.rows).map_err(boxed)
    }

    /// Whether a model reads one of `failed`, itself or through views.
    fn reads_any(&self, model: &str, failed: &BTreeSet<String>) -> bool {
        self.project.model(model).is_some_and(|model| {
            read_models(model).any(|read| {
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
