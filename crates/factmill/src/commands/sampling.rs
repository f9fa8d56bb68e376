//! The first records of a source, read as a job would read them, without a warehouse behind it.

mod http;
mod place;
mod pull;
mod secrets;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use factmill_connect::decode::csv::Dialect;
use factmill_connect::source::files::{FileFormat, FilesRead, FilesReader};
use factmill_connect::source::kafka::{Identity, KafkaConfig, KafkaRead, KafkaSource, Start};
use factmill_connect::source::mongo::{self, Mode, MongoRead, Poll, PollBy};
use factmill_connect::source::single::SingleSource;
use factmill_core::error::ErrorKind;
use factmill_project::infer::{Inferred, infer};
use factmill_project::job;
use factmill_project::scaffold::ReadFrom;

use crate::config::{Connections, Needs, Profile};
use crate::embedded;
use crate::failure::{Failure, chain};
use crate::workspace::Workspace;

pub(super) use place::Place;
use pull::{Pulling, Raw};
use values::Records;

/// What was found at a place.
#[derive(Debug)]
pub(super) struct Sample {
    /// Where it was read, as a job file says it: without secrets.
    pub(super) from: ReadFrom,
    /// Its columns.
    pub(super) inferred: Inferred,
    /// What else a person should know.
    pub(super) notes: Vec<String>,
    /// Variables that stand for secrets of the URL, with their values.
    pub(super) variables: Vec<(String, String)>,
}

/// Reads at most `most` records and infers their columns; `job` names the variables of secrets.
///
/// # Errors
/// A place that cannot be read, or records that say nothing.
pub(super) async fn sample(
    place: &Place,
    workspace: &Workspace,
    most: usize,
    job: &str,
) -> anyhow::Result<Sample> {
    let mut notes = Vec::new();
    let mut variables = Vec::new();
    let (mut from, records) = match place {
        Place::Kafka { topic } => kafka(topic, workspace, most).await?,
        Place::Mongo {
            database,
            collection,
        } => mongo(database, collection, workspace, most, &mut notes).await?,
        Place::Files { path } => files(path, workspace, most).await?,
        Place::Url { url } => {
            let url = secrets::Url::new(url, workspace, job)?;
            variables.clone_from(&url.variables);
            http::read(&url, workspace, most, &mut notes).await?
        }
    };
    notes.extend(records.notes());
    if let Some(failure) = records.nothing(&from.describe()) {
        return Err(failure.into());
    }
    let inferred = infer(&records.values, &from.table());
    let mut inferred =
        inferred.map_err(|error| Failure::usage(format!("{}: {error}", from.describe())))?;
    if let Place::Kafka { .. } = place {
        inferred.or_time_of_kafka(records.times);
    }
    if let ReadFrom::Mongo { changes, .. } = &mut from
        && *changes
        && !inferred.key_by_id()
    {
        *changes = false;
        notes.push(
            "the collection is polled by `_id`, so that updates and deletions are not seen: its `_id` is no \
             scalar, and changes are told by it; to follow them declare its fields (`from: _id.field`) as \
             `key` and remove `poll_by`"
                .to_owned(),
        );
    }
    let left_out = inferred.left_out.iter();
    notes.extend(
        left_out.map(|left| format!("field {:?} is left out: {}", left.field, left.reason)),
    );
    Ok(Sample {
        from,
        inferred,
        notes,
        variables,
    })
}

/// The connections of the profile; of the embedded one those of a stream that runs.
async fn connections(workspace: &Workspace, needs: Needs) -> anyhow::Result<Connections> {
    match workspace.profile(needs)? {
        Profile::Servers(connections) => Ok(*connections),
        Profile::Embedded { directory, .. } => {
            let running = embedded::running(&directory).await;
            let running = running.map_err(|error| Failure::usage(chain(&error)))?;
            Ok(running.unwrap_or_default())
        }
    }
}

fn not_running(workspace: &Workspace, what: &str) -> anyhow::Error {
    let message = match workspace.is_embedded() {
        Ok(true) => format!(
            "no {what} runs in the embedded profile; start `factmill stream` of a job that has it, or choose another --profile"
        ),
        Ok(false) => format!("the profile has no {what}"),
        Err(wrong) => return wrong.into(),
    };
    Failure::new(ErrorKind::Unreachable, message).into()
}

