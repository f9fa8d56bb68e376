//! Polling by a field that grows with every new document.
//!
//! A query compares values of one kind only (all numbers are one), so all values have to be of one:
//! that of the stored place, else that of the first document. What is read stays within it, and the
//! least and the greatest of all values, which are looked at again and again, tell another one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::ReadConcern;

use super::super::config::{MongoRead, Poll};
use super::super::connection::Connection;
use super::super::documents::{Answers, Documents, write_key};
use super::super::error::MongoSourceError;
use super::super::{kinds, place};
use super::watch::Watch;
use crate::source::single::{Batch, Place, Read, Reader, Record};

/// The one partition.
const PARTITION: &str = "poll";

/// Reads documents in the order of a field, those of one value in the order of `_id`.
pub(in super::super) struct FieldReader {
    connection: Connection,
    read: MongoRead,
    poll: Poll,
    field: String,
    watch: Watch,
    /// The kind of the values; none as long as there are none.
    kind: Option<&'static str>,
    /// When it was looked for another one.
    looked: Instant,
    /// The last document read: its field and `_id`.
    last: Option<Seen>,
    /// Where a bounded read ends; once it is known.
    end: Option<Option<Bson>>,
    cursor: Option<Answers>,
    current: Option<Documents>,
    key: Vec<u8>,
}

/// What tells how far polling has come.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    value: Bson,
    id: Bson,
}

impl Seen {
    fn to_text(&self) -> String {
        place::to_text(&doc! { "value": &self.value, "id": &self.id })
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut document = place::from_text(text)?;
        Some(Self {
            value: document.remove("value")?,
            id: document.remove("id")?,
        })
    }
}

impl FieldReader {
    pub(in super::super) fn new(
        connection: Connection,
        read: MongoRead,
        poll: Poll,
        field: String,
    ) -> Self {
        Self {
            connection,
            read,
            poll,
            field,
            watch: Watch::default(),
            kind: None,
            looked: Instant::now(),
            last: None,
            end: None,
            cursor: None,
            current: None,
            key: Vec::new(),
        }
    }

    fn sort(&self) -> Document {
        match self.field.as_str() {
            "_id" => doc! { "_id": 1 },
            field => doc! { field: 1, "_id": 1 },
        }
    }

    /// Looks at the least and the greatest value, whose kinds are the first and the last of all;
    /// answers the greatest.
    async fn look(&mut self) -> Result<Option<Bson>, MongoSourceError> {
        self.looked = Instant::now();
        let mut greatest = None;
        for direction in [1, -1] {
            let Some(found) = self.outermost(direction).await? else {
                return Ok(None);
            };
            self.kind = Some(self.admitted(&found)?);
            greatest = Some(self.seen(&found)?.value);
        }
        Ok(greatest)
    }

    /// How long to wait before looking for another kind of values: an index knows it at once, a
    /// pipeline may have to be run over all documents.
    fn look_again(&self) -> Duration {
        Duration::from_secs(match self.read.pipeline.is_empty() {
            true => 3,
            false => 60,
        })
    }

    /// The document with the least value, or with the greatest one.
    async fn outermost(&self, direction: i32) -> Result<Option<RawDocumentBuf>, MongoSourceError> {
        // null and missing values have no order among the others
        let filter = doc! { &self.field: { "$ne": null } };
        let sort = doc! { &self.field: direction };
        let value = doc! { &self.field: 1 };
        if self.read.pipeline.is_empty() {
            return self.connection.first(filter, sort, value).await;
        }
        // documents that it leaves out are not read, so they may have what they like
        let mut stages = vec![doc! { "$match": filter }, doc! { "$sort": sort }];
        stages.extend(self.read.pipeline.iter().cloned());
        stages.extend([doc! { "$limit": 1 }, doc! { "$project": value }]);
        let found = async {
            let found = self.connection.collection().aggregate(stages);
            let found = found.read_concern(ReadConcern::majority());
            let mut found = found.with_type::<RawDocumentBuf>().await?;
            found.try_next().await
        };
        let found = self.connection.answered(found).await;
        found.map_err(|error| self.connection.refused_declaration(error))
    }

