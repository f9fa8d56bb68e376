//! Change events, as the server sends them.
//!
//! The stream is the aggregation itself, not the driver's wrapper around it: its answers are read
//! without taking them apart, and going on after a failure is what stored positions are for.

use std::time::{Duration, Instant};

use factmill_core::source::{BoxedError, boxed};
use mongodb::bson::{Document, RawDocument, Timestamp, doc};

use super::super::connection::Connection;
use super::super::documents::{Answers, Documents, write_key};
use super::super::error::{self, MongoSourceError};
use super::super::place::{ChangesPlace, Resume};
use super::super::projection::Fields;
use crate::decode::bson::walk::{self, Elements, kind};
use crate::source::single::{Batch, Lost, Read, Record, Slot};

/// How long the server holds a request that it has nothing for.
const HELD: Duration = Duration::from_secs(1);

/// A server that answers sooner that it has nothing is not asked again before this long.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a position moves that has no records: the server forgets old places, so it must, and
/// each move is a transaction.
const MOVE_ALONE: Duration = Duration::from_secs(60);

/// An open change stream.
pub(super) struct Events {
    connection: Connection,
    answers: Answers,
    /// Events of the last answer that are not handed on yet.
    current: Option<Documents>,
    resume: Resume,
    /// When a place was told last.
    told: Instant,
    /// Where a bounded read ends.
    end: Option<Timestamp>,
    /// How many answers came.
    answers_read: u64,
}

/// What one event says.
#[derive(Default)]
struct Event<'a> {
    operation: &'a str,
    document: Option<&'a [u8]>,
    /// `{_id: …}` and the shard key.
    key: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    time: Option<Timestamp>,
}

impl<'a> Event<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, walk::Broken> {
        let mut event = Self::default();
        let mut elements = Elements::of(bytes)?;
        while let Some(element) = elements.next()? {
            match element.name {
                b"_id" => event.token = element.document(),
                b"operationType" if element.kind == kind::STRING => {
                    event.operation = element.text().unwrap_or_default();
                }
                b"fullDocument" => event.document = element.document(),
                b"documentKey" => event.key = element.document(),
                b"clusterTime" if element.kind == kind::TIMESTAMP => {
                    let bits = element.integer() as u64;
                    event.time = Some(Timestamp {
                        time: (bits >> 32) as u32,
                        increment: bits as u32,
                    });
                }
                _ => {}
            }
        }
        Ok(event)
    }
}

impl Events {
    /// Opens the stream where `resume` says.
    ///
    /// # Errors
    /// A gap where the server does not reach that place any more.
    pub(super) async fn open(
        connection: &Connection,
        resume: Resume,
        fields: Option<&Fields>,
        end: Option<Timestamp>,
    ) -> Result<Self, BoxedError> {
        let mut stage = doc! { "fullDocument": "updateLookup" };
        match &resume {
            Resume::Token(token) => stage.insert("resumeAfter", token),
            Resume::At(time) => stage.insert("startAtOperationTime", time),
        };
        let mut pipeline = vec![doc! { "$changeStream": stage }];
        pipeline.extend(fields.map(Fields::of_event));
        let aggregate = connection
            .collection()
            .aggregate(pipeline)
            .max_await_time(HELD);
        let cursor = connection.answered(aggregate.batch()).await;
        let cursor = cursor.map_err(|error| lost_or(error, connection))?;
        Ok(Self {
            connection: connection.clone(),
            answers: Answers::new(cursor),
            current: None,
            resume,
            told: Instant::now(),
            end,
            answers_read: 0,
        })
    }

    /// Appends events: waits for the first, takes along the rest of the answer.
    pub(super) async fn fill(
        &mut self,
        batch: &mut Batch,
        slot: Slot,
        key: &mut Vec<u8>,
    ) -> Result<Read, BoxedError> {
        loop {
            let asked = Instant::now();
            let mut documents = match self.current.take() {
                Some(documents) => documents,
                None => self.ask().await?,
            };
            match self.hand_on(&mut documents, batch, slot, key)? {
                HandedOn::Part => {
                    self.current = Some(documents);
                    self.tell(batch, slot);
                    return Ok(Read::More);
                }
                HandedOn::ToEnd => {
                    self.tell(batch, slot);
                    return Ok(Read::End);
                }
                HandedOn::Whole => {}
            }
            let nothing = documents.given() == 0;
            let token = batch_token(documents.answer());
            let end = nothing
                && self
                    .end
                    .is_some_and(|end| is_behind(end, token.as_ref(), self.answers_read));
            if let Some(token) = token {
                // behind events of the answer that were not for us too
                self.resume = Resume::Token(token);
            }
            if end || !batch.is_empty() || self.told.elapsed() >= MOVE_ALONE {
                self.tell(batch, slot);
                return Ok(if end { Read::End } else { Read::More });
            }
            if nothing {
                tokio::time::sleep(PAUSE.saturating_sub(asked.elapsed())).await;
            }
        }
    }

