//! The runner: events from a source to a Kafka topic.

mod delivery;
pub(crate) mod error;
pub(crate) mod outbox;
mod prefix;
mod runner;
mod topic;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::event::EventSource;
use crate::rate::Rate;
use crate::unread::UnreadLimit;
use error::ProduceError;
use runner::Runner;

/// Partitions of a topic that has to be created, where nothing else is said.
pub const DEFAULT_PARTITIONS: i32 = 4;

/// Where and how events are sent.
#[derive(Debug, Clone)]
pub struct ProduceConfig {
    /// librdkafka's properties for the connection: `bootstrap.servers`, TLS, SASL. Others replace the
    /// runner's own, but for what makes an acknowledgement sure: `enable.idempotence` and one request at
    /// a time to each broker.
    pub client: Vec<(String, String)>,
    /// The topic, created when it is missing.
    pub topic: String,
    /// How many partitions it gets then.
    pub partitions: i32,
    /// How fast events follow each other, once the burst is over.
    pub rate: Rate,
    /// So many events at the start of the sequence go as fast as possible.
    pub burst: u64,
    /// The run ends after so many events of the sequence, skipped ones among them.
    pub count: Option<u64>,
    /// By partition, how many events of the sequence it already holds: they are made and not sent.
    /// Only events with a key have a partition that can be known before.
    pub skip: HashMap<i32, u64>,
    /// Makes the runner wait where a partition holds much that was not read yet.
    pub unread: Option<Arc<UnreadLimit>>,
}

impl ProduceConfig {
    /// Every event of the source, as fast as possible, to `topic`.
    pub fn new(
        client: impl IntoIterator<Item = (String, String)>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            client: client.into_iter().collect(),
            topic: topic.into(),
            partitions: DEFAULT_PARTITIONS,
            rate: Rate::Max,
            burst: 0,
            count: None,
            skip: HashMap::new(),
            unread: None,
        }
    }

    /// A client of these brokers alone, for metadata and to create the topic.
    fn plain_client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("client.id", "factmill-produce");
        client.extend(self.client.iter().cloned());
        client
    }

    /// A producer, its batches fit for the rate: small and at once for a trickle, large for a flood.
    fn producer_client(&self) -> ClientConfig {
        let is_flood = self.burst > 0 || matches!(self.rate, Rate::Max);
        let mut client = ClientConfig::new();
        client.set("linger.ms", if is_flood { "20" } else { "5" });
        client.set("batch.size", "1000000");
        client.set("batch.num.messages", "10000");
        client.set("compression.type", "lz4");
        // Bounds what a broker that is away makes the producer hold.
        client.set("queue.buffering.max.messages", "200000");
        client.set("queue.buffering.max.kbytes", "65536");
        client.extend(
            self.plain_client()
                .config_map()
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        client.set("enable.idempotence", "true");
        // A partition whose leader comes up just now may refuse a batch and take the next one, which is on
        // its way already: to a broker that has not heard of the producer any first batch is in order.
        // librdkafka then takes the refused one for stored too, and reports messages that are nowhere
        // (github.com/confluentinc/confluent-kafka-go/issues/921). With one request at a time there is no next one.
        client.set("max.in.flight.requests.per.connection", "1");
        client
    }
}

/// What a run has done so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Events that the broker acknowledged.
    pub acknowledged: u64,
    /// Those of them that were broken on purpose.
    pub bad: u64,
    /// Events that the topic held already.
    pub skipped: u64,
    /// Bytes of keys and payloads of acknowledged events.
    pub bytes: u64,
    /// Since the first event was asked for.
    pub elapsed: Duration,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Events that the broker acknowledged; nothing else counts as sent.
    pub acknowledged: u64,
    /// Those of them that were broken on purpose.
    pub bad: u64,
    /// Events that the topic held already.
    pub skipped: u64,
    /// Events given up after cancellation, because the broker did not acknowledge them in time; it
    /// may still have stored some.
    pub given_up: u64,
    /// Bytes of keys and payloads of acknowledged events.
    pub bytes: u64,
    /// From the first event to the last acknowledgement.
    pub seconds: f64,
}

/// Sends the events of `source` in their order until the source ends, the count is reached, or
/// `cancel` is cancelled.
///
/// An event with a key goes to the partition that [`partition_of`](crate::partition_of) names, and
/// events of one partition keep their order and are stored once, broker failures included. A full
/// queue makes the runner wait. `progress` is called about once a second, from another thread; so is
/// [`EventSource::acknowledged`], from the thread that asks for events, and once more at the end,
/// whatever the end is.
///
/// Cancellation: no further event is sent, and what was sent has three seconds to be acknowledged.
/// Dropping the future cancels, too.
///
/// # Errors
/// [`ProduceError`]: the broker cannot be reached or refuses, or the source cannot go on. What was
/// acknowledged until then stays in the topic.
pub async fn produce(
    config: ProduceConfig,
    source: impl EventSource + 'static,
    cancel: &CancellationToken,
    progress: impl FnMut(&Progress) + Send + 'static,
) -> Result<Report, ProduceError> {
    let partitions = topic::ensure(&config).await?;
    let runner = Runner::new(config, partitions)?;
    let cancel = cancel.child_token();
    let guard = cancel.clone().drop_guard();
    let run = tokio::task::spawn_blocking(move || runner.run(source, &cancel, progress)).await;
    guard.disarm();
    match run {
        Ok(result) => result,
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    }
}
