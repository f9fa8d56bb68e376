//! A MongoDB-compatible server for tests: a real `mongod` where one is installed, else FerretDB.

mod ferretdb;
mod java_server;
mod mongod;
mod proxy;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::postgres::free_port;
use factmill_provision::process::{Parting, ServerProcess};
use factmill_provision::program;
use mongodb::bson::doc;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{outside, scratch};
use java_server::Store;

pub use proxy::MongoProxy;

/// Names a running server by a connection string, `mongodb://…`.
const OUTSIDE: &str = "FACTMILL_TEST_MONGO";

/// A MongoDB-compatible server: a private one, or the one that `FACTMILL_TEST_MONGO` names.
///
/// A `mongod` on the `PATH` runs as a replica set of one member. Without it, FerretDB stores and
/// reads documents, durable over restarts, but has no change streams and no transactions;
/// mongo-java-server ([`Mongo::start_with_changes`]) has change streams. See [`Mongo::is_stand_in`]. Dropping it ends it.
#[derive(Debug)]
pub struct Mongo {
    url: String,
    /// `None` for a server that is not ours.
    server: Option<Arc<Mutex<Server>>>,
    stand_in: bool,
}

/// Fields in the order of their end: the process before its folder.
#[derive(Debug)]
struct Server {
    process: Option<ServerProcess>,
    kind: Kind,
    port: u16,
    folder: TempDir,
}

/// The program that serves, with its path.
#[derive(Debug, Clone)]
enum Kind {
    Mongod(PathBuf),
    FerretDb(PathBuf),
    JavaServer(PathBuf, Store),
}

impl Kind {
    /// A `mongod` on the `PATH`, else FerretDB, built when it is not yet.
    fn choose() -> Result<Self> {
        match program::find("mongod") {
            Some(mongod) => Ok(Self::Mongod(mongod)),
            None => Ok(Self::FerretDb(ferretdb::program()?)),
        }
    }

    /// A `mongod` on the `PATH`, else mongo-java-server, which has change streams too.
    fn choose_with_changes() -> Result<Self> {
        Self::choose_with_changes_in(Store::Memory)
    }

    fn choose_with_durable_changes() -> Result<Self> {
        Self::choose_with_changes_in(Store::File)
    }

    fn choose_with_changes_in(store: Store) -> Result<Self> {
        match program::find("mongod") {
            Some(mongod) => Ok(Self::Mongod(mongod)),
            None => Ok(Self::JavaServer(java_server::program()?, store)),
        }
    }

    fn launch(&self, folder: &Path, port: u16) -> Result<ServerProcess> {
        match self {
            Self::Mongod(program) => mongod::launch(program, folder, port),
            Self::FerretDb(program) => ferretdb::launch(program, folder, port),
            Self::JavaServer(program, store) => java_server::launch(program, *store, folder, port),
        }
    }
}

impl Mongo {
    /// Starts a server of the test's own.
    ///
    /// # Errors
    /// When there is no `mongod` and FerretDB cannot be built, or the server does not start.
    pub async fn start() -> Result<Self> {
        match Self::outside() {
            Some(mongo) => Ok(mongo),
            None => Self::start_kind(Kind::choose).await,
        }
    }

    fn outside() -> Option<Self> {
        outside::server(OUTSIDE).map(|url| Self {
            url,
            server: None,
            stand_in: false,
        })
    }

    /// Starts a server of the test's own that has change streams: a real `mongod` where one is
    /// installed, else mongo-java-server, which keeps nothing over a restart.
    ///
    /// # Errors
    /// When there is no `mongod` and mongo-java-server cannot be had, or the server does not start.
    pub async fn start_with_changes() -> Result<Self> {
        Self::start_kind(Kind::choose_with_changes).await
    }

    /// The same, but documents and their changes outlive a kill.
    ///
    /// # Errors
    /// As [`Mongo::start_with_changes`].
    pub async fn start_with_durable_changes() -> Result<Self> {
        Self::start_kind(Kind::choose_with_durable_changes).await
    }

    async fn start_kind(choose: fn() -> Result<Kind>) -> Result<Self> {
        let server = tokio::task::spawn_blocking(move || Server::start(choose()?)).await??;
        let stand_in = !matches!(server.kind, Kind::Mongod(_));
        let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", server.port);
        let mongo = Self {
            url,
            server: Some(Arc::new(Mutex::new(server))),
            stand_in,
        };
        if !stand_in {
            mongod::initiate(&mongo.connect().await?).await?;
        }
        Ok(mongo)
    }

