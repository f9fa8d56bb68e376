//! What can go wrong with a schema registry.

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use crate::source::http::HttpSourceError;

/// A registry cannot be asked, or says something that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer.
    #[error("the schema registry cannot be asked")]
    Http(#[source] HttpSourceError),
    /// 401, 403, 407.
    #[error(
        "schema registry {place} refuses access ({status}); check user and password, or the token, of `schema_registry` in the profile"
    )]
    Refused {
        /// The registry.
        place: String,
        /// The answer.
        status: reqwest::StatusCode,
    },
    /// An answer of another form.
    #[error("{place} answers `{path}` in a form that no schema registry does; check its URL")]
    Answer {
        /// The registry.
        place: String,
        /// What was asked for.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Nothing of a registry under the URL.
    #[error(
        "no schema registry answers at {place}; give its URL with the path of its API, such as https://host/apis/ccompat/v7"
    )]
    NoApi {
        /// The URL.
        place: String,
    },
    /// A schema refers to one that is not there.
    #[error(
        "the schema registry has no version {version} of subject `{subject}`, which a schema refers to as `{name}`; register it again"
    )]
    NoReference {
        /// The subject.
        subject: String,
        /// Its version.
        version: String,
        /// The name that refers to it.
        name: String,
    },
    /// A schema refers to more than is followed.
    #[error("a schema refers to more than 1000 others")]
    TooManyReferences,
}

impl From<HttpSourceError> for RegistryError {
    fn from(error: HttpSourceError) -> Self {
        match error {
            HttpSourceError::Refused { place, status } => Self::Refused { place, status },
            other => Self::Http(other),
        }
    }
}

impl Classified for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Http(error) => error.kind(),
            _ => ErrorKind::Configuration,
        }
    }
}
