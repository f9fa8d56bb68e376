//! The thread that owns the consumer: it polls always, also while nobody takes what it read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message};
use tokio::sync::oneshot;

use super::buffer::{Offer, Offered};
use super::context::Context;
use super::error::{GapFound, KafkaSourceError, is_refusal};
use super::native::Headers;
use super::opening::Openings;
use super::shared::Shared;

/// How long a poll waits for a record; also how late a request is seen while none comes.
const IDLE: Duration = Duration::from_millis(50);

/// How long a full buffer waits for its taker before the partitions are paused. Pausing makes
/// librdkafka throw away what it read ahead, so a busy stream should not come to it; polling, which
/// the group expects, stops no longer than this.
const BEFORE_PAUSE: Duration = Duration::from_millis(500);

/// How often a paused consumer is polled.
const WHILE_PAUSED: Duration = Duration::from_millis(100);

/// Records between two looks at requests.
const BURST: usize = 4_096;

/// How often the group is told our offsets.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How often a quiet read makes sure that the topic is still the same.
const LOOK_AT_IDENTITY_EVERY: Duration = Duration::from_secs(30);

/// How long that may hold polling up.
const LOOK_AT_IDENTITY: Duration = Duration::from_secs(2);

/// How often a topic that does not exist is looked for.
const LOOK_FOR_TOPIC_EVERY: Duration = Duration::from_secs(1);

/// The earliest timestamp of Postgres, the year 4713 BC, in microseconds since 1970.
const EARLIEST_MICROS: i64 = -210_866_803_200_000_000;

pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    shared: Arc<Shared>,
    topic: String,
    bounded: bool,
    /// The count of assignments at the time of pausing; `None` while nothing is paused.
    paused_at: Option<u64>,
    committed_at: Instant,
    identity_at: Instant,
    /// The last error that was only logged, and when, so that it is not logged in a loop.
    logged: Option<(RDKafkaErrorCode, Instant)>,
}

impl Poller {
    /// Makes the consumer; nothing is sent yet.
    pub(super) fn new(
        client: &ClientConfig,
        context: Context,
        shared: Arc<Shared>,
    ) -> Result<Self, KafkaSourceError> {
        let brokers = context.opener.brokers.clone();
        let topic = context.opener.read.topic.clone();
        let bounded = context.opener.read.bounded;
        let consumer: BaseConsumer<Context> = client
            .create_with_context(context)
            .map_err(|source| KafkaSourceError::client(&brokers, source))?;
        Ok(Self {
            consumer,
            shared,
            topic,
            bounded,
            paused_at: None,
            committed_at: Instant::now(),
            identity_at: Instant::now(),
            logged: None,
        })
    }

    /// Runs until the source is dropped or fails. `met` is told of the first contact.
    pub(super) fn run(
        mut self,
        patience: Duration,
        met: oneshot::Sender<Result<(), KafkaSourceError>>,
    ) {
        let topic_exists = match self.meet(patience) {
            Ok(exists) => {
                // a starter that went away is told by `stop`
                let _ = met.send(Ok(()));
                exists
            }
            Err(error) => {
                let _ = met.send(Err(error));
                return;
            }
        };
        if !topic_exists && !self.wait_for_topic() {
            return;
        }
        if let Err(source) = self.consumer.subscribe(&[&self.topic]) {
            self.broken(source);
        }
        while !self.shared.is_stopping() && !self.shared.has_failed() {
            self.serve_requests();
            self.look_at_identity();
            if !self.hold_back() {
                self.poll();
            }
        }
        self.commit();
        // dropping the consumer leaves the group
    }

