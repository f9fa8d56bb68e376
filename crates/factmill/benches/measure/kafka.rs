//! Events into Kafka, and (a): how fast a bare librdkafka consumer takes them out again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};
use factmill_produce::{ProduceConfig, produce as send};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::world::{PARTITIONS, Place, World};

/// How long a record may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The banking job's events, none of them broken.
pub(crate) fn events(count: u64) -> Result<Arc<BankingEvents>> {
    Ok(Arc::new(BankingEvents::new(BankingSettings {
        seed: 1,
        spread: Spread::Month(count),
        bad_percent: 0.0,
    })?))
}

/// Fills the topic as fast as the broker takes it.
pub(crate) async fn produce(world: &World, place: &Place, count: u64) -> Result<()> {
    let config = ProduceConfig {
        count: Some(count),
        partitions: PARTITIONS,
        ..ProduceConfig::new(
            [(
                "bootstrap.servers".to_owned(),
                world.kafka.brokers().to_owned(),
            )],
            &place.topic,
        )
    };
    let source = events(count)?.starting_at(0);
    let report = send(config, source, &CancellationToken::new(), |_| {}).await?;
    ensure!(
        report.acknowledged == count,
        "{} events of {count} were acknowledged",
        report.acknowledged
    );
    Ok(())
}

/// Rows a second of a consumer with librdkafka's own defaults that looks at each payload's length,
/// from its assignment to the last record.
pub(crate) fn consume(world: &World, place: &Place, count: u64) -> Result<f64> {
    let began = Instant::now();
    let (mut read, mut bytes) = (0_u64, 0);
    each_record(world, &place.topic, count, |message| {
        bytes += message.payload().map_or(0, <[u8]>::len);
        read += 1;
    })?;
    ensure!(bytes > 0, "the records are empty");
    Ok(read as f64 / began.elapsed().as_secs_f64())
}

/// Reads the first `count` records of a topic, partitions as they come.
pub(crate) fn each_record(
    world: &World,
    topic: &str,
    count: u64,
    mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>),
) -> Result<()> {
    let consumer: BaseConsumer = world
        .kafka
        .client()
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    for _ in 0..count {
        let message = consumer.poll(PATIENCE).context("the topic ends early")??;
        take(&message);
    }
    Ok(())
}
