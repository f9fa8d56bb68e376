//! A real Postgres for tests.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use factmill_provision::postgres::{self, Binaries, Options, PrivatePostgres, Running};
use factmill_provision::process::Parting;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use crate::{outside, scratch, unique_name};

/// Names a running server by a URL of a superuser, `postgresql://user:password@host:port/database`.
const OUTSIDE: &str = "FACTMILL_TEST_POSTGRES";

/// A Postgres server: a private one, or the one that `FACTMILL_TEST_POSTGRES` names.
///
/// A private server listens on 127.0.0.1 with a password of its own, takes 300 connections and has
/// prepared transactions and `pg_stat_statements` off. Dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Outside { url: String },
    Private(Box<Private>),
}

/// Fields in the order of their end: the server before its folder.
#[derive(Debug)]
struct Private {
    /// `None` between a kill and the restart.
    server: Mutex<Option<PrivatePostgres>>,
    /// The same over restarts.
    running: Running,
    binaries: Binaries,
    options: Options,
    _folder: TempDir,
}

impl Postgres {
    /// Starts a server of the test's own that does not wait for the disk.
    ///
    /// # Errors
    /// When Postgres is missing and cannot be installed, or does not start.
    pub async fn start() -> Result<Self> {
        Self::launch(false, &[]).await
    }

    /// Starts a server whose commits reach the disk (`fsync`), for measurements. It keeps 1 GB of
    /// files of its write-ahead log to use again.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_durable() -> Result<Self> {
        Self::launch(true, &[("min_wal_size", "1GB")]).await
    }

    /// Starts a server with further settings (`postgresql.conf` names and values), commits durable.
    /// Never the one that `FACTMILL_TEST_POSTGRES` names: its settings are not ours.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        Self::private(true, settings).await
    }

    /// The server that all tests of this process share; use [`Postgres::create_database`] on it and
    /// never stop it.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    async fn launch(durable: bool, settings: &[(&str, &str)]) -> Result<Self> {
        match outside::server(OUTSIDE) {
            Some(url) => Ok(Self {
                place: Place::Outside { url },
            }),
            None => Self::private(durable, settings).await,
        }
    }

    async fn private(durable: bool, settings: &[(&str, &str)]) -> Result<Self> {
        let binaries = postgres::ensure().await?;
        let folder = scratch::folder("postgres")?;
        let mut options = Options {
            durable,
            parting: Parting::AtOnce,
            scratch: true,
            ..Options::in_directory(folder.path())
        };
        options
            .settings
            .push(("max_connections".to_owned(), "300".to_owned()));
        options.settings.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let server = start(&binaries, &options).await?;
        let running = server.running().clone();
        // a restarted server is the same one to its clients
        options.port = Some(running.port);
        Ok(Self {
            place: Place::Private(Box::new(Private {
                server: Mutex::new(Some(server)),
                running,
                binaries,
                options,
                _folder: folder,
            })),
        })
    }

    /// The URL of a database for administration, as a superuser. Tests use
    /// [`Postgres::create_database`].
    pub fn url(&self) -> String {
        match &self.place {
            Place::Outside { url } => url.clone(),
            Place::Private(private) => private.running.url("postgres"),
        }
    }

    /// A client of the database for administration.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// Creates an empty database for one test.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn create_database(&self) -> Result<TestDatabase> {
        let name = unique_name("test");
        let admin = self.connect().await?;
        admin
            .batch_execute(&format!(
                "create database {name} template template0 encoding 'UTF8'"
            ))
            .await
            .with_context(|| format!("could not create the database {name}"))?;
        let (url, dropped_by) = match &self.place {
            Place::Outside { url } => (with_database(url, &name)?, Some(url.clone())),
            Place::Private(private) => (private.running.url(&name), None),
        };
        Ok(TestDatabase {
            url,
            name,
            dropped_by,
        })
    }

    /// Whether this server may be killed, restarted, halted: whether it is a private one.
    pub fn restartable(&self) -> bool {
        matches!(self.place, Place::Private(_))
    }

    /// Ends the server at once, as a crash does: no checkpoint, connections cut.
    ///
    /// # Errors
    /// When it is not [`restartable`](Postgres::restartable).
    pub fn kill(&self) -> Result<()> {
        let Some(mut server) = lock(&self.own()?.server).take() else {
            return Ok(());
        };
        Ok(server.crash()?)
    }

    /// Starts the server again on its port and data, killing it first when it still runs; returns
    /// when it takes connections.
    ///
    /// # Errors
    /// When it is not [`restartable`](Postgres::restartable) or does not start.
    pub async fn restart(&self) -> Result<()> {
        self.kill()?;
        let private = self.own()?;
        let server = start(&private.binaries, &private.options).await?;
        *lock(&private.server) = Some(server);
        Ok(())
    }

    /// Halts the server with all its sessions (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it is not [`restartable`](Postgres::restartable) or does not run.
    pub fn stop_process(&self) -> Result<()> {
        self.with_server(|server| Ok(server.process().pause()?))
    }

    /// Lets a halted server go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Postgres::stop_process`].
    pub fn continue_process(&self) -> Result<()> {
        self.with_server(|server| Ok(server.process().resume()?))
    }

    fn with_server(&self, act: impl FnOnce(&PrivatePostgres) -> Result<()>) -> Result<()> {
        match lock(&self.own()?.server).as_ref() {
            Some(server) => act(server),
            None => bail!("the Postgres server was killed and not restarted"),
        }
    }

    fn own(&self) -> Result<&Private> {
        match &self.place {
            Place::Private(private) => Ok(private),
            Place::Outside { .. } => {
                bail!("the server that {OUTSIDE} names is not stopped by a test")
            }
        }
    }
}

