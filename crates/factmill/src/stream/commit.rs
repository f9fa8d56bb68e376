//! Commit: one transaction for each epoch, tried again while the failure is a passing one.

use std::sync::Arc;
use std::time::Instant;

use factmill_connect::sink::lake::{Lake, Staged};
use factmill_connect::sink::postgres::{
    Committed, EpochChanges, Generations, LakeEpoch, Observed, Warehouse,
};
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::error::{Action, backoff, policy};
use factmill_core::position::Interval;
use factmill_core::source::{BoxedError, Classified as _, boxed};
use factmill_core::table::Table;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::observe::{EpochReport, Observer, Phases};
use super::transform::{LakeRows, TransformedEpoch};

/// The warehouse and what every epoch of the job says to it.
pub(crate) struct Committer {
    pub(super) warehouse: Warehouse,
    pub(super) lake: Lake,
    pub(super) reader: Reader,
    pub(super) tables: Arc<[Table]>,
    pub(super) generations: Generations,
    /// Told the number of every committed epoch.
    pub(super) latest: watch::Sender<Option<Epoch>>,
}

/// Commits epochs in their order until the stage before is gone.
pub(super) async fn commit(
    committer: &Committer,
    mut epochs: mpsc::Receiver<TransformedEpoch>,
    committed: broadcast::Sender<Arc<[Interval]>>,
    stop: &CancellationToken,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    while let Some(epoch) = epochs.recv().await {
        let intervals: Arc<[Interval]> = epoch.intervals.clone().into();
        let report = committer.epoch(epoch, stop, observer).await?;
        observer.epoch(&report);
        committer.latest.send_replace(Some(report.epoch));
        // no receiver is left when the sources are gone: then nobody needs to know
        let _ = committed.send(intervals);
    }
    Ok(())
}

impl Committer {
    /// Commits one epoch. It is in flight until then: a partition is given away only afterwards.
    async fn epoch(
        &self,
        epoch: TransformedEpoch,
        stop: &CancellationToken,
        observer: &dyn Observer,
    ) -> Result<EpochReport, BoxedError> {
        let began = Instant::now();
        let _held = (epoch.in_flight, epoch.under_way);
        let mut lake_rows = epoch.lake;
        let mut changes = EpochChanges {
            reader: self.reader.clone(),
            intervals: epoch.intervals,
            tables: self.tables.clone(),
            generations: self.generations.clone(),
            changes: epoch.changes,
            dead_letters: epoch.dead_letters,
            lake: self.lake_part(lake_rows.staged.clone()),
            rows_in: epoch.rows_in,
            started_at: epoch.started_at,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            observed: Observed {
                lag: epoch.lag,
                phases: epoch.phases.before_commit().to_vec(),
            },
        };
        let committed = self
            .until_decided(&mut changes, &mut lake_rows, stop, observer)
            .await?;
        Ok(EpochReport {
            epoch: committed.epoch,
            intervals: changes.intervals,
            rows_in: changes.rows_in,
            bytes_in: epoch.bytes_in,
            rows_out: changes
                .changes
                .iter()
                .map(|change| {
                    (
                        self.tables[change.table].name.clone(),
                        change.rows.num_rows() as u64,
                    )
                })
                .collect(),
            dead_letters: changes.dead_letters.len() as u64,
            phases: Phases {
                commit: began.elapsed(),
                total: epoch.began.elapsed(),
                ..epoch.phases
            },
        })
    }

    /// Tries the same epoch until it is committed or its failure is not a passing one.
    async fn until_decided(
        &self,
        changes: &mut EpochChanges,
        lake: &mut LakeRows,
        stop: &CancellationToken,
        observer: &dyn Observer,
    ) -> Result<Committed, BoxedError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let failure = match self.warehouse.commit(changes).await {
                Ok(committed) => return Ok(committed),
                Err(failure) => failure,
            };
            if policy(failure.kind()) != Action::Retry || stop.is_cancelled() {
                return Err(boxed(failure));
            }
            observer.retrying(&failure, backoff(attempt));
            tokio::select! {
                () = tokio::time::sleep(backoff(attempt)) => {}
                () = stop.cancelled() => return Err(boxed(failure)),
            }
            // not anew each time: a server that is away for hours would fill the disk
            let staged = &lake.staged;
            if failure.lists_a_file() || !self.lake.is_there(staged).await.map_err(boxed)? {
                let written = self.lake.write(&lake.table, &lake.rows).await;
                lake.staged = written.map_err(boxed)?;
                changes.lake = self.lake_part(lake.staged.clone());
            }
        }
    }

    fn lake_part(&self, staged: Staged) -> Arc<LakeEpoch> {
        Arc::new(LakeEpoch {
            lake: self.lake.clone(),
            staged: vec![staged],
        })
    }
}