    /// The next answer, perhaps without an event.
    async fn ask(&mut self) -> Result<Documents, BoxedError> {
        let answer = self.connection.answered(self.answers.next()).await;
        self.answers_read += 1;
        match answer.map_err(|error| lost_or(error, &self.connection))? {
            Some(batch) => Ok(Documents::new(batch)),
            None => Err(boxed(MongoSourceError::Ended {
                namespace: self.connection.namespace.clone(),
            })),
        }
    }

    /// Appends what the events of an answer say.
    fn hand_on(
        &mut self,
        documents: &mut Documents,
        batch: &mut Batch,
        slot: Slot,
        key: &mut Vec<u8>,
    ) -> Result<HandedOn, BoxedError> {
        let connection = &self.connection;
        let broken = |broken: walk::Broken| boxed(connection.answer(broken.to_string()));
        let mut token = None;
        let handed_on = loop {
            if batch.is_full() {
                break HandedOn::Part;
            }
            let Some(bytes) = documents.next().map_err(broken)? else {
                break HandedOn::Whole;
            };
            let event = Event::read(bytes).map_err(broken)?;
            if let (Some(end), Some(time)) = (self.end, event.time)
                && (time.time, time.increment) > (end.time, end.increment)
            {
                break HandedOn::ToEnd;
            }
            let Some(keyed) = event.keyed(connection)? else {
                token = event.token.map(<[u8]>::to_vec);
                continue;
            };
            if write_key(keyed, key).map_err(broken)? {
                let record = Record {
                    key: Some(key),
                    payload: event.document,
                    timestamp: event.time.map(|time| i64::from(time.time) * 1_000_000),
                    ..Record::default()
                };
                batch.push(slot, record);
            } else if event.operation != "update" {
                return Err(boxed(MongoSourceError::NoField {
                    namespace: connection.namespace.clone(),
                    field: "_id".into(),
                }));
            }
            token = event.token.map(<[u8]>::to_vec);
        };
        if let Some(token) = token.as_deref().and_then(document) {
            self.resume = Resume::Token(token);
        }
        Ok(handed_on)
    }

    fn tell(&mut self, batch: &mut Batch, slot: Slot) {
        let place = ChangesPlace {
            resume: self.resume.clone(),
            ranges: Vec::new(),
        };
        batch.moved(slot, place.to_text());
        self.told = Instant::now();
    }
}

/// How far an answer was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandedOn {
    /// All of it.
    Whole,
    /// Until the batch was full.
    Part,
    /// Until the end of a bounded read.
    ToEnd,
}

impl<'a> Event<'a> {
    /// The document that holds the key of the record that this event makes, if it makes one.
    ///
    /// # Errors
    /// A gap where the collection is gone.
    fn keyed(&self, connection: &Connection) -> Result<Option<&'a [u8]>, BoxedError> {
        let gone = match self.operation {
            // without a document where it was deleted since: the deletion follows
            "insert" | "update" | "replace" => return Ok(self.document),
            "delete" => {
                let key = self.key.ok_or_else(|| {
                    boxed(connection.answer("a deletion came without a document key"))
                })?;
                return Ok(Some(key));
            }
            "drop" | "dropDatabase" => "was dropped",
            "rename" => "was renamed",
            "invalidate" => "was dropped or renamed",
            _ => return Ok(None),
        };
        Err(boxed(Lost::Gone {
            reason: format!("the collection {gone}"),
        }))
    }
}

/// Where the stream stands now.
pub(super) async fn now(connection: &Connection) -> Result<Resume, MongoSourceError> {
    let stage = doc! { "$changeStream": {} };
    let aggregate = connection.collection().aggregate([stage]);
    let cursor = connection.answered(aggregate.batch()).await;
    let cursor = cursor.map_err(|error| connection.no_changes(error))?;
    let mut answers = Answers::new(cursor);
    let first = connection.answered(answers.next()).await?;
    let token = first.and_then(|first| batch_token(first.as_raw_document().as_bytes()));
    match token {
        Some(token) => Ok(Resume::Token(token)),
        None => connection.operation_time().await.map(Resume::At),
    }
}

