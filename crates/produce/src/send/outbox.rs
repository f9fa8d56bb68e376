//! One producer that many senders share, each waiting for the acknowledgement of its own events.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_recursion::async_recursion as boxed;
use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::ProduceError;
use super::{ProduceConfig, Progress, Report, delivery, topic};
use crate::event::Event;
use crate::partition::partition_of;

/// The wait for room in a full queue.
const SHORT: Duration = Duration::from_millis(2);
/// What was sent has so long to be acknowledged when the outbox is closed.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// Takes events and says when they are stored.
///
/// Ordering: events of one key that one sender puts one after the other are stored in that order.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Hands an event over; waits while there is no room for it. Dropping the future before it is
    /// done sends nothing, dropping the [`Acknowledgement`] takes nothing back.
    ///
    /// # Errors
    /// When the event cannot be sent at all.
    async fn put(&self, event: &Event) -> Result<Acknowledgement, ProduceError>;
}

/// Where an event is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Ends when the broker has stored the event, or with what kept it from that.
#[derive(Debug)]
pub struct Acknowledgement {
    topic: String,
    outcome: oneshot::Receiver<Outcome>,
}

type Outcome = Result<Stored, KafkaError>;

impl Acknowledgement {
    /// One that is still to come, and where to say its outcome.
    pub fn pending(topic: impl Into<String>) -> (oneshot::Sender<Outcome>, Self) {
        let (tell, outcome) = oneshot::channel();
        let topic = topic.into();
        (tell, Self { topic, outcome })
    }
}

impl Future for Acknowledgement {
    type Output = Result<Stored, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map(|outcome| {
            // A producer that is gone without a word was closed.
            let closed = KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue);
            outcome
                .unwrap_or(Err(closed))
                .map_err(|source| ProduceError::Delivery {
                    topic: self.topic.clone(),
                    source,
                })
        })
    }
}

/// An idempotent producer for one topic.
pub struct KafkaOutbox {
    producer: ThreadedProducer<Counts>,
    topic: String,
    partitions: i32,
    started: Instant,
}

impl std::fmt::Debug for KafkaOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOutbox")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl KafkaOutbox {
    /// Connects, and creates the topic when it is missing. Of the configuration, client, topic,
    /// partitions and rate count.
    ///
    /// # Errors
    /// [`ProduceError`]: the broker cannot be reached or refuses.
    #[boxed]
    pub async fn open(config: ProduceConfig) -> Result<Self, ProduceError> {
        let partitions = topic::ensure(&config).await?;
        let producer =
            ThreadedProducer::from_config_and_context(&config.producer_client(), Counts::default());
        Ok(Self {
            producer: producer.map_err(ProduceError::Client)?,
            topic: config.topic,
            partitions,
            started: Instant::now(),
        })
    }

    /// Waits until the producer cannot go on, which only a new one can mend; says what happened.
    #[boxed]
    pub async fn broken(&self) -> ProduceError {
        self.producer.context().broken.cancelled().await;
        let source = match self.producer.client().fatal_error() {
            Some((code, _)) => KafkaError::MessageProduction(code),
            None => KafkaError::MessageProduction(RDKafkaErrorCode::Fatal),
        };
        ProduceError::Delivery {
            topic: self.topic.clone(),
            source,
        }
    }

    /// What was acknowledged so far.
    pub fn progress(&self) -> Progress {
        let counts = self.producer.context();
        Progress {
            acknowledged: counts.acknowledged.load(Ordering::Relaxed),
            bad: counts.bad.load(Ordering::Relaxed),
            skipped: 0,
            bytes: counts.bytes.load(Ordering::Relaxed),
            elapsed: self.started.elapsed(),
        }
    }

    /// Waits up to three seconds until all that was put is acknowledged, and gives up the rest.
    /// Blocks its thread.
    pub fn close(&self) -> Report {
        if let Err(error) = self.producer.flush(LAST_PATIENCE) {
            tracing::debug!(%error, "not everything was acknowledged in time");
            self.producer
                .purge(PurgeConfig::default().queue().inflight());
            // Purged events are reported by the producer's thread, which this waits for.
            if let Err(error) = self.producer.flush(LAST_PATIENCE) {
                tracing::warn!(%error, "the Kafka producer holds events that it does not give up");
            }
        }
        let progress = self.progress();
        Report {
            acknowledged: progress.acknowledged,
            bad: progress.bad,
            skipped: 0,
            given_up: self.producer.context().given_up.load(Ordering::Relaxed),
            bytes: progress.bytes,
            seconds: progress.elapsed.as_secs_f64(),
        }
    }

    fn record<'e>(&'e self, event: &'e Event, sent: Box<Sent>) -> Record<'e> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, sent);
        record.key = event.key();
        record.payload = event.payload();
        record.partition = event.key().map(|key| partition_of(key, self.partitions));
        if !event.headers().is_empty() {
            let headers = OwnedHeaders::new_with_capacity(event.headers().len());
            let all = event.headers().iter();
            record.headers = Some(all.fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            }));
        }
        record
    }
}

type Record<'e> = BaseRecord<'e, [u8], [u8], Box<Sent>>;

#[async_trait]
impl Outbox for KafkaOutbox {
    async fn put(&self, event: &Event) -> Result<Acknowledgement, ProduceError> {
        let (tell, acknowledgement) = Acknowledgement::pending(&self.topic);
        let mut sent = Box::new(Sent {
            is_bad: event.is_bad(),
            tell,
        });
        loop {
            // A record holds headers that are not `Send`, so none lives across the wait.
            match self.producer.send(self.record(event, sent)) {
                Ok(()) => return Ok(acknowledgement),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    sent = back.delivery_opaque;
                }
                Err((source, _)) => {
                    return Err(ProduceError::Delivery {
                        topic: self.topic.clone(),
                        source,
                    });
                }
            }
            tokio::time::sleep(SHORT).await;
        }
    }
}

/// What travels with an event to its delivery report.
struct Sent {
    is_bad: bool,
    tell: oneshot::Sender<Outcome>,
}

/// Counts delivery reports and passes each on to who waits for it.
#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    bad: AtomicU64,
    bytes: AtomicU64,
    given_up: AtomicU64,
    broken: CancellationToken,
}

impl ClientContext for Counts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        delivery::log(level, facility, message);
    }

    /// librdkafka goes on trying after all but one of them; what it gives up comes as a failed
    /// delivery.
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.broken.cancel();
        }
        tracing::warn!(%error, reason, "the Kafka producer reports");
    }
}

impl ProducerContext for Counts {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match result {
            Ok(message) => {
                let bytes = message.key_len() + message.payload_len();
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.bad
                    .fetch_add(u64::from(sent.is_bad), Ordering::Relaxed);
                self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(Stored {
                    partition: message.partition(),
                    offset: message.offset(),
                })
            }
            Err((error, _)) => {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                Err(error.clone())
            }
        };
        // Nobody waits where the client of a response has left.
        let _ = sent.tell.send(outcome);
    }
}
