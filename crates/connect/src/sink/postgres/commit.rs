//! The exactly-once commit: one epoch, one transaction.
//!
//! In this order: positions by compare-and-swap; the job's lock (shared; a batch run takes it
//! exclusively) and the check of generations; the tables in model order; dead letters; the lake's
//! rows staged. The last message holds the lake's lock only while the server works: it numbers the
//! epoch, writes the lake's catalog and the lineage, and commits, without a round trip between.
//!
//! A connection that is lost at COMMIT decides nothing: see [`super::settle`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_recursion::async_recursion as boxed;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use factmill_core::dead_letter::DeadLetter;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::position::{Cursor, Interval, PartitionId};
use factmill_core::source::BoxedError;
use factmill_core::table::{Table, TableChange};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{SimpleQueryMessage, Transaction};
use uuid::Uuid;

use super::apply::{LoadPaths, Loader};
use super::connection::{Patience, Session, Statements, epoch_session_name};
use super::error::{Generation, WarehouseError};
use super::identifier::{literal, source_text};
use super::lock_watch::LockWatch;
use super::positions::{self, move_positions};
use super::tables::Generations;
use super::{Warehouse, dead_letters, lease, staging};
use crate::sink::lake::LakeError;

/// The lake's part of an epoch.
#[async_trait]
pub trait LakeChanges: Send + Sync {
    /// Stages inlined rows in temporary tables of `tx`; returns what `factmill.lake_commit` takes.
    async fn stage(&self, tx: &Transaction<'_>) -> Result<Value, BoxedError>;
}

/// Everything that one epoch changes.
#[derive(Clone)]
pub struct EpochChanges {
    /// Who read.
    pub reader: Reader,
    /// What was read of each partition that moved; each partition once.
    pub intervals: Vec<Interval>,
    /// The job's tables, in model order.
    pub tables: Arc<[Table]>,
    /// The generations that the job was compiled for, from [`Warehouse::prepare_tables`].
    pub generations: Generations,
    /// What the epoch does to tables; a table may occur more than once.
    pub changes: Vec<TableChange>,
    /// Records set aside.
    pub dead_letters: Vec<DeadLetter>,
    /// The lake's part.
    pub lake: Arc<dyn LakeChanges>,
    /// Records read, dead letters included.
    pub rows_in: u64,
    /// When the epoch's pull began.
    pub started_at: DateTime<Utc>,
    /// The version of the program.
    pub code_version: String,
    /// What people look at; nothing is decided by it.
    pub observed: Observed,
}

/// What was seen of an epoch before its commit, kept for dashboards.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Records beyond each interval when it was read; a partition whose source cannot tell is left out.
    pub lag: HashMap<PartitionId, i64>,
    /// How long each phase before the commit took, by its name in `factmill.epochs.phases`.
    pub phases: Vec<(&'static str, Duration)>,
}

/// A committed epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub epoch: Epoch,
    /// Where its time went.
    pub phases: Phases,
}

/// How long each phase of a commit took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Positions, the job's lock, generations.
    pub positions: Duration,
    /// Rows into tables.
    pub tables: Duration,
    /// Dead letters.
    pub dead_letters: Duration,
    /// Staging the lake's part.
    pub lake: Duration,
    /// The last message: lake's lock, catalog, lineage, COMMIT.
    pub commit: Duration,
}

impl Warehouse {
    /// Commits an epoch, or changes nothing.
    ///
    /// Epochs of one process are committed one after the other. Dropping the future before it is
    /// done leaves the outcome open, as a lost connection does: the stored positions decide.
    ///
    /// # Errors
    /// [`WarehouseError::Fenced`] when a position is not where its interval begins,
    /// [`WarehouseError::NewerGeneration`] when a table was replaced,
    /// [`WarehouseError::Refused`] when a table does not take a row, and those of the connection.
    #[boxed]
    pub async fn commit(&self, changes: &EpochChanges) -> Result<Committed, WarehouseError> {
        let name = epoch_session_name(&changes.reader);
        let patience = Patience {
            // The watch ends backends of the same job after the time-out; the server gives up on
            // others after twice that.
            lock: Some(self.inner.config.lock_timeout * 2),
            statement: self.inner.config.statement_timeout,
        };
        let mut session = lease(&self.inner.epochs, || self.open(patience, &name)).await?;
        session.rename(&name).await?;
        staging::prepare(&mut session, &changes.tables).await?;
        let backend = session.backend.clone();
        let attempt = Uuid::now_v7();
        let watch = LockWatch::new(self, backend.clone(), name);
        let ended = tokio::select! {
            biased;
            ended = attempt_commit(&mut session, &self.inner.paths, changes, attempt) => ended,
            never = watch.run() => match never {},
        };
        match ended {
            Ok(committed) => Ok(committed),
            Err(Failed::Before(error)) => Err(watch.explain(error)),
            Err(Failed::AtCommit(error, phases)) if error.lost_connection() => {
                let epoch = self.settle(changes, attempt, &backend, error).await?;
                Ok(Committed { epoch, phases })
            }
            Err(Failed::AtCommit(error, _)) => Err(watch.explain(error)),
        }
    }
}

