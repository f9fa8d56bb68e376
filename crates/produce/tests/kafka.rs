//! The runner against real brokers, and against the in-process one of the embedded profile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified};
use factmill_produce::banking::{BankingEvents, BankingSettings, BankingSource, Spread};
use factmill_produce::{
    Event, EventSource, Next, ProduceConfig, ProduceError, Rate, UnreadLimit, partition_of, produce,
};
use factmill_testkit::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

fn events(bad_percent: f64) -> Arc<BankingEvents> {
    let settings = BankingSettings {
        seed: 9,
        spread: Spread::Steps,
        bad_percent,
    };
    Arc::new(BankingEvents::new(settings).unwrap())
}

fn source(bad_percent: f64) -> BankingSource {
    events(bad_percent).starting_at(0)
}

pub(crate) fn config(brokers: &str, topic: &str, count: u64) -> ProduceConfig {
    ProduceConfig {
        count: Some(count),
        ..ProduceConfig::new(
            [("bootstrap.servers".to_owned(), brokers.to_owned())],
            topic,
        )
    }
}

pub(crate) fn fresh_topic(what: &str) -> String {
    format!(
        "{what}-{}",
        uuid::Uuid::from_u64_pair(BankingSettings::fresh_seed(), BankingSettings::fresh_seed())
    )
}

/// The payloads that the sequence puts into each partition, in order.
fn sequence(bad_percent: f64, count: u64, partitions: i32) -> HashMap<i32, Vec<Option<Vec<u8>>>> {
    let events = events(bad_percent);
    let mut by_partition: HashMap<_, Vec<_>> = HashMap::new();
    let mut event = Event::default();
    for index in 0..count {
        event.clear();
        events.write(index, &mut event);
        let partition = partition_of(event.key().unwrap(), partitions);
        by_partition
            .entry(partition)
            .or_default()
            .push(event.payload().map(<[u8]>::to_vec));
    }
    by_partition
}

/// Reads `count` records of the topic, telling `seen` of each.
pub(crate) fn read(
    brokers: &str,
    topic: &str,
    count: u64,
    mut seen: impl FnMut(i32, i64),
) -> HashMap<i32, Vec<Option<Vec<u8>>>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reads-all")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for _ in 0..count {
        let message = consumer.poll(LIMIT).unwrap().unwrap();
        seen(message.partition(), message.offset());
        found
            .entry(message.partition())
            .or_default()
            .push(message.payload().map(<[u8]>::to_vec));
    }
    found
}

