//! What a collection holds: by ranges of `_id`, several at once, each to be gone on with.

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::ReadConcern;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::connection::Connection;
use super::super::documents::{Answers, Documents, write_key};
use super::super::error::{self, MongoSourceError};
use super::super::kinds;
use super::super::place::Range;
use crate::source::single::{Batch, Record, Slot};

/// How many ranges are read at once.
const RANGES: usize = 4;

/// Below this many documents one range is as quick.
const WORTH_SPLITTING: u64 = 20_000;

/// Random documents among which the bounds of ranges are chosen.
const SAMPLE: i32 = 256;

/// Documents of one answer: large enough to hide the way to the server, and of usual documents no
/// more than a few hundred kilobytes.
const AT_ONCE: u32 = 2_000;

/// A snapshot that is being read.
pub(super) struct Snapshot {
    connection: Connection,
    ranges: Vec<Reading>,
    /// Documents of a range that are not handed on yet.
    current: Option<(usize, Documents)>,
    answers: mpsc::Receiver<Answer>,
    /// One for each range; they end when this is dropped.
    _tasks: JoinSet<()>,
}

struct Reading {
    range: Range,
    done: bool,
}

/// What a range says next.
struct Answer {
    range: usize,
    documents: Result<Option<Documents>, MongoSourceError>,
}

impl Snapshot {
    /// Begins to read what is left.
    pub(super) fn read(
        connection: &Connection,
        projection: Option<Document>,
        ranges: Vec<Range>,
    ) -> Self {
        let (sender, answers) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for (index, range) in ranges.iter().enumerate() {
            let reading = read_range(
                connection.clone(),
                range.clone(),
                projection.clone(),
                index,
                sender.clone(),
            );
            tasks.spawn(reading);
        }
        let ranges = ranges.into_iter();
        Self {
            connection: connection.clone(),
            ranges: ranges.map(|range| Reading { range, done: false }).collect(),
            current: None,
            answers,
            _tasks: tasks,
        }
    }

