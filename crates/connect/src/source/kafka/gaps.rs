//! Gaps of a topic, looked for without reading it, and the way on for a person who accepts them.

use std::collections::HashMap;
use std::sync::Arc;

use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, Position};
use factmill_core::source::PositionStore;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use tokio::runtime::Handle;

use super::buffer::{Buffer, partition_id};
use super::config::{self, KafkaConfig, KafkaRead};
use super::error::{Gap, GapFound, KafkaSourceError};
use super::opening::{Log, Opener, Place, REQUEST};
use super::shared::Shared;

/// What stored positions and a topic disagree about, and how reading goes on without what is lost.
#[derive(Debug)]
pub struct TopicGaps {
    /// One for each partition that has one, by number.
    pub gaps: Vec<Gap>,
    /// What follows from accepting them.
    pub way: Way,
}

/// How reading goes on once gaps are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Positions move over what is lost, to the first record of each log.
    Over(Vec<Interval>),
    /// Offsets that were read stand for other records now. The topic begins a new incarnation, in
    /// which its partitions are read from these offsets: those that were not cut where they stood.
    Renewed {
        /// What the brokers call the topic.
        identity: String,
        /// Next offsets.
        next: Vec<(PartitionId, i64)>,
    },
    /// Another topic of that name: read from where the job's file says.
    Anew {
        /// What the brokers call it.
        identity: String,
    },
}

impl TopicGaps {
    /// Holds stored positions against the topic; `None` where reading would go on.
    ///
    /// # Errors
    /// Configuration that Kafka refuses, brokers that do not answer, a topic that does not exist.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn find(
        config: &KafkaConfig,
        read: KafkaRead,
        positions: Arc<dyn PositionStore>,
    ) -> Result<Option<Self>, KafkaSourceError> {
        read.check()?;
        let client = config::client_config(config, &read)?;
        let stopped = KafkaSourceError::Stopped {
            topic: read.topic.clone(),
        };
        let buffer = Buffer::new(read.source.clone(), true, read.max_rows, read.max_bytes);
        let opener = Opener {
            read,
            brokers: config.brokers.clone(),
            identity: config.identity.clone(),
            positions,
            runtime: Handle::current(),
            shared: Arc::new(Shared::new(buffer)),
        };
        let looked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = client
                .create()
                .map_err(|source| KafkaSourceError::client(&opener.brokers, source))?;
            look(&opener, &consumer)
        });
        looked.await.unwrap_or(Err(stopped))
    }
}

fn look<C: ConsumerContext>(
    opener: &Opener,
    consumer: &BaseConsumer<C>,
) -> Result<Option<TopicGaps>, KafkaSourceError> {
    let source = &opener.read.source;
    let numbers = opener.partitions(consumer)?;
    if numbers.is_empty() {
        return Err(KafkaSourceError::NoTopic {
            topic: opener.read.topic.clone(),
            brokers: opener.brokers.clone(),
        });
    }
    let identity = opener.identity_now(consumer, REQUEST)?;
    let logs = opener.logs(consumer, &numbers)?;
    let ids: Vec<PartitionId> = numbers
        .iter()
        .map(|&number| partition_id(source, number))
        .collect();
    let stored = opener.ask_store(opener.positions.positions(&ids))?;
    let mut gaps = found(&opener.read, &stored, &identity, &logs);
    gaps.sort_by_key(|gap| gap.partition);
    if gaps.is_empty() {
        return Ok(None);
    }
    let way = way(&gaps, &opener.read, &stored, identity, &logs);
    Ok(Some(TopicGaps { gaps, way }))
}

/// The gap of each partition that has one.
fn found(
    read: &KafkaRead,
    stored: &HashMap<PartitionId, Position>,
    identity: &str,
    logs: &HashMap<i32, Log>,
) -> Vec<Gap> {
    let started = stored
        .values()
        .any(|position| position.incarnation.identity == identity);
    let now = Incarnation {
        ordinal: 0,
        identity: identity.to_owned(),
    };
    let gap = |(&number, &log): (&i32, &Log)| {
        let place = Place {
            read,
            number,
            incarnation: &now,
            log,
        };
        let found = place.gap(stored.get(&partition_id(&read.source, number)), started)?;
        Some(Gap {
            reader: read.reader.clone(),
            topic: read.topic.clone(),
            partition: number,
            found,
        })
    };
    logs.iter().filter_map(gap).collect()
}