/// When an attempt failed.
enum Failed {
    /// Before the last message: nothing was committed.
    Before(WarehouseError),
    /// At the last message: when the connection was lost, the outcome is open.
    AtCommit(WarehouseError, Phases),
}

impl From<WarehouseError> for Failed {
    fn from(error: WarehouseError) -> Self {
        Self::Before(error)
    }
}

async fn attempt_commit(
    session: &mut Session,
    paths: &LoadPaths,
    changes: &EpochChanges,
    attempt: Uuid,
) -> Result<Committed, Failed> {
    let mut phases = Phases::default();
    let mut clock = Instant::now();
    let mut lap = || {
        let spent = clock.elapsed();
        clock = Instant::now();
        spent
    };
    let Session {
        client,
        statements,
        staging,
        ..
    } = session;
    let tx = client
        .transaction()
        .await
        .map_err(|source| WarehouseError::query("beginning an epoch", source))?;

    take_positions(&tx, statements, changes).await?;
    phases.positions = lap();

    let mut rows = vec![0u64; changes.tables.len()];
    let mut loader = Loader {
        tx: &tx,
        statements,
        staging,
        paths,
    };
    for change in in_model_order(&changes.changes) {
        let table = changes.tables.get(change.table).ok_or_else(|| {
            WarehouseError::Broken(format!(
                "a change names table {} of {}",
                change.table,
                changes.tables.len()
            ))
        })?;
        rows[change.table] += loader.apply(table, &change.rows).await?;
    }
    phases.tables = lap();

    dead_letters::set_aside(
        &tx,
        statements,
        &changes.reader,
        attempt,
        &changes.dead_letters,
    )
    .await?;
    phases.dead_letters = lap();

    let lake = changes
        .lake
        .stage(&tx)
        .await
        .map_err(|error| WarehouseError::Lake(error.into()))?;
    phases.lake = lap();

    let message = last_message(changes, attempt, &rows, &phases, &lake);
    let answered = tx.simple_query(&message).await;
    phases.commit = lap();
    let answered = match answered {
        Ok(answered) => answered,
        Err(source) => {
            let error = match LakeError::of_commit(&source) {
                Some(raised) => WarehouseError::Lake((Box::new(raised) as BoxedError).into()),
                None => WarehouseError::query("committing an epoch", source),
            };
            return Err(Failed::AtCommit(error, phases));
        }
    };
    // The server has committed: a rollback by the guard's drop would only make it warn.
    std::mem::forget(tx);
    let epoch = epoch_number(&answered).ok_or_else(|| {
        WarehouseError::Broken("factmill.commit_epoch did not answer with a number".into())
    })?;
    Ok(Committed { epoch, phases })
}

