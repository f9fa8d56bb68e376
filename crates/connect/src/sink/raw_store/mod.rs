//! The raw store: every record as it came, in a MongoDB collection.
//!
//! A document says where its record stands (`topic`, `incarnation`, `partition`, `offset`, indexed
//! together), when and with which `key` and `headers` it came, and what it said: a JSON object as
//! the document `document`, anything else as the bytes `payload`, a tombstone as a null `payload`.
//!
//! No digit is lost: numbers become the smallest of int32, int64, double and Decimal128 with the
//! same value. An object that BSON cannot say, or that a server refuses, stays bytes (a name twice,
//! names that are empty, begin with `$` or hold a dot, numbers of more than 34 digits, negative
//! zero, more than 90 levels).
//!
//! Writing is idempotent: ids follow from positions, and an id that is taken is accepted only when
//! the stored document is the same.

mod bson;
mod document;
mod error;
mod json;
mod number;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use factmill_core::records::Pulled;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Collection, Database, IndexModel};

pub use error::RawStoreError;

use document::Batch;

/// How long the first contact may take, where the URL says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's code for an id that is taken.
const DUPLICATE_KEY: i32 = 11_000;

/// A collection of raw documents.
#[derive(Debug, Clone)]
pub struct RawStore {
    database: Database,
    collection: String,
    namespace: String,
    hosts: String,
}

impl RawStore {
    /// Meets the server and makes sure of the index over topic, incarnation, partition, offset.
    ///
    /// TLS, user and time-outs are options of the URL.
    ///
    /// # Errors
    /// A URL of another form, a server that does not answer or refuses access. None of them shows
    /// the URL.
    pub async fn connect(
        url: &str,
        database: &str,
        collection: &str,
    ) -> Result<Self, RawStoreError> {
        let mut options = ClientOptions::parse(url)
            .await
            .map_err(|_| RawStoreError::Url)?;
        options.app_name.get_or_insert_with(|| "factmill".into());
        options.server_selection_timeout.get_or_insert(PATIENCE);
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(",");
        let client = Client::with_options(options).map_err(|_| RawStoreError::Url)?;
        let store = Self {
            database: client.database(database),
            collection: collection.to_owned(),
            namespace: format!("{database}.{collection}"),
            hosts,
        };
        store.prepare().await?;
        Ok(store)
    }

    async fn prepare(&self) -> Result<(), RawStoreError> {
        self.database
            .run_command(doc! { "ping": 1 })
            .await
            .map_err(|source| match error::is_refusal(&source) {
                true => self.failed(source),
                false => RawStoreError::Unreachable {
                    hosts: self.hosts.clone(),
                    source: Box::new(source),
                },
            })?;
        let keys = doc! { "topic": 1, "incarnation": 1, "partition": 1, "offset": 1 };
        self.documents()
            .create_index(IndexModel::builder().keys(keys).build())
            .await
            .map(|_| ())
            .map_err(|source| self.failed(source))
    }

    /// Writes the document of every record, within a partition in the order of offsets. When it
    /// returns, a majority of the servers has them.
    ///
    /// Cancelling it, or a failure, leaves some of them written; writing them again is harmless.
    ///
    /// # Errors
    /// Transient ones of the connection; an id that another content holds; a record that is larger
    /// than a document may be.
    pub async fn write(&self, pulled: &Pulled) -> Result<(), RawStoreError> {
        let mut batch = Batch::new(&self.collection);
        for index in 0..pulled.records.len() {
            if batch.is_full_for(pulled, index) {
                let full = std::mem::replace(&mut batch, Batch::new(&self.collection));
                self.insert(full).await?;
            }
            batch.push(pulled, index)?;
        }
        if !batch.is_empty() {
            self.insert(batch).await?;
        }
        Ok(())
    }

    /// Inserts a batch; documents that are there already must be the same.
    async fn insert(&self, batch: Batch) -> Result<(), RawStoreError> {
        let (command, ranges) = batch.finish();
        let raw = RawDocumentBuf::from_bytes(command.clone())
            .map_err(|_| self.answer("the command is no document"))?;
        let answer = self
            .database
            .run_raw_command(raw)
            .await
            .map_err(|source| self.failed(source))?;
        if let Ok(concern) = answer.get_document("writeConcernError") {
            return Err(RawStoreError::NotAcknowledged {
                namespace: self.namespace.clone(),
                reason: concern.to_string(),
            });
        }
        let Ok(errors) = answer.get_array("writeErrors") else {
            return Ok(());
        };
        let mut taken = HashMap::new();
        for error in errors {
            let range = self.refused_document(error, &command, &ranges)?;
            let document = &command[range];
            taken.insert(self.id_of(document)?, document);
        }
        self.compare(taken).await
    }

