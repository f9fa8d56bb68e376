//! Brokers that are away, refuse, or lack the topic.

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::source::kafka::KafkaSourceError;
use factmill_core::error::ErrorKind;
use factmill_core::source::{Classified, Source};
use rdkafka::producer::Producer;

use factmill_testkit::{Kafka, unique_name};

use super::topic::Topic;
use super::*;

async fn refused(config: &KafkaConfig, read: KafkaRead) -> KafkaSourceError {
    let positions = Arc::new(MemoryPositions::default());
    let started = KafkaSource::start(config, read, positions);
    tokio::time::timeout(PATIENCE, started)
        .await
        .unwrap()
        .unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_do_not_answer_are_named_without_the_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let mut config = KafkaConfig::new(&address);
    config.connect_timeout = Duration::from_secs(2);
    for (name, value) in [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "reader"),
        ("sasl.password", "hunter2"),
    ] {
        config.properties.insert(name.into(), value.into());
    }
    let error = refused(&config, read("bank_data")).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_read_of_no_topic_says_which() {
    let topic = Topic::named(Kafka::shared().await.unwrap(), unique_name("none"));
    let error = refused(&config(&topic), bounded(&topic.name)).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(&topic.name), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_librdkafka_refuses_is_named_without_its_value() {
    let topic = Topic::named(Kafka::shared().await.unwrap(), unique_name("refused"));
    for (name, value) in [
        ("sasl.mecanism", "hunter2"),
        ("security.protocol", "hunter2"),
    ] {
        let mut config = config(&topic);
        config.properties.insert(name.into(), value.into());
        let error = refused(&config, read(&topic.name)).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_killed_is_read_on_where_it_was_left() {
    let kafka = Kafka::start().await.unwrap();
    if !kafka.restartable() {
        eprintln!("skipped: the broker is not ours to kill");
        return;
    }
    let topic = Topic::create_on(&kafka, "killed", 2).await;
    topic.produce(2, 0, 2_000);
    let positions = Arc::new(MemoryPositions::default());
    let small = KafkaRead {
        max_rows: 100,
        ..read(&topic.name)
    };
    let mut source = start(&topic, small, &positions).await;
    let mut seen = commit_rows(&mut source, &positions, 500).await;
    kafka.kill().unwrap();
    kafka.restart().await.unwrap();
    let producer = topic.producer(&[]);
    for number in 2_000..2_100 {
        let partition = number % 2;
        topic.send(&producer, partition, &format!("{partition}:{number}"));
    }
    producer.flush(PATIENCE).unwrap();
    let left = 2_100 - seen.len();
    seen.extend(commit_rows(&mut source, &positions, left).await);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2_100);
    assert_eq!(source.lag().values().sum::<i64>(), 0);
}
