use std::time::Duration;

use factmill_testkit::{Kafka, unique_name};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

async fn send(producer: &FutureProducer, topic: &str, payload: &str) -> i64 {
    let record = FutureRecord::<(), _>::to(topic)
        .partition(0)
        .payload(payload);
    producer
        .send(record, Duration::from_secs(30))
        .await
        .unwrap()
        .offset
}

#[tokio::test]
async fn records_can_be_deleted_up_to_an_offset() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = unique_name("deleted");
    kafka.create_topic(&topic, 2).await.unwrap();
    let producer = kafka.producer().unwrap();
    for number in 0..10 {
        assert_eq!(send(&producer, &topic, "x").await, number);
    }
    kafka.delete_records(&topic, 0, 4).await.unwrap();
    let offsets = kafka.offsets(&topic).await.unwrap();
    assert_eq!((offsets[&0], offsets[&1]), ((4, 10), (0, 0)));
    kafka.delete_topic(&topic).await.unwrap();
}

#[tokio::test]
async fn an_aborted_transaction_leaves_a_gap_in_the_offsets() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = unique_name("transactions");
    kafka.create_topic(&topic, 1).await.unwrap();
    let producer = kafka.transactional_producer(&topic).await.unwrap();
    producer.begin_transaction().unwrap();
    assert_eq!(send(&producer, &topic, "aborted").await, 0);
    producer.abort_transaction(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    // offset 1 is the marker of the abort
    assert_eq!(send(&producer, &topic, "kept").await, 2);
    producer
        .commit_transaction(Duration::from_secs(30))
        .unwrap();
}

#[tokio::test]
async fn records_survive_a_kill() {
    let kafka = Kafka::start().await.unwrap();
    if !kafka.restartable() {
        println!("skipped: the cluster is not ours to kill");
        return;
    }
    let topic = unique_name("killed");
    kafka.create_topic(&topic, 1).await.unwrap();
    let producer = kafka.producer().unwrap();
    send(&producer, &topic, "before").await;
    kafka.kill().unwrap();
    kafka.restart().await.unwrap();
    assert_eq!(send(&producer, &topic, "after").await, 1);
    assert_eq!(kafka.offsets(&topic).await.unwrap()[&0], (0, 2));
}
