//! A collection's snapshot: factmill's source against a bare cursor of the driver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use factmill_connect::source::mongo::{self, Mode, MongoRead};
use factmill_connect::source::single::SingleRead;
use factmill_core::epoch::Reader;
use factmill_core::position::SourceName;
use factmill_core::source::{NoPositions, Source};
use factmill_testkit::{Mongo, unique_name};
use mongodb::Collection;
use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};

/// Documents of one insert.
const BATCH: u64 = 10_000;

/// Documents a second.
pub(crate) struct Snapshot {
    documents: u64,
    server: &'static str,
    cursor: f64,
    factmill: f64,
}

impl Snapshot {
    pub(crate) fn print(&self) {
        println!();
        println!(
            "{:<52} {:>12}",
            format!("snapshot of {} documents, {}", self.documents, self.server),
            "documents/s"
        );
        println!("{:<52} {:>12.0}", "bare cursor of the driver", self.cursor);
        println!("{:<52} {:>12.0}", "factmill's source", self.factmill);
        println!("{:<52} {:>12.2}", "ratio", self.factmill / self.cursor);
    }
}

/// Fills a collection and reads it twice each way, in turns; the better of each counts.
pub(crate) async fn measure(documents: u64) -> Result<Snapshot> {
    let mongo = Mongo::shared_with_changes().await?;
    let client = mongo.connect().await?;
    let database = client.database(&unique_name("snapshot"));
    let collection = database.collection("orders");
    fill(&collection, documents).await?;
    let (mut bare, mut factmill) = (0.0_f64, 0.0_f64);
    for _ in 0..2 {
        bare = bare.max(cursor(&collection, documents).await?);
        factmill = factmill.max(source(mongo, &collection, documents).await?);
    }
    database.drop().await?;
    Ok(Snapshot {
        documents,
        server: if mongo.is_stand_in() {
            "a stand-in for MongoDB"
        } else {
            "MongoDB"
        },
        cursor: bare,
        factmill,
    })
}

async fn fill(collection: &Collection<Document>, documents: u64) -> Result<()> {
    for first in (0..documents).step_by(usize::try_from(BATCH)?) {
        let batch = (first..(first + BATCH).min(documents)).map(|number| {
            doc! {
                "at": DateTime::from_millis(1_704_067_200_000 + number as i64 * 1000),
                "customer": { "id": format!("C{}", number % 5000), "city": "Lyon" },
                "amount": number as f64 / 100.0, "currency": "EUR", "status": "completed",
                "number": number as i64,
            }
        });
        collection.insert_many(batch).await?;
    }
    Ok(())
}

async fn cursor(collection: &Collection<Document>, documents: u64) -> Result<f64> {
    let raw = collection.clone_with_type::<RawDocumentBuf>();
    let began = Instant::now();
    let mut cursor = raw.find(doc! {}).await?;
    let (mut read, mut bytes) = (0_u64, 0);
    while cursor.advance().await? {
        bytes += cursor.current().as_bytes().len();
        read += 1;
    }
    ensure!(read == documents && bytes > 0, "{read} documents were read");
    Ok(documents as f64 / began.elapsed().as_secs_f64())
}

/// An error with all that led to it.
fn told(error: &(dyn std::error::Error + 'static)) -> anyhow::Error {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    anyhow!(causes.join(": "))
}

async fn source(mongo: &Mongo, collection: &Collection<Document>, documents: u64) -> Result<f64> {
    let namespace = collection.namespace();
    let read = MongoRead {
        database: namespace.db.clone(),
        collection: namespace.coll.clone(),
        mode: Mode::Changes,
        projection: None,
        pipeline: Vec::new(),
        bounded: true,
    };
    let single = SingleRead {
        source: SourceName::new("bench", "orders"),
        topic: namespace.to_string(),
        reader: Reader {
            target: "bench".into(),
            job: "bench".into(),
        },
        max_rows: 100_000,
        max_bytes: 16 << 20,
        max_wait: Duration::from_millis(20),
    };
    let began = Instant::now();
    let mut source = mongo::start(mongo.url(), read, single, Arc::new(NoPositions))
        .await?
        .source;
    let mut read = 0_u64;
    while read < documents {
        let pull = source.next().await.map_err(|error| told(&*error))?;
        let pull = pull.context("the snapshot ends early")?;
        read += pull.pulled.records.len() as u64;
    }
    Ok(documents as f64 / began.elapsed().as_secs_f64())
}
