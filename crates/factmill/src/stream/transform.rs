//! Transform: the job's models over the new rows, and the writes that cannot join the transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use factmill_connect::sink::documents::Documents;
use factmill_connect::sink::lake::{Lake, LakeError, LakeTableRef, Staged};
use factmill_connect::sink::raw_store::RawStore;
use factmill_core::dead_letter::DeadLetter;
use factmill_core::document::DocumentChange;
use factmill_core::position::{Interval, PartitionId, SourceName};
use factmill_core::source::{BoxedError, Classified, InFlight, Pull, boxed};
use factmill_core::table::TableChange;
use factmill_engine::StreamPlan;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::StageLost;
use super::observe::{Observer, Phases};
use super::pull::{Counted, DecodedEpoch};
use super::quarantine;

/// Everything an epoch needs before its transaction.
pub(crate) struct Transformer {
    pub(super) plan: Arc<StreamPlan>,
    pub(super) lake: Lake,
    /// The lake table of each of the job's sources.
    pub(super) lake_tables: HashMap<SourceName, LakeTableRef>,
    pub(super) raw_store: Option<RawStore>,
    /// The collections of models; `None` where there are none, or no server.
    pub(super) documents: Option<Documents>,
}

/// An epoch that only its commit is missing to. The records are gone: what they became is here.
pub(super) struct TransformedEpoch {
    pub(super) under_way: Counted,
    pub(super) began: Instant,
    pub(super) intervals: Vec<Interval>,
    /// Keeps the partitions until the commit.
    pub(super) in_flight: InFlight,
    /// Records read.
    pub(super) rows_in: u64,
    /// Payload, key and header bytes read.
    pub(super) bytes_in: u64,
    pub(super) changes: Vec<TableChange>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) lake: LakeRows,
    pub(super) started_at: DateTime<Utc>,
    /// How many records lay beyond the pull, by partition.
    pub(super) lag: HashMap<PartitionId, i64>,
    /// The phases that are behind it.
    pub(super) phases: Phases,
}

/// An epoch's rows of a lake table, and what is written of them.
pub(super) struct LakeRows {
    pub(super) table: LakeTableRef,
    pub(super) rows: RecordBatch,
    pub(super) staged: Staged,
}

/// Transforms epochs in their order until the stage before or after is gone.
pub(super) async fn transform(
    transformer: &Transformer,
    mut epochs: mpsc::Receiver<DecodedEpoch>,
    next_stage: mpsc::Sender<TransformedEpoch>,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    // Room is asked for before the work, so that never more than one epoch waits for the commit.
    while let Ok(room) = next_stage.reserve().await {
        let epoch = tokio::select! {
            biased;
            () = next_stage.closed() => break,
            epoch = epochs.recv() => epoch,
        };
        let Some(epoch) = epoch else { break };
        if !epoch.decoded.undeclared.is_empty() {
            observer.undeclared(&epoch.pull.source, &epoch.decoded.undeclared);
        }
        room.send(transformer.epoch(epoch).await?);
    }
    Ok(())
}

impl Transformer {
    async fn epoch(&self, epoch: DecodedEpoch) -> Result<TransformedEpoch, BoxedError> {
        let DecodedEpoch {
            under_way,
            began,
            started_at,
            pull,
            decoded,
            lag,
            waited,
            decode,
        } = epoch;
        let (intervals, in_flight) = (pull.intervals.clone(), pull.in_flight.clone());
        let (rows_in, bytes_in) = (
            pull.pulled.records.len() as u64,
            pull.pulled.records.byte_len() as u64,
        );
        let (rows, table) = (decoded.rows, self.lake_tables[&pull.source].clone());

        let models = timed("transform", {
            let (plan, pull, rows) = (self.plan.clone(), pull.clone(), rows.clone());
            async move { quarantine::transform(&plan, &pull, rows).await }
        });
        let lake = timed("lake", self.lake_write(&table, &rows));
        let ((modelled, transform), (staged, wrote_lake), wrote_raw) =
            tokio::try_join!(models, lake, self.keep_raw(pull))?;

        let wrote_documents = self.keep_documents(&modelled.documents).await?;
        let mut dead_letters = decoded.dead_letters;
        let (rows, staged) = match modelled.quarantined {
            None => (rows, staged),
            Some(quarantined) => {
                dead_letters.extend(quarantined.dead_letters);
                // what was written of all rows stays invisible
                let written = timed("lake", self.lake_write(&table, &quarantined.rows));
                (quarantined.rows, written.await?.0)
            }
        };
        Ok(TransformedEpoch {
            under_way,
            began,
            intervals,
            in_flight,
            rows_in,
            bytes_in,
            changes: modelled.changes,
            dead_letters,
            lake: LakeRows {
                table,
                rows,
                staged,
            },
            started_at,
            lag,
            phases: Phases {
                pull: waited,
                decode,
                transform,
                side_writes: wrote_lake.max(wrote_raw) + wrote_documents,
                ..Phases::default()
            },
        })
    }

    /// Writes rows where the lake's table will find them.
    fn lake_write(
        &self,
        table: &LakeTableRef,
        rows: &RecordBatch,
    ) -> impl Future<Output = Result<Staged, LakeError>> + Send + use<> {
        let (lake, table, rows) = (self.lake.clone(), table.clone(), rows.clone());
        async move { lake.write(&table, &rows).await }
    }

    /// Writes what the models send to collections; says how long that took.
    async fn keep_documents(&self, changes: &[DocumentChange]) -> Result<Duration, BoxedError> {
        let began = Instant::now();
        if let Some(documents) = &self.documents {
            documents.write(changes).await.map_err(boxed)?;
        }
        Ok(began.elapsed())
    }

    /// Writes the raw documents and lets the records go; says how long that took.
    async fn keep_raw(&self, pull: Arc<Pull>) -> Result<Duration, BoxedError> {
        let began = Instant::now();
        if let Some(raw_store) = &self.raw_store {
            let written = raw_store.write(&pull.pulled).await;
            written.map_err(boxed)?;
        }
        Ok(began.elapsed())
    }
}

/// Runs `work` on a task of its own, so that the stages use all cores, and says how long it took.
async fn timed<T: Send + 'static, E: Classified>(
    stage: &'static str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<(T, Duration), BoxedError> {
    let began = Instant::now();
    let done = AbortOnDropHandle::new(tokio::spawn(work))
        .await
        .map_err(|source| boxed(StageLost { stage, source }))?;
    done.map(|value| (value, began.elapsed())).map_err(boxed)
}