/// Moves the positions, takes the job's lock and checks the generations. The three are sent
/// together; the server works on them in this order.
async fn take_positions(
    tx: &Transaction<'_>,
    statements: &mut Statements,
    changes: &EpochChanges,
) -> Result<(), WarehouseError> {
    let wrong = |source| WarehouseError::query("checking the tables of an epoch", source);
    let reader = &changes.reader;
    let moving = positions::move_statement(tx, statements).await?;
    let locking = statements
        .get(
            tx,
            "select pg_advisory_xact_lock_shared(hashtextextended($1, 0))",
        )
        .await
        .map_err(wrong)?;
    let checking = statements.get(tx, CHECK_GENERATIONS).await.map_err(wrong)?;

    let schemas: Vec<&str> = changes
        .tables
        .iter()
        .map(|table| table.name.schema.as_str())
        .collect();
    let names: Vec<&str> = changes
        .tables
        .iter()
        .map(|table| table.name.name.as_str())
        .collect();
    let generations = changes.generations.as_slice();
    let lock = job_lock(reader);
    let lock: [&(dyn ToSql + Sync); 1] = [&lock];
    let compiled_for: [&(dyn ToSql + Sync); 5] =
        [&schemas, &names, &generations, &reader.target, &reader.job];
    let (moved, locked, checked) = tokio::join!(
        biased;
        move_positions(tx, &moving, reader, &changes.intervals, &changes.observed.lag),
        tx.execute(&locking, &lock),
        tx.query(&checking, &compiled_for),
    );
    moved?;
    locked.map_err(|source| WarehouseError::query("taking the job's lock", source))?;
    let stale = checked.map_err(wrong)?;
    let Some(stale) = stale.first() else {
        return Ok(());
    };
    let index = usize::try_from(stale.get::<_, i64>(0) - 1).unwrap_or_default();
    Err(WarehouseError::NewerGeneration {
        table: changes.tables[index].name.clone(),
        compiled: generations[index],
        found: Generation(stale.get(1)),
    })
}

/// Tables that are not of the generation they were compiled for, with the generation they are of. A
/// static one may be registered by another job that loads the same seed.
const CHECK_GENERATIONS: &str = "\
    select w.place, t.generation \
    from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as w(schema, name, generation, place) \
    left join factmill.tables t \
        on t.schema = w.schema and t.name = w.name and t.target = $4::text \
        and (t.job = $5::text or t.maintenance = 'static') \
    where t.generation is distinct from w.generation \
    order by w.place";

/// What the advisory lock of a job is made of: epochs share it, batch runs hold it alone.
pub(super) fn job_lock(reader: &Reader) -> String {
    format!("factmill job {}/{}", reader.target, reader.job)
}

fn in_model_order(changes: &[TableChange]) -> Vec<&TableChange> {
    let mut ordered: Vec<_> = changes.iter().collect();
    ordered.sort_by_key(|change| change.table);
    ordered
}

/// The lineage as JSON, handed to the server with COMMIT behind it.
fn last_message(
    changes: &EpochChanges,
    attempt: Uuid,
    rows: &[u64],
    phases: &Phases,
    lake: &Value,
) -> String {
    let millis = |spent: Duration| spent.as_secs_f64() * 1e3;
    let intervals: Vec<_> = changes
        .intervals
        .iter()
        .map(|interval| {
            json!({
                "source": source_text(&interval.partition().source),
                "partition": interval.partition().partition,
                "incarnation": interval.incarnation().ordinal,
                "from_position": interval.from().map(Cursor::to_text),
                "to_position": interval.to().to_text(),
                "lag": changes.observed.lag.get(interval.partition()),
            })
        })
        .collect();
    let tables: Vec<_> = changes
        .tables
        .iter()
        .zip(changes.generations.as_slice())
        .zip(rows)
        .filter(|(_, rows)| **rows > 0)
        .map(|((table, generation), rows)| {
            json!({
                "schema": table.name.schema,
                "name": table.name.name,
                "generation": generation,
                "rows": rows,
            })
        })
        .collect();
    let earlier = changes.observed.phases.iter().copied();
    let phases: serde_json::Map<String, Value> = earlier
        .chain([
            ("positions", phases.positions),
            ("tables", phases.tables),
            ("dead_letters", phases.dead_letters),
            ("lake", phases.lake),
        ])
        .map(|(phase, spent)| (phase.to_owned(), json!(millis(spent))))
        .collect();
    let epoch = json!({
        "attempt": attempt.to_string(),
        "target": changes.reader.target,
        "job": changes.reader.job,
        "started_at": changes.started_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "rows_in": changes.rows_in,
        "rows_out": rows.iter().sum::<u64>(),
        "dead_letters": changes.dead_letters.len(),
        "code_version": changes.code_version,
        "phases": phases,
        "intervals": intervals,
        "tables": tables,
        "lake": lake,
    });
    format!(
        "select factmill.commit_epoch({}::jsonb); commit",
        literal(&epoch.to_string())
    )
}

fn epoch_number(answered: &[SimpleQueryMessage]) -> Option<Epoch> {
    answered.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok().map(Epoch::new),
        _ => None,
    })
}
