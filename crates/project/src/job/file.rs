//! `jobs/<name>.yml` as it is written. The JSON Schema that editors complete it with is made from
//! these types, and the reader checks the file against that schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use factmill_core::source_schema::Format;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::set;
use super::{
    DeadLetters, FileFormat, FilesOrigin, Follow, HttpOrigin, HttpPaging, HttpRead, Job, JobSource,
    Lake, MongoOrigin, Origin, Producer, RawStore, Start, Trigger,
};
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

/// Where a source is read: one of `kafka`, `mongo`, `http`, `files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    /// A Kafka topic.
    kafka: Option<KafkaFile>,
    /// A MongoDB collection.
    mongo: Option<MongoFile>,
    /// An HTTP endpoint that is asked again and again, or whose answer goes on.
    http: Option<HttpFile>,
    /// Files of a folder.
    files: Option<FilesFile>,
    /// How payloads are written; JSON by default, BSON in a collection.
    format: Option<FormatFile>,
}

/// A MongoDB collection and how it is followed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MongoFile {
    /// The database.
    #[schemars(length(min = 1))]
    database: String,
    /// The collection in it.
    #[schemars(length(min = 1))]
    collection: String,
    /// A snapshot and then the change stream by default; `poll_by` and `raw_topic` poll instead.
    poll_by: Option<String>,
    /// The documents are raw documents that a job stored of this topic: read in the order that
    /// Kafka had, as they came from there.
    raw_topic: Option<String>,
    /// How long to wait between two looks, where it is polled; a second by default.
    every: Option<Period>,
    /// Fields that the server sends or leaves out, as MongoDB's `find` takes it, in JSON.
    projection: Option<String>,
    /// Stages that the server runs over polled documents, a JSON array; one document for each.
    pipeline: Option<String>,
}

/// An HTTP endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HttpFile {
    /// Its URL; where it is polled, `{date}` is a day (UTC), each day once.
    #[schemars(length(min = 1))]
    url: String,
    /// Ask again after this long; without it the answer is one that goes on, JSON lines or
    /// server-sent events.
    every: Option<Period>,
    /// Headers of the request, such as `Authorization: Bearer ${TOKEN}`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON pointer to the array of records in the answer, such as `/data`.
    records: Option<String>,
    /// Each page names the cursor of the next.
    cursor: Option<CursorFile>,
    /// Pages are numbered.
    page: Option<PageFile>,
    /// Requests a second at most.
    #[schemars(range(min = 1))]
    requests_per_second: Option<u32>,
    /// The first day of a URL with `{date}`, `YYYY-MM-DD`; the day of the first start by default.
    #[schemars(regex(pattern = r"^\d{4}-\d\d-\d\d$"))]
    start_date: Option<String>,
}

/// Each page names the cursor of the next.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CursorFile {
    /// JSON pointer to the cursor in the answer, such as `/next`.
    next: String,
    /// The query's parameter that takes it.
    parameter: String,
}

/// Pages are numbered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageFile {
    /// The query's parameter that takes the number.
    parameter: String,
    /// The first number; 1 by default.
    first: Option<u64>,
}

/// Files of a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FilesFile {
    /// A folder, or a path whose last part may hold `*` and `?`, relative to the project:
    /// `data/in/*.csv.gz`.
    path: PathBuf,
    /// What stands in them.
    kind: FileKind,
    /// Between two fields of CSV; a comma by default.
    #[schemars(length(min = 1, max = 1))]
    delimiter: Option<String>,
    /// How often the folder is looked at for new files; a second by default.
    every: Option<Period>,
}

/// What stands in files; those that end in `.gz` or `.zst` are unpacked.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    /// CSV with a header.
    Csv,
    /// A JSON object a line.
    JsonLines,
    /// Parquet.
    Parquet,
}

const A_SECOND: Duration = Duration::from_secs(1);

impl SourceFile {
    /// Where it is read, and what is wrong with what is said of it.
    fn origin(&self) -> Result<Origin, String> {
        let kinds = [
            self.kafka.is_some(),
            self.mongo.is_some(),
            self.http.is_some(),
            self.files.is_some(),
        ];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            return Err(
                "a source is read from just one of `kafka`, `mongo`, `http`, `files`".into(),
            );
        }
        if let Some(kafka) = &self.kafka {
            return Ok(Origin::Kafka {
                topic: kafka.topic.clone(),
                start: kafka.start.0,
            });
        }
        if let Some(mongo) = &self.mongo {
            return mongo.origin().map(Origin::Mongo);
        }
        if let Some(http) = &self.http {
            return http.origin().map(Origin::Http);
        }
        match &self.files {
            Some(files) => files.origin().map(Origin::Files),
            None => Err("a source has to be read somewhere".into()),
        }
    }

    fn format(&self, origin: &Origin) -> Result<Format, String> {
        let natural = match origin {
            Origin::Mongo(_) => Format::Bson,
            Origin::Files(FilesOrigin {
                format: FileFormat::Csv { .. },
                ..
            }) => Format::Csv,
            _ => Format::Json,
        };
        let Some(written) = self.format else {
            return Ok(natural);
        };
        let written = Format::from(written);
        if origin.topic().is_some() || written == natural {
            Ok(written)
        } else {
            Err("`format` goes with `kafka`; what is read here has a format of its own".into())
        }
    }
}

