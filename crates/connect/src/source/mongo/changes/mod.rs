//! A collection followed by its change stream: first what it holds, then what happens to it.
//!
//! # What is promised
//!
//! The place to resume the stream from is taken before the first document of the snapshot is read,
//! and both are in every stored position. So nothing is missed. What changed between that place and
//! the end of the snapshot comes twice: once as the snapshot saw it, and again as the events that
//! led there, which come later in the order of records. Applied by key in that order, a key may for
//! a while show a state that it had before, and shows its last one as soon as the events reach the
//! end of the snapshot. Rows that are only appended show such documents twice.
//!
//! After a restart in the snapshot each of its ranges goes on behind the last `_id` that was
//! committed; nothing of it is read again.
//!
//! An update comes with the document as the server finds it at that time, which may be newer than
//! the update; one whose document is gone by then makes no record, for its deletion follows.

mod snapshot;
mod stream;

use std::collections::HashMap;

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use mongodb::bson::Timestamp;

use super::connection::Connection;
use super::error::MongoSourceError;
use super::place::{ChangesPlace, Resume};
use super::projection::Fields;
use crate::source::single::{Batch, Place, Read, Reader};
use snapshot::Snapshot;
use stream::Events;

pub(super) use stream::{check, exists};

/// The one partition.
const PARTITION: &str = "changes";

/// Reads a collection's documents, then its changes.
pub(super) struct ChangesReader {
    connection: Connection,
    fields: Option<Fields>,
    bounded: bool,
    /// Where a bounded read ends: the server's time when it began.
    end: Option<Timestamp>,
    phase: Phase,
    /// What is buffered of the key that is written.
    key: Vec<u8>,
}

enum Phase {
    Unsought,
    Snapshot(Box<Snapshot>, Resume),
    Events(Box<Events>),
}

impl ChangesReader {
    pub(super) fn new(connection: Connection, fields: Option<Fields>, bounded: bool) -> Self {
        Self {
            connection,
            fields,
            bounded,
            end: None,
            phase: Phase::Unsought,
            key: Vec::new(),
        }
    }

    /// Goes on with what is left of the snapshot, or with the stream.
    async fn begin(&mut self, place: ChangesPlace) -> Result<(), BoxedError> {
        let ChangesPlace { resume, ranges } = place;
        self.phase = if ranges.is_empty() {
            self.open_stream(resume).await?
        } else {
            let projection = self.fields.as_ref().map(Fields::of_document);
            let snapshot = Snapshot::read(&self.connection, projection, ranges);
            Phase::Snapshot(Box::new(snapshot), resume)
        };
        Ok(())
    }

    async fn open_stream(&self, resume: Resume) -> Result<Phase, BoxedError> {
        let events = Events::open(&self.connection, resume, self.fields.as_ref(), self.end);
        Ok(Phase::Events(Box::new(events.await?)))
    }

    /// The first place: where the stream stands now, and all of the collection.
    async fn first_place(&self) -> Result<ChangesPlace, MongoSourceError> {
        let resume = stream::now(&self.connection).await?;
        let ranges = snapshot::split(&self.connection).await?;
        let ranges_count = ranges.len();
        let collection = &self.connection.namespace;
        tracing::info!(collection, ranges = ranges_count, "snapshot begins");
        Ok(ChangesPlace { resume, ranges })
    }
}

#[async_trait]
impl Reader for ChangesReader {
    fn describe(&self) -> String {
        format!("collection `{}`", self.connection.namespace)
    }

    async fn is_there(&mut self) -> Result<bool, BoxedError> {
        self.connection.exists().await
    }

    async fn identity(&mut self) -> Result<String, BoxedError> {
        self.phase = Phase::Unsought;
        self.connection.identity(!self.bounded).await
    }

    async fn partitions(&mut self) -> Result<Vec<String>, BoxedError> {
        Ok(vec![PARTITION.to_owned()])
    }

    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError> {
        if self.bounded && self.end.is_none() {
            let mut end = self.connection.operation_time().await.map_err(boxed)?;
            if end.increment == 0 {
                // a wall clock, which counts seconds: all of this one
                end.increment = u32::MAX;
            }
            self.end = Some(end);
        }
        let place = match stored.get(PARTITION) {
            Some(Place::Token { at, .. }) => {
                let place = ChangesPlace::from_text(at);
                place.ok_or_else(|| {
                    let reason = "its stored position is no place of a change stream";
                    boxed(self.connection.answer(reason))
                })?
            }
            Some(Place::Offset(_)) => {
                let reason = "its stored position was written by polling; remove it to begin anew";
                return Err(boxed(self.connection.answer(reason)));
            }
            None => self.first_place().await.map_err(boxed)?,
        };
        self.begin(place).await
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        let slot = batch.partition(PARTITION);
        match &mut self.phase {
            Phase::Unsought => Err(boxed(
                self.connection.answer("it was read before it was sought"),
            )),
            Phase::Snapshot(snapshot, resume) => {
                snapshot
                    .fill(batch, slot, &mut self.key)
                    .await
                    .map_err(boxed)?;
                let place = ChangesPlace {
                    resume: resume.clone(),
                    ranges: snapshot.left(),
                };
                batch.moved(slot, place.to_text());
                if place.ranges.is_empty() {
                    let collection = &self.connection.namespace;
                    tracing::info!(collection, "snapshot read, its changes follow");
                    self.phase = self.open_stream(place.resume).await?;
                }
                Ok(Read::More)
            }
            Phase::Events(events) => events.fill(batch, slot, &mut self.key).await,
        }
    }
}
