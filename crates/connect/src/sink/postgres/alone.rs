//! Work that one process of a job does at a time, such as a scheduled rebuild.

use async_recursion::async_recursion as boxed;
use factmill_core::epoch::Reader;

use super::connection::{Patience, Session};
use super::error::WarehouseError;
use super::{CONTROL_SESSION, Warehouse};

/// Held while a process does some work alone; dropping it, or the end of the process, lets the next
/// one in.
///
/// It saves double work and guards nothing: a process whose connection was lost goes on without
/// knowing that it is not alone any more.
pub struct Alone {
    /// The lock lives as long as this connection.
    _session: Session,
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
        let session = self.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        let row = session
            .client
            .query_one(
                "select pg_try_advisory_lock(hashtextextended($1, 0))",
                &[&lock_name(reader, work)],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("beginning {work} alone"), source))?;
        Ok(row.get::<_, bool>(0).then_some(Alone { _session: session }))
    }

    /// Begins `work` of a job alone, after every process that does it now.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`].
    #[boxed]
    pub async fn alone(&self, reader: &Reader, work: &str) -> Result<Alone, WarehouseError> {
        let session = self.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        session
            .client
            .execute(
                "select pg_advisory_lock(hashtextextended($1, 0))",
                &[&lock_name(reader, work)],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("beginning {work} alone"), source))?;
        Ok(Alone { _session: session })
    }
}

fn lock_name(reader: &Reader, work: &str) -> String {
    format!("factmill alone {}/{} {work}", reader.target, reader.job)
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone").finish_non_exhaustive()
    }
}
