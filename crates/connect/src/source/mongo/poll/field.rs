//! Polling by a field that grows with every new document.

use std::collections::HashMap;

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::super::config::{MongoRead, Poll};
use super::super::connection::Connection;
use super::super::documents::{Answers, Documents, write_key};
use super::super::error::MongoSourceError;
use super::super::place;
use crate::source::single::{Batch, Place, Read, Reader, Record};

/// The one partition.
const PARTITION: &str = "poll";

/// Reads documents in the order of a field, those of one value in the order of `_id`.
pub(in super::super) struct FieldReader {
    connection: Connection,
    read: MongoRead,
    poll: Poll,
    field: String,
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
            last: None,
            end: None,
            cursor: None,
            current: None,
            key: Vec::new(),
        }
    }

    fn filter(&self) -> Document {
        filter(&self.field, self.last.as_ref(), self.end.clone().flatten())
    }

    fn sort(&self) -> Document {
        match self.field.as_str() {
            "_id" => doc! { "_id": 1 },
            field => doc! { field: 1, "_id": 1 },
        }
    }

    /// The greatest value there is.
    async fn greatest(&self) -> Result<Option<Bson>, MongoSourceError> {
        let found = self.connection.first(
            filter(&self.field, None, None),
            doc! { &self.field: -1 },
            doc! { &self.field: 1 },
        );
        let found = found.await?;
        found
            .map(|found| self.seen(&found).map(|seen| seen.value))
            .transpose()
    }

    fn seen(&self, document: &RawDocument) -> Result<Seen, MongoSourceError> {
        let value = at_path(document, &self.field);
        match (value, at_path(document, "_id")) {
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
            None => super::ask(&self.connection, &self.read, self.filter(), self.sort()).await?,
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
        self.connection.identity(!self.read.bounded).await
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
        if self.read.bounded && self.end.is_none() {
            self.end = Some(self.greatest().await.map_err(boxed)?);
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
                None if self.read.bounded => return Ok(Read::End),
                None => tokio::time::sleep(self.poll.every).await,
            }
        }
    }
}

/// What follows `last`, up to and with `end`.
fn filter(field: &str, last: Option<&Seen>, end: Option<Bson>) -> Document {
    let mut conditions: Vec<Document> = Vec::new();
    match last {
        // null and missing values have no order among the others
        None => conditions.push(doc! { field: { "$ne": null } }),
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
fn at_path(document: &RawDocument, path: &str) -> Option<Bson> {
    match path.split_once('.') {
        None => Bson::try_from(document.get(path).ok()??).ok(),
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
        assert_eq!(filter("n", None, None), doc! { "n": { "$ne": null } });
        assert_eq!(
            filter("n", Some(&seen), None),
            doc! { "$or": [{ "n": { "$gt": 5 } }, { "n": 5, "_id": { "$gt": "a" } }] }
        );
        assert_eq!(
            filter("_id", Some(&seen), Some(Bson::from("k"))),
            doc! { "$and": [{ "_id": { "$gt": "a" } }, { "_id": { "$lte": "k" } }] }
        );
        assert_eq!(Seen::from_text(&seen.to_text()), Some(seen));
    }

    #[test]
    fn a_field_may_lie_deeper() {
        let raw = mongodb::bson::rawdoc! { "meta": { "version": 7 } };
        assert_eq!(at_path(&raw, "meta.version"), Some(Bson::from(7)));
        assert_eq!(at_path(&raw, "meta.other"), None);
    }
}
