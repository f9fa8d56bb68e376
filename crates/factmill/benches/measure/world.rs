//! Real servers, and the shipped project on a topic and a database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use factmill_testkit::{Kafka, Postgres, TestDatabase, unique_name};
use tempfile::TempDir;

pub(crate) const PARTITIONS: i32 = 4;

/// The servers.
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    postgres: Postgres,
    binary: PathBuf,
}

/// What one measurement has to itself.
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) database: TestDatabase,
    folder: TempDir,
}

impl World {
    /// `binary` is the factmill to measure.
    pub(crate) async fn start(binary: PathBuf) -> Result<Self> {
        let (kafka, postgres) = tokio::try_join!(Kafka::start(), Postgres::start_durable())?;
        Ok(Self {
            kafka,
            postgres,
            binary,
        })
    }

    /// An empty topic and database, and the project that reads and writes them.
    pub(crate) async fn place(&self) -> Result<Place> {
        let topic = unique_name("bank-data").replace('_', "-");
        self.kafka.create_topic(&topic, PARTITIONS).await?;
        Ok(Place {
            folder: project(&topic)?,
            database: self.postgres.create_database().await?,
            topic,
        })
    }

    /// Lets Postgres write what earlier measurements left in memory, so that the next one does not
    /// pay for it.
    pub(crate) async fn settle(&self) -> Result<()> {
        Ok(self
            .postgres
            .connect()
            .await?
            .batch_execute("checkpoint")
            .await?)
    }

    /// `factmill stream banking` without the raw store, with further arguments.
    pub(crate) fn stream(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["stream", "banking", "--set", "raw_store.enabled=false"])
            .args(arguments)
            .args(["--project-dir".as_ref(), place.folder.path()])
            .env("FACTMILL_PROFILE", "local")
            .env("KAFKA_BROKERS", self.kafka.brokers())
            .env("DATABASE_URL", place.database.url())
            .env("LAKE_PATH", place.folder.path().join("lake"))
            .stdin(Stdio::null());
        command
    }
}

/// A copy of the shipped project that reads `topic`.
fn project(topic: &str) -> Result<TempDir> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir()?;
    for part in [
        "dbt_project.yml",
        "factmill.yml",
        "jobs",
        "models",
        "sql",
        "data/seeds",
    ] {
        copy(&shipped.join(part), &folder.path().join(part))?;
    }
    let job = folder.path().join("jobs/banking.yml");
    let text = fs::read_to_string(&job)?;
    let (from, to) = ("topic: bank_data", format!("topic: {topic}"));
    ensure!(text.contains(from), "{} has no `{from}`", job.display());
    fs::write(&job, text.replace(from, &to))?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        fs::copy(from, to)?;
        return Ok(());
    }
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
