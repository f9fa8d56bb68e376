//! Where each assigned partition is read from: the stored position, held against what the brokers
//! have now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use factmill_core::position::{Incarnation, PartitionId, Position};
use factmill_core::source::{BoxedError, PositionStore};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Handle;

use super::buffer::{Opening, partition_id};
use super::config::{Identity, KafkaRead, Start};
use super::error::{Gap, GapFound, KafkaSourceError, is_refusal};
use super::native;
use super::shared::Shared;

/// How long one request to the brokers may take.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

/// What a partition's log holds: offsets of its first record and behind its last stable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// First positions, found in one look.
#[derive(Debug, Default)]
pub(super) struct Openings {
    pub(super) ours: Vec<Opening>,
    /// On a job's first start: the partitions that other processes read.
    pub(super) elsewhere: Vec<Opening>,
}

/// Finds first positions. Used on the polling thread only: it blocks.
pub(super) struct Opener {
    pub(super) read: KafkaRead,
    pub(super) brokers: String,
    pub(super) identity: Identity,
    pub(super) positions: Arc<dyn PositionStore>,
    pub(super) runtime: Handle,
    pub(super) shared: Arc<Shared>,
}

impl Opener {
    /// [`Opener::open`], tried again until it succeeds, fails for good, or the source is dropped
    /// (`None`). The group's time limit for polling goes on: a store that is away for longer costs
    /// the assignment, not the run.
    pub(super) fn open_patiently<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        numbers: &[i32],
    ) -> Result<Option<Openings>, KafkaSourceError> {
        self.patiently("find the positions to read from", || {
            self.open(consumer, numbers)
        })
    }

    /// Does `attempt` until it succeeds, fails for good, or the source is dropped (`None`).
    pub(super) fn patiently<T>(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> Result<T, KafkaSourceError>,
    ) -> Result<Option<T>, KafkaSourceError> {
        let topic = &self.read.topic;
        let mut failures = 0;
        while !self.shared.is_stopping() {
            match attempt() {
                Ok(value) => {
                    if failures > 0 {
                        tracing::info!(topic, attempts = failures + 1, "{what}: done");
                    }
                    return Ok(Some(value));
                }
                Err(error) if error.is_transient() => {
                    failures += 1;
                    if failures == 1 {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(topic, %error, cause, "{what}: trying again");
                    }
                    self.shared
                        .wait_while(factmill_core::error::backoff(failures), |_| true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Where to read the partitions `numbers` from.
    ///
    /// # Errors
    /// A gap where a stored position is not on the server any more; transient errors of the store
    /// and of the brokers.
    fn open<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        numbers: &[i32],
    ) -> Result<Openings, KafkaSourceError> {
        if numbers.is_empty() {
            return Ok(Openings::default());
        }
        let identity = self.identity_now(consumer, REQUEST)?;
        let source = &self.read.source;
        let incarnation = self.ask_store(self.positions.incarnation(source, &identity))?;
        let mut all = self.partitions(consumer)?;
        all.extend(numbers);
        all.sort_unstable();
        all.dedup();
        let ids: Vec<PartitionId> = all
            .iter()
            .map(|&number| partition_id(source, number))
            .collect();
        let stored = self.ask_store(self.positions.positions(&ids))?;
        let started = stored
            .values()
            .any(|position| position.incarnation.identity == identity);
        let (ours, others): (Vec<i32>, Vec<i32>) =
            all.into_iter().partition(|number| numbers.contains(number));
        // a job that has positions already has told those of its other partitions
        let others = if started { Vec::new() } else { others };
        let wanted: Vec<i32> = ours.iter().chain(&others).copied().collect();
        let logs = self.logs(consumer, &wanted)?;
        let unstored = |number: &i32| !stored.contains_key(&partition_id(source, *number));
        let by_time = match self.read.start {
            Start::At(micros) if !started && wanted.iter().any(unstored) => {
                self.offsets_at(consumer, &wanted, micros)?
            }
            _ => HashMap::new(),
        };
        let open = |number: i32| {
            let place = Place {
                read: &self.read,
                number,
                incarnation: &incarnation,
                log: logs[&number],
            };
            let at_time = by_time.get(&number).copied();
            place.opening(stored.get(&partition_id(source, number)), started, at_time)
        };
        Ok(Openings {
            ours: ours
                .into_iter()
                .map(open)
                .collect::<Result<_, Box<Gap>>>()?,
            elsewhere: others
                .into_iter()
                .map(open)
                .collect::<Result<_, Box<Gap>>>()?,
        })
    }

    /// What the brokers call the topic's incarnation now; asked for `patience` at most, twice.
    pub(super) fn identity_now<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        patience: Duration,
    ) -> Result<String, KafkaSourceError> {
        let client = consumer.client();
        match &self.identity {
            Identity::Given(identity) => Ok(identity.clone()),
            Identity::Brokers => {
                let topic = &self.read.topic;
                let id = native::topic_id(client, topic, patience)
                    .map_err(|source| self.request("topic id", source))?;
                // brokers that have no id for their cluster do not answer; those that are away
                // neither, so it must not be taken for an identity
                let cluster = client
                    .fetch_cluster_id(patience)
                    .ok_or_else(|| self.request("cluster id", KafkaError::NoMessageReceived))?;
                Ok(format!("{cluster}/{}", id.as_deref().unwrap_or(topic)))
            }
        }
    }

    /// The log of each partition: its start, and its end for a reader of committed records.
    pub(super) fn logs<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        numbers: &[i32],
    ) -> Result<HashMap<i32, Log>, KafkaSourceError> {
        numbers
            .iter()
            .map(|&number| {
                let (start, end) = consumer
                    .fetch_watermarks(&self.read.topic, number, REQUEST)
                    .map_err(|source| self.request("watermarks", source))?;
                Ok((number, Log { start, end }))
            })
            .collect()
    }

    /// The gap between what a running read reached and the log, if there is one.
    pub(super) fn gap(
        &self,
        number: i32,
        reached: i64,
        log: Log,
        truncated: bool,
    ) -> Option<Box<Gap>> {
        let Log { start, end } = log;
        let stored = reached;
        let found = if stored < start {
            GapFound::BeforeStart { stored, start, end }
        } else if stored > end {
            GapFound::BeyondEnd { stored, start, end }
        } else if truncated {
            GapFound::Truncated { stored, start, end }
        } else {
            return None;
        };
        Some(self.gap_of(number, found))
    }

    /// A gap of this job and topic.
    pub(super) fn gap_of(&self, number: i32, found: GapFound) -> Box<Gap> {
        gap(&self.read, number, found)
    }

    /// The numbers of the topic's partitions.
    pub(super) fn partitions<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<Vec<i32>, KafkaSourceError> {
        let metadata = consumer
            .fetch_metadata(Some(&self.read.topic), REQUEST)
            .map_err(|source| self.request("metadata", source))?;
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.id()).collect())
    }

    /// The first offset of a time or later, by partition; none where all records are older.
    fn offsets_at<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        numbers: &[i32],
        micros: i64,
    ) -> Result<HashMap<i32, i64>, KafkaSourceError> {
        // Kafka counts milliseconds; a record of the millisecond before is older
        let millis = micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0);
        let failed = |source| self.request("offsets of a time", source);
        let mut times = TopicPartitionList::new();
        for &number in numbers {
            times
                .add_partition_offset(&self.read.topic, number, Offset::Offset(millis.max(0)))
                .map_err(failed)?;
        }
        let found = consumer.offsets_for_times(times, REQUEST).map_err(failed)?;
        let mut offsets = HashMap::new();
        for element in found.elements() {
            element.error().map_err(failed)?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// Runs a request to the position store, given up when the source is dropped.
    pub(super) fn ask_store<T>(
        &self,
        request: impl Future<Output = Result<T, BoxedError>>,
    ) -> Result<T, KafkaSourceError> {
        self.runtime.block_on(async {
            tokio::select! {
                answer = request => answer.map_err(|error| KafkaSourceError::Positions {
                    source_name: self.read.source.clone(),
                    source: error.into(),
                }),
                () = self.shared.stopped() => Err(KafkaSourceError::Stopped {
                    topic: self.read.topic.clone(),
                }),
            }
        })
    }

    /// The error of a request to the brokers.
    pub(super) fn request(&self, request: &'static str, source: KafkaError) -> KafkaSourceError {
        let code = match &source {
            KafkaError::AdminOp(code) => Some(*code),
            source => source.rdkafka_error_code(),
        };
        match code {
            Some(code) if is_refusal(code) => self.refused(code),
            _ => KafkaSourceError::Request {
                topic: self.read.topic.clone(),
                request,
                source,
            },
        }
    }

    /// The error of a client that the brokers refuse.
    pub(super) fn refused(&self, code: RDKafkaErrorCode) -> KafkaSourceError {
        KafkaSourceError::Refused {
            brokers: self.brokers.clone(),
            reason: code.to_string(),
        }
    }
}

