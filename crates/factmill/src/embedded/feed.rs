//! The producer inside the embedded profile: a first part at full speed, then a steady trickle,
//! going on after a restart exactly where the committed data ends.
//!
//! A simulated sequence of events and their partitions depend on the seed alone, a file's on its
//! content, and every start begins a new broker with empty partitions. So what is committed of a
//! partition since the sequence began, over all earlier brokers, is how many of its events are left
//! out at the next start. Events of a live service come once, and none of them is left out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use factmill_connect::sink::postgres::Warehouse;
use factmill_core::epoch::Reader;
use factmill_core::source::Classified;
use factmill_produce::banking::BankingSettings;
use factmill_produce::ecommerce::Ask as ShopAsk;
use factmill_produce::{ProduceConfig, Rate, UnreadLimit, produce};
use factmill_project::Job;
use factmill_project::job::{Origin, Producer, StripeMode};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::broker::PARTITIONS;
use super::sequence::{self, Counts};
use crate::failure::Failure;
use crate::printer::grouped;
use crate::producers::{self, Ask, Opened, Shop};
use crate::stream::Simulated;
use crate::workspace::Workspace;

/// Events that are there at once after each start; the very first of them span the month.
pub(crate) const FIRST_PART: u64 = 10_000;

/// The pace after the first part, unless told otherwise.
const USUAL_RATE: Rate = Rate::PerSecond(200.0);

/// Messages of charges and documents of the shop that are there at once: one of the former holds 25
/// charges, the latter are made by a service that stores each before it shows it.
const FIRST_MESSAGES: u64 = 40;
const MESSAGES_RATE: Rate = Rate::PerSecond(1.0 / 3.0);
const FIRST_DOCUMENTS: u64 = 500;

/// The variable that says where rates of exchange are read.
const FOREX_URL: &str = "FOREX_URL";

/// Where the shipped job reads them without it: a simulated Stripe answers for this address alone.
const SHIPPED_RATES: &str =
    "https://cdn.jsdelivr.net/npm/@fawazahmed0/currency-api@{date}/v1/currencies/gbp.min.json";

/// Unread bytes of a partition at which the producer waits: the broker drops beyond 5 MB, and a
/// batch may still be under way.
const UNREAD_BYTES: usize = 2_000_000;

/// The same where nobody reads until the first part is sent: twice what those of the shipped jobs are,
/// and a batch below what the broker drops.
const UNREAD_BYTES_ONCE: usize = 4_000_000;

/// A producer that is ready to go on.
pub(crate) struct Feed {
    /// What it sends, for a person.
    pub(crate) about: String,
    /// Told how far is read.
    pub(crate) unread: Option<Arc<UnreadLimit>>,
    /// Services that are simulated here.
    pub(crate) simulated: Simulated,
    events: Events,
}

/// Where the events come from.
enum Events {
    /// A source that is asked for one after the other.
    Source {
        opened: Opened,
        config: ProduceConfig,
        /// Events of the sequence with which the first part ends; `None`: the source ends by itself.
        first_part: Option<u64>,
    },
    /// Services that send by themselves.
    Shop {
        shop: Shop,
        client: Client,
        /// The pace of both together after the first part, where one was asked for.
        rate: Option<Rate>,
    },
}

type Client = Vec<(String, String)>;

/// What a feed is made for.
pub(crate) struct Place<'a> {
    /// The project.
    pub(crate) workspace: &'a Workspace,
    /// The folder of the private servers.
    pub(crate) folder: &'a Path,
    pub(crate) warehouse: &'a Warehouse,
    /// The life of the broker that begins now.
    pub(crate) identity: &'a str,
    /// Its address.
    pub(crate) brokers: &'a str,
    /// The pace after the first part, where one was asked for.
    pub(crate) rate: Option<Rate>,
    /// Whether the first part is sent before anything is read, and nothing after it.
    pub(crate) once: bool,
}

