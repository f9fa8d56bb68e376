//! Reading the lake: a DuckLake whose catalog lies in the warehouse's schema `lake`.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion_ducklake::{DuckLakeCatalog, MetadataProvider, PostgresMetadataProvider};
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::Classified;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// The schema of the catalog's tables.
const CATALOG_SCHEMA: &str = "lake";

/// The lake could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The database URL is not one.
    #[error("the warehouse's URL cannot be used to read the lake")]
    Url {
        /// What sqlx said of it.
        source: sqlx::Error,
    },
    /// The catalog could not be read.
    #[error("the lake's catalog in the warehouse's schema `lake` cannot be read")]
    Catalog {
        /// What the reader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Classified for LakeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } => ErrorKind::Configuration,
            Self::Catalog { .. } => ErrorKind::Transient,
        }
    }
}

/// Where the lake's files lie, when they do not lie on this machine.
#[derive(Debug, Clone)]
pub struct LakeStore {
    /// The URL that the store answers for, such as `s3://bucket/`.
    pub url: String,
    /// The store.
    pub store: Arc<dyn ObjectStore>,
}

/// The lake, open for reading.
#[derive(Debug, Clone)]
pub struct Lake {
    metadata: Arc<dyn MetadataProvider>,
    store: Option<LakeStore>,
}

impl Lake {
    /// Opens the lake of a warehouse. Connections are made as they are needed and kept.
    ///
    /// # Errors
    /// [`LakeError`], when the URL is wrong or the database does not answer.
    pub fn connect(
        database_url: &str,
        store: Option<LakeStore>,
    ) -> BoxFuture<'_, Result<Self, LakeError>> {
        async move {
            let options: PgConnectOptions = database_url
                .parse()
                .map_err(|source| LakeError::Url { source })?;
            let mut url = options.to_url_lossy();
            // The reader names the catalog's tables without a schema. sqlx leaves `options` out of the URL
            // that it builds, and reads them from one.
            url.query_pairs_mut()
                .append_pair("options[search_path]", CATALOG_SCHEMA);
            let metadata = PostgresMetadataProvider::new(url.as_str())
                .await
                .map_err(|error| LakeError::Catalog {
                    source: error.into(),
                })?;
            Ok(Self {
                metadata: Arc::new(metadata),
                store,
            })
        }
        .boxed()
    }

    /// The newest snapshot, fixed: tables read later are those of this moment too.
    ///
    /// # Errors
    /// [`LakeError::Catalog`].
    pub fn newest(&self) -> BoxFuture<'_, Result<LakeSnapshot, LakeError>> {
        async move {
            let metadata = Arc::clone(&self.metadata);
            let id = blocking(move || metadata.get_current_snapshot()).await?;
            self.at(id).await
        }
        .boxed()
    }

    /// A snapshot by its number, that of an epoch.
    ///
    /// # Errors
    /// [`LakeError::Catalog`].
    pub fn at(&self, snapshot: i64) -> BoxFuture<'_, Result<LakeSnapshot, LakeError>> {
        async move {
            let metadata = Arc::clone(&self.metadata);
            let catalog =
                blocking(move || DuckLakeCatalog::with_snapshot(metadata, snapshot)).await?;
            Ok(LakeSnapshot {
                id: snapshot,
                schema: None,
                catalog: Arc::new(catalog),
                store: self.store.clone(),
            })
        }
        .boxed()
    }
}

/// The lake as it was after one epoch.
#[derive(Debug, Clone)]
pub struct LakeSnapshot {
    id: i64,
    /// Where a job keeps its sources, when not in schemas of their groups.
    schema: Option<String>,
    catalog: Arc<dyn CatalogProvider>,
    store: Option<LakeStore>,
}

impl LakeSnapshot {
    /// A lake of tables in memory.
    pub(crate) fn of(catalog: Arc<dyn CatalogProvider>) -> Self {
        Self {
            id: 0,
            schema: None,
            catalog,
            store: None,
        }
    }

    /// The same, with every source in one schema: that of a job that has one of its own in the lake.
    #[must_use]
    pub fn in_schema(self, schema: Option<String>) -> Self {
        Self { schema, ..self }
    }

    /// The snapshot's number.
    pub fn id(&self) -> i64 {
        self.id
    }

    pub(crate) fn catalog(&self) -> Arc<dyn CatalogProvider> {
        Arc::clone(&self.catalog)
    }

    /// Tells a session where the files lie.
    pub(crate) fn register_store(&self, runtime: &RuntimeEnv) -> Result<()> {
        if let Some(LakeStore { url, store }) = &self.store {
            let url = ObjectStoreUrl::parse(url)?;
            runtime.register_object_store(url.as_ref(), Arc::clone(store));
        }
        Ok(())
    }

    /// A table of the lake; `None` where nothing was written to it yet.
    pub(crate) async fn table(
        &self,
        source: &SourceName,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let schema = self.schema.as_deref().unwrap_or(source.group());
        let (catalog, schema, table) = (
            Arc::clone(&self.catalog),
            schema.to_owned(),
            source.table().to_owned(),
        );
        // The catalog answers by waiting for the database; that must not hold up the runtime's tasks.
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || match catalog.schema(&schema) {
            Some(schema) => handle.block_on(schema.table(&table)),
            None => Ok(None),
        })
        .await
        .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> datafusion_ducklake::Result<T> + Send + 'static,
) -> Result<T, LakeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| LakeError::Catalog {
            source: error.into(),
        }),
        Err(stopped) => Err(LakeError::Catalog {
            source: stopped.into(),
        }),
    }
}
