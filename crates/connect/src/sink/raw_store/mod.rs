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

pub(super) mod document;
pub(crate) mod error;
pub(super) mod json;
mod number;

use async_recursion::async_recursion as boxed;
use factmill_core::records::Pulled;
use futures::{TryStreamExt, stream};
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::options::ReadConcern;
use mongodb::{Collection, Database, IndexModel};

pub use error::RawStoreError;

use super::server::{self, Server};
use super::write_command::{self, Command, DUPLICATE_KEY, Unsure, Verb};

/// How many documents are asked for at once.
const LOOK_UPS: usize = 32;

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
        let Server { client, hosts } = Server::named(url).await.ok_or(RawStoreError::Url)?;
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
        let new = || Command::new(Verb::Insert, &self.collection);
        let mut batch = new();
        for index in 0..pulled.records.len() {
            if document::is_full(&batch, pulled, index) {
                let full = std::mem::replace(&mut batch, new());
                self.insert(full).await?;
            }
            document::push(&mut batch, pulled, index)?;
        }
        if !batch.is_empty() {
            self.insert(batch).await?;
        }
        Ok(())
    }

    /// Inserts a batch; documents that are there already must be the same.
    async fn insert(&self, batch: Command) -> Result<(), RawStoreError> {
        let (command, ranges) = batch.finish();
        let raw = RawDocumentBuf::from_bytes(command.clone())
            .map_err(|_| self.answer("the command is no document"))?;
        let written = server::answered(async { self.database.run_raw_command(raw).await }).await;
        let answer = written.ok_or_else(|| RawStoreError::NotAcknowledged {
            namespace: self.namespace.clone(),
            reason: server::silence(),
        })?;
        let answer = answer.map_err(|source| self.failed(source))?;
        let refused = write_command::refused(&answer, ranges.len());
        let refused = refused.map_err(|unsure| match unsure {
            Unsure::NotAcknowledged(reason) => RawStoreError::NotAcknowledged {
                namespace: self.namespace.clone(),
                reason,
            },
            Unsure::Unclear(part) => self.answer(&part),
        })?;
        let mut taken = Vec::with_capacity(refused.len());
        for refused in refused {
            let document = &command[ranges[refused.item].clone()];
            let id = self.id_of(document)?;
            if refused.code != DUPLICATE_KEY {
                return Err(RawStoreError::Document {
                    namespace: self.namespace.clone(),
                    id,
                    code: refused.code,
                    reason: refused.reason,
                });
            }
            taken.push((id, document));
        }
        self.compare(taken).await
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