    /// The server that all tests of this process share; use a fresh database name on it and never
    /// stop it.
    ///
    /// # Errors
    /// As [`Mongo::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Mongo> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The server with change streams that all tests of this process share, the one that
    /// `FACTMILL_TEST_MONGO` names when it has them; use a fresh database name on it and never stop it.
    ///
    /// # Errors
    /// As [`Mongo::start_with_changes`].
    pub async fn shared_with_changes() -> Result<&'static Self> {
        static SHARED: OnceCell<Mongo> = OnceCell::const_new();
        let start = async || {
            if let Some(mongo) = Self::outside()
                && mongo.connect().await?.watch().await.is_ok()
            {
                return Ok(mongo);
            }
            Self::start_with_changes().await
        };
        SHARED.get_or_try_init(start).await
    }

    /// The connection string.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server.
    ///
    /// # Errors
    /// When the connection string is wrong or the server does not answer.
    pub async fn connect(&self) -> Result<mongodb::Client> {
        let client = mongodb::Client::with_uri_str(&self.url)
            .await
            .context("could not read MongoDB's connection string")?;
        client
            .database("admin")
            .run_command(doc! { "ping": 1 })
            .await
            .context("MongoDB does not answer")?;
        Ok(client)
    }

    /// Whether another server stands in for MongoDB: FerretDB has no change streams, no transactions,
    /// no `$lookup`; mongo-java-server forgets no resume token, and in memory keeps nothing over a restart.
    pub fn is_stand_in(&self) -> bool {
        self.stand_in
    }

    /// Whether this server may be killed, restarted, halted: whether it is a private one.
    pub fn restartable(&self) -> bool {
        self.server.is_some()
    }

    /// Kills the server (SIGKILL).
    ///
    /// # Errors
    /// When it is not [`restartable`](Mongo::restartable).
    pub fn kill(&self) -> Result<()> {
        self.with_server(Server::kill)
    }

    /// Starts the server again on its port and data, killing it first when it still runs; returns
    /// when it takes connections.
    ///
    /// # Errors
    /// When it is not [`restartable`](Mongo::restartable) or does not start.
    pub async fn restart(&self) -> Result<()> {
        let server = Arc::clone(self.own()?);
        // the wait for the server belongs to whatever else the test's runtime drives
        tokio::task::spawn_blocking(move || {
            let mut server = lock(&server);
            server.kill()?;
            server.launch()
        })
        .await?
    }

    /// Halts the server (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it is not [`restartable`](Mongo::restartable) or does not run.
    pub fn stop_process(&self) -> Result<()> {
        self.with_server(|server| Ok(server.process()?.pause()?))
    }

    /// Lets a halted server go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Mongo::stop_process`].
    pub fn continue_process(&self) -> Result<()> {
        self.with_server(|server| Ok(server.process()?.resume()?))
    }

    fn with_server(&self, act: impl FnOnce(&mut Server) -> Result<()>) -> Result<()> {
        act(&mut lock(self.own()?))
    }

    fn own(&self) -> Result<&Arc<Mutex<Server>>> {
        self.server
            .as_ref()
            .with_context(|| format!("the server that {OUTSIDE} names is not stopped by a test"))
    }
}

fn lock(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    // what a test that panicked left is still a server
    server
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Server {
    fn start(kind: Kind) -> Result<Self> {
        let mut server = Self {
            process: None,
            kind,
            port: free_port()?,
            folder: scratch::folder("mongo")?,
        };
        server.launch()?;
        Ok(server)
    }

    fn launch(&mut self) -> Result<()> {
        self.process = Some(self.kind.launch(self.folder.path(), self.port)?);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.end(Parting::Kill, Duration::from_secs(10))?;
        }
        Ok(())
    }

    fn process(&self) -> Result<&ServerProcess> {
        self.process
            .as_ref()
            .context("the MongoDB server was killed and not restarted")
    }
}

/// Gets what a private server needs, unless `FACTMILL_TEST_MONGO` names one.
pub(crate) fn install() -> Result<()> {
    if outside::server(OUTSIDE).is_none() {
        Kind::choose()?;
    }
    Kind::choose_with_changes()?;
    Ok(())
}