    /// The kind of a document's value.
    ///
    /// # Errors
    /// Where it has none, or another one than those before.
    fn admitted(&self, document: &RawDocument) -> Result<&'static str, MongoSourceError> {
        let value = at_path(document, &self.field).ok_or_else(|| self.no_field(&self.field))?;
        let namespace = || self.connection.namespace.clone();
        let id = || {
            let id = at_path(document, "_id").and_then(|id| Bson::try_from(id).ok());
            id.map_or_else(|| "without `_id`".to_owned(), |id| id.to_string())
        };
        let kind = kinds::of(value.element_type());
        match (kind, self.kind) {
            (Some(kind), Some(others)) if kind != others => Err(MongoSourceError::OtherKind {
                namespace: namespace(),
                field: self.field.clone(),
                id: id(),
                found: format!("a value of type `{kind}`"),
                others: format!("others are of type `{others}`"),
            }),
            (Some(kind), _) if !kinds::is_nan(value) => Ok(kind),
            (kind, _) => Err(MongoSourceError::NoOrder {
                namespace: namespace(),
                field: self.field.clone(),
                id: id(),
                found: match kind {
                    Some(_) => "NaN".to_owned(),
                    None => format!("a value of type {:?}", value.element_type()),
                },
            }),
        }
    }

    fn seen(&self, document: &RawDocument) -> Result<Seen, MongoSourceError> {
        let value = |path| at_path(document, path).and_then(|value| Bson::try_from(value).ok());
        match (value(&self.field), value("_id")) {
            (Some(value), Some(id)) => Ok(Seen { value, id }),
            (None, _) => Err(self.no_field(&self.field)),
            (_, None) => Err(self.no_field("_id")),
        }
    }

    fn no_field(&self, field: &str) -> MongoSourceError {
        MongoSourceError::NoField {
            namespace: self.connection.namespace.clone(),
            field: field.to_owned(),
        }
    }

    /// The next answer; `None` where everything was read for now.
    async fn ask(&mut self) -> Result<Option<Documents>, MongoSourceError> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                if self.kind.is_none() {
                    self.look().await?;
                }
                let Some(kind) = self.kind else {
                    return Ok(None);
                };
                let end = self.end.clone().flatten();
                let filter = filter(&self.field, kind, self.last.as_ref(), end);
                super::ask(&self.connection, &self.read, filter, self.sort()).await?
            }
        };
        let answer = self.connection.answered(cursor.next()).await?;
        Ok(answer.map(|batch| {
            self.cursor = Some(cursor);
            Documents::new(batch)
        }))
    }

    /// Appends documents; whether the answer is at its end.
    fn hand_on(
        &mut self,
        documents: &mut Documents,
        batch: &mut Batch,
    ) -> Result<bool, MongoSourceError> {
        let slot = batch.partition(PARTITION);
        let broken =
            |broken: crate::decode::bson::walk::Broken| self.connection.answer(broken.to_string());
        let mut last: Vec<u8> = Vec::new();
        let whole = loop {
            if batch.is_full() {
                break false;
            }
            let Some(document) = documents.next().map_err(broken)? else {
                break true;
            };
            if !write_key(document, &mut self.key).map_err(broken)? {
                return Err(self.no_field("_id"));
            }
            let raw = RawDocument::from_bytes(document);
            let raw = raw.map_err(|error| self.connection.answer(error.to_string()))?;
            self.admitted(raw)?;
            let record = Record {
                key: Some(&self.key),
                payload: Some(document),
                ..Record::default()
            };
            batch.push(slot, record);
            last.clear();
            last.extend_from_slice(document);
        };
        if let Ok(last) = RawDocument::from_bytes(&last)
            && !batch.is_empty()
        {
            let seen = self.seen(last)?;
            batch.moved(slot, seen.to_text());
            self.last = Some(seen);
        }
        Ok(whole)
    }
}

#[async_trait]
impl Reader for FieldReader {
    fn describe(&self) -> String {
        format!("collection `{}`", self.connection.namespace)
    }

    async fn is_there(&mut self) -> Result<bool, BoxedError> {
        self.connection.exists().await
    }

