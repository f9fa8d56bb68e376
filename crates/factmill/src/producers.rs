//! The producers of jobs, opened: from what a job file and flags say to events that can be sent.
//!
//! Where a job's events come from a service and no address is given, a simulated one is started on
//! loopback and ends with the events.

mod shop;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use factmill_core::source::{Classified, boxed};
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};
use factmill_produce::http::{Address, ApiKey};
use factmill_produce::payments::{PaymentsMeter, PaymentsSettings, PaymentsSource};
use factmill_produce::retail::{self, RetailEvents, RetailSettings, RetailSource};
use factmill_produce::stripe::{self, Mode, StripeSettings, StripeSource};
use factmill_produce::{EventSource, Rate};
use factmill_project::Job;
use factmill_project::job::{Producer, StripeMode};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::failure::Failure;
use crate::workspace::Workspace;

pub(crate) use shop::{Shop, bind, settings as shop_settings};

/// The variable that holds the key of Stripe's API.
const STRIPE_KEY: &str = "STRIPE_API_KEY";

/// The key of the simulated Stripe, which takes any.
const SIMULATED_KEY: &str = "sk_test_simulated";

/// What events are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The same seed gives the same events.
    pub(crate) seed: Option<u64>,
    /// How many events will be taken, where that is known: event times then span the month.
    pub(crate) count: Option<u64>,
    /// How fast they are wanted; the producer's own pace without it.
    pub(crate) rate: Option<Rate>,
    /// How many of a hundred are broken, 0 to 100.
    pub(crate) bad_percent: f64,
    /// Where a producer keeps the place from which another run goes on; `None`: nowhere.
    pub(crate) state: Option<PathBuf>,
    /// The key of Stripe's API.
    pub(crate) stripe_key: Option<ApiKey>,
    /// Whether that may be a key of live mode.
    pub(crate) live: bool,
    /// How the file of payments is read.
    pub(crate) payments: Option<PaymentsSettings>,
}

impl Ask {
    /// Events from the first one on at the producer's own pace, nothing broken, no place kept.
    pub(crate) fn new() -> Self {
        Self {
            seed: None,
            count: None,
            rate: None,
            bad_percent: 0.0,
            state: None,
            stripe_key: None,
            live: false,
            payments: None,
        }
    }
}

/// The key of Stripe's API, where it is set.
pub(crate) fn stripe_key(workspace: &Workspace) -> Option<ApiKey> {
    workspace.variable(STRIPE_KEY).map(ApiKey::new)
}

/// Events that can be sent.
pub(crate) struct Opened {
    pub(crate) source: Box<dyn EventSource>,
    /// How fast the sender sends them, where nothing else is wanted; a source that keeps its own
    /// pace is sent as it comes.
    pub(crate) rate: Rate,
    /// The seed that they come from, where there is one.
    pub(crate) seed: Option<u64>,
    /// What the events and their order follow from; `None` where another run has others.
    pub(crate) sequence: Option<String>,
    /// What they are and where they come from, for a person; no secret is in it.
    pub(crate) about: String,
    /// What becomes of the rows of a file.
    pub(crate) meter: Option<PaymentsMeter>,
    /// Where a simulated service answers what other sources of the job read, by their table.
    pub(crate) answers: Vec<(&'static str, String)>,
    /// Ends a simulated service.
    simulator: Option<DropGuard>,
}

impl Opened {
    /// The events, and what must be kept until all are sent.
    pub(crate) fn into_source(self) -> (Box<dyn EventSource>, Option<DropGuard>) {
        (self.source, self.simulator)
    }
}

/// The topic that a job's producer sends to: the first one that it reads.
///
/// # Errors
/// When it reads none.
pub(crate) fn topic(job: &Job) -> Result<&str, Failure> {
    let mut topics = job
        .sources
        .iter()
        .filter_map(|source| source.origin.topic());
    topics
        .next()
        .ok_or_else(|| Failure::usage(format!("job `{}` reads no topic", job.name)))
}

/// Opens the producer of a job; `directory` is the project's.
///
/// # Errors
/// When a file or an address cannot be used, or a simulated service cannot be started.
pub(crate) async fn open(
    producer: &Producer,
    directory: &Path,
    ask: Ask,
) -> Result<Opened, Failure> {
    match producer {
        Producer::Banking => banking(&ask),
        Producer::Payments { input, scaler } => {
            let mut settings = PaymentsSettings::new(directory.join(input), directory.join(scaler));
            if let Some(asked) = ask.payments.clone() {
                settings = asked;
            }
            payments(settings, &ask).await
        }
        Producer::Stripe { url, mode } => stripe(url.as_deref(), *mode, ask).await,
        Producer::Retail { url } => retail(url.as_deref(), ask).await,
        Producer::Ecommerce { .. } => Err(Failure::usage(
            "the events of ecommerce come from its services; run `factmill serve ecommerce`",
        )),
    }
}

fn banking(ask: &Ask) -> Result<Opened, Failure> {
    /// One event every five seconds, as jobs.md has it.
    const USUAL: Rate = Rate::PerSecond(0.2);
    let seed = ask.seed.unwrap_or_else(BankingSettings::fresh_seed);
    let events = BankingEvents::new(BankingSettings {
        seed,
        spread: ask.count.map_or(Spread::Steps, Spread::Month),
        bad_percent: ask.bad_percent,
    });
    let events = events.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Opened {
        source: Box::new(Arc::new(events).starting_at(0)),
        rate: ask.rate.unwrap_or(USUAL),
        seed: Some(seed),
        sequence: Some(of_seed(seed)),
        about: format!("seed {seed}"),
        meter: None,
        answers: Vec::new(),
        simulator: None,
    })
}

