//! The one place that configures DataFusion: dialect, types, memory, functions.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
};
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

/// The catalog of relations that are written in two parts: models, seeds, warehouse tables.
pub(crate) const WAREHOUSE: &str = "warehouse";
/// The catalog of sources, written in three parts.
pub(crate) const LAKE: &str = "lake";
/// The schema of relations that are written in one part.
const DEFAULT_SCHEMA: &str = "public";

/// The memory that sorts, joins and aggregates may use before they spill, and where they spill to.
/// Clones share it: whoever gets one counts into the same sum.
#[derive(Debug, Clone)]
pub struct Memory {
    pool: Arc<dyn MemoryPool>,
    spill_dir: Option<PathBuf>,
}

impl Memory {
    /// At most so many bytes; rows are spilled to a folder, that of the system for temporary files
    /// when `None`.
    pub fn limited(bytes: usize, spill_dir: Option<PathBuf>) -> Self {
        // Names the largest consumers when memory runs out.
        const NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);
        Self {
            pool: Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED)),
            spill_dir,
        }
    }

    /// 192 MiB: a stream holds an epoch at a time, its rebuilds a table's groups.
    pub fn stream() -> Self {
        Self::limited(192 << 20, None)
    }

    /// 512 MiB: a batch sorts and joins whole tables.
    pub fn batch() -> Self {
        Self::limited(512 << 20, None)
    }

    fn runtime(&self) -> Result<Arc<RuntimeEnv>> {
        let mode = match &self.spill_dir {
            Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        RuntimeEnvBuilder::new()
            .with_memory_pool(self.pool.clone())
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
            .build_arc()
    }
}

/// A session that knows factmill's functions and no relation yet.
///
/// `partitions` is how many cores one query uses; files that functions name lie in `project_dir`.
pub(crate) fn state(
    memory: &Memory,
    partitions: usize,
    project_dir: &Path,
) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_default_catalog_and_schema(WAREHOUSE, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.collect_spans = true;
    // Money is numeric: `0.1` is a decimal, as in Postgres.
    options.sql_parser.parse_float_as_decimal = true;
    // Batches keep one text type from the decoder to COPY, in batch and stream alike.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.time_zone = Some("UTC".into());
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(memory.runtime()?)
        .with_default_features()
        .build();
    crate::functions::register(&mut state, project_dir)?;
    let catalogs = state.catalog_list();
    for name in [WAREHOUSE, LAKE] {
        catalogs.register_catalog(name.into(), Arc::new(MemoryCatalogProvider::new()));
    }
    schema(&state, WAREHOUSE, DEFAULT_SCHEMA)?;
    Ok(state)
}

/// The schema of that name in an in-memory catalog, made when missing.
pub(crate) fn schema(
    state: &SessionState,
    catalog: &str,
    name: &str,
) -> Result<Arc<dyn SchemaProvider>> {
    let catalogs: &Arc<dyn CatalogProviderList> = state.catalog_list();
    let catalog = catalogs
        .catalog(catalog)
        .unwrap_or_else(|| Arc::new(MemoryCatalogProvider::new()) as Arc<dyn CatalogProvider>);
    if let Some(schema) = catalog.schema(name) {
        return Ok(schema);
    }
    let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
    catalog.register_schema(name, Arc::clone(&schema))?;
    Ok(schema)
}