    /// Appends documents: waits for the first, takes along what is there.
    pub(super) async fn fill(
        &mut self,
        batch: &mut Batch,
        slot: Slot,
        key: &mut Vec<u8>,
    ) -> Result<(), MongoSourceError> {
        loop {
            if let Some((index, mut documents)) = self.current.take() {
                let finished = self.hand_on(index, &mut documents, batch, slot, key)?;
                if !finished {
                    self.current = Some((index, documents));
                    return Ok(());
                }
            }
            let answer = if batch.is_empty() {
                let answer = self.answers.recv().await;
                answer.ok_or_else(|| self.connection.answer("a range ended without an answer"))?
            } else {
                match self.answers.try_recv() {
                    Ok(answer) => answer,
                    Err(_) => return Ok(()),
                }
            };
            let Answer { range, documents } = answer;
            match documents? {
                Some(documents) => self.current = Some((range, documents)),
                None => {
                    self.ranges[range].done = true;
                    if self.ranges.iter().all(|range| range.done) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Appends documents of one answer; false when the batch was full before its end.
    fn hand_on(
        &mut self,
        index: usize,
        documents: &mut Documents,
        batch: &mut Batch,
        slot: Slot,
        key: &mut Vec<u8>,
    ) -> Result<bool, MongoSourceError> {
        let broken = |broken| self.connection.answer(format!("{broken}"));
        let before = documents.given();
        let finished = loop {
            if batch.is_full() {
                break false;
            }
            let Some(document) = documents.next().map_err(broken)? else {
                break true;
            };
            if !write_key(document, key).map_err(broken)? {
                return Err(MongoSourceError::NoField {
                    namespace: self.connection.namespace.clone(),
                    field: "_id".into(),
                });
            }
            let record = Record {
                key: Some(key),
                payload: Some(document),
                ..Record::default()
            };
            batch.push(slot, record);
        };
        if documents.given() > before
            && let Ok(key) = RawDocument::from_bytes(key)
            && let Ok(Some(id)) = key.get("_id")
            && !kinds::is_nan(id)
            && let Ok(id) = Bson::try_from(id)
        {
            self.ranges[index].range.after = Some(id);
        }
        Ok(finished)
    }

    /// The ranges that are not read to their end.
    pub(super) fn left(&self) -> Vec<Range> {
        let left = self.ranges.iter().filter(|reading| !reading.done);
        left.map(|reading| reading.range.clone()).collect()
    }
}

async fn read_range(
    connection: Connection,
    range: Range,
    projection: Option<Document>,
    index: usize,
    answers: mpsc::Sender<Answer>,
) {
    let read = read_answers(&connection, range, projection, index, &answers).await;
    // whoever dropped the receiver wants no more
    let _ = answers
        .send(Answer {
            range: index,
            documents: read.map(|()| None),
        })
        .await;
}

async fn read_answers(
    connection: &Connection,
    range: Range,
    projection: Option<Document>,
    index: usize,
    answers: &mpsc::Sender<Answer>,
) -> Result<(), MongoSourceError> {
    let mut find = connection
        .collection()
        .find(range.filter())
        .sort(doc! { "_id": 1 })
        .batch_size(AT_ONCE)
        .read_concern(ReadConcern::majority());
    if let Some(projection) = projection {
        find = find.projection(projection);
    }
    let cursor = connection.answered(find.batch()).await;
    let cursor = cursor.map_err(|error| connection.refused_declaration(error))?;
    let mut cursor = Answers::new(cursor);
    while let Some(batch) = connection.answered(cursor.next()).await? {
        let answer = Answer {
            range: index,
            documents: Ok(Some(Documents::new(batch))),
        };
        if answers.send(answer).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Range {
    fn filter(&self) -> Document {
        let mut id = Document::new();
        if let Some(kind) = &self.kind {
            id.insert("$type", kind);
        }
        if let Some(after) = &self.after {
            id.insert("$gt", after);
        }
        if let Some(until) = &self.until {
            id.insert("$lte", until);
        }
        if id.is_empty() {
            Document::new()
        } else {
            doc! { "_id": id }
        }
    }
}

/// Ranges that hold the whole collection; none where it is empty.
///
/// A comparison with an `_id` finds only those of its own kind (all numbers are one), so a
/// collection whose first and last `_id` differ in kind is read kind by kind.
pub(super) async fn split(connection: &Connection) -> Result<Vec<Range>, MongoSourceError> {
    let id = || doc! { "_id": 1 };
    let first = connection.first(doc! {}, id(), id()).await?;
    let last = connection.first(doc! {}, doc! { "_id": -1 }, id()).await?;
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(Vec::new());
    };
    let kinds = (first.get("_id"), last.get("_id"));
    let kinds = match kinds {
        (Ok(Some(first)), Ok(Some(last))) => {
            let kind = |of| kinds::of(of).unwrap_or("maxKey");
            (kind(first.element_type()), kind(last.element_type()))
        }
        _ => return Err(connection.answer("a document has no `_id`")),
    };
    if kinds.0 != kinds.1 {
        let of_kind = kinds::ALL.iter().map(|kind| Range {
            kind: Some((*kind).to_owned()),
            ..Range::default()
        });
        return Ok(of_kind.collect());
    }
    let mut bounds = bounds(connection).await?.into_iter().map(Some);
    let mut after = None;
    let mut ranges = Vec::new();
    loop {
        let until = bounds.next().flatten();
        let last = until.is_none();
        ranges.push(Range {
            kind: None,
            after: std::mem::replace(&mut after, until.clone()),
            until,
        });
        if last {
            return Ok(ranges);
        }
    }
}

/// Where a collection worth it is cut, in order.
async fn bounds(connection: &Connection) -> Result<Vec<Bson>, MongoSourceError> {
    let count = connection.collection().estimated_document_count();
    if connection.answered(async { count.await }).await? < WORTH_SPLITTING {
        return Ok(Vec::new());
    }
    let sample = [
        doc! { "$sample": { "size": SAMPLE } },
        doc! { "$project": { "_id": 1 } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let sampled = async {
        let cursor = connection.collection().aggregate(sample);
        let cursor = cursor.with_type::<RawDocumentBuf>().await?;
        cursor.try_collect::<Vec<_>>().await
    };
    let samples = match connection.answered(sampled).await {
        Ok(samples) => samples,
        // a server without `$sample`: one range is right, only slower
        Err(MongoSourceError::Request { source, .. }) if error::is_unknown(&source) => {
            return Ok(Vec::new());
        }
        Err(failure) => return Err(failure),
    };
    let id_of = |sample: &RawDocumentBuf| {
        let id = sample.get("_id").ok().flatten()?;
        (!kinds::is_nan(id)).then(|| Bson::try_from(id).ok())?
    };
    let mut bounds: Vec<Bson> = (1..RANGES)
        .filter_map(|part| id_of(samples.get(part * samples.len() / RANGES)?))
        .collect();
    bounds.dedup();
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_asks_for_what_lies_between() {
        assert_eq!(Range::default().filter(), doc! {});
        let range = Range {
            kind: Some("string".into()),
            after: Some(Bson::from("a")),
            until: Some(Bson::from("k")),
        };
        let wanted = doc! { "_id": { "$type": "string", "$gt": "a", "$lte": "k" } };
        assert_eq!(range.filter(), wanted);
    }
}
