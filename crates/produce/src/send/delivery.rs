//! What became of the events that were sent: only here are they counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::prefix::Prefix;
use crate::unread::UnreadLimit;

/// Counts the delivery reports of a producer.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    acknowledged: AtomicU64,
    bad: AtomicU64,
    bytes: AtomicU64,
    given_up: AtomicU64,
    has_failed: AtomicBool,
    failure: Mutex<Option<KafkaError>>,
    /// Reports come on the runner's own thread, so nobody waits for this lock.
    settled: Mutex<Prefix>,
    unread: Option<Arc<UnreadLimit>>,
}

/// The mark that travels with an event to its delivery report: its index in the run, and whether it
/// is bad in the lowest bit.
pub(super) fn mark(index: u64, is_bad: bool) -> usize {
    (index << 1) as usize | usize::from(is_bad)
}

impl Deliveries {
    pub(super) fn new(unread: Option<Arc<UnreadLimit>>) -> Self {
        Self {
            unread,
            ..Self::default()
        }
    }

    /// The first event that could not be stored, once.
    pub(super) fn failure(&self) -> Option<KafkaError> {
        if !self.has_failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The event at `index` needs no acknowledgement: the topic holds it already.
    pub(super) fn settle(&self, index: u64) {
        self.settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .settle(index);
    }

    /// The number of leading events of the run that are all acknowledged.
    pub(super) fn settled(&self) -> u64 {
        self.settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    fn fail(&self, error: KafkaError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    /// librdkafka goes on trying; what it gives up comes as a failed delivery.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the Kafka producer reports");
    }
}

/// librdkafka's log lines, all but the gravest for those who look for them.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        let (Ok(message) | Err((_, message))) = result;
        let bytes = message.key_len() + message.payload_len();
        let offset = match result {
            Ok(message) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.bad.fetch_add(mark as u64 & 1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.settle(mark as u64 >> 1);
                Some(message.offset())
            }
            Err((error, _)) => {
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
                        self.given_up.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => self.fail(error.clone()),
                }
                None
            }
        };
        if let Some(unread) = &self.unread {
            unread.settled(message.partition(), bytes, offset);
        }
    }
}
