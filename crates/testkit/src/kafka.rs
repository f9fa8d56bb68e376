//! A real Apache Kafka for tests: one node that is broker and controller (KRaft).

mod broker;
mod jars;
mod topics;

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use factmill_provision::process::Parting;
use rdkafka::ClientConfig;
use tokio::sync::OnceCell;

use crate::outside;
use broker::Broker;

/// Names the bootstrap servers of a running cluster, `host:port[,host:port…]`.
const OUTSIDE: &str = "FACTMILL_TEST_KAFKA";

/// A Kafka cluster of one node, or the one that `FACTMILL_TEST_KAFKA` names.
///
/// Topics are not created by use; see [`Kafka::create_topic`]. Messages of up to 10 MiB are taken.
/// Consumer groups may have a session time-out down to one second. Dropping it ends it.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    /// `None` for a cluster that is not ours.
    broker: Option<Arc<Mutex<Broker>>>,
}

impl Kafka {
    /// Starts a cluster of the test's own.
    ///
    /// # Errors
    /// When Java, Maven or the jars are missing and cannot be had, or Kafka does not start.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a cluster with further settings (`server.properties` names and values). They do not
    /// reach a cluster that `FACTMILL_TEST_KAFKA` names.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        if let Some(brokers) = outside::server(OUTSIDE) {
            return Ok(Self {
                brokers,
                broker: None,
            });
        }
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let broker = tokio::task::spawn_blocking(move || Broker::start(settings)).await??;
        Ok(Self {
            brokers: broker.address(),
            broker: Some(Arc::new(Mutex::new(broker))),
        })
    }

    /// The cluster that all tests of this process share; use a fresh topic on it and never stop it.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The bootstrap servers, `host:port[,host:port…]`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The bootstrap servers; the name that the other servers have for it too.
    pub fn url(&self) -> String {
        self.brokers.clone()
    }

    /// A client configuration that names this cluster and nothing else.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Whether this cluster may be killed, restarted, halted: whether it is a private one.
    pub fn restartable(&self) -> bool {
        self.broker.is_some()
    }

    /// Kills the broker (SIGKILL).
    ///
    /// # Errors
    /// When it is not [`restartable`](Kafka::restartable).
    pub fn kill(&self) -> Result<()> {
        self.with_broker(Broker::kill)
    }

    /// Starts the broker again on its ports and logs, killing it first when it still runs; returns
    /// when it serves clients.
    ///
    /// # Errors
    /// When it is not [`restartable`](Kafka::restartable) or does not start.
    pub async fn restart(&self) -> Result<()> {
        let broker = Arc::clone(self.own()?);
        // the seconds that Java takes belong to whatever else the test's runtime drives
        tokio::task::spawn_blocking(move || {
            let mut broker = lock(&broker);
            broker.kill()?;
            broker.launch()
        })
        .await?
    }

    /// Halts the broker (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it is not [`restartable`](Kafka::restartable) or does not run.
    pub fn stop_process(&self) -> Result<()> {
        self.with_broker(|broker| Ok(broker.process()?.pause()?))
    }

    /// Lets a halted broker go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Kafka::stop_process`].
    pub fn continue_process(&self) -> Result<()> {
        self.with_broker(|broker| Ok(broker.process()?.resume()?))
    }

    fn with_broker(&self, act: impl FnOnce(&mut Broker) -> Result<()>) -> Result<()> {
        act(&mut lock(self.own()?))
    }

    fn own(&self) -> Result<&Arc<Mutex<Broker>>> {
        self.broker
            .as_ref()
            .with_context(|| format!("the cluster that {OUTSIDE} names is not stopped by a test"))
    }
}

fn lock(broker: &Mutex<Broker>) -> MutexGuard<'_, Broker> {
    // what a test that panicked left is still a broker
    broker
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Gets what a private cluster needs, unless `FACTMILL_TEST_KAFKA` names one.
pub(crate) fn install() -> Result<()> {
    if outside::server(OUTSIDE).is_none() {
        crate::toolchain::java()?;
        jars::folder().context("could not get Kafka's jars")?;
    }
    Ok(())
}

/// How every broker ends: its log must survive SIGKILL, and a test has no time for less.
const PARTING: Parting = Parting::Kill;
