//! A fresh topic on a real broker, and producers into it.

use std::time::Duration;

use factmill_testkit::{Kafka, unique_name};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::PATIENCE;

/// A topic of a test.
pub(super) struct Topic<'a> {
    pub(super) name: String,
    pub(super) kafka: &'a Kafka,
}

impl Topic<'static> {
    /// Creates a topic with a name of its own on the broker that tests share.
    pub(super) async fn create(prefix: &str, partitions: i32) -> Self {
        Topic::create_on(Kafka::shared().await.unwrap(), prefix, partitions).await
    }
}

impl<'a> Topic<'a> {
    pub(super) async fn create_on(kafka: &'a Kafka, prefix: &str, partitions: i32) -> Self {
        let topic = Self::named(kafka, unique_name(prefix));
        topic.create_again(partitions).await;
        topic
    }

    /// A topic that need not exist.
    pub(super) fn named(kafka: &'a Kafka, name: String) -> Self {
        Self { name, kafka }
    }

    /// Creates the topic, after it was deleted.
    pub(super) async fn create_again(&self, partitions: i32) {
        let large = [("max.message.bytes", "10000000")];
        let created = self.kafka.create_topic_with(&self.name, partitions, &large);
        created.await.unwrap();
    }

    pub(super) async fn delete(&self) {
        self.kafka.delete_topic(&self.name).await.unwrap();
    }

    /// Deletes the records of partition 0 below `offset`.
    pub(super) async fn delete_below(&self, offset: i64) {
        self.kafka
            .delete_records(&self.name, 0, offset)
            .await
            .unwrap();
    }

    /// The offset that the group of this topic's job committed in Kafka, if any.
    pub(super) fn group_offset(&self, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self
            .kafka
            .client()
            .set("group.id", format!("factmill.test.{}", self.name))
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        match committed.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Sends `rows` payloads `<partition>:<number>` round the partitions, numbers from `first`.
    pub(super) fn produce(&self, partitions: i32, first: usize, rows: usize) {
        let producer = self.producer(&[]);
        for number in first..first + rows {
            let partition = number as i32 % partitions;
            self.send(&producer, partition, &format!("{partition}:{number}"));
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Sends `rows` payloads to partition 0, each in a batch of its own, which brokers hand out
    /// singly.
    pub(super) fn produce_one_by_one(&self, first: usize, rows: usize) {
        let producer = self.producer(&[("batch.num.messages", "1")]);
        for number in first..first + rows {
            self.send(&producer, 0, &format!("0:{number}"));
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// A producer whose records go to partitions of the test's choice.
    pub(super) fn producer(&self, settings: &[(&str, &str)]) -> BaseProducer {
        let mut client = self.kafka.client();
        client.set("message.max.bytes", "10000000");
        for (name, value) in settings {
            client.set(*name, *value);
        }
        client.create().unwrap()
    }

    /// Sends one payload, making room in the producer's queue where it is full.
    pub(super) fn send(&self, producer: &BaseProducer, partition: i32, payload: &str) {
        let mut record = BaseRecord::<(), str>::to(&self.name)
            .partition(partition)
            .payload(payload);
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
    }
}
