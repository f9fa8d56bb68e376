//! The private servers of a folder: started by the process that holds it, joined by the others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use factmill_provision::postgres::{self, Options, PrivatePostgres, Running};
use factmill_provision::process::{Launch, Parting, ServerProcess};
use factmill_provision::{ProvisionError, program};
use tokio::task::spawn_blocking;

use super::broker::{Broker, BrokerError};
use super::folder::{Folder, FolderError, Held, Joined};
use super::state::State;
use crate::config::{ConnectionUrl, Connections, Kafka, Lake, Mongo, TlsMode, Warehouse};

/// The database of the private Postgres.
const DATABASE: &str = "factmill";

/// How long a process waits for another one that just starts the servers: a first start makes the
/// data folder, and may install Postgres before.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a wait may last before the user is told of it.
const SAY_SO: Duration = Duration::from_secs(1);

/// How long MongoDB may take to start and to end.
const MONGO_START: Duration = Duration::from_secs(30);
const MONGO_END: Duration = Duration::from_secs(2);

/// Why the private servers are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmbeddedError {
    /// Another process has the folder, or it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Postgres or MongoDB could not be found or started.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The broker could not be started.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The database could not be made in a Postgres that runs.
    #[error("cannot create the database `{DATABASE}` in the private Postgres")]
    Database(#[source] tokio_postgres::Error),
    /// A process holds the folder and its Postgres is gone.
    #[error("process {pid} runs the servers of {} and its Postgres does not answer; end it first", directory.display())]
    NoPostgres {
        /// The holder.
        pid: u32,
        /// The folder.
        directory: PathBuf,
    },
    /// Starting or ending was cut off by a panic.
    #[error("starting or ending a private server did not finish")]
    Cut(#[from] tokio::task::JoinError),
}

/// What a stream starts besides Postgres.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The topics of a broker; none: no broker.
    pub(crate) topics: Vec<String>,
    /// A MongoDB, when there is one to start.
    pub(crate) mongo: bool,
}

/// Servers that this process runs. Dropping them ends them; [`Servers::end`] does it in order.
#[derive(Debug)]
pub(crate) struct Servers {
    // In the order of their end: the folder is given up last.
    broker: Option<Broker>,
    mongo: Option<ServerProcess>,
    postgres: PrivatePostgres,
    state: State,
    held: Held,
}

impl Servers {
    /// Takes the folder and starts what is wanted in it.
    ///
    /// # Errors
    /// [`EmbeddedError`]; what was started until then is ended.
    pub(crate) async fn start(
        directory: &Path,
        command: &str,
        wanted: Wanted,
    ) -> Result<Self, EmbeddedError> {
        let held = Folder::at(directory)?.hold(command)?;
        let folder = held.folder().path().to_path_buf();
        let binaries = postgres::ensure().await?;
        let options = Options::in_directory(folder.join("postgres"));
        let postgres =
            spawn_blocking(move || PrivatePostgres::start(&binaries, &options)).await??;
        create_database(postgres.running()).await?;
        let mut state = State::starting(command);
        let mongo = match wanted.mongo.then(|| program::find("mongod")).flatten() {
            None => None,
            Some(program) => {
                let (server, url) =
                    spawn_blocking(move || start_mongo(&program, &folder)).await??;
                state.mongo = Some(url);
                Some(server)
            }
        };
        let broker = match wanted.topics.as_slice() {
            [] => None,
            _ => Some(spawn_blocking(move || Broker::start(wanted.topics)).await??),
        };
        state.kafka = broker.as_ref().map(|broker| broker.bootstrap().to_owned());
        state.ready = true;
        held.publish(&state)?;
        Ok(Self {
            broker,
            mongo,
            postgres,
            state,
            held,
        })
    }

    /// How to connect to them.
    pub(crate) fn connections(&self) -> Connections {
        connections(
            self.postgres.running(),
            &self.state,
            self.held.folder().path(),
        )
    }

    /// The folder that they live in.
    pub(crate) fn folder(&self) -> &Path {
        self.held.folder().path()
    }

    /// The line that opens psql.
    pub(crate) fn psql(&self) -> String {
        self.postgres
            .running()
            .psql(&self.folder().join("postgres"), DATABASE)
    }

    /// Where Postgres listens.
    pub(crate) fn postgres_address(&self) -> String {
        format!("127.0.0.1:{}", self.postgres.running().port)
    }

    /// Waits until no other process uses them.
    ///
    /// # Errors
    /// [`FolderError::Io`] when the folder cannot be read any more.
    pub(crate) async fn unused(&self) -> Result<(), FolderError> {
        self.held.alone().await
    }

    /// Ends them in order, within seconds, and gives the folder up.
    ///
    /// # Errors
    /// [`EmbeddedError::Provision`] when one cannot be signalled.
    pub(crate) async fn end(mut self) -> Result<(), EmbeddedError> {
        spawn_blocking(move || {
            drop(self.broker.take());
            let mongo = self
                .mongo
                .as_mut()
                .map_or(Ok(()), |mongo| mongo.end(Parting::Orderly, MONGO_END));
            let postgres = self.postgres.stop();
            mongo.and(postgres)
        })
        .await??;
        Ok(())
    }
}

/// Servers for the time of one command: those of another process, or started for it.
#[derive(Debug)]
pub(crate) enum Access {
    /// Started for this command.
    Own(Box<Servers>),
    /// Those of another process, which outlive this command.
    Joined {
        /// Asks the other process to stay.
        _joined: Joined,
        /// How to connect.
        connections: Box<Connections>,
    },
}

