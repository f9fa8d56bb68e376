//! The topic that events go to, created when it is missing.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::ProduceConfig;
use super::delivery;
use super::error::ProduceError;

/// How long a broker may take to answer, and a new topic to come up.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Logs as the producer does.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        delivery::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports");
    }
}

/// The number of partitions of the topic, all with leaders; creates the topic first if need be.
pub(super) async fn ensure(config: &ProduceConfig) -> Result<i32, ProduceError> {
    let client = AdminClient::from_config_and_context(&config.plain_client(), Quiet)
        .map_err(ProduceError::Client)?;
    // Metadata comes from blocking calls.
    let (client, found) = partitions(client, config).await;
    if let Some(partitions) = found? {
        return Ok(partitions);
    }
    create(&client, config).await?;
    let created = Instant::now();
    let mut client = client;
    while created.elapsed() < PATIENCE {
        let found;
        (client, found) = partitions(client, config).await;
        if let Some(partitions) = found? {
            return Ok(partitions);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(ProduceError::NoPartitions {
        topic: config.topic.clone(),
        seconds: PATIENCE.as_secs(),
    })
}

/// The partitions of the topic; `None` while it is missing or a partition has no leader.
///
/// All topics are asked for: a question for one topic by name may create it.
async fn partitions(
    client: AdminClient<Quiet>,
    config: &ProduceConfig,
) -> (AdminClient<Quiet>, Result<Option<i32>, ProduceError>) {
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = client.inner().fetch_metadata(None, PATIENCE);
        (client, metadata)
    });
    let (client, metadata) = match asked.await {
        Ok(answer) => answer,
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    };
    let metadata = metadata.map_err(|source| ProduceError::Unreachable {
        brokers: config.brokers(),
        source,
    });
    let found = metadata.map(|metadata| {
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == config.topic)?;
        let led = topic
            .partitions()
            .iter()
            .filter(|partition| partition.leader() >= 0)
            .count();
        (led > 0 && led == topic.partitions().len()).then_some(led as i32)
    });
    (client, found)
}

async fn create(client: &AdminClient<Quiet>, config: &ProduceConfig) -> Result<(), ProduceError> {
    // The broker's own replication factor holds.
    let topic = NewTopic::new(
        &config.topic,
        config.partitions,
        TopicReplication::Fixed(-1),
    );
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    let refused = |code| ProduceError::CreateTopic {
        topic: config.topic.clone(),
        code,
    };
    let results = client
        .create_topics([&topic], &options)
        .await
        .map_err(|source| match source.rdkafka_error_code() {
            Some(code) => refused(code),
            None => ProduceError::Client(source),
        })?;
    for result in results {
        match result {
            // Another producer was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(refused(code)),
        }
    }
    Ok(())
}

impl ProduceConfig {
    fn brokers(&self) -> String {
        let brokers = self
            .client
            .iter()
            .rev()
            .find(|(key, _)| key == "bootstrap.servers");
        brokers.map_or_else(|| "no address".to_owned(), |(_, brokers)| brokers.clone())
    }
}
