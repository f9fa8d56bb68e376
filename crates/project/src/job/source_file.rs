//! Where the sources of a job are read, as `jobs/<name>.yml` says it.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use factmill_core::source_schema::Format;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::http::HttpFile;
use super::{FileFormat, FilesOrigin, Follow, MongoOrigin, Origin, Start};
use crate::yaml::Period;

/// Where a source is read: one of `kafka`, `mongo`, `http`, `files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceFile {
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
    /// A snapshot and then the change stream by default, where the source's `key` is the `_id`;
    /// `poll_by` and `raw_topic` poll instead.
    poll_by: Option<String>,
    /// The documents are raw documents that a job stored of this topic: read in the order that
    /// Kafka had, as they came from there.
    raw_topic: Option<String>,
    /// How long to wait between two looks, where it is polled; a second by default.
    every: Option<Period>,
    /// Fields that the server sends or leaves out, as MongoDB's `find` takes it, in JSON; of a change
    /// stream it computes none.
    projection: Option<String>,
    /// Stages that the server runs over polled documents, a JSON array; one document for each.
    pipeline: Option<String>,
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
    /// Where it is read and how its payloads are written.
    ///
    /// # Errors
    /// What is wrong with what is said of it.
    pub(super) fn read(&self) -> Result<(Origin, Format), String> {
        let origin = self.origin()?;
        let format = self.format(&origin)?;
        Ok((origin, format))
    }

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
            return http.origin().map(Box::new).map(Origin::Http);
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
