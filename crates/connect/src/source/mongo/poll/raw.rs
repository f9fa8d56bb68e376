//! Polling of raw documents, in the order that Kafka had.
//!
//! A partition here is one of the topic in one of its incarnations: `3` in the first one, `3@2` in
//! the second. Positions are offsets, and the order of records is that of the records in Kafka, so
//! that tables come out the same whether a job reads the topic or its raw documents.
//!
//! Raw documents of a partition are written in the order of offsets and read as a majority of the
//! servers has them, so no lower offset appears after a higher one was read.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use mongodb::bson::{Bson, Document, doc};

use super::super::config::MongoRead;
use super::super::connection::Connection;
use super::super::documents::{Answers, Documents, write_key};
use super::super::error::MongoSourceError;
use super::news::News;
use super::watch::Watch;
use crate::decode::bson::walk::{self, Element, Elements, kind};
use crate::source::single::{Batch, Place, Read, Reader, Record};

/// An incarnation of the topic and a partition of it.
type Partition = (i32, i32);

/// Reads the raw documents of one topic.
pub(in super::super) struct RawReader {
    connection: Connection,
    read: MongoRead,
    news: News,
    watch: Watch,
    topic: String,
    unwrap: bool,
    /// By partition, the next offset.
    next: BTreeMap<Partition, i64>,
    /// By partition, where a bounded read ends; once it is known.
    ends: Option<BTreeMap<Partition, i64>>,
    cursor: Option<Answers>,
    current: Option<Documents>,
    key: Vec<u8>,
}

impl RawReader {
    pub(in super::super) fn new(
        connection: Connection,
        read: MongoRead,
        news: News,
        topic: String,
        unwrap: bool,
    ) -> Self {
        Self {
            connection,
            read,
            news,
            watch: Watch::default(),
            topic,
            unwrap,
            next: BTreeMap::new(),
            ends: None,
            cursor: None,
            current: None,
            key: Vec::new(),
        }
    }

    /// The partitions that there are, each found by one look into the index.
    async fn find_partitions(&self) -> Result<Vec<Partition>, MongoSourceError> {
        let mut found = BTreeMap::new();
        loop {
            let filter = doc! { "topic": &self.topic, "$or": unknown(&found) };
            let document = self
                .connection
                .first(
                    filter,
                    doc! { "incarnation": 1, "partition": 1 },
                    doc! { "incarnation": 1, "partition": 1, "offset": 1 },
                )
                .await?;
            let Some(document) = document else {
                return Ok(found.into_keys().collect());
            };
            let raw = RawFields::read(document.as_bytes()).map_err(|broken| {
                self.connection
                    .answer(format!("a raw document is broken: {broken}"))
            })?;
            found.insert(raw.partition, 0);
        }
    }

    /// Behind the last offset of each partition.
    async fn find_ends(&self) -> Result<BTreeMap<Partition, i64>, MongoSourceError> {
        let mut ends = BTreeMap::new();
        for partition in self.find_partitions().await? {
            let (incarnation, number) = partition;
            let of_partition =
                doc! { "topic": &self.topic, "incarnation": incarnation, "partition": number };
            let place = doc! { "incarnation": 1, "partition": 1, "offset": 1 };
            let sort = doc! { "offset": -1 };
            if let Some(last) = self.connection.first(of_partition, sort, place).await? {
                let last = RawFields::read(last.as_bytes()).map_err(|broken| {
                    self.connection
                        .answer(format!("a raw document is broken: {broken}"))
                })?;
                ends.insert(partition, last.offset + 1);
            }
        }
        Ok(ends)
    }

    /// Everything behind the places, partitions that are new too.
    fn filter(&self) -> Document {
        let mut branches: Vec<Bson> = Vec::new();
        let open = self.next.iter().filter(|(partition, next)| {
            let end = self.ends.as_ref().map(|ends| ends.get(*partition).copied());
            end.is_none_or(|end| end.is_some_and(|end| **next < end))
        });
        for (&(incarnation, partition), &next) in open {
            let mut offset = doc! { "$gte": next };
            if let Some(&end) = self
                .ends
                .as_ref()
                .and_then(|ends| ends.get(&(incarnation, partition)))
            {
                offset.insert("$lt", end);
            }
            branches.push(
                doc! { "incarnation": incarnation, "partition": partition, "offset": offset }
                    .into(),
            );
        }
        if self.ends.is_none() {
            branches.extend(unknown(&self.next));
        }
        doc! { "topic": &self.topic, "$or": branches }
    }

