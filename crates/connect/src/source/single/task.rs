//! The task that reads ahead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factmill_core::error::ErrorKind;
use factmill_core::position::{Cursor, PartitionId, Position};
use factmill_core::source::{BoxedError, PositionStore};
use tokio::sync::{Notify, watch};

use super::SingleRead;
use super::batch::Batch;
use super::buffer::Buffer;
use super::error::{Lost, SingleSourceError};
use super::lease::OneReader;
use super::reader::{Place, Read, Reader};

/// Shared by the task that reads and the source that hands out.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something can be taken, or the state of the source changed; wakes the taker.
    pub(super) readable: Notify,
    /// Something was taken; wakes the task.
    pub(super) room: Notify,
    /// Counts rewinds.
    rewinds: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) buffer: Buffer,
    /// Why reading paused, until somebody was told.
    pub(super) failure: Option<SingleSourceError>,
    /// Nothing comes until a rewind: there was a failure.
    paused: bool,
    /// A bounded read is at its end.
    pub(super) at_end: bool,
    pub(super) lag: HashMap<String, i64>,
}

impl State {
    /// Whether waiting makes the next pull no larger.
    pub(super) fn is_filled(&self) -> bool {
        self.paused || self.at_end || self.buffer.is_full()
    }
}

impl Shared {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            state: Mutex::new(State {
                buffer,
                failure: None,
                paused: false,
                at_end: false,
                lag: HashMap::new(),
            }),
            readable: Notify::new(),
            room: Notify::new(),
            rewinds: watch::Sender::new(0),
        }
    }

    /// Locks the state. A panic elsewhere leaves it usable: nothing is half done between its fields
    /// that a reader relies on.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what was read and asks the task to begin again.
    pub(super) fn rewind(&self) {
        let mut state = self.lock();
        state.buffer.clear();
        state.failure = None;
        state.paused = false;
        state.at_end = false;
        // under the lock: what an earlier reading still brings is told from the new one by it
        self.rewinds.send_modify(|rewinds| *rewinds += 1);
    }

    /// Changes the state and wakes the taker, unless a rewind came since `rewind`; whether it did.
    fn update(&self, rewind: u64, change: impl FnOnce(&mut State)) -> bool {
        {
            let mut state = self.lock();
            if *self.rewinds.borrow() != rewind {
                return false;
            }
            change(&mut state);
        }
        self.readable.notify_one();
        true
    }
}

/// Owns the reader.
pub(super) struct Task<R> {
    pub(super) reader: R,
    pub(super) read: SingleRead,
    pub(super) what: String,
    pub(super) lease: OneReader,
    pub(super) positions: Arc<dyn PositionStore>,
    pub(super) shared: Arc<Shared>,
}

impl<R: Reader> Task<R> {
    /// Reads, from one rewind to the next, until it is aborted.
    pub(super) async fn run(mut self) {
        // wakes a taker when the task ends, however it ends
        let _end = WakeAtEnd(Arc::clone(&self.shared));
        let mut rewinds = self.shared.rewinds.subscribe();
        loop {
            let rewind = *rewinds.borrow_and_update();
            let stretch = self.stretch(rewind);
            let ended = tokio::select! {
                // the sender lives in `shared`, so the channel is open
                _ = rewinds.changed() => continue,
                ended = stretch => ended,
            };
            if let Err(failure) = ended {
                self.shared.update(rewind, |state| {
                    state.failure = Some(failure);
                    state.paused = true;
                });
            }
            if rewinds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads as the source's one reader, from the stored places on.
    async fn stretch(&mut self, rewind: u64) -> Result<(), SingleSourceError> {
        let Self {
            lease,
            reader,
            read,
            what,
            positions,
            shared,
        } = self;
        lease
            .wait()
            .await
            .map_err(|source| read.store_failed(source))?;
        let mut reading = Reading {
            reader,
            read,
            what,
            positions,
            shared,
        };
        let read_on = async {
            let batch = reading.open(rewind).await?;
            reading.read_on(batch, rewind).await
        };
        tokio::select! {
            ended = read_on => ended,
            holder = lease.lost() => Err(SingleSourceError::LeaseLost {
                what: what.clone(),
                holder,
            }),
        }
    }
}

/// One stretch of reading.
struct Reading<'a, R> {
    reader: &'a mut R,
    read: &'a SingleRead,
    what: &'a str,
    positions: &'a Arc<dyn PositionStore>,
    shared: &'a Shared,
}

impl<R: Reader> Reading<'_, R> {
    /// Finds the stored places and goes there.
    async fn open(&mut self, rewind: u64) -> Result<Batch, SingleSourceError> {
        if !self.reader.is_there().await.map_err(|e| self.failed(e))? {
            self.refuse_if_read_before().await?;
        }
        let identity = self.reader.identity().await.map_err(|e| self.failed(e))?;
        let incarnation = self.positions.incarnation(&self.read.source, &identity);
        let incarnation = incarnation.await.map_err(|e| self.store_failed(e))?;
        let stored = self.stored().await?;
        let mut cursors: HashMap<String, Cursor> = HashMap::new();
        let mut places = HashMap::new();
        for (id, position) in stored {
            if position.incarnation.identity != identity {
                let lost = Lost::OtherIncarnation {
                    before: position.incarnation.identity,
                    now: identity,
                };
                return Err(self.failed(Box::new(lost)));
            }
            let place = Place::from_cursor(&position.cursor).map_err(|source| {
                SingleSourceError::Place {
                    source_name: id.source.clone(),
                    partition: id.partition.clone(),
                    source,
                }
            })?;
            places.insert(id.partition.clone(), place);
            cursors.insert(id.partition, position.cursor);
        }
        self.reader
            .seek(&places)
            .await
            .map_err(|e| self.failed(e))?;
        self.shared.update(rewind, |state| {
            state.buffer.begin(incarnation, cursors);
        });
        Ok(Batch::new(&places))
    }

