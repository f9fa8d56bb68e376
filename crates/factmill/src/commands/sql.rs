//! `sql`: ad-hoc questions over lake, warehouse and seeds.

mod prompt;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::PathBuf;

use factmill_core::diagnostic::Location;
use factmill_core::error::ExitCode;
use factmill_engine::output::{self, Format};
use factmill_engine::sql::SqlError;
use factmill_engine::{Memory, Rows, SqlSession};
use factmill_project::{Project, Rendered};
use futures::StreamExt;

use super::reading;
use crate::cli::{RowFormat, SqlArgs};
use crate::config::Needs;
use crate::context::Context;
use crate::failure::Failure;
use crate::printer::{Printer, grouped};
use crate::workspace::Workspace;

/// Runs it.
///
/// # Errors
/// A query that is wrong, servers that are not there, output that cannot be written.
pub(super) async fn run(arguments: &SqlArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let target = Target::of(arguments)?;
    let query = query(arguments)?;
    let project = workspace.project()?;
    let query = query.map(|query| query.rendered(&project)).transpose()?;
    let needs = Needs::DATA.and_databases(&project.sources);
    let servers = workspace.servers(needs, "factmill sql").await?;
    let answered = async {
        let inputs = reading(&servers.connections()).await?;
        let session =
            SqlSession::open(&project, &project.models, inputs, &Memory::batch(), cores())
                .await
                .map_err(failure)?;
        match query {
            Some(query) => answer(&session, &query, &target, &workspace.printer).await,
            None => prompt::run(&session, &target, &workspace).await,
        }
    };
    let answered = answered.await;
    servers.close().await?;
    answered?;
    Ok(ExitCode::Done)
}

/// Where rows go and how.
#[derive(Debug)]
struct Target {
    format: Format,
    file: Option<PathBuf>,
    /// The most rows of a table for a person.
    limit: Option<u64>,
}

impl Target {
    fn of(arguments: &SqlArgs) -> Result<Self, Failure> {
        let format = match arguments.format {
            RowFormat::Table => Format::Table,
            RowFormat::Csv => Format::Csv,
            RowFormat::Json => Format::Json,
            RowFormat::Parquet => Format::Parquet,
        };
        if format == Format::Parquet && arguments.output.is_none() {
            return Err(Failure::usage(
                "a Parquet file needs a place: --output FILE",
            ));
        }
        let is_shown = format == Format::Table && arguments.output.is_none();
        Ok(Self {
            format,
            file: arguments.output.clone(),
            limit: (is_shown && arguments.limit > 0).then_some(arguments.limit as u64),
        })
    }
}

/// A query as it was given.
struct Query {
    text: String,
    /// Its file; one of the project, such as an analysis, may use `ref()` and macros.
    file: Option<PathBuf>,
}

impl Query {
    /// The SQL, without the semicolon at its end.
    fn rendered(&self, project: &Project) -> Result<Rendered, anyhow::Error> {
        let text = self.text.trim_end().trim_end_matches(';');
        if text.trim().is_empty() {
            return Err(Failure::usage("the query is empty").into());
        }
        Ok(match &self.file {
            Some(file) => project.render_query(text, file)?,
            None => verbatim(text),
        })
    }
}

/// SQL that was typed.
fn verbatim(text: &str) -> Rendered {
    let start = Location {
        file: PathBuf::from("query"),
        line: 1,
        column: 1,
    };
    Rendered::verbatim(text, start)
}

/// The query that was given: as an argument, in a file, on standard input; `None` where a person
/// sits at a terminal and gave none.
fn query(arguments: &SqlArgs) -> anyhow::Result<Option<Query>> {
    let typed = |text| Query { text, file: None };
    if let Some(query) = &arguments.query {
        return Ok(Some(typed(query.clone())));
    }
    if let Some(file) = &arguments.file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        return Ok(Some(Query {
            text,
            file: Some(file.clone()),
        }));
    }
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(Some(typed(text)))
}

/// Answers one query.
async fn answer(
    session: &SqlSession,
    query: &Rendered,
    target: &Target,
    printer: &Printer,
) -> anyhow::Result<()> {
    let rows = session.rendered(query).await.map_err(failure)?;
    let (rows, cut) = match target.limit {
        None => (rows, None),
        Some(limit) => {
            let (rows, cut) = first(rows, limit);
            (rows, Some((limit, cut)))
        }
    };
    let written = match &target.file {
        None => {
            let mut out = BufWriter::new(std::io::stdout());
            let written = output::write(rows, target.format, &mut out).await;
            out.flush()?;
            written
        }
        Some(file) => {
            let place = || format!("cannot write {}", file.display());
            let opened = File::create(file)
                .map_err(|error| Failure::usage(format!("{}: {error}", place())))?;
            let mut out = BufWriter::new(opened);
            let written = output::write(rows, target.format, &mut out).await;
            out.flush()
                .map_err(|error| anyhow::Error::new(error).context(place()))?;
            written
        }
    };
    let written = written?;
    if let Some(file) = &target.file {
        printer.note(format_args!(
            "{} rows in {}",
            grouped(written),
            file.display()
        ));
    }
    if let Some((limit, cut)) = cut
        && cut.load(std::sync::atomic::Ordering::Relaxed)
    {
        printer.note(format_args!(
            "the first {} rows; --limit 0 shows all",
            grouped(limit)
        ));
    }
    Ok(())
}

/// The first rows, and whether there were more once they have been read.
fn first(rows: Rows, limit: u64) -> (Rows, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = cut.clone();
    let batches = rows.batches.scan(limit, move |left, batch| {
        let batch = match batch {
            Ok(batch) if *left == 0 && batch.num_rows() > 0 => {
                flag.store(true, std::sync::atomic::Ordering::Relaxed);
                None
            }
            Ok(batch) if batch.num_rows() as u64 > *left => {
                flag.store(true, std::sync::atomic::Ordering::Relaxed);
                let kept = batch.slice(0, usize::try_from(*left).unwrap_or(usize::MAX));
                *left = 0;
                Some(Ok(kept))
            }
            Ok(batch) => {
                *left -= batch.num_rows() as u64;
                Some(Ok(batch))
            }
            Err(error) => Some(Err(error)),
        };
        futures::future::ready(batch)
    });
    let rows = Rows {
        schema: rows.schema,
        batches: batches.boxed(),
    };
    (rows, cut)
}

/// What a failed query means: its places are shown as those of a file's are.
fn failure(error: SqlError) -> anyhow::Error {
    match error {
        SqlError::Query(diagnostics) => diagnostics.into(),
        other => Failure::classified(other).into(),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
