//! What a Kafka source is told: which brokers, which topic, from where, how much at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use factmill_core::epoch::Reader;
use factmill_core::position::SourceName;
use rdkafka::ClientConfig;

use super::error::KafkaSourceError;

/// Settings that exactly-once rests on; a configuration that names one of them is refused.
const RESERVED: [&str; 12] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.protocol",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "isolation.level",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "allow.auto.create.topics",
];

/// Kafka's own limit on the length of a topic's name.
const LONGEST_TOPIC: usize = 249;

/// How to reach the brokers.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// More librdkafka settings: TLS, SASL, time-outs. Values may be secret and are never shown.
    pub properties: BTreeMap<String, String>,
    /// What tells one incarnation of the topic from the next.
    pub identity: Identity,
    /// How long the first contact may take before the brokers count as unreachable.
    pub connect_timeout: Duration,
}

impl KafkaConfig {
    /// Plain brokers, told apart by their own ids, first contact within ten seconds.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            identity: Identity::Brokers,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys())
            .field("identity", &self.identity)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// What tells one incarnation of a topic from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// `<cluster id>/<topic id>` as the brokers tell them, so that a re-created topic is noticed.
    /// Brokers older than Kafka 2.8 have no topic ids: then it is `<cluster id>/<topic name>`, and
    /// a re-created topic is noticed only where its log does not reach the stored position.
    ///
    /// A stored position of another incarnation is a gap.
    Brokers,
    /// This one, for a broker whose topic ids say nothing: the embedded mock cluster begins anew
    /// with every start. Whoever gives it closes the incarnations before it in the position store,
    /// else their positions are gaps like any other.
    Given(String),
}

/// Where a job begins that has no stored position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that the log still has.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record of this time or later, microseconds since 1970 UTC.
    At(i64),
}

/// What is read, and how much at a time.
#[derive(Debug, Clone)]
pub struct KafkaRead {
    /// The source that models name.
    pub source: SourceName,
    /// The topic.
    pub topic: String,
    /// Where to begin without a stored position.
    pub start: Start,
    /// Whose positions; also names the consumer group.
    pub reader: Reader,
    /// Whether to end at the end that each partition had when it was assigned.
    pub bounded: bool,
    /// A pull holds at most this many records.
    pub max_rows: usize,
    /// A pull is closed once payloads, keys and headers reach this many bytes; one record may
    /// exceed it.
    pub max_bytes: usize,
    /// How long a pull that has something may wait to grow.
    pub max_wait: Duration,
}

impl KafkaRead {
    /// Checks what librdkafka would take in another sense or not at all.
    pub(super) fn check(&self) -> Result<(), KafkaSourceError> {
        // a leading `^` would make librdkafka subscribe to a pattern; Kafka refuses the rest
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let named = !matches!(self.topic.as_str(), "" | "." | "..");
        if named && self.topic.len() <= LONGEST_TOPIC && self.topic.bytes().all(legal) {
            Ok(())
        } else {
            Err(KafkaSourceError::TopicName {
                topic: self.topic.clone(),
            })
        }
    }
}

/// Bytes of one partition in an answer of a broker.
const LARGEST_OF_A_PARTITION: usize = 2 << 20;

/// The consumer's settings: those of the configuration over the defaults for one bounded process,
/// those that exactly-once rests on over all.
pub(super) fn client_config(
    config: &KafkaConfig,
    read: &KafkaRead,
) -> Result<ClientConfig, KafkaSourceError> {
    if let Some(name) = config
        .properties
        .keys()
        .find(|name| RESERVED.contains(&name.as_str()))
    {
        return Err(KafkaSourceError::ReservedProperty { name: name.clone() });
    }
    // what librdkafka reads ahead is no more than a pull
    let queued = (read.max_bytes >> 10).clamp(1 << 10, 16 << 10);
    let fetched = read.max_bytes.clamp(LARGEST_OF_A_PARTITION, 8 << 20);
    let mut client = ClientConfig::new();
    client
        .set("client.id", "factmill")
        .set("queued.max.messages.kbytes", queued.to_string())
        .set("fetch.max.bytes", fetched.to_string())
        // a larger message still comes, alone in its answer
        .set(
            "fetch.message.max.bytes",
            LARGEST_OF_A_PARTITION.to_string(),
        )
        // how long a full queue delays the next fetch; the default of 1 s starves a fast reader
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        // how long the partitions of a killed process wait for the next one; the default is 45 s
        .set("session.timeout.ms", "10000")
        .set("socket.keepalive.enable", "true")
        .set("statistics.interval.ms", "1000");
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", read.reader.consumer_group())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    Ok(client)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn read(topic: &str) -> KafkaRead {
        KafkaRead {
            source: SourceName::new("banking", "transactions"),
            topic: topic.into(),
            start: Start::Earliest,
            reader: Reader {
                target: "local".into(),
                job: "banking".into(),
            },
            bounded: false,
            max_rows: 10,
            max_bytes: 10,
            max_wait: Duration::ZERO,
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = KafkaConfig::new("127.0.0.1:9092");
        config
            .properties
            .insert("sasl.password".into(), "hunter2".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_exactly_once_rests_on_cannot_be_set() {
        for name in RESERVED {
            let mut config = KafkaConfig::new("127.0.0.1:9092");
            config.properties.insert(name.into(), "true".into());
            let refused = client_config(&config, &read("t")).err().unwrap();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }

    #[test]
    fn a_property_may_replace_a_default() {
        let mut config = KafkaConfig::new("127.0.0.1:9092");
        config
            .properties
            .insert("fetch.max.bytes".into(), "1000".into());
        let client = client_config(&config, &read("t")).unwrap();
        assert_eq!(client.get("fetch.max.bytes"), Some("1000"));
        assert_eq!(client.get("group.id"), Some("factmill.local.banking"));
    }

    #[test]
    fn only_names_that_kafka_allows_are_topics() {
        for good in ["bank_data", "a.b-c_9", &"x".repeat(249)] {
            assert!(read(good).check().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "^bank.*",
            "a b",
            "a\0b",
            "a;drop",
            "été",
            &"x".repeat(250),
        ] {
            assert!(read(bad).check().is_err(), "{bad}");
        }
    }
}
