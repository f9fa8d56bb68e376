//! `jobs/<name>.yml` as it is written. The JSON Schema that editors complete it with is made from
//! these types, and the reader checks the file against that schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;

use super::set;
use super::source_file::SourceFile;
use super::{DeadLetters, Job, JobSource, Lake, Producer, RawStore, StripeMode, Trigger};
use crate::yaml::{ByteSize, Loaded, Node, Period, Variables, parse, read_node};

/// A factmill job: one pipeline from its sources to its models' tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobFile {
    /// What the job does.
    description: Option<String>,
    /// What it reads, by `group.table` of a dbt source.
    sources: BTreeMap<String, SourceFile>,
    /// Where raw documents go; leave it out for none.
    raw_store: Option<RawStoreFile>,
    /// How the lake is written.
    #[serde(default)]
    lake: LakeFile,
    /// The warehouse schema that the models land in; the job's name by default.
    schema: Option<String>,
    /// The models, as dbt selects them: a folder, a model, `tag:…`, `+model`.
    models: Vec<String>,
    /// When an epoch ends.
    #[serde(default)]
    trigger: TriggerFile,
    /// Who makes events for `factmill produce` and the embedded profile.
    producer: Option<ProducerFile>,
    /// When bad records stop the job.
    #[serde(default)]
    dead_letters: DeadLettersFile,
}

/// A MongoDB collection for raw documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawStoreFile {
    /// Whether it is written; a store that is not needs neither of the others.
    #[serde(default = "enabled")]
    enabled: bool,
    /// The database.
    database: Option<String>,
    /// The collection in it.
    collection: Option<String>,
}

fn enabled() -> bool {
    true
}

/// How the lake is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LakeFile {
    /// An epoch of at most this many rows is kept in the catalog instead of a file.
    #[schemars(range(min = 0, max = 1_000_000))]
    inline_rows: usize,
    /// The schema of the job's tables there, the source's group by default. Two jobs that read one
    /// source need two.
    schema: Option<String>,
}

impl Default for LakeFile {
    fn default() -> Self {
        Self {
            inline_rows: 1000,
            schema: None,
        }
    }
}

/// An epoch ends at the first of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TriggerFile {
    /// Most rows of an epoch.
    #[schemars(range(min = 1, max = 10_000_000))]
    max_rows: usize,
    /// Longest wait for more rows after the first.
    max_wait: Period,
    /// Most payload bytes of an epoch.
    max_bytes: ByteSize,
}

impl Default for TriggerFile {
    fn default() -> Self {
        Self {
            max_rows: 100_000,
            max_wait: Period::new(Duration::from_millis(20)),
            max_bytes: ByteSize::new(16 << 20),
        }
    }
}

/// Who makes events. A URL that is left out or empty stands for a server that is simulated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum ProducerFile {
    /// Card and account transactions of French customers.
    Banking {},
    /// The rows of a CSV file with the columns `Description` and `Amount`, cleaned and scaled.
    Payments {
        /// The file, relative to the project.
        input: PathBuf,
        /// The scaler of its amounts: a JSON file with `data_min` and `data_max`.
        scaler: PathBuf,
    },
    /// Test charges through Stripe's REST API; the key is the variable STRIPE_API_KEY.
    Stripe {
        /// Where the API answers.
        url: Option<String>,
        /// Whether charges are made or listed; they are made by default. To list them takes a key.
        mode: Option<StripeModeFile>,
    },
    /// Two HTTP services that make and pass on the transactions of a shop.
    Ecommerce {
        /// The API that the second service asks.
        third_party: Option<String>,
        /// Origins whose pages may read the services; `*` for all.
        #[serde(default)]
        cors: Vec<String>,
    },
    /// A streaming API of a chain of stores.
    Retail {
        /// Where it answers.
        url: Option<String>,
    },
}

/// How charges are come by.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StripeModeFile {
    /// Test charges are made: `POST /v1/charges`.
    Create,
    /// The account's charges are listed page by page, then those that follow: `GET /v1/charges`.
    List,
}

impl From<StripeModeFile> for StripeMode {
    fn from(file: StripeModeFile) -> Self {
        match file {
            StripeModeFile::Create => Self::Create,
            StripeModeFile::List => Self::List,
        }
    }
}

