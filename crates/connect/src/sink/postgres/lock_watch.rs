//! Ends a stuck process of the same job that an epoch waits for.
//!
//! A process that was paused, or whose machine vanished, may hold locks of an unfinished epoch. It
//! must not stop the job: whoever waits longer than the lock time-out for another process of its
//! own job ends that backend. The paused process finds its connection gone and its positions moved.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Warehouse;
use super::connection::Backend;
use super::error::WarehouseError;

/// Who blocks backend $1 for more than $3 milliseconds. Those of the job, by their application name
/// $2, are ended by the same statement.
const BLOCKERS: &str = "\
    select b.pid, a.application_name, \
           case when a.application_name = $2 then pg_terminate_backend(b.pid) else false end \
    from (select distinct unnest(pg_blocking_pids(w.pid)) as pid \
          from pg_locks w \
          where w.pid = $1 and not w.granted \
            and w.waitstart <= clock_timestamp() - $3::bigint * interval '1 millisecond') b \
    join pg_stat_activity a on a.pid = b.pid";

/// Watches one backend while it commits an epoch.
pub(super) struct LockWatch<'a> {
    warehouse: &'a Warehouse,
    backend: Backend,
    application_name: String,
    blockers: Mutex<Vec<String>>,
}

impl<'a> LockWatch<'a> {
    pub(super) fn new(
        warehouse: &'a Warehouse,
        backend: Backend,
        application_name: String,
    ) -> Self {
        Self {
            warehouse,
            backend,
            application_name,
            blockers: Mutex::default(),
        }
    }

    /// Looks from time to time until it is dropped.
    pub(super) async fn run(&self) -> Infallible {
        let patience = self.warehouse.inner.config.lock_timeout;
        // The first look is after the time-out: an epoch that waits for nobody costs no query.
        let mut pause = patience;
        loop {
            tokio::time::sleep(pause).await;
            pause = (patience / 4).max(Duration::from_millis(10));
            if let Err(error) = self.look(patience).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot see who blocks the epoch"
                );
            }
        }
    }

    async fn look(&self, patience: Duration) -> Result<(), WarehouseError> {
        let session = self.warehouse.control().await?;
        let waited = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let rows = session
            .client
            .query(
                BLOCKERS,
                &[&self.backend.pid, &self.application_name, &waited],
            )
            .await
            .map_err(|source| WarehouseError::query("looking for who blocks an epoch", source))?;
        let mut blockers = Vec::new();
        for row in &rows {
            let (pid, name, ended): (i32, String, bool) = (row.get(0), row.get(1), row.get(2));
            if ended {
                tracing::warn!(
                    pid,
                    application_name = name,
                    "ended a backend of this job that blocked an epoch"
                );
            }
            blockers.push(format!("{pid} ({name})"));
        }
        if !blockers.is_empty() {
            *self.blockers.lock().unwrap_or_else(PoisonError::into_inner) = blockers;
        }
        Ok(())
    }

    /// Adds to a lock time-out who was seen holding the lock.
    pub(super) fn explain(&self, error: WarehouseError) -> WarehouseError {
        match error {
            WarehouseError::LockTimeout { doing, source, .. } => WarehouseError::LockTimeout {
                doing,
                blockers: self
                    .blockers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
                source,
            },
            other => other,
        }
    }
}
