//! Topics, and what befalls them in production: deletion, lost records, transactions.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::Kafka;

/// A request to a broker that was just started, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

impl Kafka {
    /// Creates a topic and waits until its partitions have a leader.
    ///
    /// # Errors
    /// When it exists already or the cluster does not answer.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// Creates a topic with settings such as `("retention.ms", "1000")`.
    ///
    /// # Errors
    /// As [`Kafka::create_topic`].
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let created = self.admin()?.create_topics([&topic], &options()).await?;
        each_worked(created).with_context(|| format!("could not create the topic {name}"))
    }

    /// Deletes a topic; when this returns it may be created again, as another incarnation.
    ///
    /// # Errors
    /// When there is none of this name or the cluster does not answer.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let deleted = self.admin()?.delete_topics(&[name], &options()).await?;
        each_worked(deleted).with_context(|| format!("could not delete the topic {name}"))
    }

    /// Raises the number of a topic's partitions.
    ///
    /// # Errors
    /// When the topic has as many already or the cluster does not answer.
    pub async fn add_partitions(&self, name: &str, partitions: usize) -> Result<()> {
        let more = NewPartitions::new(name, partitions);
        let raised = self.admin()?.create_partitions([&more], &options()).await?;
        each_worked(raised).with_context(|| format!("could not add partitions to {name}"))
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    ///
    /// # Errors
    /// When `offset` is beyond the end or the cluster does not answer.
    pub async fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let deleted = self.admin()?.delete_records(&before, &options()).await?;
        for element in deleted.elements() {
            element.error().with_context(|| {
                format!("could not delete records of {topic}, partition {partition}")
            })?;
        }
        Ok(())
    }

    /// The first offset of a partition and the one after its last record, by partition.
    ///
    /// # Errors
    /// When the topic does not exist or the cluster does not answer.
    pub async fn offsets(&self, topic: &str) -> Result<HashMap<i32, (i64, i64)>> {
        let consumer: BaseConsumer = self.client().create()?;
        let topic = topic.to_owned();
        tokio::task::spawn_blocking(move || {
            let metadata = consumer.fetch_metadata(Some(&topic), LIMIT)?;
            let found = metadata
                .topics()
                .first()
                .with_context(|| format!("the cluster has no topic {topic}"))?;
            let mut offsets = HashMap::new();
            for partition in found.partitions() {
                let ends = consumer.fetch_watermarks(&topic, partition.id(), LIMIT)?;
                offsets.insert(partition.id(), ends);
            }
            Ok(offsets)
        })
        .await?
    }

    /// A producer with idempotence that waits until its records are stored.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn producer(&self) -> Result<FutureProducer> {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.max.bytes", "10485760");
        Ok(config.create()?)
    }

    /// A producer with transactions under this id, ready for `begin_transaction`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn transactional_producer(&self, id: &str) -> Result<FutureProducer> {
        let mut config = self.client();
        config.set("transactional.id", id).set("linger.ms", "1");
        let producer: FutureProducer = config.create()?;
        tokio::task::spawn_blocking(move || {
            let mut last = None;
            // the coordinator of a cluster that has just started says that it is loading
            for _ in 0..20 {
                match producer.init_transactions(LIMIT) {
                    Ok(()) => return Ok(producer),
                    Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                        last = Some(error);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(anyhow!("could not start transactions: {last:?}"))
        })
        .await?
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(LIMIT))
        .operation_timeout(Some(LIMIT))
}

fn each_worked(results: Vec<rdkafka::admin::TopicResult>) -> Result<()> {
    for result in results {
        result.map_err(|(_, code)| anyhow!("{code}"))?;
    }
    Ok(())
}
