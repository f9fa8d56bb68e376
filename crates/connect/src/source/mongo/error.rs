//! What can go wrong with a collection as a source, and what it means for the run.

use std::time::Duration;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use mongodb::error::{Error, ErrorKind as DriverErrorKind};

use crate::sink::raw_store::error as failure;

/// A collection cannot be read. No message shows the URL.
#[derive(Debug, thiserror::Error)]
pub enum MongoSourceError {
    /// The URL has another form. Neither it nor the driver's reason is shown: both may hold the
    /// password.
    #[error(
        "the MongoDB URL cannot be read; expected `mongodb://[user:password@]host[:port]/[?options]`, reserved characters in user and password percent-encoded"
    )]
    Url,
    /// No server answered.
    #[error("MongoDB at {hosts} cannot be reached; check that it runs and that `url` names it")]
    Unreachable {
        /// The hosts of the URL.
        hosts: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The server knows this client and refuses it.
    #[error("MongoDB at {hosts} refuses access to {namespace}; check user, password and rights")]
    Refused {
        /// The hosts of the URL.
        hosts: String,
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The server takes no database or collection of this name.
    #[error(
        "MongoDB at {hosts} does not take the name {namespace}; change `database` and `collection` of the source"
    )]
    Name {
        /// The hosts of the URL.
        hosts: String,
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// A bounded read of a collection that is not there.
    #[error("collection {namespace} does not exist; create it or write to it first")]
    NoCollection {
        /// `database.collection`.
        namespace: String,
    },
    /// The server has no change streams.
    #[error(
        "MongoDB at {hosts} has no change streams, only a replica set or a sharded cluster has; make it one or let the source be polled"
    )]
    NoChangeStreams {
        /// The hosts of the URL.
        hosts: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// A pipeline where documents come from a change stream.
    #[error(
        "source {namespace} declares a pipeline, which a change stream cannot follow: a document that stops to match would stay; poll the source, or declare a projection and filter in a model"
    )]
    PipelineOfChanges {
        /// `database.collection`.
        namespace: String,
    },
    /// A projection that computes where documents come from a change stream.
    #[error(
        "the projection of source {namespace} cannot be done in a change stream: {reason}; keep fields (`1`) or leave fields out (`0`), and compute in a model, or poll the source"
    )]
    ProjectionOfChanges {
        /// `database.collection`.
        namespace: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A declared pipeline or projection in another form.
    #[error("the {what} of a collection cannot be read; expected {expected}")]
    Json {
        /// Which of them.
        what: &'static str,
        /// Its form.
        expected: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The server refuses the declared pipeline or projection.
    #[error("MongoDB refuses the pipeline or projection of source {namespace}")]
    Declared {
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// A document without the field that tells how far polling has come.
    #[error(
        "a document of {namespace} came without `{field}`, by which the source is polled; keep `{field}` and `_id` in its projection and pipeline"
    )]
    NoField {
        /// `database.collection`.
        namespace: String,
        /// The field.
        field: String,
    },
    /// A value that comes neither before nor after those read by polling.
    #[error(
        "document {id} of {namespace} has {found} in `{field}`, by which the source is polled, and {others}: neither comes after the other, so one of them would never be read; give `{field}` one type in all documents or poll by another field, and where all of them changed, remove the source's stored position"
    )]
    OtherKind {
        /// `database.collection`.
        namespace: String,
        /// The field.
        field: String,
        /// The document's `_id`.
        id: String,
        /// What it has, as `$type` calls it.
        found: String,
        /// What is read.
        others: String,
    },
    /// A value that nothing comes after.
    #[error(
        "document {id} of {namespace} has {found} in `{field}`, by which the source is polled: nothing is said to come before or after it; change the document, leave it out by a pipeline, or poll by another field"
    )]
    NoOrder {
        /// `database.collection`.
        namespace: String,
        /// The field.
        field: String,
        /// The document's `_id`.
        id: String,
        /// What it has.
        found: String,
    },
    /// A request failed.
    #[error("reading {namespace} failed")]
    Request {
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The server took a request and did not answer it.
    #[error("MongoDB did not answer a request for {namespace} within {waited:?}")]
    NoAnswer {
        /// `database.collection`.
        namespace: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server ended a stream that has no end.
    #[error("MongoDB ended the change stream of {namespace}")]
    Ended {
        /// `database.collection`.
        namespace: String,
    },
    /// The server's answer, or a stored place, has another form.
    #[error("{namespace}: {reason}")]
    Answer {
        /// `database.collection`.
        namespace: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Classified for MongoSourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url
            | Self::Refused { .. }
            | Self::Name { .. }
            | Self::NoCollection { .. }
            | Self::NoChangeStreams { .. }
            | Self::PipelineOfChanges { .. }
            | Self::ProjectionOfChanges { .. }
            | Self::Json { .. }
            | Self::Declared { .. }
            | Self::NoField { .. }
            | Self::OtherKind { .. }
            | Self::NoOrder { .. } => ErrorKind::Configuration,
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::NoAnswer { .. } | Self::Ended { .. } => ErrorKind::Transient,
            Self::Request { source, .. } if is_transient(source) => ErrorKind::Transient,
            Self::Request { .. } | Self::Answer { .. } => ErrorKind::Internal,
        }
    }
}

/// Whether the server went away, changes its primary or lost our cursor, so that reading on from the
/// stored position may succeed.
pub(super) fn is_transient(error: &Error) -> bool {
    // cursor not found, cursor killed, query plan killed, exceeded time limit, interrupted, snapshot
    // unavailable, a config server that changes
    const PASSING: [i32; 8] = [43, 237, 175, 50, 262, 11_601, 246, 202];
    failure::is_transient(error) || failure::code(error).is_some_and(|code| PASSING.contains(&code))
}

/// Why the server cannot go on after a resume token; `None` for any other failure.
pub(super) fn lost_history(error: &Error) -> Option<String> {
    // capped position lost, invalid resume token, change stream fatal error, change stream history
    // lost, and what servers before 4.4 said for the last one
    const LOST: [i32; 6] = [136, 260, 280, 286, 40_576, 40_615];
    let DriverErrorKind::Command(command) = &*error.kind else {
        return None;
    };
    LOST.contains(&command.code).then(|| {
        format!(
            "the server says: {} (code {})",
            command.message, command.code
        )
    })
}

/// Whether the server does not know the stage of change streams, or has them only elsewhere.
pub(super) fn is_no_change_streams(error: &Error) -> bool {
    const ONLY_ON_REPLICA_SETS: i32 = 40_573;
    is_unknown(error) || failure::code(error) == Some(ONLY_ON_REPLICA_SETS)
}

/// Whether the server does not know a command or a stage.
pub(super) fn is_unknown(error: &Error) -> bool {
    // command not found; command not supported; not implemented; unknown stage, of old servers too
    const UNKNOWN: [i32; 5] = [59, 115, 238, 40_324, 16_436];
    failure::code(error).is_some_and(|code| UNKNOWN.contains(&code))
}

/// Whether the server answered that the request is wrong, not that something passes.
pub(super) fn is_command(error: &Error) -> bool {
    failure::code(error).is_some() && !is_transient(error)
}
