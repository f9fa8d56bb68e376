//! Why charges cannot be had.

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use crate::bookmark::BookmarkError;
use crate::http::{Address, HttpError};

/// Why the source of charges cannot begin or go on. No message holds the key.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// A key of live mode.
    #[error(
        "the Stripe key is one of live mode, whose charges move money; take a test key (sk_test_… or rk_test_…), or allow it with --live"
    )]
    LiveKey,
    /// Something else than a secret key.
    #[error(
        "the Stripe key is no secret key; take one that begins with sk_test_ or rk_test_ from Stripe's dashboard, Developers, API keys"
    )]
    NoSecretKey,
    /// An address at which everybody on the way could read the key.
    #[error(
        "{address} would get the Stripe key unencrypted; give an address of https, or one on this machine"
    )]
    Unencrypted {
        /// The address.
        address: Address,
    },
    /// A share that is no percentage.
    #[error("{0} percent of broken messages is not between 0 and 100")]
    BadPercent(f64),
    /// A batch that no page of the API holds.
    #[error("a batch of {0} charges is not between 1 and 100")]
    BatchSize(u32),
    /// A rate at which nothing would be asked.
    #[error("0 requests a second never ask for anything; set at least 1")]
    NoRequests,
    /// The service cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The place to go on from cannot be read or kept.
    #[error(transparent)]
    Bookmark(#[from] BookmarkError),
}

impl Classified for StripeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::LiveKey
            | Self::NoSecretKey
            | Self::Unencrypted { .. }
            | Self::BadPercent(_)
            | Self::BatchSize(_)
            | Self::NoRequests => ErrorKind::Configuration,
            Self::Http(error) => error.kind(),
            Self::Bookmark(error) => error.kind(),
        }
    }
}