impl Feed {
    /// Closes the lives of earlier brokers in the warehouse and finds where the sequence goes on;
    /// `None` where the job has no producer.
    ///
    /// # Errors
    /// When the warehouse or the seed's file cannot be read, or a producer cannot be opened.
    pub(crate) async fn prepare(
        job: &Job,
        reader: &Reader,
        place: &Place<'_>,
    ) -> anyhow::Result<Option<Self>> {
        let committed = committed(job, reader, place).await?;
        let Some(producer) = &job.producer else {
            return Ok(None);
        };
        let topic = producers::topic(job)?;
        let client = vec![("bootstrap.servers".to_owned(), place.brokers.to_owned())];
        if let Producer::Ecommerce { third_party, cors } = producer {
            let mut settings = producers::shop_settings(topic, cors, &Ask::new());
            settings.partitions = PARTITIONS;
            let shop = Shop::bind(settings, third_party.as_deref(), [None, None]).await?;
            return Ok(Some(Self {
                about: format!(
                    "http://{}/docs and http://{}/docs, which asks {}; {FIRST_DOCUMENTS} documents at once",
                    shop.generator,
                    shop.third_party,
                    shop.asks()
                ),
                unread: None,
                simulated: Simulated::default(),
                events: Events::Shop {
                    shop,
                    client,
                    rate: place.rate,
                },
            }));
        }
        let mut ask = Ask::new();
        let mut config = ProduceConfig::new(client, topic);
        config.partitions = PARTITIONS;
        match producer {
            Producer::Payments { .. } => {}
            Producer::Stripe { mode, .. } => {
                ask.stripe_key = producers::stripe_key(place.workspace);
                // The sender paces what is made; a list is asked again every few seconds.
                ask.rate = (*mode == StripeMode::Create).then_some(Rate::Max);
            }
            // The service decides, unless it is asked for something.
            Producer::Retail { url: Some(_) } => ask.rate = place.rate,
            _ => {
                ask.seed = Some(seed(place.folder)?);
                ask.count = Some(FIRST_PART);
                ask.rate = Some(place.rate.unwrap_or(USUAL_RATE));
            }
        }
        let opened = producers::open(producer, &place.workspace.directory, ask).await?;
        let sequence = opened.sequence.as_deref();
        config.skip = sequence::left_out(place.folder, reader, sequence, &committed)?;
        let left_out: u64 = config.skip.values().sum();
        let (first_part, about) = match producer {
            Producer::Payments { .. } => (
                None,
                format!("its rows once, {} committed before", grouped(left_out)),
            ),
            Producer::Stripe { .. } => (
                Some(FIRST_MESSAGES),
                format!("{FIRST_MESSAGES} messages at once"),
            ),
            _ if sequence.is_none() => (Some(FIRST_PART), "events as they come".to_owned()),
            _ => (
                Some(left_out + FIRST_PART),
                format!(
                    "{} events at once, then {} a second, {} committed before",
                    grouped(FIRST_PART),
                    place.rate.unwrap_or(USUAL_RATE),
                    grouped(left_out)
                ),
            ),
        };
        let has_rates = place.workspace.variable(FOREX_URL).is_some();
        let answers = opened.answers.iter().filter(|(table, _)| {
            let read_at = job
                .sources
                .iter()
                .find(|read| read.source.table() == *table);
            !has_rates && read_at.is_some_and(|read| is_shipped(&read.origin))
        });
        let simulated = Simulated(answers.cloned().collect());
        config.rate = match producer {
            Producer::Stripe {
                mode: StripeMode::Create,
                ..
            } => place.rate.unwrap_or(MESSAGES_RATE),
            _ => opened.rate,
        };
        config.burst = first_part.unwrap_or(0);
        let unread = Arc::new(UnreadLimit::new(match place.once {
            true => UNREAD_BYTES_ONCE,
            false => UNREAD_BYTES,
        }));
        config.unread = Some(Arc::clone(&unread));
        Ok(Some(Self {
            about: format!("{about}; {}", opened.about),
            unread: Some(unread),
            simulated,
            events: Events::Source {
                opened,
                config,
                first_part,
            },
        }))
    }

    /// The services that the events come from, where a page can show them.
    pub(crate) fn shop(&self) -> Option<&Shop> {
        match &self.events {
            Events::Shop { shop, .. } => Some(shop),
            Events::Source { .. } => None,
        }
    }

