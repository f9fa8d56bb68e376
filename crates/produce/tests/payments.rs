//! The producer of payments against the project's own contract, and against real brokers: what it
//! sends, and from where it goes on.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use factmill_connect::decode::decoder;
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source::BoxedError;
use factmill_core::source_schema::Format;
use factmill_produce::payments::{PaymentsSettings, PaymentsSource};
use factmill_produce::{Event, EventSource, Next, Rate, produce};
use factmill_project::{LoadOptions, Project};
use factmill_testkit::Kafka;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::kafka::{config, fresh_topic, read, stored};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn settings(input: &Path) -> PaymentsSettings {
    PaymentsSettings::new(
        input,
        repository().join("data/samples/payments.scaler.json"),
    )
}

/// A file of `rows` good rows.
fn file(folder: &TempDir, rows: u64) -> PathBuf {
    let path = folder.path().join("payments.csv");
    let row = |row| {
        format!(
            "Coffee No.{row} at the \"Corner\",-{}.{:02}\n",
            row % 90,
            row % 100
        )
    };
    let csv: String = (1..=rows).map(row).collect();
    std::fs::write(&path, "Description,Amount\n".to_owned() + &csv).unwrap();
    path
}

/// How often each row stands in the topic.
fn rows(kafka: &Kafka, topic: &str, count: u64) -> BTreeMap<u64, u64> {
    let mut rows = BTreeMap::new();
    for payload in read(kafka.brokers(), topic, count, |_, _| {})
        .into_values()
        .flatten()
    {
        let event: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        *rows
            .entry(event["row_number"].as_u64().unwrap())
            .or_default() += 1;
    }
    rows
}

#[test]
fn every_good_event_loads_and_every_broken_one_becomes_a_dead_letter() {
    const COUNT: u64 = 5000;
    let folder = TempDir::new().unwrap();
    let broken_settings = PaymentsSettings {
        bad_percent: 30.0,
        seed: 7,
        ..settings(&file(&folder, COUNT))
    };
    let mut source = PaymentsSource::open(broken_settings).unwrap();
    let (mut records, mut event) = (Records::default(), Event::default());
    let mut broken = HashSet::new();
    for offset in 0.. {
        event.clear();
        if source.next(&mut event).unwrap() == Next::End {
            break;
        }
        if event.is_bad() {
            broken.insert(offset);
        }
        records.payloads.push(event.payload());
        records.keys.push(event.key());
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records.timestamps.push(Some(1_700_000_000_000));
    }
    let name = SourceName::new("payments", "financial_transactions");
    let pulled = Pulled {
        topic: "financial_transactions".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: name.clone(),
                partition: "0".into(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "test".into(),
            },
        }],
        records,
    };
    let project = Project::load(&repository(), &LoadOptions::default()).unwrap();
    let declared = project.source(&name).unwrap().schema.clone();
    let decoded = decoder(Format::Json, &declared)
        .unwrap()
        .decode(&name, &pulled);
    let dead: HashSet<i64> = decoded
        .dead_letters
        .iter()
        .map(|letter| letter.offset)
        .collect();
    assert!(broken.len() > 1000);
    assert_eq!(dead, broken);
    assert_eq!(decoded.rows.num_rows() + dead.len(), COUNT as usize);
    assert_eq!(
        decoded.undeclared,
        Default::default(),
        "the contract names every field"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_goes_on_and_no_row_is_missing() {
    const COUNT: u64 = 30_000;
    let kafka = Kafka::shared().await.unwrap();
    let (topic, folder) = (fresh_topic("payments"), TempDir::new().unwrap());
    let kept = PaymentsSettings {
        state: Some(folder.path().join("state.json")),
        ..settings(&file(&folder, COUNT))
    };
    let open = || PaymentsSource::open(kept.clone()).unwrap();
    let cancel = CancellationToken::new();
    let enough = cancel.clone();
    let mut slow = config(kafka.brokers(), &topic, u64::MAX);
    slow.rate = Rate::PerSecond(10_000.0);
    let first = produce(slow, open(), &cancel, move |progress| {
        if progress.acknowledged > 0 {
            enough.cancel();
        }
    });
    let first = first.await.unwrap();
    assert!((1..COUNT).contains(&first.acknowledged));
    let second = open();
    assert_eq!(second.resumes_after(), first.acknowledged);
    let all = config(kafka.brokers(), &topic, u64::MAX);
    let never = CancellationToken::new();
    let second = produce(all, second, &never, |_| {}).await.unwrap();
    assert_eq!(first.acknowledged + second.acknowledged, COUNT);
    assert_eq!(stored(kafka, &topic).await, COUNT);
    assert_eq!(
        rows(kafka, &topic, COUNT),
        (1..=COUNT).map(|row| (row, 1)).collect()
    );
    assert!(open().is_finished());
    let third = config(kafka.brokers(), &topic, u64::MAX);
    let third = produce(third, open(), &never, |_| {}).await.unwrap();
    assert_eq!(third.acknowledged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_under_load_moves_no_place_too_far() {
    const COUNT: u64 = 60_000;
    let kafka = Kafka::start().await.unwrap();
    if !kafka.restartable() {
        return;
    }
    let (topic, folder) = (fresh_topic("payments-restart"), TempDir::new().unwrap());
    let state = folder.path().join("state.json");
    let kept = PaymentsSettings {
        state: Some(state.clone()),
        ..settings(&file(&folder, COUNT))
    };
    let mut paced = config(kafka.brokers(), &topic, u64::MAX);
    paced.rate = Rate::PerSecond(15_000.0);
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let source = PaymentsSource::open(kept.clone()).unwrap();
    let run = produce(paced, source, &cancel, move |progress| {
        let _ = told.send(progress.acknowledged);
    });
    let restart = async {
        while tells.recv().await.unwrap() == 0 {}
        kafka.kill().unwrap();
        kafka.restart().await.unwrap();
        tells.close();
    };
    let (report, ()) = tokio::join!(run, restart);
    assert_eq!(report.unwrap().acknowledged, COUNT);
    assert_eq!(
        rows(&kafka, &topic, COUNT),
        (1..=COUNT).map(|row| (row, 1)).collect()
    );
    assert!(PaymentsSource::open(kept).unwrap().is_finished());
}

/// Notes what it is told is acknowledged.
struct Noting<S> {
    source: S,
    told: Arc<Mutex<Vec<u64>>>,
}

impl<S: EventSource> EventSource for Noting<S> {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        self.source.next(event)
    }

    fn acknowledged(&mut self, count: u64) -> Result<(), BoxedError> {
        self.told.lock().unwrap().push(count);
        self.source.acknowledged(count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_told_what_is_acknowledged_and_all_of_it_at_the_end() {
    const COUNT: u64 = 30_000;
    let kafka = Kafka::shared().await.unwrap();
    let folder = TempDir::new().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let source = Noting {
        source: PaymentsSource::open(settings(&file(&folder, COUNT))).unwrap(),
        told: Arc::clone(&told),
    };
    let mut paced = config(kafka.brokers(), &fresh_topic("told"), u64::MAX);
    paced.rate = Rate::PerSecond(12_000.0);
    let never = CancellationToken::new();
    produce(paced, source, &never, |_| {}).await.unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() >= 2, "about each second: {told:?}");
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&COUNT));
}
