//! Collections that are asked again and again.

mod field;
mod news;
mod raw;
mod watch;

use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;

use super::config::MongoRead;
use super::connection::Connection;
use super::documents::Answers;
use super::error::MongoSourceError;

pub(super) use field::FieldReader;
pub(super) use news::News;
pub(super) use raw::RawReader;

/// Documents of one answer.
const AT_ONCE: u32 = 2_000;

/// Asks for documents in an order, with what the project declared pushed to the server.
async fn ask(
    connection: &Connection,
    read: &MongoRead,
    filter: Document,
    sort: Document,
) -> Result<Answers, MongoSourceError> {
    let majority = ReadConcern::majority();
    let cursor = if read.pipeline.is_empty() {
        let mut find = connection
            .collection()
            .find(filter)
            .sort(sort)
            .batch_size(AT_ONCE)
            .read_concern(majority);
        if let Some(projection) = &read.projection {
            find = find.projection(projection.clone());
        }
        connection.answered(find.batch()).await
    } else {
        let mut stages = vec![doc! { "$match": filter }, doc! { "$sort": sort }];
        stages.extend(read.pipeline.iter().cloned());
        let projection = read.projection.iter();
        stages.extend(projection.map(|projection| doc! { "$project": projection }));
        let aggregate = connection
            .collection()
            .aggregate(stages)
            .batch_size(AT_ONCE)
            .read_concern(majority);
        connection.answered(aggregate.batch()).await
    };
    let cursor = cursor.map_err(|error| connection.refused_declaration(error))?;
    Ok(Answers::new(cursor))
}