fn gap(read: &KafkaRead, partition: i32, found: GapFound) -> Box<Gap> {
    Box::new(Gap {
        reader: read.reader.clone(),
        topic: read.topic.clone(),
        partition,
        found,
    })
}

/// A partition as it is now.
pub(super) struct Place<'a> {
    pub(super) read: &'a KafkaRead,
    pub(super) number: i32,
    pub(super) incarnation: &'a Incarnation,
    pub(super) log: Log,
}

impl Place<'_> {
    /// Where to read it from.
    ///
    /// `started` says whether the job has a position of any partition of this incarnation: a
    /// partition without one appeared later, and begins at 0. `at_time` is the first offset of the
    /// declared start time.
    fn opening(
        &self,
        stored: Option<&Position>,
        started: bool,
        at_time: Option<i64>,
    ) -> Result<Opening, Box<Gap>> {
        if let Some(found) = self.gap(stored, started) {
            return Err(gap(self.read, self.number, found));
        }
        let Log { start, end } = self.log;
        let stored = stored.and_then(|position| position.cursor.offset());
        let first = match (stored, started) {
            (Some(offset), _) => offset,
            (None, true) => 0,
            (None, false) => match self.read.start {
                Start::Earliest => start,
                Start::Latest => end,
                Start::At(_) => at_time.unwrap_or(end),
            },
        };
        Ok(Opening {
            number: self.number,
            incarnation: self.incarnation.clone(),
            stored,
            start: first,
            end,
        })
    }

    /// How its stored position and its log disagree, if they do; `started` as for [`Place::opening`].
    pub(super) fn gap(&self, stored: Option<&Position>, started: bool) -> Option<GapFound> {
        let Log { start, end } = self.log;
        let now = &self.incarnation.identity;
        // a token is no position of a topic: nothing is stored
        let offset = stored.and_then(|position| Some((position, position.cursor.offset()?)));
        let stored = match offset {
            Some((position, stored)) if position.incarnation.identity != *now => {
                return Some(GapFound::OtherIncarnation {
                    stored,
                    before: position.incarnation.identity.clone(),
                    now: now.clone(),
                    start,
                    end,
                });
            }
            Some((_, stored)) => stored,
            None if started => 0,
            None => return None,
        };
        if stored < start {
            Some(GapFound::BeforeStart { stored, start, end })
        } else if stored > end {
            Some(GapFound::BeyondEnd { stored, start, end })
        } else {
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;
    use factmill_core::epoch::Reader;
    use factmill_core::position::{Cursor, SourceName};

    fn incarnation(identity: &str) -> Incarnation {
        Incarnation {
            ordinal: 1,
            identity: identity.into(),
        }
    }

    fn position(identity: &str, offset: i64) -> Position {
        Position {
            incarnation: incarnation(identity),
            cursor: Cursor::Offset(offset),
        }
    }

    /// The opening of a partition whose log is `[10, 90)` in incarnation `c/now`.
    fn open(
        start: Start,
        stored: Option<Position>,
        started: bool,
        at_time: Option<i64>,
    ) -> Result<(Option<i64>, i64), GapFound> {
        let read = KafkaRead {
            source: SourceName::new("banking", "transactions"),
            topic: "bank_data".into(),
            start,
            reader: Reader {
                target: "local".into(),
                job: "banking".into(),
            },
            bounded: false,
            max_rows: 1,
            max_bytes: 1,
            max_wait: Duration::ZERO,
        };
        let place = Place {
            read: &read,
            number: 0,
            incarnation: &incarnation("c/now"),
            log: Log { start: 10, end: 90 },
        };
        place
            .opening(stored.as_ref(), started, at_time)
            .map(|opening| (opening.stored, opening.start))
            .map_err(|gap| gap.found)
    }

    #[test]
    fn without_a_position_the_declared_start_counts() {
        let first = |start, at| open(start, None, false, at).unwrap();
        assert_eq!(first(Start::Earliest, None), (None, 10));
        assert_eq!(first(Start::Latest, None), (None, 90));
        assert_eq!(first(Start::At(5), Some(33)), (None, 33));
        assert_eq!(
            first(Start::At(5), None),
            (None, 90),
            "all records are older"
        );
    }

    #[test]
    fn a_stored_position_within_the_log_is_where_reading_goes_on() {
        for offset in [10, 50, 90] {
            let stored = Some(position("c/now", offset));
            let opened = open(Start::Latest, stored, true, None);
            assert_eq!(opened, Ok((Some(offset), offset)));
        }
    }

    #[test]
    fn a_stored_position_outside_the_log_is_a_gap() {
        let at = |offset| {
            let stored = Some(position("c/now", offset));
            open(Start::Earliest, stored, true, None).unwrap_err()
        };
        let (start, end) = (10, 90);
        assert_eq!(
            at(9),
            GapFound::BeforeStart {
                stored: 9,
                start,
                end
            }
        );
        assert_eq!(
            at(91),
            GapFound::BeyondEnd {
                stored: 91,
                start,
                end
            }
        );
    }

    #[test]
    fn another_incarnation_is_a_gap_even_where_offsets_overlap() {
        let stored = || Some(position("c/before", 50));
        let found = open(Start::Earliest, stored(), false, None).unwrap_err();
        assert!(matches!(
            found,
            GapFound::OtherIncarnation { stored: 50, .. }
        ));
    }

    #[test]
    fn a_partition_that_appeared_later_is_read_whole_or_not_at_all() {
        let found = open(Start::Latest, None, true, None).unwrap_err();
        assert!(
            matches!(
                found,
                GapFound::BeforeStart {
                    stored: 0,
                    start: 10,
                    ..
                }
            ),
            "its first records are gone already"
        );
    }
}
