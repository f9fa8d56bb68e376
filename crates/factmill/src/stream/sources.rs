//! From where a job file says that a source is read to a source that is being read.

mod http;

use std::path::Path;
use std::sync::Arc;

use factmill_connect::decode::csv::Dialect;
use factmill_connect::source::files::{FileFormat, FileSourceError, FilesRead, FilesReader};
use factmill_connect::source::http::{HttpSourceError, PollReader, StreamReader};
use factmill_connect::source::kafka::{
    self, KafkaConfig, KafkaRead, KafkaSource, KafkaSourceError,
};
use factmill_connect::source::mongo::{self, Mode, MongoRead, MongoSourceError, Poll, PollBy};
use factmill_connect::source::single::{Reader, SingleRead, SingleSource};
use factmill_core::epoch;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{Classified, PositionStore, Source};
use factmill_project::job::{
    self, FilesOrigin, Follow, HttpOrigin, JobSource, MongoOrigin, Origin, Start,
};

use http::Reading;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaSourceError),
    /// MongoDB.
    #[error(transparent)]
    Mongo(#[from] MongoSourceError),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] HttpSourceError),
    /// Files.
    #[error(transparent)]
    Files(#[from] FileSourceError),
    /// The profile lacks a connection.
    #[error("source {source_name} is read from {what}, and the profile has no `{connection}`")]
    NoConnection {
        source_name: String,
        what: &'static str,
        connection: &'static str,
    },
}

impl Classified for SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Kafka(error) => error.kind(),
            Self::Mongo(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Files(error) => error.kind(),
            Self::NoConnection { .. } => ErrorKind::Configuration,
        }
    }
}

/// Services that are simulated beside a stream: where they answer what a source reads, by its table.
///
/// Positions belong to the simulation, not to its address, which is another one with each start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulated(pub(crate) Vec<(&'static str, String)>);

impl Simulated {
    const IDENTITY: &str = "simulated";

    fn url(&self, source: &SourceName) -> Option<&str> {
        let answered = self.0.iter().find(|(table, _)| *table == source.table());
        answered.map(|(_, url)| url.as_str())
    }
}

/// What the sources of a job are opened with.
pub(super) struct Opening<'a> {
    /// The project's folder.
    pub(super) directory: &'a Path,
    pub(super) kafka: Option<&'a KafkaConfig>,
    pub(super) mongo_url: Option<&'a str>,
    pub(super) reader: &'a epoch::Reader,
    pub(super) positions: Arc<dyn PositionStore>,
    pub(super) trigger: job::Trigger,
    /// Read to the end that is there at the start.
    pub(super) once: bool,
    /// Services that are simulated beside the stream.
    pub(super) simulated: &'a Simulated,
}

