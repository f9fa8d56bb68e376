//! A job: one pipeline, as `jobs/<name>.yml` declares it.

mod file;
mod http;
mod set;
mod source_file;

use std::path::PathBuf;
use std::time::Duration;

use factmill_core::position::SourceName;
use factmill_core::source_schema::Format;

pub use file::job_schema;
pub(crate) use file::{ReadJob, read};
pub use http::{
    HttpFraming, HttpMethod, HttpOrigin, HttpPaging, HttpPoll, HttpRead, HttpRepeat, HttpResume,
    HttpRetry, HttpStream, HttpTimeouts,
};

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The stem of its file.
    pub name: String,
    /// `jobs/<name>.yml`, relative to the project.
    pub file: PathBuf,
    /// What it does.
    pub description: Option<String>,
    /// The warehouse schema that its models land in; the job's name by default.
    pub schema: String,
    /// What it reads, by name.
    pub sources: Vec<JobSource>,
    /// Where raw documents go; `None` where there is none or it is switched off.
    pub raw_store: Option<RawStore>,
    /// How it writes the lake.
    pub lake: Lake,
    /// Its models as dbt selection terms, joined as a union.
    pub models: Vec<String>,
    /// When an epoch ends.
    pub trigger: Trigger,
    /// Who makes its events when asked to.
    pub producer: Option<Producer>,
    /// When bad records stop the job.
    pub dead_letters: DeadLetters,
}

/// A source and where this job reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSource {
    /// The declared source.
    pub source: SourceName,
    /// Where it is read.
    pub origin: Origin,
    /// How its bytes are decoded.
    pub format: Format,
}

/// Where a source is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A Kafka topic.
    Kafka {
        /// The topic.
        topic: String,
        /// Where a partition without a stored position begins.
        start: Start,
    },
    /// A MongoDB collection.
    Mongo(MongoOrigin),
    /// An HTTP endpoint.
    Http(Box<HttpOrigin>),
    /// Files of a folder.
    Files(FilesOrigin),
}

/// A MongoDB collection and how it is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoOrigin {
    /// The database.
    pub database: String,
    /// The collection in it.
    pub collection: String,
    /// How it is followed.
    pub follow: Follow,
    /// How long to wait between two looks, where it is polled.
    pub every: Duration,
    /// Fields that the server sends or leaves out, as MongoDB's `find` takes it, JSON; of a change
    /// stream it computes none.
    pub projection: Option<String>,
    /// Stages that the server runs over polled documents, a JSON array.
    pub pipeline: Option<String>,
}

/// How a collection is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// A snapshot, then its change stream.
    Changes,
    /// Polled by a field that grows with each new document.
    Field(String),
    /// Raw documents of a topic, in the order that Kafka had.
    RawDocuments {
        /// The topic that they came from.
        topic: String,
    },
}

/// Files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOrigin {
    /// A folder, or a path whose last part may hold `*` and `?`; relative to the project.
    pub path: PathBuf,
    /// What stands in them.
    pub format: FileFormat,
    /// How often the folder is looked at for new ones.
    pub every: Duration,
}

/// What stands in files. Those whose names end in `.gz` or `.zst` are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// CSV, each with a header.
    Csv {
        /// Between two fields.
        delimiter: u8,
    },
    /// A JSON object a line.
    JsonLines,
    /// Parquet.
    Parquet,
}

impl Job {
    /// Whether one of its sources is a MongoDB collection.
    pub fn reads_collections(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| matches!(source.origin, Origin::Mongo(_)))
    }
}

impl Origin {
    /// The Kafka topic that it is, if it is one.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Kafka { topic, .. } => Some(topic),
            Self::Mongo(_) | Self::Http(_) | Self::Files(_) => None,
        }
    }
}

/// Where a partition without a stored position begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At the first record not older than this, microseconds since 1970 UTC.
    At(i64),
}

/// Where raw documents go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawStore {
    /// The MongoDB database.
    pub database: String,
    /// The collection in it.
    pub collection: String,
}

/// How the job writes the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lake {
    /// The schema of its tables there; by default each source's is its group.
    pub schema: Option<String>,
    /// An epoch of at most this many rows is kept in the catalog instead of a file; 1000 by default.
    pub inline_rows: usize,
}

/// An epoch starts when the previous one is committed and something is there, and ends at the
/// first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// Most rows of an epoch; 100,000 by default.
    pub max_rows: usize,
    /// Longest wait for more rows after the first; 20 ms by default.
    pub max_wait: Duration,
    /// Most payload bytes of an epoch; 16 MiB by default.
    pub max_bytes: usize,
}

/// Who makes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Producer {
    /// Card and account transactions of French customers.
    Banking,
    /// The rows of a CSV file, cleaned and scaled.
    Payments {
        /// The file, relative to the project.
        input: PathBuf,
        /// The scaler of its amounts, relative to the project.
        scaler: PathBuf,
    },
    /// Test charges through Stripe's REST API.
    Stripe {
        /// Where the API answers; `None`: a simulated one is started.
        url: Option<String>,
        /// Whether charges are made or listed.
        mode: StripeMode,
    },
    /// Two HTTP services that make and pass on the transactions of a shop.
    Ecommerce {
        /// The API that the second service asks; `None`: a simulated one is started.
        third_party: Option<String>,
        /// Origins whose pages may read the services; `*` for all.
        cors: Vec<String>,
    },
    /// A streaming API of a chain of stores.
    Retail {
        /// Where it answers; `None`: a simulated one is started.
        url: Option<String>,
    },
}

/// How charges are come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeMode {
    /// Test charges are made.
    Create,
    /// The account's charges are listed, then those that follow.
    List,
}

/// When bad records stop the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadLetters {
    /// The run fails once it has quarantined more records than this; `None`: never.
    pub stop_above: Option<u64>,
}