    /// Whether a bounded read is at its end.
    fn at_end(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| {
            ends.iter()
                .all(|(partition, end)| self.next.get(partition).is_some_and(|next| next >= end))
        })
    }

    async fn ask(&mut self) -> Result<Option<Documents>, MongoSourceError> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let sort = doc! { "incarnation": 1, "partition": 1, "offset": 1 };
                super::ask(&self.connection, &self.read, self.filter(), sort).await?
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
        let broken = |broken: walk::Broken| {
            let reason = format!("a raw document is broken: {broken}");
            self.connection.answer(reason)
        };
        let mut last: Option<(Partition, crate::source::single::Slot)> = None;
        loop {
            if batch.is_full() {
                return Ok(false);
            }
            let Some(document) = documents.next().map_err(broken)? else {
                return Ok(true);
            };
            let raw = RawFields::read(document).map_err(broken)?;
            let next = self.next.entry(raw.partition).or_insert(0);
            if raw.offset < *next {
                let reason = format!(
                    "raw documents of partition {} came out of order, {} behind {next}",
                    name(raw.partition),
                    raw.offset
                );
                return Err(self.connection.answer(reason));
            }
            *next = raw.offset + 1;
            let slot = match last {
                Some((partition, slot)) if partition == raw.partition => slot,
                _ => {
                    let (incarnation, number) = raw.partition;
                    batch.partition_in_order(&name(raw.partition), number, Some(incarnation))
                }
            };
            last = Some((raw.partition, slot));
            if self.unwrap {
                let headers = raw.headers().map_err(broken)?;
                let record = Record {
                    key: raw.key,
                    payload: raw.payload,
                    timestamp: raw.timestamp,
                    headers: &headers,
                };
                batch.push_at(slot, raw.offset, record);
            } else {
                if !write_key(document, &mut self.key).map_err(broken)? {
                    return Err(self.connection.answer("a raw document has no `_id`"));
                }
                let record = Record {
                    key: Some(&self.key),
                    payload: Some(document),
                    timestamp: raw.timestamp,
                    headers: &[],
                };
                batch.push_at(slot, raw.offset, record);
            }
        }
    }
}

#[async_trait]
impl Reader for RawReader {
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
        (self.cursor, self.current) = (None, None);
        self.next = BTreeMap::new();
        let found = self.find_partitions().await.map_err(boxed)?;
        self.next
            .extend(found.into_iter().map(|partition| (partition, 0)));
        Ok(self.next.keys().map(|partition| name(*partition)).collect())
    }

    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError> {
        for (partition, next) in &mut self.next {
            *next = match stored.get(&name(*partition)) {
                Some(Place::Offset(offset)) => *offset,
                Some(Place::Token { .. }) => {
                    let reason = "its stored position is no offset of raw documents";
                    return Err(boxed(self.connection.answer(reason)));
                }
                None => 0,
            };
        }
        if self.read.bounded && self.ends.is_none() {
            self.ends = Some(self.find_ends().await.map_err(boxed)?);
        }
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        loop {
            if let Some(mut documents) = self.current.take() {
                if !self.hand_on(&mut documents, batch).map_err(boxed)? {
                    self.current = Some(documents);
                }
                if !batch.is_empty() {
                    self.news.read();
                    return Ok(Read::More);
                }
            }
            if self.at_end() {
                return Ok(Read::End);
            }
            match self.ask().await.map_err(boxed)? {
                Some(documents) => self.current = Some(documents),
                None if self.read.bounded => {
                    self.watch.look(&self.connection).await?;
                    // removed since the ends were looked up
                    return Ok(Read::End);
                }
                None => {
                    if self.watch.is_due() {
                        self.watch.look(&self.connection).await?;
                    }
                    self.news.wait().await;
                }
            }
        }
    }

    fn lag(&self) -> HashMap<String, i64> {
        let ends = self.ends.iter().flatten();
        ends.map(|(partition, end)| {
            let next = self.next.get(partition).copied().unwrap_or(0);
            (name(*partition), (end - next).max(0))
        })
        .collect()
    }
}

/// Conditions for documents of partitions that are not among the known ones.
fn unknown(known: &BTreeMap<Partition, i64>) -> Vec<Bson> {
    let mut by_incarnation: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for &(incarnation, partition) in known.keys() {
        by_incarnation
            .entry(incarnation)
            .or_default()
            .push(partition);
    }
    let incarnations: Vec<i32> = by_incarnation.keys().copied().collect();
    let mut branches = vec![Bson::from(doc! { "incarnation": { "$nin": incarnations } })];
    branches.extend(by_incarnation.into_iter().map(|(incarnation, partitions)| {
        Bson::from(doc! { "incarnation": incarnation, "partition": { "$nin": partitions } })
    }));
    branches
}

