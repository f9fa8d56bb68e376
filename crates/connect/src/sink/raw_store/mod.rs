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
pub(crate) mod error;
mod json;
mod number;

use std::ops::Range;
use std::time::Duration;

use async_recursion::async_recursion as boxed;
use factmill_core::records::Pulled;
use futures::{TryStreamExt, stream};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Collection, Database, IndexModel};

pub use error::RawStoreError;

use document::Batch;

/// How long the first contact may take, where the URL says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many documents are asked for at once.
const LOOK_UPS: usize = 32;

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
    #[boxed]
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
            .map_err(|source| match error::is_transient(&source) {
                true => RawStoreError::Unreachable {
                    hosts: self.hosts.clone(),
                    source: Box::new(source),
                },
                false => self.failed(source),
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
    #[boxed]
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
        let mut taken = Vec::with_capacity(errors.len());
        for error in errors {
            let range = self.refused_document(error, &command, &ranges)?;
            let document = &command[range];
            taken.push((self.id_of(document)?, document));
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
    /// Each is asked for by its id: the one question that every server answers from an index. It
    /// is rare, after a crash, for what was written and not committed.
    async fn compare(&self, taken: Vec<(String, &[u8])>) -> Result<(), RawStoreError> {
        stream::iter(taken.into_iter().map(Ok))
            .try_for_each_concurrent(LOOK_UPS, async |(id, document)| {
                let stored = self
                    .database
                    .collection::<RawDocumentBuf>(&self.collection)
                    .find_one(doc! { "_id": &id })
                    .read_concern(ReadConcern::majority())
                    .await
                    .map_err(|source| self.failed(source))?;
                // taken, and yet not there: somebody removes documents while they are written
                match stored {
                    Some(stored) if stored.as_bytes() == document => Ok(()),
                    _ => Err(self.differs(id)),
                }
            })
            .await
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
        let (hosts, namespace) = (self.hosts.clone(), self.namespace.clone());
        let (refused, name) = (error::is_refusal(&source), error::is_name(&source));
        let source = Box::new(source);
        match (refused, name) {
            (true, _) => RawStoreError::Refused {
                hosts,
                namespace,
                source,
            },
            (_, true) => RawStoreError::Name {
                hosts,
                namespace,
                source,
            },
            _ => RawStoreError::Request { namespace, source },
        }
    }
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
