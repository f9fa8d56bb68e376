//! Transactions of a shop, made by two services over HTTP.
//!
//! The *generator* answers `GET /real_time_response`, the *third party* service `GET /transactions`,
//! each with server-sent events without end. Every open response makes its own events: the generator
//! random ones, the other one by asking an API. A client that leaves ends its response.
//!
//! Each event goes to Kafka, with the header [`SOURCE_HEADER`] saying which service it comes from and
//! the `transaction_id` as key, and to the client **after** the broker has acknowledged it: what a
//! client was shown is stored. What was under way when a client left may be stored without having
//! been shown. All responses share one idempotent producer ([`KafkaOutbox`]); a client that reads
//! slowly slows its own response down and no other.
//!
//! `GET /` says how a service stands, `/docs` is a page for `/openapi.json`, an OpenAPI 3.1 document.
//! A document of a third party goes to Kafka byte for byte; models make one shape of all.

mod ask;
mod error;
mod fault;
mod feed;
mod follow;
mod http;
mod order;
mod service;
mod shop;
mod third_party;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_recursion::async_recursion as boxed;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rate::Rate;
use crate::send::outbox::{KafkaOutbox, Outbox};
use crate::send::{DEFAULT_PARTITIONS, ProduceConfig, Progress, Report};
use service::{Origin, Shop};
use third_party::ThirdParty;

pub use ask::{Ask, InvalidAsk};
pub use error::{EcommerceError, FollowError};
pub use fault::Fault;
pub use feed::SOURCE_HEADER;
pub use follow::{Followed, Follower, Parts};
pub use order::{Address, Line, Money, Order};

/// The port of the generator, where nothing else is said.
pub const GENERATOR_PORT: u16 = 8000;
/// The port of the third party's service, where nothing else is said.
pub const THIRD_PARTY_PORT: u16 = 8001;
/// Where Mockoon answers with the environment of `data/samples/mockoon.json`.
pub const MOCKOON_URL: &str = "http://127.0.0.1:3001/transactions";

const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How the services work.
#[derive(Debug, Clone, PartialEq)]
pub struct EcommerceSettings {
    /// The Kafka topic, created when it is missing.
    pub topic: String,
    /// How many partitions it gets then.
    pub partitions: i32,
    /// Events a second of each open response, where it does not ask for another rate.
    pub rate: Rate,
    /// The API that the third party's service asks.
    pub third_party: String,
    /// How long the API may take to answer.
    pub patience: Duration,
    /// The first response's seed; each further one adds 1. Draw a fresh one for each start: the same
    /// seed gives transactions the same ids.
    pub seed: u64,
    /// How many of a hundred generated documents are broken, 0 to 100.
    pub bad_percent: f64,
    /// Origins whose pages may read the responses; `*` for all.
    pub cors: Vec<String>,
}

impl EcommerceSettings {
    /// An event a second, the third party on Mockoon's port with five seconds to answer, a fresh seed,
    /// nothing broken, no other origin.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            partitions: DEFAULT_PARTITIONS,
            rate: Rate::PerSecond(1.0),
            third_party: MOCKOON_URL.to_owned(),
            patience: Duration::from_secs(5),
            seed: rand::random(),
            bad_percent: 0.0,
            cors: Vec::new(),
        }
    }
}

/// Where the two services listen.
#[derive(Debug)]
pub struct Listeners {
    /// Answers `GET /real_time_response`.
    pub generator: TcpListener,
    /// Answers `GET /transactions`.
    pub third_party: TcpListener,
}

/// Runs both services until `cancel` is cancelled, with one producer of its own; `client` are
/// librdkafka's properties for the connection. `progress` is called about once a second.
///
/// Cancellation: open responses end, and what was sent has three seconds to be acknowledged.
///
/// # Errors
/// [`EcommerceError`]: a setting cannot be used, the broker cannot be reached or refuses, a listener
/// failed.
pub async fn serve(
    listeners: Listeners,
    settings: EcommerceSettings,
    client: impl IntoIterator<Item = (String, String)>,
    cancel: &CancellationToken,
    mut progress: impl FnMut(&Progress),
) -> Result<Report, EcommerceError> {
    let mut config = ProduceConfig::new(client, &settings.topic);
    config.partitions = settings.partitions;
    config.rate = settings.rate;
    let outbox = Arc::new(KafkaOutbox::open(config).await?);
    let ended = cancel.child_token();
    let served = serve_with(listeners, settings, outbox.clone(), &ended);
    let mut served = std::pin::pin!(served);
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let outcome = loop {
        tokio::select! {
            outcome = &mut served => break outcome,
            broken = outbox.broken() => break Err(broken.into()),
            _ = ticks.tick() => progress(&outbox.progress()),
        }
    };
    ended.cancel();
    let report = match tokio::task::spawn_blocking(move || outbox.close()).await {
        Ok(report) => report,
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    };
    outcome.map(|()| report)
}

/// The same with an outbox that is there already, until `cancel` is cancelled.
///
/// # Errors
/// [`EcommerceError`]: a setting cannot be used, a listener failed.
#[boxed]
pub async fn serve_with(
    listeners: Listeners,
    settings: EcommerceSettings,
    outbox: Arc<dyn Outbox>,
    cancel: &CancellationToken,
) -> Result<(), EcommerceError> {
    if !(0.0..=100.0).contains(&settings.bad_percent) {
        return Err(EcommerceError::Setting {
            what: "the share of broken documents",
            value: settings.bad_percent.to_string(),
            expected: "give a share of a hundred, 0 to 100",
        });
    }
    let cors = service::cors(&settings.cors)?;
    let shop = Arc::new(Shop {
        third_party: ThirdParty::new(&settings.third_party, settings.patience)?,
        topic: settings.topic,
        rate: settings.rate,
        seed: settings.seed,
        bad_percent: settings.bad_percent,
        outbox,
        closing: cancel.clone(),
        opened: AtomicU64::new(0),
    });
    let run = |listener, origin: Origin| {
        let routes = service::routes(origin, Arc::clone(&shop), cors.clone());
        let served = crate::http::serve(listener, routes, cancel.clone());
        async move {
            served.await.map_err(|source| EcommerceError::Listener {
                service: origin.as_str(),
                source,
            })
        }
    };
    tokio::try_join!(
        run(listeners.generator, Origin::Generator),
        run(listeners.third_party, Origin::ThirdParty),
    )?;
    Ok(())
}

/// A third party for who has none: `GET /transactions` answers one random document after the other,
/// with amounts as texts, the status in any casing and fields that nobody declared. Runs until
/// `cancel` is cancelled. The same seed gives the same documents, but for their times; `bad_percent`
/// of a hundred are broken.
///
/// # Errors
/// When the share is none, or the listener fails.
#[boxed]
pub async fn simulated_third_party(
    listener: TcpListener,
    seed: u64,
    bad_percent: f64,
    cancel: &CancellationToken,
) -> Result<(), EcommerceError> {
    if !(0.0..=100.0).contains(&bad_percent) {
        return Err(EcommerceError::Setting {
            what: "the share of broken documents",
            value: bad_percent.to_string(),
            expected: "give a share of a hundred, 0 to 100",
        });
    }
    let routes = service::simulated(seed, bad_percent);
    crate::http::serve(listener, routes, cancel.clone())
        .await
        .map_err(|source| EcommerceError::Listener {
            service: "simulated third party",
            source,
        })
}