/// The name of a sequence that a seed makes.
fn of_seed(seed: u64) -> String {
    format!("seed {seed}")
}

async fn payments(mut settings: PaymentsSettings, ask: &Ask) -> Result<Opened, Failure> {
    let seed = ask.seed.unwrap_or_else(BankingSettings::fresh_seed);
    settings.seed = seed;
    settings.bad_percent = ask.bad_percent;
    settings.state.clone_from(&ask.state);
    let source = blocking(move || PaymentsSource::open(settings)).await?;
    let mut about = source.input().display().to_string();
    if source.is_finished() {
        about.push_str(", all of which was sent before (--again sends it again)");
    } else if source.resumes_after() > 0 {
        about.push_str(&format!(", going on after row {}", source.resumes_after()));
    }
    Ok(Opened {
        rate: ask.rate.unwrap_or(Rate::Max),
        seed: (ask.bad_percent > 0.0).then_some(seed),
        sequence: Some(source.sequence().to_owned()),
        about,
        meter: Some(source.meter()),
        answers: Vec::new(),
        source: Box::new(source),
        simulator: None,
    })
}

async fn stripe(url: Option<&str>, mode: StripeMode, ask: Ask) -> Result<Opened, Failure> {
    let mut settings = StripeSettings::new(ApiKey::new(SIMULATED_KEY));
    settings.mode = match mode {
        StripeMode::Create => Mode::Create,
        StripeMode::List => Mode::List,
    };
    settings.seed = ask.seed;
    settings.live = ask.live;
    settings.bad_percent = ask.bad_percent;
    settings.state = ask.state;
    match ask.rate {
        Some(Rate::PerSecond(rate)) => settings.every = Duration::from_secs_f64(1.0 / rate),
        Some(Rate::Max) => settings.every = Duration::ZERO,
        None => {}
    }
    let mut simulator = None;
    let mut answers = Vec::new();
    let about = match (ask.stripe_key, url) {
        (Some(key), url) => {
            settings.key = key;
            if let Some(url) = url {
                url.clone_into(&mut settings.base_url);
            }
            Address::shown(&settings.base_url)
        }
        (None, None) if mode == StripeMode::List => {
            return Err(Failure::usage(
                "the job lists the charges of an account, which wants its key: set STRIPE_API_KEY",
            ));
        }
        (None, Some(_)) => {
            return Err(Failure::usage(
                "the job names an address of Stripe's API, which wants a key: set STRIPE_API_KEY",
            ));
        }
        (None, None) => {
            let (listener, address) = loopback().await?;
            let seed = *settings.seed.get_or_insert_with(StripeSettings::fresh_seed);
            let mut simulated = stripe::simulator::SimulatorSettings::new(seed);
            // A pace that was asked for is meant for both ends.
            if ask.rate.is_some() {
                settings.requests_per_second = u32::MAX;
                simulated.requests_per_second = u32::MAX;
            }
            // What it made is gone with it, so another run begins anew.
            settings.state = None;
            settings.base_url = format!("http://{address}");
            answers.push((
                "forex_rates",
                format!("http://{address}/forex/{{date}}.json"),
            ));
            simulator = Some(simulate("Stripe", |stop| {
                stripe::simulator::serve(listener, simulated, stop)
            }));
            format!("a simulated Stripe at http://{address} (no STRIPE_API_KEY is set)")
        }
    };
    let source = StripeSource::start(settings, Handle::current()).map_err(Failure::classified)?;
    Ok(Opened {
        rate: Rate::Max,
        seed: Some(source.seed()),
        // Charges are of the present.
        sequence: None,
        about: format!("{about}, seed {}", source.seed()),
        meter: None,
        answers,
        source: Box::new(source),
        simulator,
    })
}

