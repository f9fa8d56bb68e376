//! Work that one process of a job does at a time, such as a scheduled rebuild.
//!
//! Whoever works alone holds an advisory lock over a session that the server ends when the process
//! says nothing any more: one that is paused does not keep the others from the work for ever. So it
//! may find, continued, that another one took over. A table is refreshed only by the process that is
//! still alone when the rows take their place: they never become older.

use std::sync::Arc;

use async_recursion::async_recursion as boxed;
use factmill_core::epoch::Reader;
use factmill_core::table::Table;
use factmill_core::table_reader::RowStream;
use tokio::task::AbortHandle;

use super::connection::{Backend, Patience, SILENCE, Session};
use super::error::WarehouseError;
use super::rebuild::{Hold, Loaded};
use super::{CONTROL_SESSION, Warehouse};

/// Held while a process does some work alone. When its last clone is dropped, the process ends or is
/// paused, the next one may begin.
#[derive(Clone)]
pub struct Alone {
    warehouse: Warehouse,
    reader: Reader,
    lock: Arc<Lock>,
}

/// A lock that lives as long as its session.
struct Lock {
    backend: Backend,
    /// Owns the session and speaks over it.
    speaking: AbortHandle,
}

impl Warehouse {
    /// Begins `work` of a job alone; `None` when another process does it already.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`].
    #[boxed]
    pub async fn try_alone(
        &self,
        reader: &Reader,
        work: &str,
    ) -> Result<Option<Alone>, WarehouseError> {
        let session = Alone::session(self).await?;
        let row = session
            .client
            .query_one(
                "select pg_try_advisory_lock(hashtextextended($1, 0))",
                &[&lock_name(reader, work)],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("beginning {work} alone"), source))?;
        Ok(row
            .get::<_, bool>(0)
            .then(|| Alone::holding(self, reader, session)))
    }

    /// Begins `work` of a job alone, after every process that does it now.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`].
    #[boxed]
    pub async fn alone(&self, reader: &Reader, work: &str) -> Result<Alone, WarehouseError> {
        let session = Alone::session(self).await?;
        session
            .client
            .execute(
                "select pg_advisory_lock(hashtextextended($1, 0))",
                &[&lock_name(reader, work)],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("beginning {work} alone"), source))?;
        Ok(Alone::holding(self, reader, session))
    }
}

impl Alone {
    /// A session for the lock, which the server ends when it hears nothing.
    async fn session(warehouse: &Warehouse) -> Result<Session, WarehouseError> {
        let session = warehouse.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        let limit = format!("set idle_session_timeout = {}", SILENCE.as_millis());
        let limited = session.client.batch_execute(&limit).await;
        limited
            .map_err(|source| WarehouseError::query("limiting the silence of a session", source))?;
        Ok(session)
    }

    fn holding(warehouse: &Warehouse, reader: &Reader, session: Session) -> Self {
        let backend = session.backend.clone();
        let speaking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SILENCE / 5).await;
                // whoever relies on the lock looks for the session and finds it gone
                if let Err(error) = session.client.batch_execute("select 1").await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "not alone any more"
                    );
                    return;
                }
            }
        });
        Self {
            warehouse: warehouse.clone(),
            reader: reader.clone(),
            lock: Arc::new(Lock {
                backend,
                speaking: speaking.abort_handle(),
            }),
        }
    }

    /// Does what [`Warehouse::load_shadow_and_swap`] does for a scheduled rebuild, of a table that has
    /// to be of the generation `compiled`.
    ///
    /// # Errors
    /// As [`Warehouse::load_shadow_and_swap`], and [`WarehouseError::NotAlone`] when another process
    /// took over.
    pub async fn refresh(
        &self,
        table: &Table,
        rows: RowStream,
        compiled: i64,
    ) -> Result<Loaded, WarehouseError> {
        let hold = Hold::Alone {
            compiled,
            backend: self.lock.backend.clone(),
        };
        self.warehouse
            .replace(&self.reader, table, rows, hold)
            .await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

fn lock_name(reader: &Reader, work: &str) -> String {
    format!("factmill alone {}/{} {work}", reader.target, reader.job)
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}
