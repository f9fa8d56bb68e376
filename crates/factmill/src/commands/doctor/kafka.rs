//! Brokers and the topics that jobs read.

use std::time::Duration;

use factmill_project::Job;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::report::Report;
use crate::config::Kafka;

/// How long the brokers may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(8);

/// A topic whose largest message is smaller than this may refuse events that are merely long.
const SMALL_MESSAGES: u64 = 1_000_000;

/// Checks the brokers and the topics of these jobs.
pub(super) async fn examine(kafka: &Kafka, jobs: &[&Job]) -> Report {
    let mut report = Report::of("kafka");
    let topics = jobs
        .iter()
        .flat_map(|job| &job.sources)
        .filter_map(|source| source.origin.topic());
    let mut topics: Vec<String> = topics.map(str::to_owned).collect();
    topics.sort();
    topics.dedup();
    let (client, asked) = (kafka.client(), topics.clone());
    let metadata = tokio::task::spawn_blocking(move || look(&client, &asked)).await;
    let looked = match metadata {
        Ok(Ok(looked)) => looked,
        Ok(Err(error)) => {
            let found = format!("{}: {error}", kafka.brokers);
            report.unreachable("brokers", found, mend_unreachable(&error));
            return report;
        }
        Err(error) => {
            report.failed(
                "brokers",
                error.to_string(),
                "report this; the check itself failed",
            );
            return report;
        }
    };
    report.ok(
        "brokers",
        format!("{} at {}", looked.brokers, kafka.brokers),
    );
    for topic in &looked.topics {
        let check = format!("topic {}", topic.name);
        match &topic.partitions {
            Ok(0) | Err(RDKafkaErrorCode::UnknownTopicOrPartition) => report.warning(
                check,
                "does not exist yet",
                format!(
                    "create it, or let the producer do so: kafka-topics --create --topic {}",
                    topic.name
                ),
            ),
            Ok(partitions) => report.ok(check, format!("{partitions} partitions")),
            Err(error) => report.failed(
                check,
                error.to_string(),
                "give the user the right to describe and read it",
            ),
        }
    }
    message_sizes(kafka, &looked, &mut report).await;
    report
}

struct Looked {
    brokers: usize,
    topics: Vec<Topic>,
}

struct Topic {
    name: String,
    partitions: Result<usize, RDKafkaErrorCode>,
}

fn look(client: &rdkafka::ClientConfig, topics: &[String]) -> Result<Looked, KafkaError> {
    let mut client = client.clone();
    // Asking for a topic must not make it.
    client.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = client.create()?;
    let brokers = consumer.fetch_metadata(None, PATIENCE)?.brokers().len();
    let mut found = Vec::with_capacity(topics.len());
    for name in topics {
        let metadata = consumer.fetch_metadata(Some(name), PATIENCE)?;
        let partitions = match metadata.topics().first() {
            Some(topic) => match topic.error() {
                Some(error) => Err(RDKafkaErrorCode::from(error)),
                None => Ok(topic.partitions().len()),
            },
            None => Ok(0),
        };
        found.push(Topic {
            name: name.clone(),
            partitions,
        });
    }
    Ok(Looked {
        brokers,
        topics: found,
    })
}

/// The largest message of each topic: one that is larger than what the topic takes is lost to its
/// sender, so the place to look at is here.
async fn message_sizes(kafka: &Kafka, looked: &Looked, report: &mut Report) {
    let there: Vec<&str> = looked
        .topics
        .iter()
        .filter(|topic| matches!(topic.partitions, Ok(1..)))
        .map(|topic| &*topic.name)
        .collect();
    if there.is_empty() {
        return;
    }
    let admin: AdminClient<DefaultClientContext> = match kafka.client().create() {
        Ok(admin) => admin,
        Err(error) => {
            report.warning("message sizes", error.to_string(), "see the brokers' log");
            return;
        }
    };
    let resources: Vec<_> = there
        .iter()
        .map(|topic| ResourceSpecifier::Topic(topic))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = match admin.describe_configs(&resources, &options).await {
        Ok(described) => described,
        Err(error) => {
            report.warning(
                "message sizes",
                error.to_string(),
                "give the user the right to describe configurations",
            );
            return;
        }
    };
    for (topic, described) in there.iter().zip(described) {
        let check = format!("topic {topic}, max.message.bytes");
        let found = described.ok().and_then(|resource| {
            let entry = resource.get("max.message.bytes")?;
            entry.value.as_ref()?.parse::<u64>().ok()
        });
        match found {
            Some(bytes) if bytes < SMALL_MESSAGES => report.warning(
                check,
                format!("{bytes}: longer events are refused"),
                format!("raise it: kafka-configs --alter --topic {topic} --add-config max.message.bytes=5242880"),
            ),
            Some(bytes) => report.ok(check, bytes.to_string()),
            None => report.warning(check, "the brokers do not tell", "give the user the right to describe configurations"),
        }
    }
}

fn mend_unreachable(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
            "check `sasl` of the profile: mechanism, username, password"
        }
        Some(RDKafkaErrorCode::SSL) => {
            "check `tls` of the profile: ca_file, and whether the port speaks TLS"
        }
        _ => {
            "start the brokers, or correct `kafka.brokers` of the profile; a port that wants TLS or SASL looks the same"
        }
    }
}