impl MongoFile {
    fn origin(&self) -> Result<MongoOrigin, String> {
        let follow = match (&self.poll_by, &self.raw_topic) {
            (None, None) => Follow::Changes,
            (Some(field), None) => Follow::Field(field.clone()),
            (None, Some(topic)) => Follow::RawDocuments {
                topic: topic.clone(),
            },
            (Some(_), Some(_)) => return Err("`poll_by` and `raw_topic` exclude each other".into()),
        };
        Ok(MongoOrigin {
            database: self.database.clone(),
            collection: self.collection.clone(),
            follow,
            every: self.every.map_or(A_SECOND, Period::duration),
            projection: self.projection.clone(),
            pipeline: self.pipeline.clone(),
        })
    }
}

impl HttpFile {
    fn origin(&self) -> Result<HttpOrigin, String> {
        let paging = match (&self.cursor, &self.page) {
            (None, None) => HttpPaging::None,
            (Some(cursor), None) => HttpPaging::Cursor {
                next: cursor.next.clone(),
                parameter: cursor.parameter.clone(),
            },
            (None, Some(page)) => HttpPaging::Page {
                parameter: page.parameter.clone(),
                first: page.first.unwrap_or(1),
            },
            (Some(_), Some(_)) => return Err("`cursor` and `page` exclude each other".into()),
        };
        let date = |text: &String| {
            text.parse()
                .map_err(|_| format!("start_date `{text}` is no day"))
        };
        let start_date = self.start_date.as_ref().map(date).transpose()?;
        let read = match &self.every {
            Some(every) => HttpRead::Poll {
                every: every.duration(),
                records: self.records.clone(),
                paging,
                requests_per_second: self.requests_per_second,
                start_date,
            },
            None if paging == HttpPaging::None && self.records.is_none() => HttpRead::Stream,
            None => return Err("pages are asked for `every` so often; say how often".into()),
        };
        Ok(HttpOrigin {
            url: self.url.clone(),
            headers: self.headers.clone().into_iter().collect(),
            read,
        })
    }
}

impl FilesFile {
    fn origin(&self) -> Result<FilesOrigin, String> {
        let format = match (self.kind, &self.delimiter) {
            (FileKind::Csv, delimiter) => {
                let delimiter = delimiter.as_deref().unwrap_or(",").as_bytes();
                match delimiter {
                    [delimiter] => FileFormat::Csv {
                        delimiter: *delimiter,
                    },
                    _ => return Err("a delimiter is one ASCII character".into()),
                }
            }
            (_, Some(_)) => return Err("a `delimiter` goes with `kind: csv`".into()),
            (FileKind::JsonLines, None) => FileFormat::JsonLines,
            (FileKind::Parquet, None) => FileFormat::Parquet,
        };
        Ok(FilesOrigin {
            path: self.path.clone(),
            format,
            every: self.every.map_or(A_SECOND, Period::duration),
        })
    }
}

/// A Kafka topic and where to begin in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KafkaFile {
    /// The topic.
    #[schemars(length(min = 1))]
    topic: String,
    /// Where a partition without a stored position begins.
    #[serde(default)]
    start: StartFile,
}

/// How payloads are written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FormatFile {
    /// One JSON document a record.
    Json,
    /// One BSON document a record.
    Bson,
    /// One CSV record a record.
    Csv,
    /// Avro by a schema registry.
    Avro,
    /// Protobuf by a schema registry.
    Protobuf,
    /// Changes of a table in Debezium's envelope, JSON.
    Debezium,
    /// The same, Avro by a schema registry.
    DebeziumAvro,
}

impl From<FormatFile> for Format {
    fn from(file: FormatFile) -> Self {
        match file {
            FormatFile::Json => Self::Json,
            FormatFile::Bson => Self::Bson,
            FormatFile::Csv => Self::Csv,
            FormatFile::Avro => Self::Avro,
            FormatFile::Protobuf => Self::Protobuf,
            FormatFile::Debezium => Self::Debezium,
            FormatFile::DebeziumAvro => Self::DebeziumAvro,
        }
    }
}

/// `earliest`, `latest`, or a time.
#[derive(Debug)]
struct StartFile(Start);

impl Default for StartFile {
    fn default() -> Self {
        Self(Start::Earliest)
    }
}

impl<'de> Deserialize<'de> for StartFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(match text.as_str() {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            time => DateTime::parse_from_rfc3339(time)
                .map(|time| Start::At(time.timestamp_micros()))
                .map_err(|error| D::Error::custom(format!("`{time}` is not a time: {error}")))?,
        }))
    }
}

impl JsonSchema for StartFile {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a start",
            "description": "`earliest`, `latest`, or a time with its offset (RFC 3339).",
            "type": "string",
            "pattern": r"^(earliest|latest|\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d))$",
            "examples": ["earliest", "latest", "2024-01-01T00:00:00Z"],
        })
    }
}

/// A MongoDB collection for raw documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawStoreFile {
    /// Whether it is written.
    #[serde(default = "enabled")]
    enabled: bool,
    /// The database.
    database: String,
    /// The collection in it.
    collection: String,
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
            max_wait: Period::new(std::time::Duration::from_millis(20)),
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

impl From<ProducerFile> for Producer {
    fn from(file: ProducerFile) -> Self {
        let given = |url: Option<String>| url.filter(|url| !url.is_empty());
        match file {
            ProducerFile::Banking {} => Self::Banking,
            ProducerFile::Payments { input, scaler } => Self::Payments { input, scaler },
            ProducerFile::Stripe { url } => Self::Stripe { url: given(url) },
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
        let read = source.origin();
        let read = read.and_then(|origin| source.format(&origin).map(|format| (origin, format)));
        match read {
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
            .map(|store| RawStore {
                database: store.database,
                collection: store.collection,
            }),
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