pub(crate) async fn stored(kafka: &Kafka, topic: &str) -> u64 {
    kafka
        .offsets(topic)
        .await
        .unwrap()
        .values()
        .map(|(from, to)| (to - from) as u64)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_created_and_holds_the_sequence_in_order() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("sequence");
    let config = config(kafka.brokers(), &topic, 20_000);
    let report = produce(config, source(5.0), &CancellationToken::new(), |_| {})
        .await
        .unwrap();
    let broken = (0..20_000)
        .filter(|&index| events(5.0).fault(index).is_some())
        .count() as u64;
    assert_eq!(
        (report.acknowledged, report.bad, report.given_up),
        (20_000, broken, 0)
    );
    assert_eq!(kafka.offsets(&topic).await.unwrap().len(), 4);
    assert_eq!(
        stored(kafka, &topic).await,
        20_000,
        "no more than was acknowledged"
    );
    assert!(read(kafka.brokers(), &topic, 20_000, |_, _| {}) == sequence(5.0, 20_000, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_goes_on_where_the_topic_ends() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("skip");
    let cancel = CancellationToken::new();
    produce(
        config(kafka.brokers(), &topic, 3000),
        source(0.0),
        &cancel,
        |_| {},
    )
    .await
    .unwrap();
    let held = kafka.offsets(&topic).await.unwrap();
    let again = ProduceConfig {
        skip: held
            .into_iter()
            .map(|(partition, (from, to))| (partition, (to - from) as u64))
            .collect(),
        ..config(kafka.brokers(), &topic, 5000)
    };
    let report = produce(again, source(0.0), &cancel, |_| {}).await.unwrap();
    assert_eq!((report.skipped, report.acknowledged), (3000, 2000));
    assert!(read(kafka.brokers(), &topic, 5000, |_, _| {}) == sequence(0.0, 5000, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_a_slow_run_with_all_it_sent_acknowledged() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("cancel");
    let slow = ProduceConfig {
        rate: Rate::PerSecond(0.01),
        burst: 100,
        count: None,
        ..config(kafka.brokers(), &topic, 0)
    };
    let cancel = CancellationToken::new();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let run = produce(slow, source(0.0), &cancel, move |progress| {
        let _ = told.send(progress.acknowledged);
    });
    let stop = async {
        while tells.recv().await.unwrap() < 100 {}
        cancel.cancel();
        Instant::now()
    };
    let (report, stopped) = tokio::join!(run, stop);
    assert!(stopped.elapsed() < Duration::from_secs(3));
    let report = report.unwrap();
    assert!((100..=101).contains(&report.acknowledged), "{report:?}");
    assert_eq!(stored(kafka, &topic).await, report.acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_unread_bytes_holds_and_everything_arrives() {
    const BYTES: usize = 20_000;
    const LARGEST: usize = 1_500;
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("unread");
    kafka.create_topic(&topic, 2).await.unwrap();
    let unread = Arc::new(UnreadLimit::new(BYTES));
    let bounded = ProduceConfig {
        unread: Some(Arc::clone(&unread)),
        ..config(kafka.brokers(), &topic, 2000)
    };
    let reader = tokio::task::spawn_blocking({
        let (unread, topic, brokers) = (
            Arc::clone(&unread),
            topic.clone(),
            kafka.brokers().to_owned(),
        );
        move || {
            let mut most = 0;
            let found = read(&brokers, &topic, 2000, |partition, offset| {
                most = unread.unread(partition).max(most);
                unread.consumed(partition, offset + 1);
            });
            (found, most)
        }
    });
    let report = produce(bounded, source(0.0), &CancellationToken::new(), |_| {})
        .await
        .unwrap();
    let (found, most) = reader.await.unwrap();
    assert_eq!(report.acknowledged, 2000);
    assert!(found == sequence(0.0, 2000, 2));
    assert!(
        (BYTES / 2..BYTES + LARGEST).contains(&most),
        "{most} bytes were unread"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_under_load_costs_nothing() {
    let kafka = Kafka::start().await.unwrap();
    if !kafka.restartable() {
        return;
    }
    let topic = fresh_topic("restart");
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let paced = ProduceConfig {
        rate: Rate::PerSecond(10_000.0),
        ..config(kafka.brokers(), &topic, 60_000)
    };
    let cancel = CancellationToken::new();
    let run = produce(paced, source(0.0), &cancel, move |progress| {
        let _ = told.send(progress.acknowledged);
    });
    let restart = async {
        while tells.recv().await.unwrap() == 0 {}
        kafka.kill().unwrap();
        kafka.restart().await.unwrap();
        tells.close();
    };
    let (report, ()) = tokio::join!(run, restart);
    assert_eq!(report.unwrap().acknowledged, 60_000);
    assert_eq!(stored(&kafka, &topic).await, 60_000);
    assert!(read(kafka.brokers(), &topic, 60_000, |_, _| {}) == sequence(0.0, 60_000, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broker_is_an_unreachable_service() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = produce(
        config(&closed.to_string(), "t", 1),
        source(0.0),
        &CancellationToken::new(),
        |_| {},
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains(&closed.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_client_refuses_are_a_configuration_error() {
    let config = ProduceConfig::new(
        [("bootstrap.server".to_owned(), "127.0.0.1:1".to_owned())],
        "t",
    );
    let error = produce(config, source(0.0), &CancellationToken::new(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_of_the_embedded_profile_take_events_too() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("bank_data", 4, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let report = produce(
        config(&brokers, "bank_data", 5000),
        source(1.0),
        &CancellationToken::new(),
        |_| {},
    )
    .await;
    assert_eq!(report.unwrap().acknowledged, 5000);
    assert!(read(&brokers, "bank_data", 5000, |_, _| {}) == sequence(1.0, 5000, 4));
}

/// librdkafka takes a refused batch for stored where the next one, under way already, is taken: as a
/// partition does whose leader comes up in between. It sends the next one only while fewer than five
/// messages of the partition are under way, so these come one by one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_leader_refuses_is_sent_again_and_not_taken_for_stored() {
    const EVENTS: u64 = 200;
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("refused", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let config = ProduceConfig {
        rate: Rate::PerSecond(100.0),
        ..config(&brokers, "refused", EVENTS)
    };
    let run = tokio::spawn(async move {
        produce(config, source(0.0), &CancellationToken::new(), |_| {}).await
    });
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .unwrap();
    let stored = || {
        let (low, high) = consumer.fetch_watermarks("refused", 0, LIMIT).unwrap();
        (high - low) as u64
    };
    while stored() < 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let round_trip = Duration::from_millis(30);
    cluster.broker_round_trip_time(1, round_trip).unwrap();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.acknowledged, EVENTS);
    assert_eq!(stored(), EVENTS, "as many are stored as were acknowledged");
}

/// Gives three events, with a pause and a header, then ends or fails.
struct Three {
    given: u32,
    paused: bool,
    fails: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the file ended in the middle of a row")]
struct Torn;

impl Classified for Torn {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }
}

impl EventSource for Three {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        if self.given == 2 && !self.paused {
            self.paused = true;
            return Ok(Next::Wait(Duration::from_millis(5)));
        }
        if self.given == 3 {
            return if self.fails {
                Err(Box::new(Torn))
            } else {
                Ok(Next::End)
            };
        }
        self.given += 1;
        event.push_header("source", "generator");
        event
            .payload_mut()
            .extend_from_slice(self.given.to_string().as_bytes());
        Ok(Next::Event)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_may_pause_end_and_fail() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("three", 1, 1).unwrap();
    let three = |fails| Three {
        given: 0,
        paused: false,
        fails,
    };
    let all = || config(&cluster.bootstrap_servers(), "three", u64::MAX);
    let report = produce(all(), three(false), &CancellationToken::new(), |_| {})
        .await
        .unwrap();
    assert_eq!(report.acknowledged, 3);
    let error = produce(all(), three(true), &CancellationToken::new(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(matches!(error, ProduceError::Source(_)));
    let found = read(&cluster.bootstrap_servers(), "three", 6, |_, _| {});
    let texts: Vec<_> = found[&0]
        .iter()
        .map(|payload| String::from_utf8(payload.clone().unwrap()).unwrap())
        .collect();
    assert_eq!(
        texts,
        ["1", "2", "3", "1", "2", "3"],
        "what came before the failure is stored"
    );
}