fn way(
    gaps: &[Gap],
    read: &KafkaRead,
    stored: &HashMap<PartitionId, Position>,
    identity: String,
    logs: &HashMap<i32, Log>,
) -> Way {
    let is_other = |gap: &Gap| matches!(gap.found, GapFound::OtherIncarnation { .. });
    if gaps.iter().any(is_other) {
        return Way::Anew { identity };
    }
    let is_cut = |gap: &Gap| matches!(gap.found, GapFound::BeyondEnd { .. });
    if gaps.iter().any(is_cut) {
        let mut next: Vec<_> = logs
            .iter()
            .filter_map(|(&number, log)| {
                let partition = partition_id(&read.source, number);
                let offset = stored.get(&partition)?.cursor.offset()?;
                Some((partition, offset.clamp(log.start, log.end)))
            })
            .collect();
        next.sort();
        return Way::Renewed { identity, next };
    }
    // each has a position of this incarnation, or another partition has
    let incarnation = stored.values().map(|position| &position.incarnation);
    let incarnation = incarnation.max_by_key(|incarnation| incarnation.ordinal);
    let over = gaps.iter().filter_map(|gap| {
        let partition = partition_id(&read.source, gap.partition);
        let from = stored
            .get(&partition)
            .map(|position| position.cursor.clone());
        let to = Cursor::Offset(logs[&gap.partition].start);
        Interval::new(partition, incarnation?.clone(), from, to).ok()
    });
    Way::Over(over.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::time::Duration;

    use factmill_core::epoch::Reader;
    use factmill_core::position::SourceName;

    use super::super::config::Start;
    use super::*;

    fn read() -> KafkaRead {
        KafkaRead {
            source: SourceName::new("banking", "transactions"),
            topic: "bank_data".into(),
            start: Start::Earliest,
            reader: Reader {
                target: "local".into(),
                job: "banking".into(),
            },
            bounded: true,
            max_rows: 1,
            max_bytes: 1,
            max_wait: Duration::ZERO,
        }
    }

    fn id(number: i32) -> PartitionId {
        partition_id(&read().source, number)
    }

    fn incarnation(identity: &str) -> Incarnation {
        Incarnation {
            ordinal: 1,
            identity: identity.into(),
        }
    }

    /// The way on from these positions (partition, offset) of `identity`, when the topic is `c/now` and
    /// each of its logs is `[10, 90)`.
    fn on(identity: &str, positions: &[(i32, i64)], partitions: i32) -> Option<(usize, Way)> {
        let stored: HashMap<_, _> = positions
            .iter()
            .map(|&(number, offset)| {
                let position = Position {
                    incarnation: incarnation(identity),
                    cursor: Cursor::Offset(offset),
                };
                (id(number), position)
            })
            .collect();
        let log = Log { start: 10, end: 90 };
        let logs: HashMap<i32, Log> = (0..partitions).map(|number| (number, log)).collect();
        let mut gaps = found(&read(), &stored, "c/now", &logs);
        gaps.sort_by_key(|gap| gap.partition);
        (!gaps.is_empty()).then(|| {
            let way = way(&gaps, &read(), &stored, "c/now".into(), &logs);
            (gaps.len(), way)
        })
    }

    #[test]
    fn positions_within_their_logs_are_no_gap() {
        assert_eq!(on("c/now", &[(0, 10), (1, 90)], 2), None);
        assert_eq!(on("c/now", &[], 2), None, "the job has not begun");
    }

    #[test]
    fn what_is_lost_at_the_start_is_passed_over_and_the_rest_stays() {
        let (gaps, way) = on("c/now", &[(0, 5), (1, 50)], 3).unwrap();
        let over = |number, from: Option<i64>| {
            let from = from.map(Cursor::Offset);
            Interval::new(id(number), incarnation("c/now"), from, Cursor::Offset(10)).unwrap()
        };
        // the third appeared later, and its first records are gone already
        assert_eq!(gaps, 2);
        assert_eq!(way, Way::Over(vec![over(0, Some(5)), over(2, None)]));
    }

    #[test]
    fn offsets_that_stand_for_other_records_belong_to_a_new_incarnation() {
        let (gaps, way) = on("c/now", &[(0, 95), (1, 50)], 2).unwrap();
        let next = vec![(id(0), 90), (id(1), 50)];
        let identity = "c/now".to_owned();
        assert_eq!((gaps, way), (1, Way::Renewed { identity, next }));
    }

    #[test]
    fn another_topic_of_that_name_is_read_anew() {
        let (gaps, way) = on("c/before", &[(0, 50), (1, 50)], 2).unwrap();
        let identity = "c/now".to_owned();
        assert_eq!((gaps, way), (2, Way::Anew { identity }));
    }
}
