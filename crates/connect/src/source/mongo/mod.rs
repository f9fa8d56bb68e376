//! A MongoDB collection as a source: followed by its change stream, or polled.
//!
//! | mode | sees | order and positions |
//! |---|---|---|
//! | [`Mode::Changes`] | what the collection holds, then every insert, update, replacement and deletion | one partition, counted; the position is a resume token, in the snapshot also what is left of it |
//! | [`PollBy::Field`] | documents with a greater value than those before | one partition, counted; the position is the last value and `_id` |
//! | [`PollBy::RawDocuments`] | raw documents of a topic, at once where the server has change streams | the partitions and offsets that Kafka had |
//!
//! What each guarantees is in the documentation of its module and of [`Poll::cannot_see`]. The
//! payload of a record is a document in BSON, its key `{_id: …}`.
//!
//! A collection that was dropped, renamed or created again, another server, and a resume token that
//! the server has forgotten are gaps: the job stops and names the ways out.

mod changes;
mod config;
mod connection;
mod documents;
mod error;
mod kinds;
mod place;
mod poll;
mod projection;

use std::sync::Arc;

use async_recursion::async_recursion as boxed;
use factmill_core::source::PositionStore;

pub use config::{Mode, MongoRead, Poll, PollBy};
pub use error::MongoSourceError;

use super::single::{SingleRead, SingleSource};
use changes::ChangesReader;
use connection::Connection;
use poll::{FieldReader, News, RawReader};
use projection::Fields;

/// A collection that is being read.
#[derive(Debug)]
pub struct MongoSource {
    /// The records.
    pub source: SingleSource,
    /// What this way of reading cannot see, for people; none with a change stream.
    pub cannot_see: Option<String>,
}

/// Meets the server and begins to read. TLS, user and time-outs are options of the URL.
///
/// An unbounded read waits for a collection that does not exist yet; a bounded one of it fails.
/// [`SingleRead::topic`] is what the order of records calls the collection: the topic itself where
/// raw documents are read.
///
/// # Errors
/// A URL of another form, a server that does not answer or refuses access, change streams where the
/// server has none, a projection or pipeline that does not go with them. None of them shows the URL.
///
/// # Panics
/// Outside of a tokio runtime.
#[boxed]
pub async fn start(
    url: &str,
    mut read: MongoRead,
    single: SingleRead,
    positions: Arc<dyn PositionStore>,
) -> Result<MongoSource, MongoSourceError> {
    let connection = Connection::meet(url, &read.database, &read.collection).await?;
    let poll = match read.mode.clone() {
        Mode::Poll(poll) => Some(poll),
        Mode::Changes => None,
        Mode::ChangesOrPoll(poll) => (!changes::exists(&connection).await?).then_some(poll),
    };
    read.projection = read.projection.and_then(projection::with_id);
    let Some(poll) = poll else {
        if !read.pipeline.is_empty() {
            return Err(MongoSourceError::PipelineOfChanges {
                namespace: connection.namespace,
            });
        }
        let fields = read.projection.as_ref().map(Fields::of).transpose();
        let fields = fields.map_err(|reason| MongoSourceError::ProjectionOfChanges {
            namespace: connection.namespace.clone(),
            reason,
        })?;
        if read.mode == Mode::Changes {
            changes::check(&connection).await?;
        }
        let reader = ChangesReader::new(connection, fields, read.bounded);
        return Ok(MongoSource {
            source: SingleSource::start(reader, single, positions),
            cannot_see: None,
        });
    };
    let cannot_see = Some(poll.cannot_see());
    let source = match poll.by.clone() {
        PollBy::Field(field) => {
            let reader = FieldReader::new(connection, read, poll, field);
            SingleSource::start(reader, single, positions)
        }
        PollBy::RawDocuments { topic, unwrap } => {
            let is_told = !read.bounded && changes::exists(&connection).await?;
            let news = News::new(connection.clone(), poll.every, is_told);
            let reader = RawReader::new(connection, read, news, topic, unwrap);
            SingleSource::start(reader, single, positions)
        }
    };
    Ok(MongoSource { source, cannot_see })
}
