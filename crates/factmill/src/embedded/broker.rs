//! Kafka inside the process: librdkafka's mock cluster, for trying out.
//!
//! Nothing in it outlives the process, and a partition drops its oldest records once it holds more
//! than about 5 MB.

use std::sync::mpsc;
use std::thread;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;

/// A broker of the own process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Broker {
    bootstrap: String,
    /// Dropped to end the thread below.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Why the broker could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    /// librdkafka refused.
    #[error("cannot start the embedded broker")]
    Kafka(#[from] KafkaError),
    /// The operating system has no thread for it.
    #[error("cannot start the thread of the embedded broker")]
    Thread(#[source] std::io::Error),
    /// Its thread ended before it said anything.
    #[error("the embedded broker ended while it started")]
    Ended,
}

impl Broker {
    /// Starts a broker that has these topics.
    ///
    /// # Errors
    /// [`BrokerError`] when librdkafka or the operating system refuses.
    pub(crate) fn start(topics: Vec<String>) -> Result<Self, BrokerError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (started, outcome) = mpsc::channel();
        // The cluster's handle must stay on the thread that made it.
        let thread = thread::Builder::new()
            .name("embedded-broker".into())
            .spawn(move || match cluster_of(&topics) {
                Ok((client, bootstrap)) => {
                    let _ = started.send(Ok(bootstrap));
                    // Nothing is ever sent: this waits until the sender is dropped.
                    let _ = stopped.recv();
                    drop(client);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })
            .map_err(BrokerError::Thread)?;
        let bootstrap = outcome.recv().map_err(|_| BrokerError::Ended)??;
        Ok(Self {
            bootstrap,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Its `host:port` on loopback.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// A client that carries a cluster with these topics, and the cluster's address.
fn cluster_of(topics: &[String]) -> Result<(BaseProducer, String), BrokerError> {
    let client: BaseProducer = ClientConfig::new()
        .set("test.mock.num.brokers", "1")
        // it brings the cluster and sends nothing; librdkafka warns that the cluster is a mock one
        .set("log_level", "3")
        .create()?;
    let cluster = client.client().mock_cluster().ok_or(BrokerError::Ended)?;
    for topic in topics {
        cluster.create_topic(topic, PARTITIONS, 1)?;
    }
    give_partitions_at_once(&client);
    let bootstrap = cluster.bootstrap_servers();
    drop(cluster);
    Ok((client, bootstrap))
}

/// A new group gets its partitions when its first member joins: the three seconds that a cluster
/// waits for more members by default are half of the first run.
#[allow(unsafe_code, reason = "the safe wrapper has no such call")]
fn give_partitions_at_once(client: &BaseProducer) {
    // SAFETY: the client is alive, and its cluster lives as long; the call only stores a number.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.client().native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends by itself once the sender is gone; a panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use std::time::Duration;

    #[test]
    fn a_topic_has_four_partitions() {
        let broker = Broker::start(vec!["bank_data".into()]).unwrap();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .create()
            .unwrap();
        let metadata = consumer
            .fetch_metadata(Some("bank_data"), Duration::from_secs(20))
            .unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 4);
    }
}
