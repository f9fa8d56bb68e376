//! What is read, from where, to where.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use factmill_connect::source::kafka::{KafkaRead, Start};
use factmill_core::position::{Cursor, Incarnation, PartitionId, Position, SourceName};
use factmill_core::source::{PositionStore, Source};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};

use super::topic::Topic;
use super::*;

fn partition(number: i32) -> PartitionId {
    PartitionId {
        source: SourceName::new("banking", "transactions"),
        partition: number.to_string(),
    }
}

/// The incarnation that a source of the topic reads.
async fn incarnation(topic: &Topic<'_>, positions: &Arc<MemoryPositions>) -> Incarnation {
    let scratch = Arc::new(MemoryPositions::default());
    let mut source = start(topic, read(&topic.name), &scratch).await;
    let identity = pull(&mut source).await.intervals[0]
        .incarnation()
        .identity
        .clone();
    positions
        .incarnation(&SourceName::new("banking", "transactions"), &identity)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_headers_times_and_payloads_come_as_they_were_sent() {
    let topic = Topic::create("bytes", 1).await;
    let producer = topic.producer(&[]);
    let large = "x".repeat(5 << 20);
    let headers = || {
        OwnedHeaders::new()
            .insert(Header {
                key: "source",
                value: Some("generator"),
            })
            .insert(Header {
                key: "source",
                value: None::<&str>,
            })
            .insert(Header {
                key: "leer",
                value: Some(""),
            })
    };
    let to = || BaseRecord::<[u8], [u8]>::to(&topic.name).timestamp(1_700_000_000_123);
    for record in [
        to().key(&b"k\0\xff"[..])
            .payload(&b"\xff\xfe"[..])
            .headers(headers()),
        to().key(&b"gone"[..]),
        to().payload(&b""[..]),
        to().key(&b""[..]).payload(large.as_bytes()),
    ] {
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let mut payloads = Vec::new();
    let mut keys = Vec::new();
    let mut seen = Vec::new();
    while let Some(pull) = next(&mut source).await {
        positions.commit(&pull.intervals).unwrap();
        assert_eq!(pull.pulled.topic, topic.name);
        let records = &pull.pulled.records;
        for at in 0..records.len() {
            payloads.push(records.payloads.get(at).map(<[u8]>::to_vec));
            keys.push(records.keys.get(at).map(<[u8]>::to_vec));
            assert_eq!(records.timestamps[at], Some(1_700_000_000_123_000));
            let headers = records.headers.get(at);
            seen.push(
                headers
                    .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                    .collect::<Vec<_>>(),
            );
        }
    }
    assert_eq!(payloads.len(), 4);
    assert_eq!(payloads[0].as_deref(), Some(&b"\xff\xfe"[..]));
    assert_eq!(payloads[1], None, "a tombstone");
    assert_eq!(payloads[2].as_deref(), Some(&b""[..]), "empty is not null");
    assert!(
        payloads[3].as_deref() == Some(large.as_bytes()),
        "five megabytes"
    );
    assert_eq!(
        keys,
        [
            Some(b"k\0\xff".to_vec()),
            Some(b"gone".to_vec()),
            None,
            Some(Vec::new())
        ]
    );
    let expected = [
        (b"source".to_vec(), Some(b"generator".to_vec())),
        (b"source".to_vec(), None),
        (b"leer".to_vec(), Some(Vec::new())),
    ];
    assert_eq!(seen[0], expected);
    assert!(seen[1..].iter().all(Vec::is_empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_at_the_stored_position() {
    let topic = Topic::create("stored", 1).await;
    topic.produce(1, 0, 10);
    let positions = Arc::new(MemoryPositions::default());
    let incarnation = incarnation(&topic, &positions).await;
    let cursor = Cursor::Offset(6);
    positions.set(
        partition(0),
        Position {
            incarnation,
            cursor,
        },
    );

    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let pull = pull(&mut source).await;
    assert_eq!(rows(&pull)[0], (0, 6, "0:6".into()));
    assert_eq!(intervals(&pull)[0].1, Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_behind_what_is_there_and_says_so_before_the_first_row() {
    let topic = Topic::create("latest", 4).await;
    topic.produce(4, 0, 40);
    let positions = Arc::new(MemoryPositions::default());
    let latest = KafkaRead {
        start: Start::Latest,
        ..read(&topic.name)
    };
    let mut source = start(&topic, latest.clone(), &positions).await;
    let first = pull(&mut source).await;
    assert_eq!(
        intervals(&first),
        [(0, None, 10), (1, None, 10), (2, None, 10), (3, None, 10)]
    );
    assert!(rows(&first).is_empty());
    positions.commit(&first.intervals).unwrap();
    drop((first, source));

    // what comes while nobody reads is not skipped by the declared start
    topic.produce(4, 40, 4);
    let mut source = start(&topic, latest, &positions).await;
    let mut seen = commit_rows(&mut source, &positions, 4).await;
    seen.sort();
    assert_eq!(
        seen,
        (0..4)
            .map(|at| (at, 10, format!("{at}:{}", 40 + at)))
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_begins_at_its_first_record() {
    let topic = Topic::create("time", 2).await;
    let noon = chrono::Utc::now().timestamp_millis();
    let producer = topic.producer(&[]);
    for second in 0..10 {
        let record = BaseRecord::<(), str>::to(&topic.name)
            .partition(0)
            .payload("x")
            .timestamp(noon + second * 1_000);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let positions = Arc::new(MemoryPositions::default());
    let at = KafkaRead {
        start: Start::At((noon + 6_000) * 1_000 + 1),
        ..bounded(&topic.name)
    };
    let mut source = start(&topic, at, &positions).await;
    let seen = commit_to_end(&mut source, &positions).await;
    let offsets: Vec<_> = seen.iter().map(|(_, offset, _)| *offset).collect();
    assert_eq!(
        offsets,
        [7, 8, 9],
        "the record of second 6 is older by a microsecond"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_appears_later_is_read_from_its_beginning() {
    let topic = Topic::create("grown", 1).await;
    topic.produce(1, 0, 3);
    let positions = Arc::new(MemoryPositions::default());
    let latest = KafkaRead {
        start: Start::Latest,
        ..read(&topic.name)
    };
    let mut source = start(&topic, latest, &positions).await;
    let first = pull(&mut source).await;
    positions.commit(&first.intervals).unwrap();
    drop(first);

    topic.kafka.add_partitions(&topic.name, 2).await.unwrap();
    until("the new partition takes records", async || {
        let offsets = topic.kafka.offsets(&topic.name).await;
        offsets.is_ok_and(|offsets| offsets.contains_key(&1))
    })
    .await;
    let producer = topic.producer(&[]);
    topic.send(&producer, 1, "early");
    producer.flush(PATIENCE).unwrap();
    assert_eq!(
        commit_rows(&mut source, &positions, 1).await,
        [(1, 0, "early".into())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_read_ends_behind_aborted_and_before_open_transactions() {
    let topic = Topic::create("transactions", 2).await;
    let producer = topic.producer(&[("transactional.id", &topic.name)]);
    until("the coordinator is ready", async || {
        producer.init_transactions(PATIENCE).is_ok()
    })
    .await;
    let transaction = |payload: &str, rows: usize| {
        producer.begin_transaction().unwrap();
        for _ in 0..rows {
            topic.send(&producer, 0, payload);
        }
    };
    transaction("kept", 20);
    producer.commit_transaction(PATIENCE).unwrap();
    transaction("aborted", 10);
    producer.flush(PATIENCE).unwrap();
    producer.abort_transaction(PATIENCE).unwrap();

    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let seen = commit_to_end(&mut source, &positions).await;
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|(_, _, payload)| payload == "kept"));
    // 20 records, 10 aborted ones, and a control record behind each
    let stored = positions.get(&partition(0)).map(|position| position.cursor);
    assert_eq!(stored, Some(Cursor::Offset(32)));
    let empty = positions.get(&partition(1)).map(|position| position.cursor);
    assert_eq!(
        empty,
        Some(Cursor::Offset(0)),
        "a partition without records has a position too"
    );
    drop(source);

    let mut again = start(&topic, bounded(&topic.name), &positions).await;
    assert!(next(&mut again).await.is_none(), "nothing is new");
    drop(again);

    transaction("open", 5);
    producer.flush(PATIENCE).unwrap();
    topic.produce(1, 0, 5);
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    assert_eq!(commit_to_end(&mut source, &positions).await, []);
    drop(source);
    producer.commit_transaction(PATIENCE).unwrap();

    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let seen = commit_to_end(&mut source, &positions).await;
    assert_eq!(
        seen.len(),
        10,
        "the records behind the open transaction waited for it"
    );
    let stored = positions.get(&partition(0)).map(|position| position.cursor);
    assert_eq!(stored, Some(Cursor::Offset(43)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_read_ends_where_the_log_ended_at_its_start() {
    let topic = Topic::create("bounded", 2).await;
    topic.produce(2, 0, 100);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let first = pull(&mut source).await;
    positions.commit(&first.intervals).unwrap();
    let mut seen = rows(&first);
    drop(first);
    topic.produce(2, 100, 100);
    seen.extend(commit_to_end(&mut source, &positions).await);
    let mut payloads: Vec<_> = seen.into_iter().map(|(_, _, payload)| payload).collect();
    payloads.sort();
    let mut expected: Vec<_> = (0..100).map(|at| format!("{}:{at}", at % 2)).collect();
    expected.sort();
    assert_eq!(payloads, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_waits_and_nothing_is_lost_or_read_twice() {
    let topic = Topic::create("pressure", 3).await;
    let rows_sent = 30_000;
    topic.produce(3, 0, rows_sent);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let mut seen = Vec::new();
    // long enough for the partitions to be paused, several times
    for _ in 0..3 {
        let pull = pull(&mut source).await;
        assert!(pull.pulled.records.len() <= 1_000);
        positions.commit(&pull.intervals).unwrap();
        seen.extend(rows(&pull));
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    seen.extend(commit_to_end(&mut source, &positions).await);
    assert_eq!(seen.len(), rows_sent);
    for number in 0..3 {
        let offsets = seen.iter().filter(|row| row.0 == number).map(|row| row.1);
        assert!(
            offsets.eq(0..rows_sent as i64 / 3),
            "partition {number} in order"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_begins_again_at_the_stored_positions() {
    let topic = Topic::create("rewind", 2).await;
    topic.produce(2, 0, 5_000);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    let mut seen = commit_rows(&mut source, &positions, 1_000).await;
    for _ in 0..3 {
        drop(pull(&mut source).await);
        drop(pull(&mut source).await);
        source.rewind().await.unwrap();
    }
    seen.extend(commit_to_end(&mut source, &positions).await);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_behind_the_end_of_a_bounded_read_begins_again_too() {
    let topic = Topic::create("rewind", 3).await;
    topic.produce(3, 0, 90);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    for _ in 0..2 {
        // to the end, where each partition is paused
        while next(&mut source).await.is_some() {}
        source.rewind().await.unwrap();
    }
    assert_eq!(commit_to_end(&mut source, &positions).await.len(), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_a_while_delays_the_start() {
    let topic = Topic::create("away", 1).await;
    topic.produce(1, 0, 3);
    let positions = Arc::new(MemoryPositions::default());
    positions.failures.store(3, Ordering::SeqCst);
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    assert_eq!(commit_to_end(&mut source, &positions).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_its_topic() {
    let topic = Topic::create("late", 1).await;
    topic.delete().await;
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, read(&topic.name), &positions).await;
    topic.create_again(1).await;
    topic.produce(1, 0, 3);
    assert_eq!(commit_rows(&mut source, &positions, 3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_and_the_lag_follow_the_commits() {
    let topic = Topic::create("lag", 1).await;
    topic.produce(1, 0, 50);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, read(&topic.name), &positions).await;
    commit_rows(&mut source, &positions, 50).await;
    assert_eq!(source.lag(), [(partition(0), 0)].into());
    super::until("the group knows the offset", async || {
        topic.group_offset(0) == Some(50)
    })
    .await;

    topic.produce(1, 50, 30);
    super::until("the lag is known", async || {
        source.lag()[&partition(0)] == 30
    })
    .await;
}
