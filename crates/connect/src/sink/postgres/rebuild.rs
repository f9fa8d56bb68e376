//! Replacing a whole table: its new rows are loaded beside it and take its place at once.
//!
//! The new rows go into a shadow table in a transaction of its own, which ends with the swap: a
//! crash leaves nothing behind, and until the last moment readers and epochs see the old rows and
//! wait for nobody. Then the table is locked for as long as the swap takes.
//!
//! The shadow takes the table's place by rename, with its owner, grants, indexes and constraints.
//! Where other objects hold on to the table itself (views, triggers, policies, publications), the
//! table stays, and its rows are exchanged within the same transaction.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::table::{Maintenance, Table};
use factmill_core::table_reader::RowStream;
use futures::StreamExt;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::commit::job_lock;
use super::connection::{Backend, Patience, Session};
use super::copy_in::CopyIn;
use super::encode::RowEncoder;
use super::epochs::newest_epoch;
use super::error::{Generation, Misfit, WarehouseError};
use super::identifier::{list, qualified};
use super::shadow::{Shadow, Standing};
use super::tables::{comments, grant_readers, planned_columns, refuse_long_names, register};
use super::{CONTROL_SESSION, Warehouse};

/// On whose behalf a table is replaced.
#[derive(Debug, Clone, Copy)]
pub enum Swap {
    /// A running stream loads the same model again, so epochs go on. The table has to be of the
    /// generation that the stream was compiled for.
    Refresh {
        /// That generation.
        compiled: i64,
    },
    /// A batch run: no epoch of the job commits during the swap, the table may have other columns
    /// than before, and its generation is raised, so that processes compiled for the old one stop.
    ///
    /// A table that epochs add to is only replaced by rows that hold all of them: what was committed
    /// since would be missing for good.
    Replace {
        /// The newest epoch that may be in the rows.
        read: Epoch,
    },
}

/// What keeps a swap apart from epochs and other swaps.
#[derive(Debug)]
pub(super) enum Hold {
    /// The job's lock, taken at the swap.
    Job(Swap),
    /// The job is paused.
    Paused,
    /// The job's lock, and the lock of this backend for whoever refreshes the table of this generation.
    Alone { compiled: i64, backend: Backend },
}

impl Hold {
    fn swap(&self) -> Option<Swap> {
        match self {
            Self::Job(swap) => Some(*swap),
            Self::Paused => None,
            Self::Alone { compiled, .. } => Some(Swap::Refresh {
                compiled: *compiled,
            }),
        }
    }
}

/// Holds every epoch of a job up until it is dropped; they try again meanwhile.
pub struct Paused {
    /// The lock lives as long as this connection.
    _session: Session,
    warehouse: Warehouse,
    reader: Reader,
}

impl Paused {
    /// Does what [`Warehouse::load_shadow_and_swap`] does for a batch run, with rows that were read
    /// since the pause began.
    ///
    /// # Errors
    /// As [`Warehouse::load_shadow_and_swap`].
    pub async fn load_shadow_and_swap(
        &self,
        table: &Table,
        rows: RowStream,
    ) -> Result<Loaded, WarehouseError> {
        self.warehouse
            .replace(&self.reader, table, rows, Hold::Paused)
            .await
    }
}

impl std::fmt::Debug for Paused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paused")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

/// A table that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Rows that it has now.
    pub rows: u64,
    /// Its generation now.
    pub generation: i64,
}

/// How long the swap waits for readers of the table before it lets those that queue behind it go
/// first and tries again.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often it tries: with pauses as long as the waits, about two minutes.
const LOCK_TRIES: u32 = 60;

impl Warehouse {
    /// Lets the epochs of `reader` that are under way commit, and no other one until the answer is
    /// dropped.
    ///
    /// # Errors
    /// Those of the connection.
    #[boxed]
    pub async fn pause(&self, reader: &Reader) -> Result<Paused, WarehouseError> {
        let session = self.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        session
            .client
            .execute(
                "select pg_advisory_lock(hashtextextended($1, 0))",
                &[&job_lock(reader)],
            )
            .await
            .map_err(|source| WarehouseError::query("pausing the job", source))?;
        Ok(Paused {
            _session: session,
            warehouse: self.clone(),
            reader: reader.clone(),
        })
    }

