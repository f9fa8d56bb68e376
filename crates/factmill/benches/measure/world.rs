//! Real servers, and the shipped project on a topic and a database of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use factmill_testkit::{Kafka, Postgres, TestDatabase, project, unique_name};
use tempfile::TempDir;

pub(crate) const PARTITIONS: i32 = 4;

/// Makes a new server as one that has run for a while: it has files of its write-ahead log to use
/// again. Until then it writes and syncs each of them before its first use, a quarter of a second here
/// that every commit waits for.
const AGE: &str = "\
    do $$ begin \
        for segment in 1..64 loop \
            perform pg_logical_emit_message(false, 'age', 'a segment'); \
            perform pg_switch_wal(); \
        end loop; \
    end $$; \
    checkpoint";

/// The servers.
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    postgres: Postgres,
    binary: PathBuf,
    /// Keys of the job file to override, as `--set` takes them.
    settings: Vec<String>,
}

/// What one measurement has to itself.
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) database: TestDatabase,
    folder: TempDir,
}

impl World {
    /// `binary` is the factmill to measure.
    pub(crate) async fn start(binary: PathBuf, settings: Vec<String>) -> Result<Self> {
        let (kafka, postgres) = tokio::try_join!(Kafka::start(), Postgres::start_durable())?;
        if postgres.restartable() {
            postgres.connect().await?.batch_execute(AGE).await?;
        }
        Ok(Self {
            kafka,
            postgres,
            binary,
            settings,
        })
    }

    /// The arguments that override keys of job files.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &str> {
        let settings = self.settings.iter();
        settings.flat_map(|setting| ["--set", setting.as_str()])
    }

    /// An empty topic and database, and the project that reads and writes them.
    pub(crate) async fn place(&self) -> Result<Place> {
        let mark = unique_name("");
        let topic = format!("bank_data{mark}");
        self.kafka.create_topic(&topic, PARTITIONS).await?;
        Ok(Place {
            folder: project::apart(&mark)?,
            database: self.database().await?,
            topic,
        })
    }

    /// Lets Postgres and the system write what earlier measurements left in memory, so that the next
    /// one does not wait for it at its first sync.
    pub(crate) async fn settle(&self) -> Result<()> {
        let postgres = self.postgres.connect().await?;
        postgres.batch_execute("checkpoint").await?;
        Ok(tokio::task::spawn_blocking(rustix::fs::sync).await?)
    }

    /// An empty database.
    pub(crate) async fn database(&self) -> Result<TestDatabase> {
        self.postgres.create_database().await
    }

    /// `factmill` with the project of this folder and the real brokers.
    pub(crate) fn command(&self, project: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["--project-dir".as_ref(), project])
            .env("FACTMILL_PROFILE", "local")
            .env("KAFKA_BROKERS", self.kafka.brokers())
            .stdin(Stdio::null());
        command
    }

    /// `factmill stream banking` without the raw store, with further arguments.
    pub(crate) fn stream(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = self.command(place.folder.path());
        command
            .args(["stream", "banking", "--set", "raw_store.enabled=false"])
            .args(self.settings())
            .args(arguments)
            .env("DATABASE_URL", place.database.url())
            .env("LAKE_PATH", place.folder.path().join("lake"));
        command
    }
}