async fn kafka(
    topic: &str,
    workspace: &Workspace,
    most: usize,
) -> anyhow::Result<(ReadFrom, Records)> {
    let needs = Needs {
        kafka: true,
        ..Needs::default()
    };
    let kafka = connections(workspace, needs).await?.kafka;
    let kafka = kafka.ok_or_else(|| not_running(workspace, "broker"))?;
    let mut config: KafkaConfig = kafka.config();
    if workspace.is_embedded()? {
        // its topics have no ids
        config.identity = Identity::Given("embedded".to_owned());
    }
    let pulling = Pulling::new(workspace, most);
    let read = KafkaRead {
        source: pulling.source.clone(),
        topic: topic.to_owned(),
        start: Start::Earliest,
        reader: pulling.reader.clone(),
        bounded: true,
        max_rows: most,
        max_bytes: pull::MOST_BYTES,
        max_wait: Duration::ZERO,
    };
    let source = KafkaSource::start(&config, read, pulling.positions()).await;
    let mut source = source.map_err(Failure::classified)?;
    let raw = pulling.pull(&mut source).await?;
    // leaving the group blocks for some milliseconds
    tokio::task::spawn_blocking(move || drop(source)).await?;
    let from = ReadFrom::Kafka {
        topic: topic.to_owned(),
    };
    Ok((from, Records::of_json(&raw)))
}

async fn mongo(
    database: &str,
    collection: &str,
    workspace: &Workspace,
    most: usize,
    notes: &mut Vec<String>,
) -> anyhow::Result<(ReadFrom, Records)> {
    let needs = Needs {
        mongo: true,
        ..Needs::default()
    };
    let mongo = connections(workspace, needs).await?.mongo;
    let mongo = mongo.ok_or_else(|| not_running(workspace, "MongoDB"))?;
    let pulling = Pulling::new(workspace, most);
    let read = MongoRead {
        database: database.to_owned(),
        collection: collection.to_owned(),
        mode: Mode::ChangesOrPoll(Poll {
            by: PollBy::Field("_id".to_owned()),
            every: Duration::from_secs(1),
        }),
        projection: None,
        pipeline: Vec::new(),
        bounded: true,
    };
    let topic = format!("{database}.{collection}");
    let single = pulling.single(topic);
    let started = mongo::start(mongo.url.expose(), read, single, pulling.positions()).await;
    let mut started = started.map_err(Failure::classified)?;
    let raw = pulling.pull(&mut started.source).await?;
    let changes = started.cannot_see.is_none();
    notes.extend(started.cannot_see);
    let from = ReadFrom::Mongo {
        database: database.to_owned(),
        collection: collection.to_owned(),
        changes,
    };
    Ok((from, Records::of_bson(&raw)))
}

async fn files(
    path: &Path,
    workspace: &Workspace,
    most: usize,
) -> anyhow::Result<(ReadFrom, Records)> {
    let mut format = place::format_of(path)?;
    let mut raw = file_records(path, format, workspace, most).await?;
    if let job::FileFormat::Csv { delimiter } = &mut format {
        let found = raw
            .first()
            .and_then(|first| place::delimiter(first.columns.as_deref()?));
        if let Some(found) = found.filter(|found| found != delimiter) {
            *delimiter = found;
            raw = file_records(path, format, workspace, most).await?;
        }
    }
    let records = match format {
        job::FileFormat::Csv { delimiter } => Records::of_csv(&raw, dialect(delimiter)),
        job::FileFormat::JsonLines | job::FileFormat::Parquet => Records::of_json(&raw),
    };
    let path = place::in_project(path, &workspace.directory)?;
    Ok((ReadFrom::Files { path, format }, records))
}

async fn file_records(
    path: &Path,
    format: job::FileFormat,
    workspace: &Workspace,
    most: usize,
) -> anyhow::Result<Vec<Raw>> {
    let format = match format {
        job::FileFormat::Csv { delimiter } => FileFormat::Csv {
            dialect: dialect(delimiter),
            header: true,
        },
        job::FileFormat::JsonLines => FileFormat::JsonLines,
        job::FileFormat::Parquet => FileFormat::Parquet,
    };
    let mut read = FilesRead::new(PathBuf::from(path), format);
    read.bounded = true;
    let reader = FilesReader::new(read).map_err(Failure::classified)?;
    let pulling = Pulling::new(workspace, most);
    let single = pulling.single(path.display().to_string());
    let mut source = SingleSource::start(reader, single, pulling.positions());
    pulling.pull(&mut source).await
}

fn dialect(delimiter: u8) -> Dialect {
    crate::stream::dialect(delimiter)
}