    /// The document that a write error is about, where its id is taken.
    ///
    /// # Errors
    /// Any other write error.
    fn refused_document(
        &self,
        error: &Bson,
        command: &[u8],
        ranges: &[Range<usize>],
    ) -> Result<Range<usize>, RawStoreError> {
        let fields = error.as_document();
        let number = |name| fields.and_then(|fields| integer(fields.get(name)?));
        let range = number("index").and_then(|index| ranges.get(usize::try_from(index).ok()?));
        let (Some(range), Some(code)) = (range, number("code")) else {
            return Err(self.answer(&error.to_string()));
        };
        if code == i64::from(DUPLICATE_KEY) {
            return Ok(range.clone());
        }
        let words = fields.and_then(|fields| fields.get_str("errmsg").ok());
        Err(RawStoreError::Document {
            namespace: self.namespace.clone(),
            id: self.id_of(&command[range.clone()])?,
            code: i32::try_from(code).unwrap_or(i32::MAX),
            reason: words.unwrap_or_default().to_owned(),
        })
    }

    /// Makes sure that the stored documents are those that were to be written.
    ///
    /// They are asked for by ranges of offsets: servers without much of a planner read the whole
    /// collection for a list of ids, and compare every document with every id.
    async fn compare(&self, mut wanted: HashMap<String, &[u8]>) -> Result<(), RawStoreError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let ranges = self.offset_ranges(wanted.values().copied())?;
        let mut stored = self
            .database
            .collection::<RawDocumentBuf>(&self.collection)
            .find(doc! { "$or": ranges })
            .read_concern(ReadConcern::majority())
            .await
            .map_err(|source| self.failed(source))?;
        while let Some(document) = stored
            .try_next()
            .await
            .map_err(|source| self.failed(source))?
        {
            let id = self.id_of(document.as_bytes())?;
            match wanted.remove(&id) {
                Some(same) if same == document.as_bytes() => {}
                Some(_) => return Err(self.differs(id)),
                // between two that were taken: this attempt has written it
                None => {}
            }
        }
        // taken, and yet not there: somebody removes documents while they are written
        match wanted.into_keys().next() {
            Some(id) => Err(self.differs(id)),
            None => Ok(()),
        }
    }

    /// A filter for each partition that finds these documents by the index over positions.
    fn offset_ranges<'d>(
        &self,
        documents: impl Iterator<Item = &'d [u8]>,
    ) -> Result<Vec<Document>, RawStoreError> {
        let mut ranges: HashMap<(String, i32, i32), (i64, i64)> = HashMap::new();
        for document in documents {
            let (partition, offset) = position_of(document)
                .ok_or_else(|| self.answer("a document without its position"))?;
            let range = ranges.entry(partition).or_insert((offset, offset));
            *range = (range.0.min(offset), range.1.max(offset));
        }
        let filter = |((topic, incarnation, partition), (first, last))| {
            doc! {
                "topic": topic,
                "incarnation": incarnation,
                "partition": partition,
                "offset": { "$gte": first, "$lte": last },
            }
        };
        Ok(ranges.into_iter().map(filter).collect())
    }

    fn id_of(&self, document: &[u8]) -> Result<String, RawStoreError> {
        let raw = RawDocument::from_bytes(document);
        let id = raw.ok().and_then(|raw| raw.get_str("_id").ok());
        id.map(str::to_owned)
            .ok_or_else(|| self.answer("a document without a text `_id`"))
    }

    fn documents(&self) -> Collection<Document> {
        self.database.collection(&self.collection)
    }

    fn differs(&self, id: String) -> RawStoreError {
        RawStoreError::Differs {
            namespace: self.namespace.clone(),
            id,
        }
    }

    fn answer(&self, answer: &str) -> RawStoreError {
        RawStoreError::Answer {
            namespace: self.namespace.clone(),
            answer: answer.to_owned(),
        }
    }

    fn failed(&self, source: Error) -> RawStoreError {
        let (namespace, source) = (self.namespace.clone(), Box::new(source));
        if error::is_refusal(&source) {
            let hosts = self.hosts.clone();
            RawStoreError::Refused {
                hosts,
                namespace,
                source,
            }
        } else {
            RawStoreError::Request { namespace, source }
        }
    }
}

/// Topic, incarnation and partition of a document, and its offset.
fn position_of(document: &[u8]) -> Option<((String, i32, i32), i64)> {
    let raw = RawDocument::from_bytes(document).ok()?;
    let topic = raw.get_str("topic").ok()?.to_owned();
    let number = |name| raw.get_i32(name).ok();
    let partition = (topic, number("incarnation")?, number("partition")?);
    Some((partition, raw.get_i64("offset").ok()?))
}

/// An integer, whichever type the server gave it.
fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Int64(value) => Some(*value),
        Bson::Double(value) => Some(*value as i64),
        _ => None,
    }
}