    /// The first contact: whether the topic exists.
    fn meet(&self, patience: Duration) -> Result<bool, KafkaSourceError> {
        let context = self.consumer.context();
        let brokers = &context.opener.brokers;
        let began = Instant::now();
        loop {
            let left = patience.saturating_sub(began.elapsed());
            let slice = left.clamp(Duration::from_millis(1), Duration::from_secs(1));
            let source = match self.topic_exists(slice) {
                Ok(true) => return Ok(true),
                Ok(false) if self.bounded => {
                    return Err(KafkaSourceError::NoTopic {
                        topic: self.topic.clone(),
                        brokers: brokers.clone(),
                    });
                }
                Ok(false) => return Ok(false),
                Err(source) => source,
            };
            // errors of connections wait in the queue until it is polled
            while self.consumer.poll(Duration::ZERO).is_some() {}
            let last = context.last_error();
            let refusals = [
                source.rdkafka_error_code(),
                last.as_ref().map(|last| last.0),
            ];
            if let Some(code) = refusals
                .into_iter()
                .flatten()
                .find(|&code| is_refusal(code))
            {
                return Err(context.opener.refused(code));
            }
            if left.is_zero() || self.shared.is_stopping() {
                return Err(KafkaSourceError::Unreachable {
                    brokers: brokers.clone(),
                    waited: patience,
                    reason: last.map_or_else(String::new, |(_, reason)| format!(": {reason}")),
                    source: Box::new(source),
                });
            }
        }
    }

