//! Positions that the topic does not reach any more, and the errors that say so.

use std::sync::Arc;

use factmill_connect::source::kafka::{TopicGaps, Way};
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, PositionStore, Source};

use super::topic::Topic;
use super::*;

/// The error that ends a source.
async fn failure(source: &mut KafkaSource) -> BoxedError {
    let read = async {
        loop {
            match source.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the read ended without an error"),
                Err(error) => return error,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap()
}

fn assert_gap(error: &BoxedError, parts: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Gap, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// A topic of one partition with `rows` rows, all of them read.
async fn read_topic(prefix: &str, rows: usize) -> (Topic<'static>, Arc<MemoryPositions>) {
    let topic = Topic::create(prefix, 1).await;
    topic.produce(1, 0, rows);
    let positions = Arc::new(MemoryPositions::default());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    assert_eq!(commit_to_end(&mut source, &positions).await.len(), rows);
    (topic, positions)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_took_are_a_gap() {
    let (topic, positions) = read_topic("retention", 10).await;
    topic.produce(1, 10, 90);
    topic.delete_below(70).await;
    let mut source = start(&topic, read(&topic.name), &positions).await;
    let error = failure(&mut source).await;
    let way_out = format!("factmill positions {} accept-gap --profile", topic.name);
    assert_gap(
        &error,
        &[
            &topic.name,
            "partition 0",
            "position 10",
            "start 70",
            "end is 100",
            &way_out,
        ],
    );
    drop(source);
    let config = config(&topic);
    let find = async || {
        let store = Arc::clone(&positions) as Arc<dyn PositionStore>;
        let found = TopicGaps::find(&config, bounded(&topic.name), store).await;
        found.unwrap()
    };
    let found = find().await.unwrap();
    assert_eq!(found.gaps[0].to_string(), error.to_string());
    let Way::Over(over) = found.way else {
        panic!("{:?}", found.way)
    };
    positions.commit(&over).unwrap();
    assert!(find().await.is_none());
    let mut source = start(&topic, bounded(&topic.name), &positions).await;
    assert_eq!(commit_to_end(&mut source, &positions).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_created_again_is_a_gap_even_when_it_grew_past_the_position() {
    let (topic, positions) = read_topic("recreated", 10).await;
    topic.delete().await;
    topic.create_again(1).await;
    topic.produce(1, 0, 50);
    let mut source = start(&topic, read(&topic.name), &positions).await;
    assert_gap(
        &failure(&mut source).await,
        &["position 10", "created again"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_again_while_it_is_read_is_a_gap() {
    let (topic, positions) = read_topic("replaced", 10).await;
    let mut source = start(&topic, read(&topic.name), &positions).await;
    topic.produce(1, 10, 1);
    commit_rows(&mut source, &positions, 1).await;
    topic.delete().await;
    topic.create_again(1).await;
    topic.produce(1, 0, 50);
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_deleted_while_they_wait_are_a_gap() {
    let topic = Topic::create("deleted", 1).await;
    topic.produce(1, 0, 10);
    let positions = Arc::new(MemoryPositions::default());
    let small = KafkaRead {
        max_rows: 5,
        ..read(&topic.name)
    };
    let mut config = config(&topic);
    // little is read ahead, else it would be given out although it was deleted since
    for (name, value) in [
        ("queued.min.messages", "1"),
        ("queued.max.messages.kbytes", "1"),
        ("fetch.message.max.bytes", "1000"),
    ] {
        config.properties.insert(name.into(), value.into());
    }
    let mut source = KafkaSource::start(&config, small, positions.clone())
        .await
        .unwrap();
    topic.produce_one_by_one(10, 2_000);
    commit_rows(&mut source, &positions, 15).await;
    topic.delete_below(2_005).await;
    let error = failure(&mut source).await;
    assert_gap(&error, &["start 2005", "end is 2010"]);
}
