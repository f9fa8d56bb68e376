//! What can go wrong with a Kafka source, and what it means for the run.

use std::time::Duration;

use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{Classified, SharedError};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// A Kafka source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    /// A setting that exactly-once rests on.
    #[error("kafka property `{name}` is set by factmill itself; remove it from the profile")]
    ReservedProperty {
        /// The property.
        name: String,
    },
    /// librdkafka refuses a setting; its value is not shown, it may be secret.
    #[error("kafka property `{name}` has an unknown name or a value that librdkafka refuses")]
    Property {
        /// The property.
        name: String,
    },
    /// No name of a topic.
    #[error(
        "`{topic}` is no topic name: kafka allows 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`"
    )]
    TopicName {
        /// The name as declared.
        topic: String,
    },
    /// The client could not be made.
    #[error("kafka client for {brokers} could not be created")]
    Client {
        /// The brokers asked.
        brokers: String,
        /// librdkafka's reason.
        source: KafkaError,
    },
    /// No broker answered.
    #[error(
        "kafka brokers {brokers} did not answer within {waited:?}{reason}; check that they run and that `brokers` names them"
    )]
    Unreachable {
        /// The brokers asked.
        brokers: String,
        /// How long they were waited for.
        waited: Duration,
        /// `: <what librdkafka said last>`, or empty.
        reason: String,
        /// librdkafka's reason.
        source: Box<KafkaError>,
    },
    /// The brokers refuse this client.
    #[error(
        "kafka brokers {brokers} refuse access: {reason}; check user, password, certificates and rights"
    )]
    Refused {
        /// The brokers asked.
        brokers: String,
        /// librdkafka's reason.
        reason: String,
    },
    /// A bounded read of a topic that is not there.
    #[error("topic `{topic}` does not exist on {brokers}; create it or produce to it first")]
    NoTopic {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// Records between the stored position and what the server has are lost or not the same.
    #[error(transparent)]
    Gap(#[from] Box<Gap>),
    /// The positions could not be read.
    #[error("stored positions of {source_name} could not be read")]
    Positions {
        /// The source.
        source_name: SourceName,
        /// The store's error.
        source: SharedError,
    },
    /// A request to the brokers failed; it may succeed later.
    #[error("kafka topic `{topic}`: {request} failed")]
    Request {
        /// The topic.
        topic: String,
        /// What was asked.
        request: &'static str,
        /// librdkafka's reason.
        source: KafkaError,
    },
    /// librdkafka cannot go on.
    #[error("kafka topic `{topic}` cannot be read any more")]
    Broken {
        /// The topic.
        topic: String,
        /// librdkafka's reason.
        source: KafkaError,
    },
    /// The system gave no thread.
    #[error("the reading thread could not be started")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
    /// The reading thread is gone.
    #[error("the reader of kafka topic `{topic}` has stopped")]
    Stopped {
        /// The topic.
        topic: String,
    },
}

impl Classified for KafkaSourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ReservedProperty { .. }
            | Self::Property { .. }
            | Self::TopicName { .. }
            | Self::Refused { .. }
            | Self::NoTopic { .. } => ErrorKind::Configuration,
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::Gap(_) => ErrorKind::Gap,
            Self::Positions { source, .. } => source.kind(),
            Self::Request { .. } => ErrorKind::Transient,
            Self::Client { .. }
            | Self::Broken { .. }
            | Self::Thread { .. }
            | Self::Stopped { .. } => ErrorKind::Internal,
        }
    }
}

impl KafkaSourceError {
    /// An error of making the client. [`KafkaError::ClientConfig`] shows the value, which may be a
    /// password, so only the name is kept.
    pub(super) fn client(brokers: &str, source: KafkaError) -> Self {
        match source {
            KafkaError::ClientConfig(_, _, name, _) => Self::Property { name },
            source => Self::Client {
                brokers: brokers.to_owned(),
                source,
            },
        }
    }

    /// Whether the same attempt may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        self.kind() == ErrorKind::Transient
    }
}

/// Whether a code says that the brokers know this client and refuse it.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

/// A stored position that the topic does not reach any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic `{topic}` partition {partition}: {found}; nothing is skipped in silence: bring the records \
     back, or accept their loss: factmill positions {} accept-gap --profile {}",
    .reader.job, .reader.target
)]
pub struct Gap {
    /// Whose position it is.
    pub reader: Reader,
    /// The topic.
    pub topic: String,
    /// Kafka's number of the partition.
    pub partition: i32,
    /// How position and log disagree.
    pub found: GapFound,
}

/// How a stored position and the log disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GapFound {
    /// Retention or a deletion took records that were not read.
    #[error(
        "stored position {stored} lies before the log's start {start} (its end is {end}), records in between are gone"
    )]
    BeforeStart {
        /// Next offset to read.
        stored: i64,
        /// First offset of the log.
        start: i64,
        /// Offset behind the last stable record.
        end: i64,
    },
    /// The log lost records that were read: an unclean leader election, a restored disk.
    #[error(
        "stored position {stored} lies beyond the log's end {end} (its start is {start}), records that were read are gone from the log"
    )]
    BeyondEnd {
        /// Next offset to read.
        stored: i64,
        /// First offset of the log.
        start: i64,
        /// Offset behind the last stable record.
        end: i64,
    },
    /// Records that were read were replaced by others under the same offsets.
    #[error(
        "the log was cut back below position {stored} and written again (log start {start}, end {end}), as after an unclean leader election"
    )]
    Truncated {
        /// Next offset to read.
        stored: i64,
        /// First offset of the log.
        start: i64,
        /// Offset behind the last stable record.
        end: i64,
    },
    /// The topic was created again, or this is another cluster.
    #[error(
        "stored position {stored} belongs to `{before}`, the topic is `{now}` now (log start {start}, end {end}): it was created again, or this is another cluster"
    )]
    OtherIncarnation {
        /// Next offset to read, counted in the earlier incarnation.
        stored: i64,
        /// Identity of the incarnation that the position belongs to.
        before: String,
        /// Identity of the topic as it is.
        now: String,
        /// First offset of the log.
        start: i64,
        /// Offset behind the last stable record.
        end: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_names_place_limits_and_ways_out() {
        let gap = Gap {
            reader: Reader {
                target: "prod".into(),
                job: "banking".into(),
            },
            topic: "bank_data".into(),
            partition: 3,
            found: GapFound::BeforeStart {
                stored: 5,
                start: 70,
                end: 90,
            },
        };
        let message = gap.to_string();
        for part in [
            "`bank_data`",
            "partition 3",
            "position 5",
            "start 70",
            "end is 90",
            "factmill positions banking accept-gap --profile prod",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(KafkaSourceError::from(Box::new(gap)).kind(), ErrorKind::Gap);
    }

    #[test]
    fn a_refused_value_is_not_shown() {
        let source = KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "bad value hunter2".into(),
            "sasl.password".into(),
            "hunter2".into(),
        );
        let error = KafkaSourceError::client("127.0.0.1:9092", source);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(error.to_string().contains("sasl.password"));
    }
}
