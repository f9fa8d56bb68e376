//! Why a run of a producer ended before its time.

use std::fmt;

use factmill_core::error::ErrorKind;
use factmill_core::source::{Classified, SharedError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a producer could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// librdkafka does not take the client's properties.
    #[error("the Kafka client refuses its settings; correct the kafka section of the profile")]
    Client(#[source] KafkaError),
    /// No broker answered.
    #[error("no Kafka broker answers at {brokers}; start it or correct the brokers of the profile")]
    Unreachable {
        /// The brokers tried.
        brokers: String,
        /// What librdkafka says.
        #[source]
        source: KafkaError,
    },
    /// The topic is missing and could not be created.
    #[error(
        "topic `{topic}` cannot be created: {code}; create it, or grant the right to create it"
    )]
    CreateTopic {
        /// The topic.
        topic: String,
        /// What the broker says.
        code: RDKafkaErrorCode,
    },
    /// The topic was created and its partitions did not come up.
    #[error(
        "topic `{topic}` has no partitions with leaders after {seconds} s; look at the broker's log"
    )]
    NoPartitions {
        /// The topic.
        topic: String,
        /// How long the runner waited.
        seconds: u64,
    },
    /// The topic has fewer partitions than there are events to skip for.
    #[error(
        "topic `{topic}` has {found} partitions, but partition {wanted} is said to hold events already"
    )]
    FewerPartitions {
        /// The topic.
        topic: String,
        /// Partitions of the topic.
        found: i32,
        /// The partition that is missing.
        wanted: i32,
    },
    /// An event was not stored.
    #[error("an event for topic `{topic}` was not stored; {}", Advice(.source))]
    Delivery {
        /// The topic.
        topic: String,
        /// What the broker says.
        #[source]
        source: KafkaError,
    },
    /// The source of events cannot go on.
    #[error("the source of events cannot go on")]
    Source(#[source] SharedError),
}

impl Classified for ProduceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(_) | Self::CreateTopic { .. } | Self::FewerPartitions { .. } => {
                ErrorKind::Configuration
            }
            Self::Unreachable { .. } | Self::NoPartitions { .. } => ErrorKind::Unreachable,
            Self::Delivery { source, .. } => match source.rdkafka_error_code().map(cause) {
                Some(Cause::Away) => ErrorKind::Unreachable,
                Some(Cause::Settings | Cause::Rights | Cause::Size) => ErrorKind::Configuration,
                Some(Cause::Other) | None => ErrorKind::Internal,
            },
            Self::Source(error) => error.kind(),
        }
    }
}

/// What stands behind an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No broker, or none that answers.
    Away,
    /// TLS or SASL do not fit.
    Settings,
    /// A right is missing.
    Rights,
    /// The event is larger than the broker takes.
    Size,
    Other,
}

pub(super) fn cause(code: RDKafkaErrorCode) -> Cause {
    use RDKafkaErrorCode as Code;
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::NetworkException => Cause::Away,
        Code::SSL
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism => Cause::Settings,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Cause::Rights,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Cause::Size,
        _ => Cause::Other,
    }
}

/// What to do about an error of librdkafka.
struct Advice<'a>(&'a KafkaError);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.rdkafka_error_code().map(cause) {
            Some(Cause::Away) => {
                "the broker stayed away too long: start it again and produce from there"
            }
            Some(Cause::Settings) => "correct the TLS or SASL settings of the profile",
            Some(Cause::Rights) => "grant the right to write to the topic",
            Some(Cause::Size) => {
                "raise `message.max.bytes` of topic and client, or send smaller events"
            }
            Some(Cause::Other) | None => "look at the broker's log",
        })
    }
}
