//! What can go wrong with the raw store, and what it means for the run.

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use mongodb::error::{Error, ErrorKind as DriverErrorKind, RETRYABLE_WRITE_ERROR};

/// Raw documents could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RawStoreError {
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
        "MongoDB at {hosts} does not take the name {namespace}; change `database` and `collection` of the job's `raw_store`"
    )]
    Name {
        /// The hosts of the URL.
        hosts: String,
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// A request failed.
    #[error("writing raw documents to {namespace} failed")]
    Request {
        /// `database.collection`.
        namespace: String,
        /// The driver's reason.
        source: Box<Error>,
    },
    /// The documents are not safe on a majority of the servers yet.
    #[error("raw documents in {namespace} are not acknowledged by a majority: {reason}")]
    NotAcknowledged {
        /// `database.collection`.
        namespace: String,
        /// The server's words.
        reason: String,
    },
    /// The server refuses one document.
    #[error("raw document `{id}` is refused by {namespace} (code {code}): {reason}")]
    Document {
        /// `database.collection`.
        namespace: String,
        /// The document's `_id`.
        id: String,
        /// The server's error code.
        code: i32,
        /// The server's words.
        reason: String,
    },
    /// The id is taken by another record.
    #[error(
        "raw document `{id}` is in {namespace} already with other content; two topics or two jobs write into one collection, or somebody changed it: give this job a collection of its own, or remove the document"
    )]
    Differs {
        /// `database.collection`.
        namespace: String,
        /// The document's `_id`.
        id: String,
    },
    /// One record is larger than any document may be.
    #[error(
        "the record of raw document `{id}` has {bytes} bytes, MongoDB takes at most {limit}; switch the raw store off (`raw_store.enabled: false`) or keep such records out of the topic"
    )]
    TooLarge {
        /// The document's `_id`.
        id: String,
        /// Bytes of the document.
        bytes: usize,
        /// Most bytes of a document.
        limit: usize,
    },
    /// The server's answer has another form.
    #[error("{namespace} answered an insert in a form that is not understood: {answer}")]
    Answer {
        /// `database.collection`.
        namespace: String,
        /// The answer.
        answer: String,
    },
}

impl Classified for RawStoreError {
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
            | Self::Differs { .. }
            | Self::Answer { .. } => ErrorKind::Internal,
        }
    }
}

/// Whether the server went away or changes its primary, so that the same write may succeed later.
pub(crate) fn is_transient(error: &Error) -> bool {
    // codes of the retryable writes specification: shut down, stepped down, network
    const PASSING: [i32; 13] = [
        6, 7, 89, 91, 134, 189, 262, 9_001, 10_107, 11_600, 11_602, 13_435, 13_436,
    ];
    match &*error.kind {
        DriverErrorKind::Io(_)
        | DriverErrorKind::ServerSelection { .. }
        | DriverErrorKind::ConnectionPoolCleared { .. }
        | DriverErrorKind::DnsResolve { .. } => true,
        DriverErrorKind::Command(command) => {
            PASSING.contains(&command.code) || error.contains_label(RETRYABLE_WRITE_ERROR)
        }
        _ => error.contains_label(RETRYABLE_WRITE_ERROR),
    }
}

/// Whether the server knows this client and refuses it.
pub(crate) fn is_refusal(error: &Error) -> bool {
    const UNAUTHORIZED: i32 = 13;
    const AUTHENTICATION_FAILED: i32 = 18;
    matches!(&*error.kind, DriverErrorKind::Authentication { .. })
        || code(error).is_some_and(|code| [UNAUTHORIZED, AUTHENTICATION_FAILED].contains(&code))
}

/// Whether the server takes no database or collection of this name.
pub(crate) fn is_name(error: &Error) -> bool {
    const INVALID_NAMESPACE: i32 = 73;
    code(error) == Some(INVALID_NAMESPACE)
}

/// The code of a command's failure.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        DriverErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
