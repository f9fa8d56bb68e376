//! What librdkafka calls back, always on the polling thread: rebalances, errors, statistics, logs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::error::{KafkaSourceError, is_refusal};
use super::opening::{Opener, Openings};
use super::statistics;

/// How long a revoked partition waits for the epoch in flight. An epoch that takes longer is no
/// danger: its compare-and-swap fails when the next owner was faster.
const EPOCH_PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Context {
    pub(super) opener: Opener,
    /// Whether the brokers are known to be away, so that it is said once.
    away: AtomicBool,
    /// Whether telling the group our offsets fails, so that it is said once.
    commits_fail: AtomicBool,
    /// What librdkafka said last about a connection, for the message of a failed start.
    last_error: std::sync::Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    pub(super) fn new(opener: Opener) -> Self {
        Self {
            opener,
            away: AtomicBool::new(false),
            commits_fail: AtomicBool::new(false),
            last_error: std::sync::Mutex::new(None),
        }
    }

    /// What librdkafka said last about a connection.
    pub(super) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last_error
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Records or answers came: the brokers are there.
    pub(super) fn brokers_answer(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            let brokers = &self.opener.brokers;
            tracing::info!(brokers, "kafka brokers are back");
        }
    }

    /// Whether no broker is known to answer.
    pub(super) fn are_brokers_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn topic(&self) -> &str {
        &self.opener.read.topic
    }

    /// Begins to read the partitions at their stored positions.
    fn assign(&self, consumer: &BaseConsumer<Self>, numbers: &[i32]) {
        let openings = match self.opener.open_patiently(consumer, numbers) {
            Ok(openings) => openings.unwrap_or_default(),
            Err(error) => {
                self.opener.shared.fail(error);
                Openings::default()
            }
        };
        if let Err(source) = self.begin(consumer, openings) {
            self.opener.shared.fail(KafkaSourceError::Broken {
                topic: self.topic().to_owned(),
                source,
            });
        }
    }

    /// Takes partitions over at the given places. librdkafka waits for this call after every
    /// assignment, so it is made even when there is nothing to begin.
    pub(super) fn begin(
        &self,
        consumer: &BaseConsumer<Self>,
        openings: Openings,
    ) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for opening in &openings.ours {
            list.add_partition_offset(self.topic(), opening.number, Offset::Offset(opening.start))?;
            let (partition, from) = (opening.number, opening.start);
            tracing::info!(topic = self.topic(), partition, from, "reading");
        }
        // the buffer first: it refuses records of partitions that it does not know
        let shared = &self.opener.shared;
        {
            let mut state = shared.lock();
            state.buffer.assign(openings.ours);
            state.buffer.assigned_elsewhere(openings.elsewhere);
            state.assignments += 1;
        }
        shared.readable.notify_one();
        consumer.incremental_assign(&list)?;
        // librdkafka keeps a partition paused over its loss and return
        consumer.resume(&list)
    }

    /// Lets partitions go, after the epoch in flight.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList, numbers: &[i32]) {
        let shared = &self.opener.shared;
        {
            let mut state = shared.lock();
            state.buffer.revoke(numbers);
            state.assignments += 1;
        }
        shared.readable.notify_one();
        let topic = self.topic();
        let lost = consumer.assignment_lost();
        let waited = shared.wait_for_pulls(numbers, EPOCH_PATIENCE);
        if waited.is_none() && !shared.is_stopping() {
            tracing::warn!(
                topic,
                partitions = ?numbers,
                "partitions are let go with their epoch in flight; the positions decide which process keeps its rows"
            );
        }
        tracing::info!(topic, partitions = ?numbers, lost, "no longer reading");
        if let Err(source) = consumer.incremental_unassign(list) {
            shared.fail(KafkaSourceError::Broken {
                topic: topic.to_owned(),
                source,
            });
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let numbers: Vec<i32> = list
            .elements_for_topic(self.topic())
            .iter()
            .map(|element| element.partition())
            .collect();
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &numbers),
            _ => self.revoke(consumer, list, &numbers),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.commits_fail.store(false, Ordering::Relaxed),
            // librdkafka had nothing to tell
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                if !self.commits_fail.swap(true, Ordering::Relaxed) {
                    let topic = self.topic();
                    tracing::warn!(
                        topic, %error,
                        "the consumer group's own offsets fall behind; only lag tools read them"
                    );
                }
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // errors of connections come a second time, by `error`, which says them once
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        let connection = matches!(
            code,
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::SSL
        );
        if connection || is_refusal(code) {
            *self
                .last_error
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some((code, reason.to_owned()));
        }
        let brokers = &self.opener.brokers;
        if code == RDKafkaErrorCode::AllBrokersDown {
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(brokers, reason, "kafka brokers are away; connecting again");
            }
        } else {
            tracing::debug!(brokers, %code, reason, "kafka");
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        match statistics::read(json, self.topic()) {
            Ok(heard) => {
                if heard.connected {
                    self.brokers_answer();
                }
                let mut state = self.opener.shared.lock();
                for (number, end) in heard.ends {
                    state.buffer.heard_of_end(number, end);
                }
            }
            Err(error) => tracing::debug!(%error, "librdkafka's statistics could not be read"),
        }
    }
}