/// Makes sure that the server has change streams.
///
/// # Errors
/// [`MongoSourceError::NoChangeStreams`], and those of the connection.
pub(in super::super) async fn check(connection: &Connection) -> Result<(), MongoSourceError> {
    now(connection).await.map(|_| ())
}

/// Whether the server has change streams.
pub(in super::super) async fn exists(connection: &Connection) -> Result<bool, MongoSourceError> {
    match check(connection).await {
        Ok(()) => Ok(true),
        Err(MongoSourceError::NoChangeStreams { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an answer without events says that none is left up to `end`: it does where the server has
/// looked at all up to there. One that does not tell how far it looked is believed once it was asked
/// for more; the answer to the opening of a stream comes before it has looked.
fn is_behind(end: Timestamp, looked: Option<&Document>, answers: u64) -> bool {
    match looked.and_then(time_of) {
        Some(looked) => (looked.time, looked.increment) >= (end.time, end.increment),
        None => answers > 1,
    }
}

/// The time of a resume token, which is the first of what it holds: a key string in hexadecimal
/// digits, where 82 says that a timestamp follows.
fn time_of(token: &Document) -> Option<Timestamp> {
    let digits = token.get_str("_data").ok()?.strip_prefix("82")?;
    let number = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok();
    Some(Timestamp {
        time: number(0)?,
        increment: number(8)?,
    })
}

/// The place behind all events that the server has looked at for an answer.
fn batch_token(answer: &[u8]) -> Option<Document> {
    let cursor = walk::find(answer, b"cursor").ok()??.document()?;
    let token = walk::find(cursor, b"postBatchResumeToken").ok()??;
    document(token.document()?)
}

fn document(bytes: &[u8]) -> Option<Document> {
    Document::try_from(RawDocument::from_bytes(bytes).ok()?).ok()
}

/// A gap where the server says that it cannot go on, else the error.
fn lost_or(error: MongoSourceError, connection: &Connection) -> BoxedError {
    if let MongoSourceError::Request { source, .. } = &error
        && let Some(reason) = error::lost_history(source)
    {
        return boxed(Lost::Gone { reason });
    }
    boxed(connection.no_changes(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::RawDocumentBuf;

    fn bytes(document: &Document) -> Vec<u8> {
        RawDocumentBuf::try_from(document).unwrap().into_bytes()
    }

    #[test]
    fn an_event_is_taken_apart() {
        let time = Timestamp {
            time: 1_700_000_000,
            increment: 3,
        };
        let event = bytes(&doc! {
            "_id": { "_data": "82" },
            "operationType": "update",
            "clusterTime": time,
            "ns": { "db": "shop", "coll": "orders" },
            "documentKey": { "_id": 7 },
            "fullDocument": { "_id": 7, "city": "Lyon" },
        });
        let event = Event::read(&event).unwrap();
        assert_eq!(event.operation, "update");
        assert_eq!(event.time, Some(time));
        let mut key = Vec::new();
        assert!(write_key(event.document.unwrap(), &mut key).unwrap());
        assert_eq!(key, bytes(&doc! { "_id": 7 }));
        assert_eq!(document(event.token.unwrap()), Some(doc! { "_data": "82" }));
    }

    #[test]
    fn the_token_of_a_whole_answer_is_found() {
        let answer = bytes(&doc! {
            "cursor": { "nextBatch": [], "postBatchResumeToken": { "_data": "83" } }, "ok": 1.0,
        });
        assert_eq!(batch_token(&answer), Some(doc! { "_data": "83" }));
        assert_eq!(
            batch_token(&bytes(&doc! { "cursor": { "nextBatch": [] } })),
            None
        );
    }

    #[test]
    fn a_bounded_read_is_at_its_end_once_the_server_has_looked_that_far() {
        let end = Timestamp {
            time: 0x6553_f100,
            increment: 3,
        };
        // as a MongoDB 7 gives it behind what it looked at
        let looked = |increment: u32| {
            let data = format!("826553F100{increment:08X}2B0429296E1404");
            doc! { "_data": data }
        };
        assert_eq!(time_of(&looked(3)), Some(end));
        assert!(!is_behind(end, Some(&looked(2)), 9));
        assert!(is_behind(end, Some(&looked(3)), 1));
        assert!(is_behind(end, Some(&looked(4)), 1));
        for other in [
            None,
            Some(&doc! { "_data": "8265" }),
            Some(&doc! { "_data": "é" }),
        ] {
            assert!(!is_behind(end, other, 1), "it was only opened");
            assert!(is_behind(end, other, 2));
        }
    }
}