impl From<ProducerFile> for Producer {
    fn from(file: ProducerFile) -> Self {
        let given = |url: Option<String>| url.filter(|url| !url.is_empty());
        match file {
            ProducerFile::Banking {} => Self::Banking,
            ProducerFile::Payments { input, scaler } => Self::Payments { input, scaler },
            ProducerFile::Stripe { url, mode } => Self::Stripe {
                url: given(url),
                mode: mode.map_or(StripeMode::Create, StripeMode::from),
            },
            ProducerFile::Ecommerce { third_party, cors } => Self::Ecommerce {
                third_party: given(third_party),
                cors,
            },
            ProducerFile::Retail { url } => Self::Retail { url: given(url) },
        }
    }
}

/// When bad records stop the job.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DeadLettersFile {
    /// The run fails once it has quarantined more records than this; without it, never.
    stop_above: Option<u64>,
}

/// The JSON Schema of `jobs/*.yml`.
pub fn job_schema() -> serde_json::Value {
    SchemaGenerator::default()
        .into_root_schema_for::<JobFile>()
        .to_value()
}

/// A job and its file, for what only the whole project can check.
#[derive(Debug)]
pub(crate) struct ReadJob {
    pub(crate) job: Job,
    pub(crate) node: Node,
}

/// Reads one job file with its overrides, `KEY=VALUE` each; what is wrong is added to `found`.
pub(crate) fn read(
    text: &str,
    file: &Path,
    overrides: &[&str],
    variables: &Variables<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<ReadJob> {
    let before = found.len();
    let mut node = parse(text, file)
        .map_err(|diagnostic| found.push(diagnostic))
        .ok()?;
    for setting in overrides {
        if let Err(diagnostic) = set::apply(&mut node, setting) {
            found.push(diagnostic);
        }
    }
    let loaded: Loaded<JobFile> = read_node(node, variables)
        .map_err(|errors| found.extend(errors.into_vec()))
        .ok()?;
    let name = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let job = job(loaded.value, name, file, &loaded.node, found);
    (found.len() == before).then_some(ReadJob {
        job,
        node: loaded.node,
    })
}

fn job(file: JobFile, name: &str, path: &Path, node: &Node, found: &mut Vec<Diagnostic>) -> Job {
    let mut sources = Vec::new();
    for (written, source) in file.sources {
        let Some((group, table)) = written.split_once('.') else {
            let at = node.locate_key(&["sources", &written]).clone();
            let message = format!("`{written}` is not the name of a source");
            found.push(
                Diagnostic::at(at, message).help("the block and the table: `banking.transactions`"),
            );
            continue;
        };
        match source.read() {
            Ok((origin, format)) => sources.push(JobSource {
                source: SourceName::new(group, table),
                origin,
                format,
            }),
            Err(message) => {
                let at = node.locate_key(&["sources", &written]).clone();
                found.push(Diagnostic::at(at, message));
            }
        }
    }
    Job {
        name: name.to_owned(),
        file: path.to_owned(),
        description: file.description,
        schema: file.schema.unwrap_or_else(|| name.to_owned()),
        sources,
        raw_store: file
            .raw_store
            .filter(|store| store.enabled)
            .and_then(|store| raw_store(store, node, found)),
        lake: Lake {
            inline_rows: file.lake.inline_rows,
            schema: file.lake.schema,
        },
        models: file.models,
        trigger: Trigger {
            max_rows: file.trigger.max_rows,
            max_wait: file.trigger.max_wait.duration(),
            max_bytes: usize::try_from(file.trigger.max_bytes.bytes()).unwrap_or(usize::MAX),
        },
        producer: file.producer.map(Producer::from),
        dead_letters: DeadLetters {
            stop_above: file.dead_letters.stop_above,
        },
    }
}

fn raw_store(file: RawStoreFile, node: &Node, found: &mut Vec<Diagnostic>) -> Option<RawStore> {
    let mut wanted = |key: &str, value: Option<String>| {
        if value.is_none() {
            let at = node.locate_key(&["raw_store"]).clone();
            found.push(Diagnostic::at(
                at,
                format!("missing key `{key}` in `raw_store`"),
            ));
        }
        value
    };
    let (database, collection) = (
        wanted("database", file.database),
        wanted("collection", file.collection),
    );
    Some(RawStore {
        database: database?,
        collection: collection?,
    })
}