    /// The stored positions of the reader's partitions.
    async fn stored(&mut self) -> Result<HashMap<PartitionId, Position>, SingleSourceError> {
        let names = self.reader.partitions().await.map_err(|e| self.failed(e))?;
        let ids = names.into_iter().map(|partition| PartitionId {
            source: self.read.source.clone(),
            partition,
        });
        let ids: Vec<PartitionId> = ids.collect();
        let stored = self.positions.positions(&ids).await;
        stored.map_err(|e| self.store_failed(e))
    }

    /// A source that is gone is waited for only where nothing of it was read.
    async fn refuse_if_read_before(&mut self) -> Result<(), SingleSourceError> {
        let has_read = self.positions.has_read(&self.read.source).await;
        if !has_read.map_err(|e| self.store_failed(e))? {
            return Ok(());
        }
        let reason = "it does not exist any more".to_owned();
        Err(self.failed(Box::new(Lost::Gone { reason })))
    }

    fn store_failed(&self, error: BoxedError) -> SingleSourceError {
        SingleSourceError::Positions {
            source_name: self.read.source.clone(),
            source: error.into(),
        }
    }

    /// Reads until the end of a bounded read, a rewind or a failure.
    async fn read_on(&mut self, mut batch: Batch, rewind: u64) -> Result<(), SingleSourceError> {
        loop {
            batch.room = loop {
                let room = self.shared.room.notified();
                {
                    let state = self.shared.lock();
                    if !state.buffer.is_full() {
                        break state.buffer.room();
                    }
                }
                room.await;
            };
            let read = self.reader.read(&mut batch).await;
            let read = read.map_err(|e| self.failed(e))?;
            if let Some(partition) = batch.unplaced() {
                return Err(SingleSourceError::Unplaced {
                    what: self.what.to_owned(),
                    partition: partition.to_owned(),
                });
            }
            let lag = self.reader.lag();
            let merged = self.shared.update(rewind, |state| {
                state.buffer.merge(&mut batch);
                state.lag = lag;
                state.at_end = read == Read::End;
            });
            // after a rewind nothing empties the batch: a reader finds it full and comes back at once
            if !merged || read == Read::End {
                return Ok(());
            }
        }
    }

    fn failed(&self, error: BoxedError) -> SingleSourceError {
        let what = self.what.to_owned();
        match error.kind() {
            ErrorKind::Gap => SingleSourceError::Gap {
                reader: self.read.reader.clone(),
                source_name: self.read.source.clone(),
                what,
                found: error.into(),
            },
            _ => SingleSourceError::Reader {
                what,
                source: error.into(),
            },
        }
    }
}

impl SingleRead {
    fn store_failed(&self, source: BoxedError) -> SingleSourceError {
        SingleSourceError::Positions {
            source_name: self.source.clone(),
            source: source.into(),
        }
    }
}

/// Held by the task.
struct WakeAtEnd(Arc<Shared>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.readable.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use async_trait::async_trait;
    use factmill_core::epoch;
    use factmill_core::position::SourceName;
    use factmill_core::source::NoPositions;
    use tokio::task::JoinHandle;

    use super::super::batch::Record;
    use super::*;

    /// A reader that always has more, never waits, and is rewound while it reads for the first time.
    struct Eager {
        shared: Arc<Shared>,
        reads: usize,
    }

    #[async_trait]
    impl Reader for Eager {
        fn describe(&self) -> String {
            "plenty".to_owned()
        }

        async fn identity(&mut self) -> Result<String, BoxedError> {
            Ok("one".to_owned())
        }

        async fn partitions(&mut self) -> Result<Vec<String>, BoxedError> {
            Ok(vec!["all".to_owned()])
        }

        async fn seek(&mut self, _: &HashMap<String, Place>) -> Result<(), BoxedError> {
            Ok(())
        }

        async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
            self.reads += 1;
            assert!(self.reads < 100, "asked again and again");
            let slot = batch.partition("all");
            while !batch.is_full() {
                batch.push(slot, Record::default());
            }
            batch.moved(slot, self.reads.to_string());
            if self.reads == 1 {
                self.shared.rewind();
            }
            Ok(Read::More)
        }
    }

    #[tokio::test]
    async fn a_rewind_while_a_reader_reads_begins_anew() {
        let source = SourceName::new("plenty", "records");
        let shared = Arc::new(Shared::new(Buffer::new(source.clone(), 4, 1000)));
        let positions: Arc<dyn PositionStore> = Arc::new(NoPositions);
        let reader = Eager {
            shared: Arc::clone(&shared),
            reads: 0,
        };
        let task = Task {
            reader,
            read: SingleRead {
                source: source.clone(),
                topic: "plenty".to_owned(),
                reader: epoch::Reader {
                    target: "test".to_owned(),
                    job: "test".to_owned(),
                },
                max_rows: 4,
                max_bytes: 1000,
                max_wait: std::time::Duration::ZERO,
            },
            what: "plenty".to_owned(),
            lease: OneReader::new(Arc::clone(&positions), source),
            positions,
            shared: Arc::clone(&shared),
        };
        let running: JoinHandle<()> = tokio::spawn(task.run());
        while !shared.lock().buffer.is_full() {
            assert!(!running.is_finished(), "{:?}", running.await);
            shared.readable.notified().await;
        }
        let taken = shared.lock().buffer.take().unwrap();
        assert_eq!(taken.records.len(), 4);
        running.abort();
    }
}
