//! The databases whose tables models read: the warehouse, and those that the profile names beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use factmill_connect::sink::postgres::{Warehouse, WarehouseConfig, WarehouseError};
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified, boxed};
use factmill_core::table::TableName;
use factmill_core::table_reader::{Relations, TableReader};
use factmill_engine::reference;
use factmill_project::Reference;
use tokio::sync::OnceCell;

/// The warehouse, and others by name.
#[derive(Debug, Clone)]
pub(crate) struct Databases {
    pub(crate) warehouse: Warehouse,
    others: BTreeMap<String, Database>,
}

impl Databases {
    /// The others are connected to at their first use, so that who does not read them does without.
    pub(crate) fn new(warehouse: Warehouse, others: BTreeMap<String, WarehouseConfig>) -> Self {
        let others = others.into_iter().map(|(name, config)| {
            let database = Database {
                name: name.clone(),
                config,
                connected: Arc::default(),
            };
            (name, database)
        });
        Self {
            warehouse,
            others: others.collect(),
        }
    }

    /// What models are computed from.
    pub(crate) fn relations(&self) -> reference::Databases {
        let others = self.others.iter().map(|(name, database)| {
            let relations: Arc<dyn Relations> = Arc::new(database.clone());
            (name.clone(), relations)
        });
        reference::Databases {
            warehouse: Arc::new(self.warehouse.clone()),
            others: others.collect(),
        }
    }

    /// The watermark of a reference, see [`Warehouse::watermark`]; `None` where it has none.
    ///
    /// # Errors
    /// A database that is not there, or does not have the table.
    pub(crate) async fn watermark(
        &self,
        reference: &Reference,
    ) -> Result<Option<String>, BoxedError> {
        let Some(column) = &reference.watermark else {
            return Ok(None);
        };
        let other = reference.database.as_ref();
        let found = match other.and_then(|name| self.others.get(name)) {
            None => self
                .warehouse
                .watermark(&reference.table, column)
                .await
                .map_err(boxed)?,
            Some(database) => {
                let connected = database.connected().await?;
                let found = connected.watermark(&reference.table, column).await;
                found.map_err(|source| boxed(database.failed(source)))?
            }
        };
        Ok(Some(found))
    }
}

/// A database beside the warehouse.
#[derive(Clone)]
struct Database {
    name: String,
    config: WarehouseConfig,
    connected: Arc<OnceCell<Warehouse>>,
}

/// Something of a database beside the warehouse failed.
#[derive(Debug, thiserror::Error)]
#[error("database `{name}` of the profile cannot be read")]
struct DatabaseError {
    name: String,
    source: WarehouseError,
}

impl Classified for DatabaseError {
    fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

impl Database {
    async fn connected(&self) -> Result<&Warehouse, BoxedError> {
        let connecting = || Warehouse::connect(self.config.clone());
        let connected = self.connected.get_or_try_init(connecting).await;
        connected.map_err(|source| boxed(self.failed(source)))
    }

    fn failed(&self, source: WarehouseError) -> DatabaseError {
        DatabaseError {
            name: self.name.clone(),
            source,
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the settings hold a password
        f.debug_tuple("Database").field(&self.name).finish()
    }
}

#[async_trait]
impl Relations for Database {
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
        let found = self.connected().await?.table_reader(name).await;
        let found = found.map_err(|source| boxed(self.failed(source)))?;
        Ok(found.map(|reader| Arc::new(reader) as Arc<dyn TableReader>))
    }

    async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
        self.connected().await?.list().await
    }
}
