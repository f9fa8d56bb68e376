//! From a job file to a job that is ready to run: connections, migrations, plans, tables, sources.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use factmill_connect::decode::{DecoderError, DecoderOptions, decoder_with};
use factmill_connect::registry::{Registry, RegistryError};
use factmill_connect::sink::documents::{Documents, DocumentsError};
use factmill_connect::sink::lake::{Lake, LakeError, LakeLocation, LakeTable};
use factmill_connect::sink::postgres::{
    Generations, Swap, Warehouse, WarehouseConfig, WarehouseError,
};
use factmill_connect::sink::raw_store::{RawStore, RawStoreError};
use factmill_connect::source::kafka::KafkaConfig;
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified};
use factmill_engine::{Memory, StreamPlan};
use factmill_project::job::{FileFormat, FilesOrigin, Origin, Trigger};
use factmill_project::{Job as JobFile, Project};

use super::Job;
use super::background::Background;
use super::commit::Committer;
use super::pull::Decoding;
use super::rebuild::{self, Rebuilds};
use super::sources::{Opening, Simulated, SourceError, dialect};
use super::transform::Transformer;
use crate::config::ConnectionUrl;
use crate::databases::Databases;
use crate::lake_reader;

/// Everything a job is opened with.
pub(crate) struct StreamOptions<'a> {
    /// The project that declares the models.
    pub(crate) project: &'a Project,
    /// The job to run.
    pub(crate) job: &'a JobFile,
    /// The profile's name; part of the reader's.
    pub(crate) target: &'a str,
    /// The brokers; a job that reads topics needs them.
    pub(crate) kafka: Option<KafkaConfig>,
    pub(crate) warehouse: WarehouseConfig,
    /// The warehouse's URL with its TLS settings, for the reader of the lake.
    pub(crate) warehouse_url: ConnectionUrl,
    /// Databases whose tables models read, by name.
    pub(crate) databases: BTreeMap<String, WarehouseConfig>,
    pub(crate) lake: LakeLocation,
    /// Where raw documents go; `None` leaves them out.
    pub(crate) mongo_url: Option<&'a str>,
    /// Where the schemas of Avro and Protobuf are kept.
    pub(crate) registry: Option<Arc<Registry>>,
    /// Read to the end that each partition has at start.
    pub(crate) once: bool,
    /// Services that are simulated beside the stream.
    pub(crate) simulated: Simulated,
    pub(crate) shared: Shared,
}

/// What the jobs of a process share, so that five need little more memory than one.
#[derive(Clone)]
pub(crate) struct Shared {
    /// For what models sort, join and aggregate.
    memory: Memory,
    background: Arc<Background>,
    /// The most bytes of a pull, where several jobs run: an epoch takes about ten times as many.
    pull_bytes: Option<usize>,
}

/// What the pulls of all jobs of a process hold together.
const PULLS_BYTES: usize = 16 << 20;

impl Shared {
    /// For so many jobs.
    ///
    /// # Errors
    /// When no threads can be started.
    pub(crate) fn new(jobs: usize) -> io::Result<Self> {
        let mut shared = Self {
            memory: Memory::stream(),
            background: Arc::new(Background::start()?),
            pull_bytes: None,
        };
        shared.divide(jobs);
        Ok(shared)
    }

    /// Divides what there is among so many jobs.
    pub(crate) fn divide(&mut self, jobs: usize) {
        self.pull_bytes = (jobs > 1).then(|| PULLS_BYTES / jobs);
    }

    /// A job's trigger with its share of the bytes.
    fn share(&self, trigger: Trigger) -> Trigger {
        let most = self.pull_bytes.unwrap_or(usize::MAX);
        Trigger {
            max_bytes: trigger.max_bytes.min(most),
            ..trigger
        }
    }
}