/// `3` in the first incarnation of the topic, `3@2` in the second.
fn name((incarnation, number): Partition) -> String {
    match incarnation {
        1 => number.to_string(),
        _ => format!("{number}@{incarnation}"),
    }
}

/// What a raw document says of its record.
struct RawFields<'a> {
    partition: Partition,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    /// The document, or the bytes that were none.
    payload: Option<&'a [u8]>,
    headers: Option<&'a [u8]>,
}

type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

impl<'a> RawFields<'a> {
    fn read(document: &'a [u8]) -> Result<Self, walk::Broken> {
        let (mut incarnation, mut number, mut offset) = (None, None, None);
        let mut fields = Self {
            partition: (0, 0),
            offset: 0,
            timestamp: None,
            key: None,
            payload: None,
            headers: None,
        };
        let mut elements = Elements::of(document)?;
        while let Some(element) = elements.next()? {
            match element.name {
                b"incarnation" => incarnation = whole(&element),
                b"partition" => number = whole(&element),
                b"offset" => offset = whole(&element),
                b"timestamp" if element.kind == kind::DATE => {
                    fields.timestamp = element.integer().checked_mul(1_000);
                }
                b"key" => fields.key = bytes(&element),
                b"headers" => fields.headers = element.document(),
                b"document" => fields.payload = element.document(),
                b"payload" => fields.payload = bytes(&element),
                _ => {}
            }
        }
        let narrow = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
        let place = (narrow(incarnation), narrow(number), offset);
        let (Some(incarnation), Some(number), Some(offset)) = place else {
            return Err(walk::Broken {
                at: 0,
                expected: "`incarnation`, `partition` and `offset` of a raw document",
            });
        };
        fields.partition = (incarnation, number);
        fields.offset = offset;
        Ok(fields)
    }

    fn headers(&self) -> Result<Headers<'a>, walk::Broken> {
        let mut headers = Vec::new();
        let Some(array) = self.headers else {
            return Ok(headers);
        };
        let mut items = Elements::of(array)?;
        while let Some(item) = items.next()? {
            let header = item.document().unwrap_or_default();
            let name = walk::find(header, b"name")?.and_then(|name| name.text());
            let value = walk::find(header, b"value")?;
            headers.push((
                name.unwrap_or_default(),
                value.and_then(|value| bytes(&value)),
            ));
        }
        Ok(headers)
    }
}

fn whole(element: &Element<'_>) -> Option<i64> {
    matches!(element.kind, kind::INT32 | kind::INT64).then(|| element.integer())
}

/// The bytes of a text or binary.
fn bytes<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    match element.kind {
        kind::STRING => Some(&element.value[4..element.value.len() - 1]),
        kind::BINARY => Some(element.binary().1),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::{DateTime, RawDocumentBuf};

    #[test]
    fn a_raw_document_gives_its_record_back() {
        let inner = doc! { "amount": "12.50" };
        let document = doc! {
            "_id": "bank_data:3:40", "topic": "bank_data", "incarnation": 2, "partition": 3,
            "offset": 40_i64, "timestamp": DateTime::from_millis(1_700_000_000_123), "key": "FR76",
            "headers": [{ "name": "source", "value": "web" }, { "name": "none", "value": null }],
            "document": inner.clone(),
        };
        let bytes = RawDocumentBuf::try_from(&document).unwrap().into_bytes();
        let raw = RawFields::read(&bytes).unwrap();
        assert_eq!((raw.partition, raw.offset), ((2, 3), 40));
        assert_eq!(name(raw.partition), "3@2");
        assert_eq!(raw.timestamp, Some(1_700_000_000_123_000));
        assert_eq!(raw.key, Some(&b"FR76"[..]));
        let inner = RawDocumentBuf::try_from(&inner).unwrap();
        assert_eq!(raw.payload, Some(inner.as_bytes()));
        assert_eq!(
            raw.headers().unwrap(),
            [("source", Some(&b"web"[..])), ("none", None)]
        );
        let other = RawDocumentBuf::try_from(&doc! { "a": 1 })
            .unwrap()
            .into_bytes();
        assert!(RawFields::read(&other).is_err());
    }

    #[test]
    fn new_partitions_are_asked_for_too() {
        let known = BTreeMap::from([((1, 0), 5), ((1, 3), 0)]);
        let wanted = vec![
            Bson::from(doc! { "incarnation": { "$nin": [1] } }),
            Bson::from(doc! { "incarnation": 1, "partition": { "$nin": [0, 3] } }),
        ];
        assert_eq!(unknown(&known), wanted);
    }
}
