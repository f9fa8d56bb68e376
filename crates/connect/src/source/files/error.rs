//! What can go wrong with a source of files, and what it means for the run.

use std::io;
use std::path::PathBuf;

use ::parquet::errors::ParquetError;
use arrow::error::ArrowError;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

/// A source of files cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    /// No folder to list.
    #[error("cannot list folder {folder}; check that it exists and may be read")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Nothing at the path of a bounded read.
    #[error("there is neither a file nor a folder at {path}; check the path")]
    Nothing {
        /// As declared, in the project's folder.
        path: PathBuf,
    },
    /// A path that names no files.
    #[error("{path}: {detail}")]
    Path {
        /// As declared.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: &'static str,
    },
    /// A name that cannot be stored.
    #[error("file {name:?} has a name that is not UTF-8 or holds a control character; rename it")]
    Name {
        /// The name.
        name: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read file {file}; check that it may be read, and that a packed file is whole")]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is no Parquet file, or a broken one.
    #[error("cannot read Parquet file {file}; replace it by a whole one, or remove it")]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: ParquetError,
    },
    /// Rows that JSON cannot hold.
    #[error("rows of Parquet file {file} cannot be written as JSON")]
    Rows {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: ArrowError,
    },
    /// A stored position that this version does not read.
    #[error("the stored position of {path} is none of a source of files")]
    Position {
        /// The source's path.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More files than a position holds.
    #[error(
        "{path} holds {files} files, more than a position can name; move files that were read to another folder"
    )]
    TooMany {
        /// The source's path.
        path: PathBuf,
        /// How many.
        files: usize,
    },
    /// The reading thread is gone.
    #[error("reading {file} was broken off")]
    Lost {
        /// The file or folder.
        file: PathBuf,
        /// The reason.
        source: tokio::task::JoinError,
    },
    /// What was read is not there any more, or not the same.
    #[error("file {file}: {found}")]
    Changed {
        /// The file.
        file: PathBuf,
        /// How file and position disagree.
        found: String,
    },
}

impl Classified for FileSourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Changed { .. } => ErrorKind::Gap,
            Self::Lost { .. } => ErrorKind::Internal,
            Self::Folder { source, .. } | Self::Read { source, .. } if may_pass(source) => {
                ErrorKind::Transient
            }
            _ => ErrorKind::Configuration,
        }
    }
}

/// Whether the same may succeed later: what disks and servers of files have in bad moments, not what
/// a file is or who may read it.
fn may_pass(error: &io::Error) -> bool {
    /// The number of an input or output error, for which there is no kind.
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
        || matches!(
            error.kind(),
            io::ErrorKind::StaleNetworkFileHandle
                | io::ErrorKind::TimedOut
                | io::ErrorKind::ResourceBusy
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let kind = |source| {
            let file = PathBuf::from("a.csv");
            FileSourceError::Read { file, source }.kind()
        };
        assert_eq!(kind(io::Error::from_raw_os_error(5)), ErrorKind::Transient);
        for passes in [
            io::ErrorKind::StaleNetworkFileHandle,
            io::ErrorKind::TimedOut,
        ] {
            assert_eq!(kind(passes.into()), ErrorKind::Transient);
        }
        for stays in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(kind(stays.into()), ErrorKind::Configuration);
        }
    }
}