/// Why a job cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The project is wrong.
    #[error(transparent)]
    Project(#[from] Diagnostics),
    /// The warehouse.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The lake, for reading.
    #[error(transparent)]
    ReadLake(#[from] factmill_engine::lake::LakeError),
    /// The raw store.
    #[error(transparent)]
    RawStore(#[from] RawStoreError),
    /// The collections of models.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The schema registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The tables that models read as they are.
    #[error("the tables that models read cannot be looked at: {0}")]
    Reference(BoxedError),
    /// A source's contract.
    #[error("source {source_name} cannot be decoded")]
    Decoder {
        source_name: String,
        source: DecoderError,
    },
    /// A table that reads no stream could not be loaded.
    #[error("cannot load table {table}")]
    Static {
        table: String,
        source: WarehouseError,
    },
}

impl Classified for OpenError {
    fn kind(&self) -> ErrorKind {
        let kind = match self {
            Self::Project(_) | Self::Decoder { .. } => ErrorKind::Configuration,
            Self::Warehouse(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::ReadLake(error) => error.kind(),
            Self::RawStore(error) => error.kind(),
            Self::Documents(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Reference(error) => error.kind(),
            Self::Static { source, .. } => source.kind(),
        };
        // while a job starts, a service that does not answer is one that cannot be reached
        if kind == ErrorKind::Transient {
            ErrorKind::Unreachable
        } else {
            kind
        }
    }
}

/// Opens a job. Everything that can be refused is refused before the first record is read.
///
/// # Errors
/// [`OpenError`]: what is wrong in the project, or which service does not do what the job needs.
pub(crate) async fn open(options: StreamOptions<'_>) -> Result<Job, OpenError> {
    let StreamOptions { project, job, .. } = options;
    let reader = Reader {
        target: options.target.to_owned(),
        job: job.name.clone(),
    };
    let plan = Arc::new(StreamPlan::compile(project, job, &options.shared.memory).await?);

    let warehouse = Warehouse::connect(options.warehouse).await?;
    warehouse.migrate().await?;
    let databases = Databases::new(warehouse.clone(), options.databases);
    let relations = databases.relations();
    let references = factmill_engine::reference::check(plan.references(), &relations);
    references.await.map_err(OpenError::Reference)??;
    let mut client = warehouse.client().await?;
    let lake = Lake::open(&client, options.lake)
        .await?
        .inline_rows(job.lake.inline_rows);
    let lake_reader = lake_reader::open(options.warehouse_url.expose(), lake.location()).await?;
    let generations = warehouse.prepare_tables(&reader, plan.tables()).await?;
    load_statics(&warehouse, &reader, &plan, &generations).await?;

    let raw_store = match (&job.raw_store, options.mongo_url) {
        (Some(raw), Some(url)) => {
            Some(RawStore::connect(url, &raw.database, &raw.collection).await?)
        }
        _ => None,
    };

    if let Some(registry) = &options.registry {
        // at a wrong URL every schema is missing, and each record would be a dead letter
        registry.kinds().await?;
    }
    let documents = open_documents(&plan, job, options.mongo_url).await?;

    let opening = Opening {
        directory: &project.dir,
        kafka: options.kafka.as_ref(),
        mongo_url: options.mongo_url,
        reader: &reader,
        positions: Arc::new(warehouse.positions_of(reader.clone())),
        trigger: options.shared.share(job.trigger),
        once: options.once,
        simulated: &options.simulated,
    };
    let mut sources = Vec::new();
    let mut lake_tables = HashMap::new();
    for declared in &job.sources {
        let name = &declared.source;
        let contract = project.source(name).ok_or_else(|| {
            Diagnostics::from(Diagnostic::bare(format!("source {name} is not declared")))
        })?;
        let table = LakeTable {
            schema: job
                .lake
                .schema
                .as_deref()
                .unwrap_or(name.group())
                .to_owned(),
            name: name.table().to_owned(),
            columns: contract.schema.arrow_schema(),
        };
        lake_tables.insert(name.clone(), lake.ensure_table(&mut client, &table).await?);
        let mut decoding = DecoderOptions {
            registry: options.registry.clone(),
            ..DecoderOptions::default()
        };
        if let Origin::Files(FilesOrigin {
            format: FileFormat::Csv { delimiter },
            ..
        }) = declared.origin
        {
            decoding.csv = dialect(delimiter);
        }
        let decoder = decoder_with(declared.format, &contract.schema, &decoding);
        let decoder = decoder.map_err(|source| OpenError::Decoder {
            source_name: name.to_string(),
            source,
        })?;
        sources.push(Decoding {
            source: opening.open(declared).await?,
            decoder: decoder.into(),
        });
    }

    let (latest, committed) = tokio::sync::watch::channel(None);
    let builder = rebuild::Builder {
        plan: plan.clone(),
        generations: generations.clone(),
        databases,
        lake: lake_reader,
        lake_schema: job.lake.schema.clone(),
        reader: reader.clone(),
        background: options.shared.background,
    };
    Ok(Job {
        sources,
        transformer: Transformer {
            plan: plan.clone(),
            lake: lake.clone(),
            lake_tables,
            raw_store,
            documents,
        },
        committer: Committer {
            warehouse,
            lake,
            reader,
            tables: plan.tables().clone(),
            generations,
            latest,
        },
        rebuilds: Rebuilds::new(builder, committed, options.once),
    })
}

/// The collections of the job's models, beside its raw documents; without these the tables are written
/// all the same.
async fn open_documents(
    plan: &StreamPlan,
    job: &JobFile,
    url: Option<&str>,
) -> Result<Option<Documents>, OpenError> {
    let collections = plan.collections();
    if collections.is_empty() {
        return Ok(None);
    }
    let names = collections
        .iter()
        .map(|collection| collection.name.to_string());
    let collections_named = names.collect::<Vec<_>>().join(", ");
    let is_wanted = job.raw_store.is_some() || job.reads_collections();
    let Some(url) = url.filter(|_| is_wanted) else {
        tracing::warn!(
            job = job.name,
            collections = collections_named,
            "no raw documents in MongoDB here: models go to no collection"
        );
        return Ok(None);
    };
    let documents = Documents::connect(url, collections.clone()).await?;
    if !documents.has_decimals() {
        tracing::warn!(
            job = job.name,
            collections = collections_named,
            "this MongoDB has no Decimal128: numerics are written as text"
        );
    }
    Ok(Some(documents))
}

/// Seeds and tables that read no stream are loaded as a whole before the first epoch.
async fn load_statics(
    warehouse: &Warehouse,
    reader: &Reader,
    plan: &StreamPlan,
    generations: &Generations,
) -> Result<(), OpenError> {
    for loaded in plan.statics() {
        let table = &plan.tables()[loaded.table];
        let rows = futures::stream::iter(loaded.rows.clone().into_iter().map(Ok));
        warehouse
            .load_shadow_and_swap(
                reader,
                table,
                Box::pin(rows),
                Swap::Refresh {
                    compiled: generations.of(loaded.table),
                },
            )
            .await
            .map_err(|source| OpenError::Static {
                table: table.name.to_string(),
                source,
            })?;
    }
    Ok(())
}
