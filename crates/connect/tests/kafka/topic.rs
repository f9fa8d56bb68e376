//! A fresh topic on a real broker, and producers into it.

use std::time::Duration;

use factmill_testkit::{Kafka, unique_name};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::PATIENCE;

/// A topic of a test.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) brokers: String,
}

impl Topic {
    /// Creates a topic with a name of its own on the broker that tests share.
    pub(super) async fn create(prefix: &str, partitions: i32) -> Self {
        Self::create_on(Kafka::shared().await.unwrap(), prefix, partitions).await
    }

    pub(super) async fn create_on(kafka: &Kafka, prefix: &str, partitions: i32) -> Self {
        let topic = Self::named(kafka, unique_name(prefix));
        topic.create_again(partitions).await;
        topic
    }

    /// A topic that need not exist.
    pub(super) fn named(kafka: &Kafka, name: String) -> Self {
        Self {
            name,
            brokers: kafka.brokers().to_owned(),
        }
    }

    /// Creates the topic, after it was deleted, once the broker takes it.
    pub(super) async fn create_again(&self, partitions: i32) {
        super::until("the topic is created", async || {
            let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1))
                .set("max.message.bytes", "10000000");
            let results = self.admin().create_topics([&new], &options()).await;
            results.is_ok_and(|results| results.iter().all(Result::is_ok))
        })
        .await;
        super::until("the topic has its partitions", async || {
            let consumer = self.consumer();
            let metadata = consumer.fetch_metadata(Some(&self.name), PATIENCE).unwrap();
            let topic = &metadata.topics()[0];
            topic.partitions().len() == partitions as usize
                && (0..partitions).all(|at| self.watermarks_of(&consumer, at).is_some())
        })
        .await;
    }

    pub(super) async fn delete(&self) {
        let results = self.admin().delete_topics(&[&self.name], &options()).await;
        results.unwrap().remove(0).unwrap();
    }

    pub(super) async fn grow(&self, partitions: usize) {
        let new = NewPartitions::new(&self.name, partitions);
        let results = self.admin().create_partitions([&new], &options()).await;
        results.unwrap().remove(0).unwrap();
    }

    /// Deletes the records of partition 0 below `offset`.
    pub(super) async fn delete_below(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, 0, Offset::Offset(offset))
            .unwrap();
        let deleted = self
            .admin()
            .delete_records(&list, &options())
            .await
            .unwrap();
        deleted.elements()[0].error().unwrap();
    }

    /// First offset and end for a reader of committed records.
    pub(super) fn watermarks(&self, partition: i32) -> (i64, i64) {
        self.watermarks_of(&self.consumer(), partition).unwrap()
    }

    fn watermarks_of(&self, consumer: &BaseConsumer, partition: i32) -> Option<(i64, i64)> {
        consumer
            .fetch_watermarks(&self.name, partition, PATIENCE)
            .ok()
    }

    /// The offset that the group of this topic's job committed in Kafka, if any.
    pub(super) fn group_offset(&self, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self
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
        let producer = self.producer();
        for number in first..first + rows {
            let partition = number as i32 % partitions;
            send(
                &producer,
                &self.name,
                partition,
                &format!("{partition}:{number}"),
            );
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Sends `rows` payloads to partition 0, each in a batch of its own, which brokers hand out
    /// singly.
    pub(super) fn produce_one_by_one(&self, first: usize, rows: usize) {
        let producer: BaseProducer = self
            .client()
            .set("batch.num.messages", "1")
            .create()
            .unwrap();
        for number in first..first + rows {
            send(&producer, &self.name, 0, &format!("0:{number}"));
        }
        producer.flush(PATIENCE).unwrap();
    }

    pub(super) fn producer(&self) -> BaseProducer {
        self.client()
            .set("message.max.bytes", "10000000")
            .create()
            .unwrap()
    }

    pub(super) fn transactional(&self) -> BaseProducer {
        let producer: BaseProducer = self
            .client()
            .set("transactional.id", &self.name)
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("isolation.level", "read_committed");
        client
    }

    fn consumer(&self) -> BaseConsumer {
        self.client().create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

/// Sends one payload, making room in the producer's queue where it is full.
pub(super) fn send(producer: &BaseProducer, topic: &str, partition: i32, payload: &str) {
    let mut record = BaseRecord::<(), str>::to(topic)
        .partition(partition)
        .payload(payload);
    while let Err((_, refused)) = producer.send(record) {
        record = refused;
        producer.poll(Duration::from_millis(10));
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}
