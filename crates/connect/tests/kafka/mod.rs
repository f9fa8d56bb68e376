//! `KafkaSource` against a real broker.

mod faults;
mod gaps;
mod group;
pub(crate) mod positions;
mod reading;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::source::kafka::{KafkaConfig, KafkaRead, KafkaSource, Start};
use factmill_core::epoch::Reader;
use factmill_core::position::{Cursor, SourceName};
use factmill_core::source::{Pull, Source};

use positions::MemoryPositions;
use topic::Topic;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a test reads: the topic from its start, without end, at most 1,000 records a pull.
fn read(topic: &str) -> KafkaRead {
    KafkaRead {
        source: SourceName::new("banking", "transactions"),
        topic: topic.to_owned(),
        start: Start::Earliest,
        reader: Reader {
            target: "test".into(),
            // every test has a topic of its own, and so a group of its own
            job: topic.to_owned(),
        },
        bounded: false,
        max_rows: 1_000,
        max_bytes: 16 << 20,
        max_wait: Duration::ZERO,
    }
}

fn bounded(topic: &str) -> KafkaRead {
    KafkaRead {
        bounded: true,
        ..read(topic)
    }
}

fn config(topic: &Topic<'_>) -> KafkaConfig {
    let mut config = KafkaConfig::new(topic.kafka.brokers());
    config
        .properties
        .insert("topic.metadata.refresh.interval.ms".into(), "500".into());
    config
}

async fn start(
    topic: &Topic<'_>,
    read: KafkaRead,
    positions: &Arc<MemoryPositions>,
) -> KafkaSource {
    KafkaSource::start(&config(topic), read, positions.clone())
        .await
        .unwrap()
}

/// The next pull of a source that has not ended.
async fn pull(source: &mut KafkaSource) -> Pull {
    next(source).await.expect("the read has not ended")
}

async fn next(source: &mut KafkaSource) -> Option<Pull> {
    tokio::time::timeout(PATIENCE, source.next())
        .await
        .expect("a pull in time")
        .unwrap()
}

/// `(partition, offset, payload)` of every record of a pull.
fn rows(pull: &Pull) -> Vec<(i32, i64, String)> {
    let records = &pull.pulled.records;
    (0..records.len())
        .map(|at| {
            let partition = &pull.pulled.partitions[records.partitions[at] as usize];
            let payload = records.payloads.get(at).unwrap_or_default();
            let payload = String::from_utf8_lossy(payload).into_owned();
            (partition.number, records.offsets[at], payload)
        })
        .collect()
}

/// `(partition, from, to)` of every interval of a pull.
fn intervals(pull: &Pull) -> Vec<(i32, Option<i64>, i64)> {
    pull.intervals
        .iter()
        .map(|interval| {
            (
                interval.partition().partition.parse().unwrap(),
                interval.from().and_then(Cursor::offset),
                interval.to().offset().unwrap(),
            )
        })
        .collect()
}

/// Reads and commits until `count` rows came.
async fn commit_rows(
    source: &mut KafkaSource,
    positions: &MemoryPositions,
    count: usize,
) -> Vec<(i32, i64, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        let pull = pull(source).await;
        positions.commit(&pull.intervals).unwrap();
        source.committed(&pull.intervals).await;
        all.extend(rows(&pull));
    }
    all
}

/// Reads and commits a bounded read to its end.
async fn commit_to_end(
    source: &mut KafkaSource,
    positions: &MemoryPositions,
) -> Vec<(i32, i64, String)> {
    let mut all = Vec::new();
    while let Some(pull) = next(source).await {
        positions.commit(&pull.intervals).unwrap();
        all.extend(rows(&pull));
    }
    all
}

/// Waits until `holds`, which nothing announces, looking again at short intervals.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
