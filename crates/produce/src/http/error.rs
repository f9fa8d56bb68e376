//! What goes wrong between a producer and a web service.

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use reqwest::StatusCode;

use super::Address;

/// A web service that cannot be used. No message holds a key, a password or a query.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A text that is no address of a web service.
    #[error(
        "`{0}` is not an http or https address; write it whole, such as https://api.example.com"
    )]
    Address(String),
    /// The client could not be made.
    #[error("the HTTP client cannot be made; check the certificates that this system trusts")]
    Client(#[source] reqwest::Error),
    /// The key is missing a right or is wrong.
    #[error(
        "{address} refuses the key with status {status}; give it a valid key that has the right"
    )]
    Unauthorized {
        /// What was called.
        address: Address,
        /// 401 or 403.
        status: StatusCode,
    },
    /// A request that will never succeed.
    #[error("{address} refuses the request with status {status}{}; correct the settings", said(.message))]
    Refused {
        /// What was called.
        address: Address,
        /// The status.
        status: StatusCode,
        /// What the service says.
        message: String,
    },
    /// The service redirects to another host.
    #[error(
        "{address} redirects to another host, which is not followed; set the address that it moved to"
    )]
    Redirected {
        /// What was called.
        address: Address,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
    /// A body or record without end.
    #[error(
        "{address} sends more than {limit} bytes in one piece; check that it is the right address"
    )]
    TooLarge {
        /// What was called.
        address: Address,
        /// The bound.
        limit: usize,
    },
    /// The answer is not what the service promises.
    #[error(
        "{address} answers with something else than {expected}; check that it is the right address"
    )]
    Unexpected {
        /// What was called.
        address: Address,
        /// What was to come.
        expected: &'static str,
    },
    /// The network or the service failed; the producers try again.
    #[error("{address} cannot be reached; check the network and the service")]
    Unreachable {
        /// What was called.
        address: Address,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
    /// The service is busy or broken for the moment; the producers try again.
    #[error("{address} answers with status {status}; wait, or look at the service")]
    Unavailable {
        /// What was called.
        address: Address,
        /// 429 or 5xx.
        status: StatusCode,
        /// The pause that it asks for.
        after: Option<std::time::Duration>,
    },
}

impl HttpError {
    /// What a failed call of `address` means. The client's error would show the whole address.
    pub(crate) fn of(address: &Address, error: reqwest::Error) -> Self {
        let address = address.clone();
        let source = error.without_url();
        if source.is_redirect() {
            return Self::Redirected { address, source };
        }
        Self::Unreachable { address, source }
    }

    /// Whether the same call may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        self.kind() == ErrorKind::Transient
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(" (\"{message}\")")
    }
}

impl Classified for HttpError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(_)
            | Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::Unexpected { .. } => ErrorKind::Configuration,
            Self::Client(_) => ErrorKind::Internal,
            Self::Unreachable { .. } | Self::Unavailable { .. } => ErrorKind::Transient,
        }
    }
}
