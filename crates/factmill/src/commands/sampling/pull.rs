//! Pulls records from a source until there are enough, whatever kind it is.

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::decode::csv::COLUMNS_HEADER;
use factmill_connect::source::single::SingleRead;
use factmill_core::epoch::Reader;
use factmill_core::position::SourceName;
use factmill_core::source::{NoPositions, PositionStore, Source};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// No more bytes of records are held than these and one record's.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// How long is waited for more records; what came until then is the sample.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record as it came.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// What it says.
    pub(super) payload: Option<Vec<u8>>,
    /// The header line of its CSV file.
    pub(super) columns: Option<Vec<u8>>,
    /// The source's time, microseconds since 1970 UTC.
    pub(super) time: Option<i64>,
}

/// One sampling: a reader of its own, that stores nothing.
pub(super) struct Pulling {
    pub(super) source: SourceName,
    pub(super) reader: Reader,
    most: usize,
}

impl Pulling {
    pub(super) fn new(workspace: &Workspace, most: usize) -> Self {
        // no job has such a name, so no consumer group is shared with one
        let reader = workspace.reader(&format!("sample-{}", uuid::Uuid::new_v4()));
        Self {
            source: SourceName::new("sample", "records"),
            reader,
            most,
        }
    }

    pub(super) fn single(&self, topic: String) -> SingleRead {
        SingleRead {
            source: self.source.clone(),
            topic,
            reader: self.reader.clone(),
            max_rows: self.most,
            max_bytes: MOST_BYTES,
            max_wait: Duration::ZERO,
        }
    }

    pub(super) fn positions(&self) -> Arc<dyn PositionStore> {
        Arc::new(NoPositions)
    }

    /// Pulls until there are enough records, the source is at its end, or nothing more came in time.
    pub(super) async fn pull(&self, source: &mut dyn Source) -> anyhow::Result<Vec<Raw>> {
        let until = Instant::now() + PATIENCE;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < self.most && bytes < MOST_BYTES {
            let Ok(pull) = tokio::time::timeout_at(until, source.next()).await else {
                break;
            };
            let Some(pull) = pull.map_err(Failure::boxed)? else {
                break;
            };
            let records = &pull.pulled.records;
            bytes += records.byte_len();
            let room = self.most - found.len();
            found.extend((0..records.len().min(room)).map(|index| {
                let mut headers = records.headers.get(index);
                let columns = headers.find(|(name, _)| *name == COLUMNS_HEADER.as_bytes());
                Raw {
                    payload: records.payloads.get(index).map(<[u8]>::to_vec),
                    columns: columns.and_then(|(_, value)| value.map(<[u8]>::to_vec)),
                    time: records.timestamps[index],
                }
            }));
        }
        Ok(found)
    }
}
