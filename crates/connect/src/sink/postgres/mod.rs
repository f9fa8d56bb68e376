//! The warehouse: Postgres, the only place where truth is committed.
//!
//! [`Warehouse::commit`] writes one epoch in one transaction: positions by compare-and-swap first,
//! then the tables, the dead letters, the lake's part and the lineage. The control tables lie in
//! the schema `factmill`, whose versions are in `sql/warehouse/`.

mod alone;
mod apply;
mod catalog;
mod commit;
mod config;
mod connection;
mod copy_in;
mod dead_letters;
mod decode;
pub mod encode;
mod epochs;
mod error;
mod examine;
mod gaps;
mod identifier;
mod lake_part;
mod leases;
mod lock_watch;
mod migrate;
mod positions;
mod rebuild;
mod scan;
mod settle;
mod shadow;
mod staging;
mod tables;
mod tls;

use std::sync::Arc;

use async_recursion::async_recursion as boxed;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use alone::Alone;
pub use catalog::{ListedColumn, ListedTable};
pub use commit::{Committed, EpochChanges, LakeChanges, Observed, Phases};
pub use config::{TlsMode, UnknownTlsMode, WarehouseConfig, WarehouseTls};
pub use dead_letters::{DeadLetterFilter, ListedDeadLetter, StoredDeadLetter};
pub use decode::DecodeError;
pub use epochs::CommittedEpoch;
pub use error::{Generation, Misfit, Refusal, RefusalSource, WarehouseError};
pub use examine::Examined;
pub use lake_part::LakeEpoch;
pub use positions::{ReaderPositions, StoredPosition};
pub use rebuild::{Loaded, Paused, Swap};
pub use scan::QueryReader;
pub use tables::Generations;

use apply::LoadPaths;
use config::Endpoint;
use connection::{Patience, Session};

/// A warehouse. Clones share its connections.
///
/// Epochs are committed over one connection, one at a time; reads of positions and lists go over
/// another; scans and rebuilds each have their own. A connection that is found closed is opened
/// again by the next call.
#[derive(Clone)]
pub struct Warehouse {
    inner: Arc<Inner>,
}

struct Inner {
    config: WarehouseConfig,
    endpoint: Endpoint,
    tls: MakeRustlsConnect,
    /// Commits epochs.
    epochs: Mutex<Option<Session>>,
    /// Reads and writes of control tables outside epochs.
    control: Mutex<Option<Session>>,
    /// How rows reach each table with a key.
    paths: LoadPaths,
}

/// The name of sessions that commit no epoch.
const CONTROL_SESSION: &str = "factmill";

impl Warehouse {
    /// Connects to the server that `config` names.
    ///
    /// # Errors
    /// [`WarehouseError::Url`] and the other errors of the configuration,
    /// [`WarehouseError::Connect`].
    #[boxed]
    pub async fn connect(config: WarehouseConfig) -> Result<Self, WarehouseError> {
        let endpoint = config.resolve()?;
        let tls = tls::connector(&endpoint)?;
        let first = Session::open(&endpoint, &tls, Patience::UNLIMITED, CONTROL_SESSION).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                endpoint,
                tls,
                epochs: Mutex::default(),
                control: Mutex::new(Some(first)),
                paths: LoadPaths::default(),
            }),
        })
    }

    /// Brings the schema `factmill` to the version of this binary, in one transaction; returns the
    /// version. Processes that start together wait for each other.
    ///
    /// # Errors
    /// [`WarehouseError::NewerSchema`] when a newer binary has been here.
    #[boxed]
    pub async fn migrate(&self) -> Result<i32, WarehouseError> {
        migrate::migrate(&mut *self.control().await?).await
    }

    /// Whether the schema `factmill` is of the version of this binary.
    ///
    /// # Errors
    /// [`WarehouseError::NewerSchema`], [`WarehouseError::NotMigrated`].
    #[boxed]
    pub async fn check_schema(&self) -> Result<(), WarehouseError> {
        migrate::check(&*self.control().await?).await
    }

    /// Makes the roles `factmill_reader` and `factmill_dead_letter_reader`, without login, and
    /// grants them what is there. Needs the right to create roles.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn create_roles(&self) -> Result<(), WarehouseError> {
        migrate::create_roles(&*self.control().await?).await
    }

    /// Host, port and database, without secrets.
    pub fn server(&self) -> String {
        self.inner.endpoint.to_string()
    }

    /// A connection of its own for what runs its own transactions, such as opening the lake. It ends
    /// when the client is dropped.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`].
    #[boxed]
    pub async fn client(&self) -> Result<tokio_postgres::Client, WarehouseError> {
        Ok(self
            .open(Patience::UNLIMITED, CONTROL_SESSION)
            .await?
            .client)
    }

    async fn control(&self) -> Result<MappedMutexGuard<'_, Session>, WarehouseError> {
        let patience = Patience::UNLIMITED;
        lease(&self.inner.control, || self.open(patience, CONTROL_SESSION)).await
    }

    /// Opens another connection to the server that was reached before.
    async fn open(&self, patience: Patience, name: &str) -> Result<Session, WarehouseError> {
        Session::open(&self.inner.endpoint, &self.inner.tls, patience, name)
            .await
            .map_err(|error| match error {
                WarehouseError::Connect { server, source, .. } => WarehouseError::Connect {
                    server,
                    again: true,
                    source,
                },
                other => other,
            })
    }
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse")
            .field("config", &self.inner.config)
            .finish()
    }
}

/// The session in `slot`, opened when it is not there or closed.
async fn lease<'a, F>(
    slot: &'a Mutex<Option<Session>>,
    open: impl FnOnce() -> F,
) -> Result<MappedMutexGuard<'a, Session>, WarehouseError>
where
    F: Future<Output = Result<Session, WarehouseError>>,
{
    let mut held = slot.lock().await;
    if held.as_ref().is_none_or(|session| !session.is_open()) {
        *held = None;
        *held = Some(open().await?);
    }
    MutexGuard::try_map(held, Option::as_mut)
        .map_err(|_| WarehouseError::Broken("a session vanished while it was held".into()))
}