    fn topic_exists(&self, patience: Duration) -> KafkaResult<bool> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), patience)?;
        let Some(topic) = metadata.topics().first() else {
            return Ok(false);
        };
        match topic.error() {
            None => Ok(!topic.partitions().is_empty()),
            // what a topic says that is being created, or that is not there
            Some(
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            ) => Ok(false),
            Some(code) => Err(KafkaError::MetadataFetch(code.into())),
        }
    }

    /// Waits until the topic is there; whether it is.
    fn wait_for_topic(&self) -> bool {
        let topic = &self.topic;
        tracing::warn!(topic, "the topic does not exist yet; waiting for it");
        while !self.shared.is_stopping() {
            if matches!(self.topic_exists(LOOK_FOR_TOPIC_EVERY), Ok(true)) {
                tracing::info!(topic, "the topic is there");
                return true;
            }
            self.shared.wait_while(LOOK_FOR_TOPIC_EVERY, |_| true);
        }
        false
    }

    /// Polls for a burst of records, until none is there, the buffer is full, or it is time to look
    /// at requests.
    fn poll(&mut self) {
        let mut patience = IDLE;
        for _ in 0..BURST {
            let event = match self.consumer.poll(patience) {
                Some(Ok(message)) => Ok(self.keep(&message)),
                Some(Err(error)) => Err(error),
                None => return,
            };
            match event {
                Ok(Kept { full: true, .. }) => return,
                Ok(Kept {
                    done: Some(partition),
                    ..
                }) => self.rest(partition),
                Ok(_) => {}
                Err(error) => {
                    self.handle(error);
                    return;
                }
            }
            patience = Duration::ZERO;
        }
    }

    /// Puts one record into the buffer.
    fn keep(&self, message: &BorrowedMessage<'_>) -> Kept {
        let number = message.partition();
        let offer = Offer {
            number,
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().and_then(micros),
            key: message.key(),
            payload: message.payload(),
            headers: Headers::of(message),
        };
        let mut state = self.shared.lock();
        let was_empty = state.buffer.since().is_none();
        let offered = state.buffer.offer(offer);
        let full = state.buffer.is_full();
        drop(state);
        if was_empty || full {
            self.shared.readable.notify_one();
        }
        Kept {
            full,
            done: (offered == Offered::Beyond).then_some(number),
        }
    }

    /// A bounded read of this partition is at its end: no more of it is fetched.
    fn rest(&self, partition: i32) {
        self.shared.readable.notify_one();
        if let Err(error) = self.consumer.pause(&self.list([partition])) {
            let topic = &self.topic;
            tracing::debug!(topic, partition, %error, "could not pause a partition that is done");
        }
    }

    /// Holds polling back while the buffer is full; whether it does.
    fn hold_back(&mut self) -> bool {
        let full = |state: &super::shared::State| {
            state.buffer.is_full() && state.rewind.is_none() && !state.ended
        };
        let patience = match self.paused_at {
            None => BEFORE_PAUSE,
            Some(_) => WHILE_PAUSED,
        };
        if !self.shared.wait_while(patience, full) {
            self.go_on();
            return false;
        }
        // partitions assigned since are not paused yet
        let assignments = self.shared.lock().assignments;
        if self.paused_at != Some(assignments) {
            self.pause(assignments);
        }
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            let error = event.map(|message| self.keep(&message)).err();
            if let Some(error) = error {
                self.handle(error);
            }
        }
        true
    }

    fn pause(&mut self, assignments: u64) {
        let paused = self
            .consumer
            .assignment()
            .and_then(|list| self.consumer.pause(&list));
        match paused {
            Ok(()) => self.paused_at = Some(assignments),
            Err(source) => self.broken(source),
        }
    }

    fn go_on(&mut self) {
        if self.paused_at.take().is_none() {
            return;
        }
        let open: Vec<i32> = self.shared.lock().buffer.open().collect();
        if let Err(source) = self.consumer.resume(&self.list(open)) {
            self.broken(source);
        }
    }

    /// What librdkafka reports instead of a record.
    fn handle(&mut self, error: KafkaError) {
        let context = self.consumer.context();
        let code = match &error {
            KafkaError::PartitionEOF(partition) => {
                context.brokers_answer();
                self.shared.lock().buffer.reached_end(*partition);
                if self.bounded {
                    self.rest(*partition);
                }
                return;
            }
            KafkaError::MessageConsumptionFatal(_) => return self.broken(error),
            error => error.rdkafka_error_code(),
        };
        match code {
            Some(code) if is_refusal(code) => self.shared.fail(context.opener.refused(code)),
            Some(
                code @ (RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation),
            ) => self.look_for_gap(code == RDKafkaErrorCode::LogTruncation),
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition,
            ) => {
                self.log_once(&error);
                self.compare_identity();
            }
            // the context says these when they begin and when they end
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => {}
            _ => self.log_once(&error),
        }
    }

    /// Says an error that librdkafka mends by itself, once in half a minute.
    fn log_once(&mut self, error: &KafkaError) {
        let code = error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown);
        let recent = self
            .logged
            .is_some_and(|(last, at)| last == code && at.elapsed() < LOOK_AT_IDENTITY_EVERY);
        if !recent {
            self.logged = Some((code, Instant::now()));
            let topic = &self.topic;
            tracing::warn!(topic, %error, "kafka reports an error; reading goes on");
        }
    }

    /// librdkafka could not go on at an offset: a gap, unless the log holds the position after all
    /// (a leader that had just taken over); then the partitions are read on from there.
    fn look_for_gap(&self, truncated: bool) {
        let opener = &self.consumer.context().opener;
        let found = opener.patiently("look for a gap", || {
            let reached: Vec<(i32, i64)> = self.shared.lock().buffer.reached().collect();
            let numbers: Vec<i32> = reached.iter().map(|(number, _)| *number).collect();
            let logs = opener.logs(&self.consumer, &numbers)?;
            Ok(reached
                .into_iter()
                .find_map(|(number, offset)| opener.gap(number, offset, logs[&number], truncated)))
        });
        match found {
            Err(error) => self.shared.fail(error),
            Ok(Some(Some(gap))) => self.shared.fail(gap.into()),
            Ok(None) => {}
            Ok(Some(None)) => {
                let topic = &self.topic;
                tracing::warn!(topic, "the log holds the position after all; reading on");
                if let Err(source) = self.read_on() {
                    self.broken(source);
                }
            }
        }
    }

    /// Assigns the partitions anew where they are, what was buffered stays.
    fn read_on(&self) -> KafkaResult<()> {
        let reached: Vec<(i32, i64)> = self.shared.lock().buffer.reached().collect();
        let list = self.list_at(reached)?;
        self.consumer.incremental_unassign(&list)?;
        self.consumer.incremental_assign(&list)
    }

    /// Now and then makes sure that the topic is still the same one.
    fn look_at_identity(&mut self) {
        let due = self.identity_at.elapsed() >= LOOK_AT_IDENTITY_EVERY;
        if due && !self.consumer.context().are_brokers_away() {
            self.compare_identity();
        }
    }

    /// Ends the source when the topic was created again. Brokers that do not answer are no sign of
    /// that: the next look decides.
    fn compare_identity(&mut self) {
        self.identity_at = Instant::now();
        let opener = &self.consumer.context().opener;
        let Ok(now) = opener.identity_now(&self.consumer, LOOK_AT_IDENTITY) else {
            return;
        };
        let (before, reached) = {
            let state = self.shared.lock();
            let before = state.buffer.identity().map(str::to_owned);
            (before, state.buffer.reached().next())
        };
        let (Some(before), Some((number, stored))) = (before, reached) else {
            return;
        };
        if before == now {
            return;
        }
        let log = opener.logs(&self.consumer, &[number]).ok();
        let log = log.and_then(|logs| logs.get(&number).copied());
        let (start, end) = log.map_or((0, 0), |log| (log.start, log.end));
        let gap = opener.gap_of(
            number,
            GapFound::OtherIncarnation {
                stored,
                before,
                now,
                start,
                end,
            },
        );
        self.shared.fail(gap.into());
    }

    /// Does what the source asked for.
    fn serve_requests(&mut self) {
        let rewind = self.shared.lock().rewind.take();
        if let Some(answer) = rewind {
            let result = self.rewind();
            if result.is_err() {
                // whoever asked is told here; nothing comes after it
                self.shared.lock().ended = true;
            }
            // a source that asked and went away is told by `stop`
            let _ = answer.send(result);
        }
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit();
        }
    }

    /// Begins again at the stored positions.
    fn rewind(&mut self) -> Result<(), KafkaSourceError> {
        let failed = |source| KafkaSourceError::Broken {
            topic: self.topic.clone(),
            source,
        };
        let assigned = self.consumer.assignment().map_err(failed)?;
        let numbers: Vec<i32> = assigned
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        self.shared.lock().buffer.clear();
        if numbers.is_empty() {
            return Ok(());
        }
        self.consumer
            .incremental_unassign(&assigned)
            .map_err(failed)?;
        let context = self.consumer.context();
        let openings = context.opener.open_patiently(&self.consumer, &numbers);
        let (openings, result): (Openings, _) = match openings {
            Ok(openings) => (openings.unwrap_or_default(), Ok(())),
            Err(error) => (Openings::default(), Err(error)),
        };
        self.paused_at = None;
        context.begin(&self.consumer, openings).map_err(failed)?;
        result
    }

    /// Tells the group what was committed, for its lag tools; the answer comes by callback.
    fn commit(&mut self) {
        self.committed_at = Instant::now();
        let offsets = std::mem::take(&mut self.shared.lock().commit);
        if offsets.is_empty() {
            return;
        }
        let told = self
            .list_at(offsets)
            .and_then(|list| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = told {
            let topic = &self.topic;
            tracing::debug!(topic, %error, "the group could not be told our offsets");
        }
    }

    fn list(&self, numbers: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for number in numbers {
            list.add_partition(&self.topic, number);
        }
        list
    }

    fn list_at(
        &self,
        offsets: impl IntoIterator<Item = (i32, i64)>,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (number, offset) in offsets {
            list.add_partition_offset(&self.topic, number, Offset::Offset(offset))?;
        }
        Ok(list)
    }

    fn broken(&self, source: KafkaError) {
        self.shared.fail(KafkaSourceError::Broken {
            topic: self.topic.clone(),
            source,
        });
    }
}

/// What became of a record.
struct Kept {
    /// Whether a pull can grow no more.
    full: bool,
    /// The partition, where the record lies behind the end of a bounded read.
    done: Option<i32>,
}

/// A record's timestamp in microseconds; `None` where it is none that Postgres takes, such as one that
/// its producer gave in nanoseconds.
fn micros(millis: i64) -> Option<i64> {
    let micros = millis.checked_mul(1_000)?;
    (micros >= EARLIEST_MICROS).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_that_is_none_is_left_out() {
        assert_eq!(micros(1_700_000_000_000), Some(1_700_000_000_000_000));
        assert_eq!(micros(-1), Some(-1_000));
        // nanoseconds where milliseconds are meant
        assert_eq!(micros(1_700_000_000_000_000_000), None);
        assert_eq!(micros(i64::MIN), None);
        assert_eq!(micros(-300_000_000_000_000), None);
    }
}
