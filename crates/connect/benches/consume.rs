//! How many records a second `KafkaSource` reads, against a bare librdkafka consumer on the same
//! topic and machine: `cargo bench -p factmill-connect --bench consume [RECORDS]`. Records of 240
//! bytes, 4 partitions, a real broker; three runs of each, taking turns, the best printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use factmill_connect::source::kafka::{KafkaConfig, KafkaRead, KafkaSource, Start};
use factmill_core::epoch::Reader;
use factmill_core::position::SourceName;
use factmill_core::source::{NoPositions, Source};
use factmill_testkit::{Kafka, unique_name};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

const PARTITIONS: i32 = 4;
const RUNS: usize = 3;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let records = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(2_000_000);
    let kafka = Kafka::start().await?;
    let topic = unique_name("consume");
    kafka.create_topic(&topic, PARTITIONS).await?;
    fill(&kafka, &topic, records)?;
    let (mut bare, mut source) = (0.0_f64, 0.0_f64);
    for run in 0..RUNS {
        bare = bare.max(rate(records, read_bare(&kafka, &topic, records)?));
        source = source.max(rate(
            records,
            read_source(&kafka, &topic, run, records).await?,
        ));
    }
    println!("bare librdkafka consumer: {bare:>10.0} records/s");
    println!("KafkaSource:              {source:>10.0} records/s");
    println!("ratio: {:.2}", source / bare);
    Ok(())
}

fn rate(records: usize, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

fn fill(kafka: &Kafka, topic: &str, records: usize) -> Result<(), Failure> {
    let producer: BaseProducer = kafka.client().set("linger.ms", "20").create()?;
    let payload = [b'x'; 240];
    for number in 0..records {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(number as i32 % PARTITIONS)
            .key(b"FR7612345")
            .payload(&payload);
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(5));
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// Reads with librdkafka's own defaults and looks at each payload's length.
fn read_bare(kafka: &Kafka, topic: &str, records: usize) -> Result<Duration, Failure> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut began = None;
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            bytes += message?.payload().map_or(0, <[u8]>::len);
            began.get_or_insert_with(Instant::now);
            read += 1;
        }
    }
    assert_eq!(bytes, records * 240);
    Ok(began.map_or(Duration::ZERO, |began| began.elapsed()))
}

async fn read_source(
    kafka: &Kafka,
    topic: &str,
    run: usize,
    records: usize,
) -> Result<Duration, Failure> {
    let read = KafkaRead {
        source: SourceName::new("bench", "consume"),
        topic: topic.to_owned(),
        start: Start::Earliest,
        reader: Reader {
            target: "bench".into(),
            job: format!("{topic}_{run}"),
        },
        bounded: true,
        max_rows: 100_000,
        max_bytes: 16 << 20,
        max_wait: Duration::from_millis(20),
    };
    let config = KafkaConfig::new(kafka.brokers());
    let mut source = KafkaSource::start(&config, read, Arc::new(NoPositions)).await?;
    let mut began = None;
    let (mut read, mut bytes) = (0, 0);
    while let Some(pull) = source.next().await.map_err(|error| error.to_string())? {
        began.get_or_insert_with(Instant::now);
        read += pull.pulled.records.len();
        bytes += pull.pulled.records.payloads.byte_len();
    }
    assert_eq!((read, bytes), (records, records * 240));
    Ok(began.map_or(Duration::ZERO, |began| began.elapsed()))
}
