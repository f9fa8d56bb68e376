//! What of a collection is read, and how.

use std::time::Duration;

use mongodb::bson::Document;

use super::error::MongoSourceError;

/// What is read.
#[derive(Debug, Clone)]
pub struct MongoRead {
    /// The database.
    pub database: String,
    /// The collection.
    pub collection: String,
    /// How it is followed.
    pub mode: Mode,
    /// Fields that the server leaves out or sends alone, as `find` takes it; the `_id` always comes.
    /// Polling needs its field. With a change stream nothing can be computed.
    pub projection: Option<Document>,
    /// Stages that the server runs over the polled documents; they must keep one document for each,
    /// its `_id` and the polled field. Not for change streams.
    pub pipeline: Vec<Document>,
    /// Whether to end at what was there at the start.
    pub bounded: bool,
}

impl MongoRead {
    /// A projection as a project declares it, one JSON object.
    ///
    /// # Errors
    /// [`MongoSourceError::Json`].
    pub fn projection_of(json: &str) -> Result<Document, MongoSourceError> {
        serde_json::from_str(json).map_err(|source| MongoSourceError::Json {
            what: "projection",
            expected: "an object such as `{\"city\": 1}`",
            source,
        })
    }

    /// A pipeline as a project declares it, a JSON array of stages; values that JSON has no type for
    /// are written as in MongoDB's extended JSON.
    ///
    /// # Errors
    /// [`MongoSourceError::Json`].
    pub fn pipeline_of(json: &str) -> Result<Vec<Document>, MongoSourceError> {
        serde_json::from_str(json).map_err(|source| MongoSourceError::Json {
            what: "pipeline",
            expected: "an array such as `[{\"$match\": {\"city\": \"Lyon\"}}]`",
            source,
        })
    }
}

/// How a collection is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A snapshot, then the change stream: inserts, updates and replacements with the whole document
    /// as payload, deletions as null payloads; the key is `{_id: …}` in BSON.
    Changes,
    /// Asked again and again.
    Poll(Poll),
    /// As [`Mode::Changes`] where the server has change streams, else polled.
    ChangesOrPoll(Poll),
}

/// How a collection is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// What tells new documents from old ones.
    pub by: PollBy,
    /// How long to wait once everything was read.
    pub every: Duration,
}

/// What tells new documents from old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollBy {
    /// A field that grows with every new document, its path from the top; `_id` too.
    Field(String),
    /// Documents of the raw store, in the order that Kafka had: by `incarnation` and `partition` in
    /// the order of `offset`, with a position for each.
    RawDocuments {
        /// The topic that they came from.
        topic: String,
        /// Whether records are what came from Kafka (payload, key, headers, time), the payload a BSON
        /// document where it was a JSON object; else the payload is the raw document as stored.
        unwrap: bool,
    },
}

impl Poll {
    /// What polling cannot see, for people: to be told when a job starts.
    pub fn cannot_see(&self) -> String {
        match &self.by {
            PollBy::Field(field) => format!(
                "polled by `{field}`: updates and deletions are not seen, nor documents whose `{field}` is missing or \
                 not above those already read when they come; one of another type than the others stops the job, \
                 and those of one `{field}` need `_id`s of one type; use a change stream where that matters"
            ),
            PollBy::RawDocuments { topic, .. } => format!(
                "polled by partition and offset of topic `{topic}`: raw documents that are changed or removed after \
                 they were read are not seen, nor ones added below an offset already read"
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::{doc, oid::ObjectId};

    #[test]
    fn stages_are_written_in_json() {
        let json = r#"[{"$match":{"shop":{"$oid":"010101010101010101010101"}}},{"$limit":5}]"#;
        let shop = ObjectId::from_bytes([1; 12]);
        assert_eq!(
            MongoRead::pipeline_of(json).unwrap(),
            [doc! { "$match": { "shop": shop } }, doc! { "$limit": 5 }]
        );
        assert_eq!(
            MongoRead::projection_of(r#"{"city":1}"#).unwrap(),
            doc! { "city": 1 }
        );
        let error = MongoRead::projection_of("city").unwrap_err();
        assert!(error.to_string().contains("projection"), "{error}");
    }
}
