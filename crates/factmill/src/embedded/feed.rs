//! The producer inside the embedded profile: a first part at full speed, then a steady trickle,
//! going on after a restart exactly where the committed data ends.
//!
//! The sequence of events and their partitions depend on the seed alone, and every start begins a
//! new broker with empty partitions. So what is committed of a partition, over all earlier brokers,
//! is how many of its events are left out at the next start.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use factmill_connect::sink::postgres::Warehouse;
use factmill_core::epoch::Reader;
use factmill_core::source::Classified;
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};
use factmill_produce::{EventSource, ProduceConfig, Rate, UnreadLimit};
use factmill_project::Job;
use factmill_project::job::{Origin, Producer};

use super::broker::PARTITIONS;
use crate::failure::Failure;

/// Events that are there at once after each start; the very first of them span the month.
pub(crate) const FIRST_PART: u64 = 10_000;

/// The pace after the first part, unless told otherwise.
pub(crate) const USUAL_RATE: Rate = Rate::PerSecond(200.0);

/// Unread bytes of a partition at which the producer waits: the broker drops beyond 5 MB, and a
/// batch may still be under way.
const UNREAD_BYTES: usize = 2_000_000;

/// A producer that is ready to go on.
pub(crate) struct Feed {
    /// Where and how to send, without a count.
    pub(crate) config: ProduceConfig,
    /// The events from the very first on.
    pub(crate) source: Box<dyn EventSource>,
    /// Told how far is read.
    pub(crate) unread: Arc<UnreadLimit>,
    /// The seed of the sequence.
    pub(crate) seed: u64,
    /// Events that are committed already.
    pub(crate) committed: u64,
}

impl Feed {
    /// Closes the lives of earlier brokers in the warehouse and finds where the sequence goes on;
    /// `None` where the job has no producer.
    ///
    /// # Errors
    /// When the warehouse or the seed's file cannot be read.
    pub(crate) async fn prepare(
        job: &Job,
        reader: &Reader,
        warehouse: &Warehouse,
        identity: &str,
        folder: &Path,
        bootstrap: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        let mut skip = HashMap::new();
        for source in &job.sources {
            warehouse
                .end_incarnations(reader, &source.source, Some(identity))
                .await
                .map_err(failed)?;
            for (partition, read) in warehouse
                .records_read(reader, &source.source)
                .await
                .map_err(failed)?
            {
                let number: i32 = partition.parse()?;
                *skip.entry(number).or_insert(0) += u64::try_from(read)?;
            }
        }
        let topic = job.sources.iter().map(|source| match &source.origin {
            Origin::Kafka { topic, .. } => topic,
        });
        let (Some(Producer::Banking), Some(topic), Some(bootstrap)) =
            (job.producer, topic.into_iter().next(), bootstrap)
        else {
            return Ok(None);
        };
        let seed = seed(folder)?;
        let events = BankingEvents::new(BankingSettings {
            seed,
            spread: Spread::Month(FIRST_PART),
            bad_percent: 0.0,
        })?;
        let committed = skip.values().sum();
        let unread = Arc::new(UnreadLimit::new(UNREAD_BYTES));
        let client = [("bootstrap.servers".to_owned(), bootstrap.to_owned())];
        let mut config = ProduceConfig::new(client, topic);
        config.partitions = PARTITIONS;
        config.burst = committed + FIRST_PART;
        config.rate = USUAL_RATE;
        config.skip = skip;
        config.unread = Some(Arc::clone(&unread));
        Ok(Some(Self {
            config,
            source: Box::new(Arc::new(events).starting_at(0)),
            unread,
            seed,
            committed,
        }))
    }
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
    use super::*;

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
