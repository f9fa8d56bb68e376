//! What can go wrong with an HTTP source, and what it means for the run.

use std::path::PathBuf;
use std::time::Duration;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use reqwest::StatusCode;

/// An HTTP source cannot go on. `place` is the URL without user, password and query.
#[derive(Debug, thiserror::Error)]
pub enum HttpSourceError {
    /// No URL that can be asked.
    #[error(
        "the URL of an http source is not one that can be asked: {detail}; write it like https://host/path"
    )]
    Url {
        /// What is wrong with it.
        detail: String,
    },
    /// A header that HTTP does not allow.
    #[error("{place}: header `{name}` has a name or a value that http does not allow")]
    Header {
        /// The URL.
        place: String,
        /// The header.
        name: String,
    },
    /// A text that is no JSON pointer.
    #[error(
        "`{pointer}` is no JSON pointer; write it like `/data/items`, or leave it out for the whole body"
    )]
    Pointer {
        /// As declared.
        pointer: String,
    },
    /// A setting that contradicts another.
    #[error("{place}: {detail}")]
    Setting {
        /// The URL.
        place: String,
        /// What is wrong and what to do.
        detail: &'static str,
    },
    /// The client could not be made.
    #[error("{place}: the client could not be set up")]
    Client {
        /// The URL.
        place: String,
        /// The reason.
        source: reqwest::Error,
    },
    /// TLS could not be set up.
    #[error("{place}: TLS could not be set up")]
    Tls {
        /// The URL.
        place: String,
        /// rustls's reason.
        source: rustls::Error,
    },
    /// The file of trusted certificates.
    #[error("cannot read certificates from {file}; name a PEM file")]
    CaFile {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: rustls_pki_types::pem::Error,
    },
    /// Nobody to trust.
    #[error("{place}: no trusted certificate was found; name one by `ca_file`")]
    NoTrustedCertificate {
        /// The URL.
        place: String,
    },
    /// No answer, or one that broke off.
    #[error("{place}: {what}, tried {attempts} times")]
    Failed {
        /// The URL.
        place: String,
        /// What happened.
        what: &'static str,
        /// How often.
        attempts: u32,
        /// The reason.
        source: reqwest::Error,
    },
    /// An answer that never becomes whole.
    #[error(
        "{place}: {what} took longer than {waited:?}; the server is slow or stuck, raise the time-out if that is usual"
    )]
    Slow {
        /// The URL.
        place: String,
        /// What took so long.
        what: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// 401, 403, 407.
    #[error("{place} refuses access ({status}); check the credentials in `headers`")]
    Refused {
        /// The URL.
        place: String,
        /// The answer.
        status: StatusCode,
    },
    /// Another answer that trying again does not change.
    #[error("{place} answers {status}; check the URL, the method and the parameters")]
    Status {
        /// The URL.
        place: String,
        /// The answer.
        status: StatusCode,
    },
    /// 408, 425, 429, 5xx.
    #[error("{place} still answers {status} after {attempts} requests")]
    Busy {
        /// The URL.
        place: String,
        /// The answer.
        status: StatusCode,
        /// How often it was asked.
        attempts: u32,
    },
    /// A redirect that would carry the request somewhere else.
    #[error(
        "{place} redirects to {to}, which is not followed: only its own scheme, host and port are; put the new address in the job if it is the right one"
    )]
    Redirect {
        /// The URL.
        place: String,
        /// Where to, without query.
        to: String,
    },
    /// More than is taken.
    #[error(
        "{place}: {what} is larger than {limit} bytes; raise the limit, or ask for smaller pages"
    )]
    TooLarge {
        /// The URL.
        place: String,
        /// Body, line or event.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A body that is no JSON document.
    #[error("{place} answers what is no JSON: expected {expected} at byte {at}")]
    Malformed {
        /// The URL.
        place: String,
        /// Byte from 0.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// No records where they are declared.
    #[error("{place}: the answer has no array of records at `{pointer}`; check `records`")]
    NoRecords {
        /// The URL.
        place: String,
        /// Where they should be.
        pointer: String,
    },
    /// A page whose last record does not lead to the next one.
    #[error(
        "{place}: the last record has no text or number at `{field}`, which the next request needs; check the field"
    )]
    NoCursor {
        /// The URL.
        place: String,
        /// The field.
        field: String,
    },
    /// Another kind of answer.
    #[error("{place} answers `{found}` instead of text/event-stream; check the URL and the format")]
    ContentType {
        /// The URL.
        place: String,
        /// The content type.
        found: String,
    },
    /// A stored place that this version does not read.
    #[error("{place}: the stored position `{text}` is none of this source")]
    Position {
        /// The URL.
        place: String,
        /// As stored.
        text: String,
        /// The reason.
        source: serde_json::Error,
    },
}

impl Classified for HttpSourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed { .. }
            | Self::Slow { .. }
            | Self::Busy { .. }
            | Self::Malformed { .. } => ErrorKind::Transient,
            Self::Client { .. } | Self::Tls { .. } => ErrorKind::Internal,
            _ => ErrorKind::Configuration,
        }
    }
}
