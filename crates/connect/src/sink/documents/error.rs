//! What can go wrong with the collections of models, and what it means for the run.

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use mongodb::error::Error;

use crate::sink::raw_store::error::is_transient;

/// Documents of a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
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
    #[error(
        "MongoDB at {hosts} refuses access to {namespace}, where model `{model}` goes; check user, password and rights"
    )]
    Refused {
        /// The hosts of the URL.
        hosts: String,
        /// `database.collection`.
        namespace: String,
        /// The model.
        model: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The server takes no database or collection of this name.
    #[error(
        "MongoDB at {hosts} does not take the name {namespace}; change `config.meta.factmill.mongo` of model `{model}`"
    )]
    Name {
        /// The hosts of the URL.
        hosts: String,
        /// `database.collection`.
        namespace: String,
        /// The model.
        model: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// A request failed.
    #[error("writing the documents of model `{model}` to {namespace} failed")]
    Request {
        /// `database.collection`.
        namespace: String,
        /// The model.
        model: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The documents are not safe on a majority of the servers yet.
    #[error("documents in {namespace} are not acknowledged by a majority: {reason}")]
    NotAcknowledged {
        /// `database.collection`.
        namespace: String,
        /// The server's words.
        reason: String,
    },
    /// The server refuses one document.
    #[error("document `{id}` of model `{model}` is refused by {namespace} (code {code}): {reason}")]
    Document {
        /// `database.collection`.
        namespace: String,
        /// The model.
        model: String,
        /// The document's `_id`, as JSON.
        id: String,
        /// The server's error code.
        code: i32,
        /// The server's words.
        reason: String,
    },
    /// One row is larger than any document may be.
    #[error(
        "a document of model `{model}` has {bytes} bytes, MongoDB takes at most {limit}; leave large columns out of the model, or such records in a filter"
    )]
    TooLarge {
        /// The model.
        model: String,
        /// Bytes of the document.
        bytes: usize,
        /// Most bytes of a document.
        limit: usize,
    },
    /// The rows are not what the plan declares.
    #[error("rows of model `{model}` cannot be documents: {reason}")]
    Rows {
        /// The model.
        model: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The server's answer has another form.
    #[error("{namespace} answered a write in a form that is not understood: {answer}")]
    Answer {
        /// `database.collection`.
        namespace: String,
        /// The answer.
        answer: String,
    },
}

impl Classified for DocumentsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url | Self::Refused { .. } | Self::Name { .. } | Self::TooLarge { .. } => {
                ErrorKind::Configuration
            }
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::NotAcknowledged { .. } => ErrorKind::Transient,
            Self::Request { source, .. } if is_transient(source) => ErrorKind::Transient,
            Self::Request { .. }
            | Self::Document { .. }
            | Self::Rows { .. }
            | Self::Answer { .. } => ErrorKind::Internal,
        }
    }
}