    /// Sends the first part; gives what keeps a simulated service alive.
    ///
    /// # Errors
    /// What keeps the producer from going on.
    pub(crate) async fn first_part(
        self,
        cancel: &CancellationToken,
    ) -> Result<Option<DropGuard>, Failure> {
        match self.events {
            Events::Source {
                opened,
                mut config,
                first_part,
            } => {
                config.count = first_part;
                send(opened, config, cancel).await
            }
            Events::Shop { shop, client, .. } => {
                shop.produce(client, &[first_documents()], cancel, |_| {})
                    .await?;
                Ok(None)
            }
        }
    }

    /// Sends until `cancel` is cancelled, or the source of events is at its end.
    ///
    /// # Errors
    /// What keeps the producer from going on.
    pub(crate) async fn keep_sending(self, cancel: &CancellationToken) -> Result<(), Failure> {
        match self.events {
            Events::Source { opened, config, .. } => send(opened, config, cancel).await.map(drop),
            Events::Shop { shop, client, rate } => {
                let then = ShopAsk {
                    rate,
                    ..ShopAsk::default()
                };
                let asks = [first_documents(), then];
                shop.produce(client, &asks, cancel, |_| {}).await.map(drop)
            }
        }
    }
}

/// The first part of the shop's documents.
fn first_documents() -> ShopAsk {
    ShopAsk {
        rate: Some(Rate::Max),
        count: Some(FIRST_DOCUMENTS),
        ..ShopAsk::default()
    }
}

/// Whether rates are read where the shipped job reads them unless told otherwise.
fn is_shipped(origin: &Origin) -> bool {
    matches!(origin, Origin::Http(origin) if origin.url == SHIPPED_RATES)
}

async fn send(
    opened: Opened,
    config: ProduceConfig,
    cancel: &CancellationToken,
) -> Result<Option<DropGuard>, Failure> {
    let (source, simulator) = opened.into_source();
    let sent = produce(config, source, cancel, |_| {}).await;
    sent.map_err(Failure::classified)?;
    Ok(simulator)
}

/// By partition, how many events of the sequence are committed, over all lives of the broker, which
/// are closed but for the one that begins.
async fn committed(job: &Job, reader: &Reader, place: &Place<'_>) -> anyhow::Result<Counts> {
    let mut committed = Counts::new();
    let of_kafka = job
        .sources
        .iter()
        .filter(|source| source.origin.topic().is_some());
    for source in of_kafka {
        let (warehouse, source) = (place.warehouse, &source.source);
        warehouse
            .end_incarnations(reader, source, Some(place.identity))
            .await
            .map_err(failed)?;
        let read = warehouse.records_read(reader, source).await;
        for (partition, read) in read.map_err(failed)? {
            let number: i32 = partition.parse()?;
            *committed.entry(number).or_insert(0) += u64::try_from(read)?;
        }
    }
    Ok(committed)
}

fn failed(error: impl Classified) -> Failure {
    Failure::classified(error)
}

/// The seed of the folder, drawn at its first use.
fn seed(folder: &Path) -> io::Result<u64> {
    let path = folder.join("seed");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            io::Error::other(format!(
                "{} holds no number; remove the whole folder to begin anew",
                path.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed = BankingSettings::fresh_seed();
            std::fs::write(&path, format!("{seed}\n"))?;
            Ok(seed)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use factmill_project::{LoadOptions, Project};

    use super::*;

    #[test]
    fn the_rates_that_are_simulated_are_those_of_the_shipped_job() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let rates = |environment: &[(&str, &str)]| {
            let environment = environment.iter();
            let options = LoadOptions {
                environment: environment
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                ..LoadOptions::default()
            };
            let project = Project::load(&project, &options).unwrap();
            let sources = project.job("stripe").unwrap().sources.clone();
            let mut sources = sources.into_iter();
            sources
                .find(|read| read.source.table() == "forex_rates")
                .unwrap()
                .origin
        };
        assert!(is_shipped(&rates(&[])));
        assert!(!is_shipped(&rates(&[(
            FOREX_URL,
            "https://example.com/{date}"
        )])));
    }

    #[test]
    fn a_folder_keeps_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        let drawn = seed(folder.path()).unwrap();
        assert_eq!(seed(folder.path()).unwrap(), drawn);
        std::fs::write(folder.path().join("seed"), "x").unwrap();
        assert!(
            seed(folder.path())
                .unwrap_err()
                .to_string()
                .contains("begin anew")
        );
    }
}