    async fn identity(&mut self) -> Result<String, BoxedError> {
        let identity = self.connection.identity(!self.read.bounded).await?;
        self.watch.begin(identity.clone());
        Ok(identity)
    }

    async fn partitions(&mut self) -> Result<Vec<String>, BoxedError> {
        Ok(vec![PARTITION.to_owned()])
    }

    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError> {
        (self.cursor, self.current) = (None, None);
        self.last = match stored.get(PARTITION) {
            Some(Place::Token { at, .. }) => {
                let seen = Seen::from_text(at);
                let reason = "its stored position is no place of polling by a field";
                Some(seen.ok_or_else(|| boxed(self.connection.answer(reason)))?)
            }
            _ => None,
        };
        let last = self.last.as_ref();
        self.kind = last.and_then(|last| kinds::of(last.value.element_type()));
        let greatest = self.look().await.map_err(boxed)?;
        if self.read.bounded && self.end.is_none() {
            self.end = Some(greatest);
        }
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        if let Some(None) = self.end {
            return Ok(Read::End);
        }
        loop {
            if let Some(mut documents) = self.current.take() {
                if !self.hand_on(&mut documents, batch).map_err(boxed)? {
                    self.current = Some(documents);
                }
                if !batch.is_empty() {
                    return Ok(Read::More);
                }
            }
            match self.ask().await.map_err(boxed)? {
                Some(documents) => self.current = Some(documents),
                None if self.read.bounded => {
                    self.watch.look(&self.connection).await?;
                    return Ok(Read::End);
                }
                None => {
                    if self.watch.is_due() {
                        self.watch.look(&self.connection).await?;
                    }
                    if self.looked.elapsed() >= self.look_again() {
                        self.look().await.map_err(boxed)?;
                    }
                    tokio::time::sleep(self.poll.every).await;
                }
            }
        }
    }
}

/// What of one kind follows `last`, up to and with `end`.
fn filter(field: &str, kind: &str, last: Option<&Seen>, end: Option<Bson>) -> Document {
    let mut conditions = vec![doc! { field: { "$type": kind } }];
    match last {
        None => {}
        Some(seen) if field == "_id" => conditions.push(doc! { "_id": { "$gt": &seen.id } }),
        Some(seen) => conditions.push(doc! { "$or": [
            { field: { "$gt": &seen.value } },
            { field: &seen.value, "_id": { "$gt": &seen.id } },
        ] }),
    }
    conditions.extend(end.map(|end| doc! { field: { "$lte": end } }));
    if conditions.len() == 1 {
        return conditions.remove(0);
    }
    doc! { "$and": conditions }
}

/// The value at a path such as `meta.version`.
fn at_path<'a>(document: &'a RawDocument, path: &str) -> Option<RawBsonRef<'a>> {
    match path.split_once('.') {
        None => document.get(path).ok()?,
        Some((first, rest)) => at_path(document.get(first).ok()??.as_document()?, rest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn ties_are_told_apart_by_id() {
        let seen = Seen {
            value: Bson::from(5),
            id: Bson::from("a"),
        };
        assert_eq!(
            filter("n", "number", None, None),
            doc! { "n": { "$type": "number" } }
        );
        assert_eq!(
            filter("n", "number", Some(&seen), None),
            doc! { "$and": [
                { "n": { "$type": "number" } },
                { "$or": [{ "n": { "$gt": 5 } }, { "n": 5, "_id": { "$gt": "a" } }] },
            ] }
        );
        assert_eq!(
            filter("_id", "string", Some(&seen), Some(Bson::from("k"))),
            doc! { "$and": [
                { "_id": { "$type": "string" } }, { "_id": { "$gt": "a" } }, { "_id": { "$lte": "k" } },
            ] }
        );
        assert_eq!(Seen::from_text(&seen.to_text()), Some(seen));
    }

    #[test]
    fn a_field_may_lie_deeper() {
        let raw = mongodb::bson::rawdoc! { "meta": { "version": 7 } };
        let version = at_path(&raw, "meta.version");
        assert_eq!(version.and_then(|version| version.as_i32()), Some(7));
        assert!(at_path(&raw, "meta.other").is_none());
    }
}