async fn retail(url: Option<&str>, ask: Ask) -> Result<Opened, Failure> {
    /// One event a second.
    const USUAL: Rate = Rate::PerSecond(1.0);
    let seed = ask.seed.unwrap_or_else(RetailSettings::fresh_seed);
    let (url, about, simulator) = match url {
        Some(url) => (url.to_owned(), Address::shown(url), None),
        None => {
            let (listener, address) = loopback().await?;
            let events = RetailEvents::new(retail::EventSettings {
                seed,
                spread: ask
                    .count
                    .map_or(retail::Spread::Steps, retail::Spread::Month),
                bad_percent: 0.0,
            });
            let simulated = retail::SimulatorSettings::new(Arc::new(events));
            let simulator = simulate("retail API", |stop| {
                retail::serve(listener, simulated, stop)
            });
            let url = format!("http://{address}/stream");
            let about = format!("a simulated API at {url}, seed {seed}");
            (url, about, Some(simulator))
        }
    };
    let mut settings = RetailSettings::new(url);
    settings.seed = seed;
    settings.bad_percent = ask.bad_percent;
    let simulated = simulator.is_some();
    settings.rate = match (simulated, ask.rate) {
        // The sender paces, so that what it leaves out costs no time.
        (true, _) => Some(Rate::Max),
        (false, rate) => rate,
    };
    // What is simulated begins anew with its next start.
    settings.state = ask.state.filter(|_| !simulated);
    let source = RetailSource::start(settings, Handle::current()).map_err(Failure::classified)?;
    Ok(Opened {
        source: Box::new(source),
        rate: match (simulated, ask.rate) {
            (true, rate) => rate.unwrap_or(USUAL),
            (false, _) => Rate::Max,
        },
        seed: Some(seed),
        sequence: simulated.then(|| of_seed(seed)),
        about,
        meter: None,
        answers: Vec::new(),
        simulator,
    })
}

/// A free port on loopback.
async fn loopback() -> Result<(TcpListener, std::net::SocketAddr), Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("no port on loopback can be had: {error}"));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Runs a simulated service until the guard is dropped.
fn simulate<S>(what: &'static str, serve: impl FnOnce(CancellationToken) -> S) -> DropGuard
where
    S: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let stop = CancellationToken::new();
    let served = serve(stop.clone());
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the simulated {what} does not answer any more");
        }
    });
    stop.drop_guard()
}

/// Runs `work`, which waits for files, where that holds up nobody.
pub(crate) async fn blocking<T: Send + 'static, E: Classified>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Failure::boxed(boxed(error))),
        Err(join) => std::panic::resume_unwind(join.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use factmill_produce::ecommerce::EcommerceSettings;

    use super::*;

    /// An address with everything in it that nobody else may read.
    const SECRET: &str = "http://me:hunter2@127.0.0.1:1/api?key=hunter2";
    const SHOWN: &str = "http://127.0.0.1:1/api";

    async fn opened(producer: Producer, ask: Ask) -> Opened {
        open(&producer, Path::new("."), ask).await.unwrap()
    }

    fn stripe_at(url: Option<&str>, mode: StripeMode) -> Producer {
        Producer::Stripe {
            url: url.map(str::to_owned),
            mode,
        }
    }

    fn with_key() -> Ask {
        Ask {
            stripe_key: Some(ApiKey::new("sk_test_1")),
            ..Ask::new()
        }
    }

    #[tokio::test]
    async fn no_announcement_holds_a_login_or_a_query() {
        let retail = Producer::Retail {
            url: Some(SECRET.to_owned()),
        };
        let retail = opened(retail, Ask::new()).await;
        assert_eq!(retail.about, SHOWN);
        let stripe = opened(stripe_at(Some(SECRET), StripeMode::Create), with_key()).await;
        assert!(stripe.about.starts_with(SHOWN), "{}", stripe.about);
        let shop = Shop::bind(EcommerceSettings::new("t"), Some(SECRET), [None, None]).await;
        assert_eq!(shop.unwrap().asks(), SHOWN);
    }

    #[tokio::test]
    async fn only_what_a_seed_makes_is_a_sequence_that_comes_again() {
        let seeded = || Ask {
            seed: Some(7),
            ..Ask::new()
        };
        let retail = |url: Option<&str>| Producer::Retail {
            url: url.map(str::to_owned),
        };
        for producer in [Producer::Banking, retail(None)] {
            let sequence = opened(producer, seeded()).await.sequence;
            assert_eq!(sequence.as_deref(), Some("seed 7"));
        }
        assert_eq!(opened(retail(Some(SECRET)), seeded()).await.sequence, None);
        let simulated = stripe_at(None, StripeMode::Create);
        assert_eq!(opened(simulated, seeded()).await.sequence, None);
    }

    #[tokio::test]
    async fn charges_are_listed_with_a_key_alone() {
        let listed = stripe_at(Some(SECRET), StripeMode::List);
        assert!(opened(listed, with_key()).await.answers.is_empty());
        for url in [None, Some(SECRET)] {
            let listed = stripe_at(url, StripeMode::List);
            let refused = open(&listed, Path::new("."), Ask::new()).await;
            let refused = refused.map(|opened| opened.about).unwrap_err();
            assert!(refused.to_string().contains("set STRIPE_API_KEY"));
        }
    }
}