/// An empty database for one test, as [`Postgres::create_database`] makes it. It goes with its
/// private server, or by itself from the server that `FACTMILL_TEST_POSTGRES` names.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
    /// The database for administration of a server that stays.
    dropped_by: Option<String>,
}

impl TestDatabase {
    /// Its connection URL, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client of this database.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(admin) = self.dropped_by.take() else {
            return;
        };
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        // a runtime of its own: the one of the test may be ending
        let done = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { Ok(connect(&admin).await?.batch_execute(&drop_it).await?) })
        })
        .join();
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                eprintln!("testkit: could not drop database {}: {error:#}", self.name)
            }
            Err(_) => eprintln!("testkit: could not drop database {}", self.name),
        }
    }
}

/// Starts a server off the runtime's threads; a free port may be taken in between, then once more
/// with another one.
async fn start(binaries: &Binaries, options: &Options) -> Result<PrivatePostgres> {
    let (binaries, options) = (binaries.clone(), options.clone());
    let attempt = move || match PrivatePostgres::start(&binaries, &options) {
        Err(error) if options.port.is_none() && error.to_string().contains("in use") => {
            PrivatePostgres::start(&binaries, &options)
        }
        result => result,
    };
    Ok(tokio::task::spawn_blocking(attempt).await??)
}

/// Connects, and drives the connection in a task of this runtime.
async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio::time::timeout(Duration::from_secs(30), tokio_postgres::connect(url, NoTls))
            .await
            .map_err(|_| anyhow!("Postgres did not answer for 30 s"))?
            .context("could not connect to Postgres")?;
    // its error reaches the client, whose next call fails with it
    tokio::spawn(connection);
    Ok(client)
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> Result<String> {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let start = address
        .find("://")
        .map(|at| at + 3)
        .with_context(|| format!("{OUTSIDE} must be a URL, postgresql://user:password@host/db"))?;
    let host = address[start..]
        .find('/')
        .map_or(address.len(), |at| start + at);
    Ok(format!("{}/{database}{parameters}", &address[..host]))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // what a test that panicked left is still a server or none
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        let url = with_database("postgresql://u:p@h:1/old?sslmode=disable", "new").unwrap();
        assert_eq!(url, "postgresql://u:p@h:1/new?sslmode=disable");
        assert_eq!(
            with_database("postgres://h", "new").unwrap(),
            "postgres://h/new"
        );
        assert!(with_database("host=h", "new").is_err());
    }
}
