//! The server and one collection of it.

use std::time::Duration;

use factmill_core::source::{BoxedError, boxed};
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, Timestamp, doc};
use mongodb::error::{Error, Result as DriverResult};
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Collection};

use super::error::{self, MongoSourceError};
use crate::sink::raw_store::error as failure;
use crate::source::single::Lost;

/// How long the first contact may take, where the URL says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request may take: a server that was halted never answers.
const ANSWER: Duration = Duration::from_secs(60);

/// How often a collection that does not exist yet is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// A collection of a server that answered.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    client: Client,
    hosts: String,
    pub(super) namespace: String,
    collection: Collection<RawDocumentBuf>,
}

impl Connection {
    pub(super) async fn meet(
        url: &str,
        database: &str,
        collection: &str,
    ) -> Result<Self, MongoSourceError> {
        let mut options = ClientOptions::parse(url)
            .await
            .map_err(|_| MongoSourceError::Url)?;
        options.app_name.get_or_insert_with(|| "factmill".into());
        options.server_selection_timeout.get_or_insert(PATIENCE);
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let client = Client::with_options(options).map_err(|_| MongoSourceError::Url)?;
        let connection = Self {
            hosts: hosts.join(","),
            namespace: format!("{database}.{collection}"),
            collection: client.database(database).collection(collection),
            client,
        };
        connection.ping().await?;
        Ok(connection)
    }

    async fn ping(&self) -> Result<(), MongoSourceError> {
        let admin = self.client.database("admin");
        match admin.run_command(doc! { "ping": 1 }).await {
            Ok(_) => Ok(()),
            Err(source) if error::is_transient(&source) => Err(MongoSourceError::Unreachable {
                hosts: self.hosts.clone(),
                source: Box::new(source),
            }),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub(super) fn collection(&self) -> &Collection<RawDocumentBuf> {
        &self.collection
    }

    /// What the server calls this life of the collection: its UUID. A server that has none is told
    /// by its hosts.
    pub(super) async fn identity(&self, wait: bool) -> Result<String, BoxedError> {
        let mut waits = false;
        loop {
            match self.find_identity().await.map_err(boxed)? {
                Some(identity) => return Ok(identity),
                None if wait => {
                    if !std::mem::replace(&mut waits, true) {
                        let collection = &self.namespace;
                        tracing::warn!(
                            collection,
                            "the collection does not exist yet, it is waited for"
                        );
                    }
                    tokio::time::sleep(LOOK).await;
                }
                None => {
                    return Err(boxed(MongoSourceError::NoCollection {
                        namespace: self.namespace.clone(),
                    }));
                }
            }
        }
    }

    /// Makes sure that the collection is still the one that is called `identity`.
    ///
    /// # Errors
    /// A gap where it was dropped or created again.
    pub(super) async fn is_still(&self, identity: &str) -> Result<(), BoxedError> {
        match self.find_identity().await.map_err(boxed)? {
            Some(now) if now == identity => Ok(()),
            Some(now) => Err(boxed(Lost::OtherIncarnation {
                before: identity.to_owned(),
                now,
            })),
            None => Err(boxed(Lost::Gone {
                reason: "the collection was dropped".to_owned(),
            })),
        }
    }

    /// Whether the collection is there.
    pub(super) async fn exists(&self) -> Result<bool, BoxedError> {
        let identity = self.find_identity().await.map_err(boxed)?;
        Ok(identity.is_some())
    }

    async fn find_identity(&self) -> Result<Option<String>, MongoSourceError> {
        let name = self.collection.name();
        let database = self.client.database(&self.collection.namespace().db);
        let collections = async {
            // the driver's own type for the answer takes as long to compile as all of this source
            let list = doc! { "listCollections": 1, "filter": { "name": name }, "cursor": {} };
            let found = database.run_cursor_command(list).await?;
            found.try_collect::<Vec<Document>>().await
        };
        let collections = self.answered(collections).await?;
        // not every server heeds the filter
        let mut collections = collections.iter();
        let found =
            collections.find(|found| found.get_str("name").is_ok_and(|found| found == name));
        Ok(found.map(|found| {
            let told = found.get_document("info").ok();
            match told.and_then(|info| info.get("uuid")) {
                Some(Bson::Binary(uuid)) => format!("{}/{}", self.namespace, hex(&uuid.bytes)),
                _ => format!("{}/{}", self.hosts, self.namespace),
            }
        }))
    }

    /// The server's clock: the time of its last operation where it tells, else of its wall clock.
    pub(super) async fn operation_time(&self) -> Result<Timestamp, MongoSourceError> {
        let database = self.client.database("admin");
        // `hello` is newer than some servers that speak the protocol
        let hello = async {
            match database.run_command(doc! { "hello": 1 }).await {
                Err(refused) if error::is_command(&refused) => {
                    database.run_command(doc! { "isMaster": 1 }).await
                }
                answer => answer,
            }
        };
        let answer = self.answered(hello).await?;
        match (answer.get("operationTime"), answer.get("localTime")) {
            (Some(Bson::Timestamp(time)), _) => Ok(*time),
            (_, Some(Bson::DateTime(now))) => Ok(Timestamp {
                time: u32::try_from(now.timestamp_millis() / 1_000).unwrap_or_default(),
                increment: 0,
            }),
            _ => Err(self.answer("the server tells no time")),
        }
    }

    /// The first or last document by `sort`, of those that `filter` lets through.
    pub(super) async fn first(
        &self,
        filter: Document,
        sort: Document,
        projection: Document,
    ) -> Result<Option<RawDocumentBuf>, MongoSourceError> {
        let found = self
            .collection
            .find_one(filter)
            .sort(sort)
            .projection(projection)
            .read_concern(ReadConcern::majority());
        self.answered(async { found.await }).await
    }

    /// Waits for an answer, but not for ever.
    pub(super) async fn answered<T>(
        &self,
        request: impl Future<Output = DriverResult<T>>,
    ) -> Result<T, MongoSourceError> {
        match tokio::time::timeout(ANSWER, request).await {
            Ok(answer) => answer.map_err(|source| self.failed(source)),
            Err(_) => Err(MongoSourceError::NoAnswer {
                namespace: self.namespace.clone(),
                waited: ANSWER,
            }),
        }
    }

    pub(super) fn failed(&self, source: Error) -> MongoSourceError {
        let (hosts, namespace) = (self.hosts.clone(), self.namespace.clone());
        let (refused, name) = (failure::is_refusal(&source), failure::is_name(&source));
        let source = Box::new(source);
        if refused {
            MongoSourceError::Refused {
                hosts,
                namespace,
                source,
            }
        } else if name {
            MongoSourceError::Name {
                hosts,
                namespace,
                source,
            }
        } else {
            MongoSourceError::Request { namespace, source }
        }
    }

    /// The failure to open a change stream.
    pub(super) fn no_changes(&self, error: MongoSourceError) -> MongoSourceError {
        match error {
            MongoSourceError::Request { source, .. } if error::is_no_change_streams(&source) => {
                MongoSourceError::NoChangeStreams {
                    hosts: self.hosts.clone(),
                    source,
                }
            }
            other => other,
        }
    }

    /// The failure of a request that the project had a part in.
    pub(super) fn refused_declaration(&self, error: MongoSourceError) -> MongoSourceError {
        match error {
            MongoSourceError::Request { namespace, source } if error::is_command(&source) => {
                MongoSourceError::Declared { namespace, source }
            }
            other => other,
        }
    }

    pub(super) fn answer(&self, reason: impl Into<String>) -> MongoSourceError {
        MongoSourceError::Answer {
            namespace: self.namespace.clone(),
            reason: reason.into(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