impl Opening<'_> {
    /// Opens one source.
    ///
    /// # Errors
    /// [`SourceError`]: what is wrong in the job file or the profile, or which service does not answer.
    pub(super) async fn open(&self, declared: &JobSource) -> Result<Box<dyn Source>, SourceError> {
        Ok(match &declared.origin {
            Origin::Kafka { topic, start } => Box::new(self.kafka(declared, topic, *start).await?),
            Origin::Mongo(origin) => Box::new(self.mongo(declared, origin).await?),
            Origin::Http(origin) => Box::new(self.http(declared, origin)?),
            Origin::Files(origin) => Box::new(self.files(declared, origin)?),
        })
    }

    async fn kafka(
        &self,
        declared: &JobSource,
        topic: &str,
        start: Start,
    ) -> Result<KafkaSource, SourceError> {
        let config = self.kafka.ok_or_else(|| SourceError::NoConnection {
            source_name: declared.source.to_string(),
            what: "a topic",
            connection: "kafka",
        })?;
        let read = KafkaRead {
            source: declared.source.clone(),
            topic: topic.to_owned(),
            start: match start {
                Start::Earliest => kafka::Start::Earliest,
                Start::Latest => kafka::Start::Latest,
                Start::At(micros) => kafka::Start::At(micros),
            },
            reader: self.reader.clone(),
            bounded: self.once,
            max_rows: self.trigger.max_rows,
            max_bytes: self.trigger.max_bytes,
            max_wait: self.trigger.max_wait,
        };
        Ok(KafkaSource::start(config, read, self.positions.clone()).await?)
    }

    async fn mongo(
        &self,
        declared: &JobSource,
        origin: &MongoOrigin,
    ) -> Result<SingleSource, SourceError> {
        let name = declared.source.to_string();
        let url = self.mongo_url.ok_or_else(|| SourceError::NoConnection {
            source_name: name.clone(),
            what: "a collection",
            connection: "mongo",
        })?;
        let poll = |by| {
            Mode::Poll(Poll {
                by,
                every: origin.every,
            })
        };
        let collection = format!("{}.{}", origin.database, origin.collection);
        let (mode, topic) = match &origin.follow {
            Follow::Changes => (Mode::Changes, collection),
            Follow::Field(field) => (poll(PollBy::Field(field.clone())), collection),
            Follow::RawDocuments { topic } => {
                let by = PollBy::RawDocuments {
                    topic: topic.clone(),
                    unwrap: true,
                };
                (poll(by), topic.clone())
            }
        };
        let projection = origin.projection.as_deref().map(MongoRead::projection_of);
        let pipeline = origin.pipeline.as_deref().map(MongoRead::pipeline_of);
        let read = MongoRead {
            database: origin.database.clone(),
            collection: origin.collection.clone(),
            mode,
            projection: projection.transpose()?,
            pipeline: pipeline.transpose()?.unwrap_or_default(),
            bounded: self.once,
        };
        let single = self.single(declared, topic);
        let started = mongo::start(url, read, single, self.positions.clone()).await?;
        if let Some(cannot_see) = started.cannot_see {
            tracing::warn!(source = name, "{cannot_see}");
        }
        Ok(started.source)
    }

    fn http(&self, declared: &JobSource, origin: &HttpOrigin) -> Result<SingleSource, SourceError> {
        let simulated = self.simulated.url(&declared.source);
        let topic = declared.source.to_string();
        Ok(
            match http::reading(origin, self.directory, simulated, self.once) {
                Reading::Poll(read) => self.start(PollReader::new(read)?, declared, topic),
                Reading::Stream(read) => self.start(StreamReader::new(read)?, declared, topic),
            },
        )
    }

    fn files(
        &self,
        declared: &JobSource,
        origin: &FilesOrigin,
    ) -> Result<SingleSource, SourceError> {
        let format = match origin.format {
            job::FileFormat::Csv { delimiter } => FileFormat::Csv {
                dialect: dialect(delimiter),
                header: true,
            },
            job::FileFormat::JsonLines => FileFormat::JsonLines,
            job::FileFormat::Parquet => FileFormat::Parquet,
        };
        let mut read = FilesRead::new(self.directory.join(&origin.path), format);
        read.interval = origin.every;
        read.bounded = self.once;
        let topic = declared.source.to_string();
        Ok(self.start(FilesReader::new(read)?, declared, topic))
    }

    fn start(&self, reader: impl Reader, declared: &JobSource, topic: String) -> SingleSource {
        let single = self.single(declared, topic);
        SingleSource::start(reader, single, self.positions.clone())
    }

    fn single(&self, declared: &JobSource, topic: String) -> SingleRead {
        SingleRead {
            source: declared.source.clone(),
            topic,
            reader: self.reader.clone(),
            max_rows: self.trigger.max_rows,
            max_bytes: self.trigger.max_bytes,
            max_wait: self.trigger.max_wait,
        }
    }
}

/// How the CSV of a source is written.
pub(crate) fn dialect(delimiter: u8) -> Dialect {
    Dialect {
        delimiter,
        ..Dialect::default()
    }
}
