//! What can go wrong with the lake.

use std::path::PathBuf;

use factmill_core::error::ErrorKind;

use crate::sink::postgres::encode::EncodeError;

/// SQLSTATE of `factmill.lake_commit` for a file that is listed for deletion.
const FILE_LISTED: &str = "FML01";
/// SQLSTATE of `factmill.lake_commit` for a table that another client changed.
const TABLE_CHANGED: &str = "FML02";

/// A failure of the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The catalog's Postgres refused or went away.
    #[error("the lake's catalog could not {doing}")]
    Catalog {
        /// What was being done, to follow "could not".
        doing: String,
        /// Postgres's answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The lake's location is not one.
    #[error("`{location}` is no place for the lake: {why}; give a folder or s3://bucket/path")]
    Location {
        /// What was configured.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// The catalog was made for another place.
    #[error(
        "the lake's catalog says that its files are in `{catalog}`, the configuration says `{configured}`; \
         set the lake's path to where the files are, or use another warehouse"
    )]
    Moved {
        /// `data_path` of the catalog.
        catalog: String,
        /// The configured place.
        configured: String,
    },
    /// A catalog of another version of DuckLake, or an encrypted one.
    #[error(
        "the lake's catalog in schema `lake` has {setting} `{found}`, this factmill writes `{supported}`"
    )]
    Unsupported {
        /// The setting of `ducklake_metadata`.
        setting: &'static str,
        /// Its value there.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
    /// A column cannot be kept.
    #[error("column `{column}` of lake table {table} cannot be kept: {why}")]
    Column {
        /// The table, `schema.name`.
        table: String,
        /// The column.
        column: String,
        /// Why not.
        why: String,
    },
    /// The declared columns are not those of the lake's table, and not those with nullable ones added.
    #[error(
        "lake table {table} no longer fits its source: {what}; a source may only gain nullable columns, \
         so declare a new table for the new shape"
    )]
    Misfit {
        /// The table, `schema.name`.
        table: String,
        /// The first difference.
        what: String,
    },
    /// Another client changed or dropped a table under us.
    #[error("{0}")]
    TableChanged(String),
    /// An epoch's own file was listed for deletion.
    #[error("{0}")]
    FileListed(String),
    /// Rows that do not have the table's columns.
    #[error("rows for lake table {table} could not be made into its columns")]
    Rows {
        /// The table, `schema.name`.
        table: String,
        /// What Arrow says.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// Rows to be inlined that Postgres cannot take.
    #[error("rows of lake table {table} could not be inlined in its catalog")]
    Encode {
        /// The table, `schema.name`.
        table: String,
        /// The column and the value.
        #[source]
        source: EncodeError,
    },
    /// Parquet could not be encoded.
    #[error("rows of lake table {table} could not be encoded as Parquet")]
    Parquet {
        /// The table, `schema.name`.
        table: String,
        /// What the writer says.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A local file could not be written.
    #[error("lake file {} could not be written; check space and rights there", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// An object could not be written.
    #[error(
        "lake object {path} could not be written; check the bucket, its region and the credentials"
    )]
    Object {
        /// Its path in the bucket.
        path: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// A task of ours was ended with the process.
    #[error("the lake's writer was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

impl LakeError {
    /// What follows from it; see [`factmill_core::error::policy`].
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog { source, .. } => match source.code() {
                // connection lost, or the server is starting or stopping, or a lock or snapshot was lost
                None => ErrorKind::Transient,
                Some(code) => match &code.code()[..2] {
                    "08" | "40" | "53" | "55" | "57" | "58" => ErrorKind::Transient,
                    "28" | "42" | "3D" | "3F" => ErrorKind::Configuration,
                    _ => ErrorKind::Internal,
                },
            },
            Self::FileListed(_) => ErrorKind::Transient,
            Self::Object { source, .. } => of_store(source),
            Self::Location { .. }
            | Self::Moved { .. }
            | Self::Unsupported { .. }
            | Self::Column { .. }
            | Self::Misfit { .. }
            | Self::TableChanged(_) => ErrorKind::Configuration,
            Self::Rows { .. }
            | Self::Encode { .. }
            | Self::Parquet { .. }
            | Self::File { .. }
            | Self::Stopped(_) => ErrorKind::Internal,
        }
    }

    /// The lake's error behind a failure of the message that ran `factmill.lake_commit`, where it
    /// was one of those that the lake raises.
    pub fn of_commit(error: &tokio_postgres::Error) -> Option<Self> {
        let raised = error.as_db_error()?;
        match raised.code().code() {
            FILE_LISTED => Some(Self::FileListed(raised.message().to_owned())),
            TABLE_CHANGED => Some(Self::TableChanged(raised.message().to_owned())),
            _ => None,
        }
    }

    /// Wraps what Postgres answered while `doing` something.
    pub(super) fn catalog(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Catalog { doing, source }
    }
}

/// What follows from an object store's answer: a bucket that is not there, or is not ours, does not
/// appear by waiting.
fn of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error;
    match error {
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::UnknownConfigurationKey { .. } => ErrorKind::Configuration,
        _ => ErrorKind::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_not_ours_is_no_passing_failure() {
        let of = |source| {
            let path = "banking/a.parquet".to_owned();
            LakeError::Object { path, source }.kind()
        };
        let why = || "the store says so".into();
        let missing = object_store::Error::NotFound {
            path: "a".into(),
            source: why(),
        };
        let refused = object_store::Error::PermissionDenied {
            path: "a".into(),
            source: why(),
        };
        let away = object_store::Error::Generic {
            store: "S3",
            source: why(),
        };
        assert_eq!(of(missing), ErrorKind::Configuration);
        assert_eq!(of(refused), ErrorKind::Configuration);
        assert_eq!(of(away), ErrorKind::Transient);
    }
}
