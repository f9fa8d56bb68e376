//! Why the services, or a client of theirs, could not go on.

use std::io;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use crate::send::error::ProduceError;

/// Why the services of the shop could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EcommerceError {
    /// Kafka does not take events.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// A setting cannot be used.
    #[error("{what} cannot be `{value}`; {expected}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made; look at the system's certificates")]
    Client(#[source] reqwest::Error),
    /// A listener failed.
    #[error("the {service} service stopped listening; start it again")]
    Listener {
        /// Which service.
        service: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Classified for EcommerceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Produce(error) => error.kind(),
            Self::Setting { .. } => ErrorKind::Configuration,
            Self::Client(_) | Self::Listener { .. } => ErrorKind::Internal,
        }
    }
}

/// Why a client of a service could not go on.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made; look at the system's certificates")]
    Client(#[source] reqwest::Error),
    /// Nobody answers.
    #[error(
        "no service answers at {url}; start `factmill serve ecommerce`, or correct its address"
    )]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
    /// The service answers with something else than events.
    #[error("{url} answered {status} instead of events: {said}")]
    Refused {
        /// Where it was asked.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of the answer.
        said: String,
    },
}

impl Classified for FollowError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(_) => ErrorKind::Internal,
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::Refused { status, .. } if *status >= 500 => ErrorKind::Unreachable,
            Self::Refused { .. } => ErrorKind::Configuration,
        }
    }
}
