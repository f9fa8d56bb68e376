//! Collections as sources, against real servers: a `mongod` where there is one, else one stand-in
//! with change streams and one that keeps its documents.

mod changes;
mod poll;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use factmill_connect::source::mongo::{self, Mode, MongoRead, MongoSource, Poll, PollBy};
use factmill_connect::source::single::SingleRead;
use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{BoxedError, Pull, Source};
use factmill_testkit::Mongo;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocument};

use crate::positions::MemoryPositions;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A collection of a server, and what is stored of its reading.
struct World<'m> {
    mongo: &'m Mongo,
    /// Where the source looks for the server; not always the server's own URL.
    url: String,
    collection: Collection<Document>,
    positions: Arc<MemoryPositions>,
    max_rows: usize,
}

impl<'m> World<'m> {
    async fn new(mongo: &'m Mongo, collection: &str) -> Self {
        let client = mongo.connect().await.unwrap();
        let database = factmill_testkit::unique_name("source");
        Self {
            mongo,
            url: mongo.url().to_owned(),
            collection: client.database(&database).collection(collection),
            positions: Arc::default(),
            max_rows: 50,
        }
    }

    fn read(&self, mode: Mode) -> MongoRead {
        let namespace = self.collection.namespace();
        MongoRead {
            database: namespace.db,
            collection: namespace.coll,
            mode,
            projection: None,
            pipeline: Vec::new(),
            bounded: false,
        }
    }

    async fn start(&self, read: MongoRead) -> MongoSource {
        self.try_start(read).await.unwrap()
    }

    async fn try_start(&self, read: MongoRead) -> Result<MongoSource, mongo::MongoSourceError> {
        let single = SingleRead {
            source: SourceName::new("shop", "orders"),
            topic: self.collection.namespace().to_string(),
            reader: Reader {
                target: "test".into(),
                job: "shop".into(),
            },
            max_rows: self.max_rows,
            max_bytes: 16 << 20,
            max_wait: Duration::ZERO,
        };
        mongo::start(&self.url, read, single, self.positions.clone()).await
    }

    /// The documents that the collection holds, by key.
    async fn held(&self) -> State {
        use futures::TryStreamExt;
        let documents = self.collection.find(Document::new()).await.unwrap();
        let documents: Vec<Document> = documents.try_collect().await.unwrap();
        let state = documents.into_iter();
        state
            .map(|document| (document.get("_id").unwrap().to_string(), document))
            .collect()
    }
}

/// Documents by the text of their `_id`.
type State = BTreeMap<String, Document>;

fn poll(by: PollBy) -> Poll {
    Poll {
        by,
        every: Duration::from_millis(20),
    }
}

fn by_field(field: &str) -> Mode {
    Mode::Poll(poll(PollBy::Field(field.into())))
}

async fn try_next(source: &mut MongoSource) -> Result<Option<Pull>, BoxedError> {
    let next = tokio::time::timeout(PATIENCE, source.source.next());
    next.await.expect("a pull in time")
}

/// The next pull of a source that has not ended.
async fn next(source: &mut MongoSource) -> Pull {
    try_next(source)
        .await
        .unwrap()
        .expect("the read has not ended")
}

/// The failure that a source comes to.
async fn failure(source: &mut MongoSource) -> BoxedError {
    loop {
        match try_next(source).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the read ended without a failure"),
            Err(error) => return error,
        }
    }
}

/// The error and its sources, as a person sees them.
fn told(error: &BoxedError) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

fn assert_gap(error: &BoxedError, says: &str) {
    let told = told(error);
    assert_eq!(error.kind(), ErrorKind::Gap, "{told}");
    assert!(told.contains(says), "{told}");
    let way_out = "factmill positions shop accept-gap --source shop.orders --profile";
    assert!(told.contains(way_out), "{told}");
}

fn document(bytes: &[u8]) -> Document {
    RawDocument::from_bytes(bytes).unwrap().try_into().unwrap()
}

/// `(key, document)` of every record of a pull; no document for a deletion.
fn records(pull: &Pull) -> Vec<(String, Option<Document>)> {
    let records = &pull.pulled.records;
    (0..records.len())
        .map(|at| {
            let key = document(records.keys.get(at).unwrap());
            let key = key.get("_id").unwrap().to_string();
            (key, records.payloads.get(at).map(document))
        })
        .collect()
}

/// Applies a pull by key, in its order.
fn apply(state: &mut State, pull: &Pull) {
    for (key, document) in records(pull) {
        match document {
            Some(document) => state.insert(key, document),
            None => state.remove(&key),
        };
    }
}

/// Reads and commits a bounded read to its end.
async fn to_end(world: &World<'_>, source: &mut MongoSource) -> Vec<Pull> {
    let mut pulls = Vec::new();
    while let Some(pull) = try_next(source).await.unwrap() {
        world.positions.commit(&pull.intervals).unwrap();
        pulls.push(pull);
    }
    pulls
}