    /// Replaces all rows of `table` by `rows`, in one transaction; the table is made when it is not
    /// there. Batches have the table's columns in their order and, for `upsert`, the order column.
    ///
    /// Loads of one table take its place one after the other. Dropping the future changes nothing.
    ///
    /// # Errors
    /// [`WarehouseError::Refused`] when the table does not take a row, [`WarehouseError::Rows`] when
    /// the rows end with an error, [`WarehouseError::SecondWriter`], [`WarehouseError::Misfit`]
    /// when other objects hold on to a table whose columns change, [`WarehouseError::NewerGeneration`]
    /// when a batch run replaced the table that a stream would refresh, [`WarehouseError::Outrun`] when
    /// a stream committed what a batch run has not read, and those of the connection.
    pub async fn load_shadow_and_swap(
        &self,
        reader: &Reader,
        table: &Table,
        rows: RowStream,
        swap: Swap,
    ) -> Result<Loaded, WarehouseError> {
        self.replace(reader, table, rows, Hold::Job(swap)).await
    }

    #[boxed]
    pub(super) async fn replace(
        &self,
        reader: &Reader,
        table: &Table,
        rows: RowStream,
        hold: Hold,
    ) -> Result<Loaded, WarehouseError> {
        refuse_long_names(std::slice::from_ref(table))?;
        let doing = format!("replacing table {}", table.name);
        let wrong = |source| WarehouseError::query(&doing, source);
        let swap = hold.swap();
        let mut session = self.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        let tx = session.client.transaction().await.map_err(wrong)?;
        let shadow = Shadow::create(&tx, table).await?;
        let loaded = load(&tx, table, &shadow, rows).await?;
        // Nobody waits for a load: one whose process is paused would never end.
        tx.execute(
            "select pg_advisory_xact_lock(hashtextextended('factmill rebuild ' || $1, 0))",
            &[&qualified(&table.name)],
        )
        .await
        .map_err(wrong)?;
        let standing = Standing::look(&tx, table, &shadow).await?;
        let exchange = standing
            .as_ref()
            .is_some_and(|standing| standing.held_by.is_some());
        if !exchange {
            shadow.finish(&tx, table, standing.as_ref()).await?;
        }
        if let Some(swap) = swap {
            lock_job(&tx, reader, swap).await?;
        }
        if let Hold::Alone { backend, .. } = &hold {
            still_alone(&tx, table, backend).await?;
        }
        let mut generation = register(&tx, reader, table).await?;
        match swap {
            Some(Swap::Refresh { compiled }) if compiled != generation => {
                return Err(WarehouseError::NewerGeneration {
                    table: table.name.clone(),
                    compiled,
                    found: Generation(Some(generation)),
                });
            }
            Some(Swap::Replace { read }) => not_outrun(&tx, reader, table, read).await?,
            Some(Swap::Refresh { .. }) | None => {}
        }
        if !matches!(swap, Some(Swap::Refresh { .. })) && standing.is_some() {
            generation = raise_generation(&tx, table).await?;
        }
        match standing {
            None => shadow.rename(&tx, table).await?,
            Some(standing) => {
                lock_alone(&tx, table).await?;
                if exchange {
                    exchange_rows(&tx, table, &shadow, &standing).await?;
                } else {
                    shadow.replace(&tx, table, &standing).await?;
                }
            }
        }
        grant_readers(&tx, table).await?;
        tx.commit().await.map_err(wrong)?;
        Ok(Loaded {
            rows: loaded,
            generation,
        })
    }
}

/// Takes the job's lock: a refresh goes on beside epochs, a batch run waits for them and holds them up.
async fn lock_job(tx: &Transaction<'_>, reader: &Reader, swap: Swap) -> Result<(), WarehouseError> {
    let (lock, mode) = match swap {
        Swap::Refresh { .. } => ("pg_advisory_xact_lock_shared", "a rebuild"),
        Swap::Replace { .. } => ("pg_advisory_xact_lock", "a batch run"),
    };
    tx.execute(
        &format!("select {lock}(hashtextextended($1, 0))"),
        &[&job_lock(reader)],
    )
    .await
    .map_err(|source| WarehouseError::query(format!("taking the job's lock for {mode}"), source))?;
    Ok(())
}

/// Refuses the rows of a process that another one took over from: they may be older than the table's.
/// The swap holds the table's lock, so nobody's newer rows can come between this look and its end.
async fn still_alone(
    tx: &Transaction<'_>,
    table: &Table,
    backend: &Backend,
) -> Result<(), WarehouseError> {
    let row = tx
        .query_one(
            "select exists (select from pg_stat_activity where pid = $1 and backend_start::text = $2)",
            &[&backend.pid, &backend.started],
        )
        .await
        .map_err(|source| WarehouseError::query(format!("replacing table {}", table.name), source))?;
    match row.get(0) {
        true => Ok(()),
        false => Err(WarehouseError::NotAlone {
            table: table.name.clone(),
        }),
    }
}