impl Access {
    /// Joins the process that runs the servers of a folder, or starts its Postgres.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub(crate) async fn open(directory: &Path, command: &str) -> Result<Self, EmbeddedError> {
        let folder = Folder::at(directory)?;
        loop {
            if let Some((joined, state)) = folder.join(PATIENCE).await? {
                let data = folder.path().join("postgres");
                let Some(running) = spawn_blocking(move || Running::find(&data)).await?? else {
                    return Err(EmbeddedError::NoPostgres {
                        pid: state.pid,
                        directory: folder.path().to_path_buf(),
                    });
                };
                return Ok(Self::Joined {
                    _joined: joined,
                    connections: Box::new(connections(&running, &state, folder.path())),
                });
            }
            match Servers::start(folder.path(), command, Wanted::default()).await {
                Ok(servers) => return Ok(Self::Own(Box::new(servers))),
                // Somebody was faster: join them.
                Err(EmbeddedError::Folder(FolderError::Taken { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How to connect to them.
    pub(crate) fn connections(&self) -> Connections {
        match self {
            Self::Own(servers) => servers.connections(),
            Self::Joined { connections, .. } => (**connections).clone(),
        }
    }

    /// Ends what was started for this command, once no other process uses it.
    ///
    /// # Errors
    /// [`EmbeddedError`] when it cannot be ended.
    pub(crate) async fn close(self) -> Result<(), EmbeddedError> {
        match self {
            Self::Own(servers) => {
                wait_until_unused(&servers).await?;
                servers.end().await
            }
            Self::Joined { .. } => Ok(()),
        }
    }
}

async fn wait_until_unused(servers: &Servers) -> Result<(), FolderError> {
    let alone = servers.unused();
    tokio::pin!(alone);
    tokio::select! {
        alone = &mut alone => alone,
        () = tokio::time::sleep(SAY_SO) => {
            tracing::warn!("waiting for another command that uses the private Postgres; Ctrl-C ends it");
            alone.await
        }
    }
}

/// The broker of the stream that runs in a folder; `None` when there is none.
///
/// # Errors
/// [`FolderError`] when the folder cannot be read.
pub(crate) async fn running_broker(directory: &Path) -> Result<Option<Kafka>, FolderError> {
    Ok(running(directory).await?.and_then(|running| running.kafka))
}

/// The broker and the MongoDB that a process runs for a folder; `None` where there is no such process.
///
/// # Errors
/// As [`running_broker`].
pub(crate) async fn running(directory: &Path) -> Result<Option<Connections>, FolderError> {
    if !directory.exists() {
        return Ok(None);
    }
    let joined = Folder::at(directory)?.join(PATIENCE).await?;
    Ok(joined.map(|(_, state)| Connections {
        kafka: state.kafka.map(plain_kafka),
        mongo: state.mongo.map(|url| Mongo {
            url: ConnectionUrl::new(url),
        }),
        ..Connections::default()
    }))
}

fn connections(running: &Running, state: &State, folder: &Path) -> Connections {
    Connections {
        kafka: state.kafka.clone().map(plain_kafka),
        mongo: state.mongo.clone().map(|url| Mongo {
            url: ConnectionUrl::new(url),
        }),
        warehouse: Some(Warehouse {
            url: ConnectionUrl::new(running.url(DATABASE)),
            tls_mode: Some(TlsMode::Disable),
            ca_file: None,
            lock_timeout: None,
            statement_timeout: None,
            connect_timeout: None,
        }),
        lake: Some(Lake::Folder(folder.join("lake"))),
        ..Connections::default()
    }
}

fn plain_kafka(brokers: String) -> Kafka {
    Kafka {
        brokers,
        properties: std::collections::BTreeMap::new(),
    }
}

async fn create_database(running: &Running) -> Result<(), EmbeddedError> {
    let (client, connection) =
        tokio_postgres::connect(&running.url("postgres"), tokio_postgres::NoTls)
            .await
            .map_err(EmbeddedError::Database)?;
    let connection = tokio::spawn(connection);
    let made = async {
        let known = "select 1 from pg_catalog.pg_database where datname = $1";
        if client.query_opt(known, &[&DATABASE]).await?.is_none() {
            client
                .batch_execute(&format!("create database {DATABASE}"))
                .await?;
        }
        Ok(())
    };
    let made = made.await.map_err(EmbeddedError::Database);
    drop(client);
    connection.await?.map_err(EmbeddedError::Database)?;
    made
}

fn start_mongo(program: &Path, folder: &Path) -> Result<(ServerProcess, String), ProvisionError> {
    let data = folder.join("mongo");
    std::fs::create_dir_all(&data)
        .map_err(ProvisionError::io(format!("create {}", data.display())))?;
    let port = free_port()?;
    let mut command = Command::new(program);
    command
        .arg("--dbpath")
        .arg(&data)
        .args(["--bind_ip", "127.0.0.1", "--port"])
        .arg(port.to_string());
    let server = ServerProcess::start(Launch {
        name: "MongoDB",
        command,
        log: folder.join("mongo.log"),
        ready: |line| {
            line.to_ascii_lowercase()
                .contains("waiting for connections")
        },
        within: MONGO_START,
        parting: Parting::Orderly,
        scratch: None,
    })?;
    Ok((
        server,
        format!("mongodb://127.0.0.1:{port}/?directConnection=true"),
    ))
}

fn free_port() -> Result<u16, ProvisionError> {
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ProvisionError::io("find a free port"))
}
