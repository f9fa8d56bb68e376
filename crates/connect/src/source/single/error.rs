//! What can go wrong with a source of one reader.

use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{Classified, SharedError};

use super::reader::InvalidPlace;

/// A source with one reader cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SingleSourceError {
    /// Its reader failed.
    #[error("{what} cannot be read")]
    Reader {
        /// What was read.
        what: String,
        /// The reader's error.
        source: SharedError,
    },
    /// Records between the stored position and what the server has are lost or not the same.
    #[error(
        "{what}: {found}; nothing is skipped in silence: bring the records back, or accept the loss and \
         read the source anew: factmill positions {} accept-gap --source {source_name} --profile {}",
        .reader.job, .reader.target
    )]
    Gap {
        /// Who reads.
        reader: Reader,
        /// The source that models name.
        source_name: SourceName,
        /// What was read.
        what: String,
        /// How position and server disagree.
        found: SharedError,
    },
    /// The positions could not be read.
    #[error("stored positions of {source_name} could not be read")]
    Positions {
        /// The source.
        source_name: SourceName,
        /// The store's error.
        source: SharedError,
    },
    /// A stored position that no reader of this version wrote.
    #[error("stored position of {source_name} partition `{partition}` cannot be read")]
    Place {
        /// The source.
        source_name: SourceName,
        /// The partition.
        partition: String,
        /// What is wrong with it.
        source: InvalidPlace,
    },
    /// A reader left records without a place.
    #[error("the reader of {what} counted records of `{partition}` and said no place behind them")]
    Unplaced {
        /// What was read.
        what: String,
        /// The partition.
        partition: String,
    },
    /// Another process took the lease, because this one did not renew it in time.
    #[error("{what} is read by {holder} now: this process was paused longer than its lease")]
    LeaseLost {
        /// What was read.
        what: String,
        /// Who reads now.
        holder: String,
    },
    /// The reading task is gone.
    #[error("the reader of {what} has stopped")]
    Stopped {
        /// What was read.
        what: String,
    },
}

impl Classified for SingleSourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Reader { source, .. } | Self::Positions { source, .. } => source.kind(),
            Self::Gap { .. } => ErrorKind::Gap,
            Self::LeaseLost { .. } => ErrorKind::Fenced,
            Self::Place { .. } | Self::Unplaced { .. } | Self::Stopped { .. } => {
                ErrorKind::Internal
            }
        }
    }
}

/// What a reader found where its stored place should be: a gap. The adapter names the ways out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The source was created again, or this is another server.
    #[error(
        "the stored position belongs to `{before}`, the source is `{now}` now: it was created again, or this is another server"
    )]
    OtherIncarnation {
        /// Identity of the incarnation that the position belongs to.
        before: String,
        /// Identity of the source as it is.
        now: String,
    },
    /// What follows the stored place is not on the server any more.
    #[error("{reason}, what follows the stored position is gone")]
    Gone {
        /// What the server says or lacks.
        reason: String,
    },
}

impl Classified for Lost {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Gap
    }
}