/// Refuses rows of a table that epochs add to when one was committed that the rows may lack. The job's
/// lock is held alone: no other one is under way.
async fn not_outrun(
    tx: &Transaction<'_>,
    reader: &Reader,
    table: &Table,
    read: Epoch,
) -> Result<(), WarehouseError> {
    let by_epochs = match table.maintenance {
        Maintenance::Append | Maintenance::Upsert { .. } => true,
        Maintenance::Rebuild { .. } | Maintenance::Static => false,
    };
    if !by_epochs {
        return Ok(());
    }
    match newest_epoch(tx, reader).await? {
        Some(newest) if newest > read => Err(WarehouseError::Outrun {
            table: table.name.clone(),
            read,
            newest,
        }),
        _ => Ok(()),
    }
}

async fn load(
    tx: &Transaction<'_>,
    table: &Table,
    shadow: &Shadow,
    mut rows: RowStream,
) -> Result<u64, WarehouseError> {
    let sql = format!(
        "copy {} ({}) from stdin (format binary)",
        shadow.qualified(),
        list(planned_columns(table).map(|column| column.name))
    );
    let statement = tx
        .prepare(&sql)
        .await
        .map_err(|source| WarehouseError::writing(&table.name, source))?;
    let mut copy = CopyIn::begin(tx, &statement, &table.name).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| WarehouseError::Rows {
            table: table.name.clone(),
            source: error.into(),
        })?;
        let columns = planned_columns(table).map(|column| (column.name, column.data_type));
        let encoder = RowEncoder::new(&batch, columns)
            .map_err(|source| WarehouseError::encoding(&table.name, source))?;
        copy.write(&encoder).await?;
        if copy.is_refused() {
            break;
        }
    }
    copy.finish().await
}

async fn raise_generation(tx: &Transaction<'_>, table: &Table) -> Result<i64, WarehouseError> {
    let row = tx
        .query_one(
            "update factmill.tables set generation = generation + 1, updated_at = now() \
             where schema = $1 and name = $2 returning generation",
            &[&table.name.schema, &table.name.name],
        )
        .await
        .map_err(|source| {
            WarehouseError::query(format!("raising the generation of {}", table.name), source)
        })?;
    Ok(row.get(0))
}

/// Locks the table against everybody. A long query of somebody else must not make all later ones
/// wait behind this lock, so it is asked for in short attempts.
async fn lock_alone(tx: &Transaction<'_>, table: &Table) -> Result<(), WarehouseError> {
    let doing = format!("locking table {} for its new rows", table.name);
    let wrong = |source| WarehouseError::query(&doing, source);
    let lock = format!(
        "set local lock_timeout = {}; lock table {} in access exclusive mode; set local lock_timeout = 0",
        LOCK_WAIT.as_millis(),
        qualified(&table.name)
    );
    let mut tries = 0;
    loop {
        tx.batch_execute("savepoint factmill_lock")
            .await
            .map_err(wrong)?;
        match tx.batch_execute(&lock).await {
            Ok(()) => return Ok(()),
            Err(source)
                if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && tries < LOCK_TRIES =>
            {
                tx.batch_execute(
                    "rollback to savepoint factmill_lock; release savepoint factmill_lock",
                )
                .await
                .map_err(wrong)?;
                tries += 1;
                tokio::time::sleep(LOCK_WAIT).await;
            }
            Err(source) => return Err(wrong(source)),
        }
    }
}

/// Puts the shadow's rows into the table that stays.
async fn exchange_rows(
    tx: &Transaction<'_>,
    table: &Table,
    shadow: &Shadow,
    standing: &Standing,
) -> Result<(), WarehouseError> {
    if !standing.same_columns {
        return Err(WarehouseError::Misfit(vec![Misfit {
            table: table.name.clone(),
            differences: vec![format!(
                "its columns change, and {} needs the old ones: drop that first and make it again afterwards",
                standing.held_by.as_deref().unwrap_or("another object")
            )],
        }]));
    }
    let columns = list(planned_columns(table).map(|column| column.name));
    let name = qualified(&table.name);
    tx.batch_execute(&format!(
        "truncate {name}; insert into {name} ({columns}) select {columns} from {shadow}; drop table {shadow}; {}",
        comments(&qualified(&table.name), table),
        shadow = shadow.qualified(),
    ))
    .await
    .map_err(|source| WarehouseError::writing(&table.name, source))
}
