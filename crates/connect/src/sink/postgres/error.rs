//! What can go wrong with the warehouse, and what that means for the run.

use std::fmt;
use std::path::PathBuf;

use factmill_core::epoch::Epoch;
use factmill_core::error::ErrorKind;
use factmill_core::position::{InvalidCursor, PartitionId};
use factmill_core::source::{Classified, SharedError};
use factmill_core::table::TableName;
use tokio_postgres::error::{DbError, SqlState};

use crate::sink::lake::LakeError;

use super::config::UnknownTlsMode;
use super::decode::DecodeError;
use super::encode::EncodeError;

/// A failure of the warehouse. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// The URL cannot be read.
    #[error("the warehouse's URL cannot be read; expected `postgres://user@host:5432/database`")]
    Url(#[source] tokio_postgres::Error),
    /// The URL names an unknown `sslmode`.
    #[error("the warehouse's URL asks for an unknown `sslmode`")]
    TlsMode(#[source] UnknownTlsMode),
    /// The file of trusted certificates cannot be read.
    #[error("cannot read the certificates in `{}`; expected PEM", .file.display())]
    CaFile {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate is to be checked, and nothing is trusted.
    #[error(
        "no trusted certificate found{}; name a CA file for the warehouse",
        .file.as_ref().map(|file| format!(" in `{}`", file.display())).unwrap_or_default()
    )]
    NoTrustedCertificate {
        /// The CA file, where one is named.
        file: Option<PathBuf>,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS to the warehouse")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// The check of certificates cannot be set up.
    #[error("cannot set up the check of the warehouse's certificate")]
    Verifier {
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// No connection.
    #[error("cannot connect to the warehouse at {server}{}", said(.source))]
    Connect {
        /// Host, port and database.
        server: String,
        /// It was reached before: the run goes on when it comes back.
        again: bool,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// A statement failed.
    #[error("{doing} failed{}", said(.source))]
    Query {
        /// What was being done, to what.
        doing: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// A lock was not given in time.
    #[error("{doing} waited too long for a lock{}", blocked_by(.blockers))]
    LockTimeout {
        /// What was being done.
        doing: String,
        /// Who held it, as `pid (application name)`.
        blockers: Vec<String>,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// Another process of the job does the work now that this one did alone.
    #[error(
        "the new rows of {table} are dropped: this process was not heard of for a while, and another one \
         may have taken over its rebuilds"
    )]
    NotAlone {
        /// The table that was to be refreshed.
        table: TableName,
    },
    /// The schema `factmill` was written by a newer version.
    #[error(
        "the warehouse's schema `factmill` is of version {found}, and this binary knows versions up to {known}; \
         run a newer factmill"
    )]
    NewerSchema {
        /// The version found.
        found: i32,
        /// The newest version known here.
        known: i32,
    },
    /// The schema `factmill` is not there, or older than this binary.
    #[error("the warehouse's schema `factmill` is {}; let factmill migrate it first", match .found {
        None => "missing".to_owned(),
        Some(version) => format!("of the older version {version}"),
    })]
    NotMigrated {
        /// The version found.
        found: Option<i32>,
    },
    /// Another job writes the table.
    #[error(
        "table {table} is written by job `{job}` of target `{target}`; a table has one writing job: \
         give this job a schema of its own, or give the model another alias"
    )]
    SecondWriter {
        /// The table.
        table: TableName,
        /// The target of the job that writes it.
        target: String,
        /// The job that writes it.
        job: String,
    },
    /// Tables of the warehouse do not fit the plan.
    #[error("{}", misfits(.0))]
    Misfit(Vec<Misfit>),
    /// A stored position is not where the epoch begins.
    #[error(
        "another process moved {partition}: the epoch begins at {expected}, the stored position is {found}; \
         the epoch is dropped"
    )]
    Fenced {
        /// The partition.
        partition: PartitionId,
        /// Where the epoch begins, with the incarnation.
        expected: String,
        /// What is stored, with the incarnation.
        found: String,
    },
    /// A table was rebuilt for a newer version of its model.
    #[error(
        "table {table} is of generation {found} now, and this process was compiled for generation {compiled}: \
         a newer version took over"
    )]
    NewerGeneration {
        /// The table.
        table: TableName,
        /// The generation that the process knows.
        compiled: i64,
        /// The generation in the warehouse; `None` when the table is not registered any more.
        found: Generation,
    },
    /// Epochs were committed while a batch run computed a table that they add to.
    #[error(
        "the job committed epochs up to {newest} while table {table} was computed from those up to {read}; \
         it was not replaced: run it again, or stop the job's stream first"
    )]
    Outrun {
        /// The table.
        table: TableName,
        /// The newest epoch that may be in the computed rows.
        read: Epoch,
        /// The job's newest.
        newest: Epoch,
    },
    /// A table refused rows: a constraint, an overflow, a value that its type does not hold.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The connection was lost at COMMIT and the outcome cannot be read.
    #[error(
        "the connection was lost at commit, and whether the epoch was committed cannot be read now; \
         the stored positions decide"
    )]
    CommitUnknown {
        /// Why it cannot be read.
        source: Box<WarehouseError>,
    },
    /// A stored position cannot be read.
    #[error("the stored position of {partition} cannot be read")]
    Position {
        /// The partition.
        partition: PartitionId,
        /// Why.
        source: InvalidCursor,
    },
    /// Rows to be loaded that cannot be encoded for the table.
    #[error("cannot encode rows for {table}")]
    Encode {
        /// The table.
        table: TableName,
        /// Why.
        source: EncodeError,
    },
    /// Rows read from the warehouse that cannot be represented.
    #[error("cannot read the result of a query")]
    Decode(#[from] DecodeError),
    /// The rows to load could not be produced.
    #[error("cannot load {table}: its rows could not be produced")]
    Rows {
        /// The table.
        table: TableName,
        /// Why.
        source: SharedError,
    },
    /// The lake's part of the epoch failed.
    #[error("cannot stage the lake's part of the epoch")]
    Lake(#[source] SharedError),
    /// A name that Postgres would cut.
    #[error("the name `{name}` has {} bytes, Postgres keeps 63: choose a shorter alias", .name.len())]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// A broken invariant.
    #[error("{0}")]
    Broken(String),
}

/// A generation that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub Option<i64>);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(generation) => generation.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// A table of the warehouse that does not fit its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The table.
    pub table: TableName,
    /// Each difference, for a person.
    pub differences: Vec<String>,
}

/// Rows that a table did not take.
#[derive(Debug, thiserror::Error)]
#[error("table {table} refused {}{}: {message}", at_row(.row), at_place(.column, .constraint))]
pub struct Refusal {
    /// The table.
    pub table: TableName,
    /// The column, where it is known.
    pub column: Option<String>,
    /// The constraint, where it was one.
    pub constraint: Option<String>,
    /// The row, counted from 0 in the rows given, where it is known.
    pub row: Option<usize>,
    /// What was found and what was expected.
    pub message: String,
    /// What the server or the encoder said.
    #[source]
    pub source: RefusalSource,
}

/// Who refused the row.
#[derive(Debug, thiserror::Error)]
pub enum RefusalSource {
    /// The server.
    #[error(transparent)]
    Server(tokio_postgres::Error),
    /// The encoder, before anything was sent.
    #[error(transparent)]
    Encoder(EncodeError),
}

impl WarehouseError {
    /// A failed statement, told apart by what the server said.
    pub(super) fn query(doing: impl Into<String>, source: tokio_postgres::Error) -> Self {
        let doing = doing.into();
        if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return Self::LockTimeout {
                doing,
                blockers: Vec::new(),
                source,
            };
        }
        Self::Query { doing, source }
    }

    /// A failed statement that writes `table`: a refusal where the rows are at fault.
    pub(super) fn writing(table: &TableName, source: tokio_postgres::Error) -> Self {
        let Some(refused) = source
            .as_db_error()
            .filter(|error| blames_rows(error.code()))
        else {
            return Self::query(format!("writing to {table}"), source);
        };
        Self::Refused(Box::new(Refusal {
            table: table.clone(),
            column: refused
                .column()
                .map(str::to_owned)
                .or_else(|| copied_column(refused)),
            constraint: refused.constraint().map(str::to_owned),
            row: copied_row(refused),
            message: refused.message().to_owned(),
            source: RefusalSource::Server(source),
        }))
    }

    /// Rows that the encoder did not take.
    pub(super) fn encoding(table: &TableName, source: EncodeError) -> Self {
        match source.row() {
            Some(row) => Self::Refused(Box::new(Refusal {
                table: table.clone(),
                column: Some(source.column().to_owned()),
                constraint: None,
                row: Some(row),
                message: source.to_string(),
                source: RefusalSource::Encoder(source),
            })),
            None => Self::Encode {
                table: table.clone(),
                source,
            },
        }
    }

    /// The refusal, when rows are at fault: the epoch may be halved to find them.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the lake's file of the epoch must be written anew, see [`LakeError::FileListed`].
    pub fn lists_a_file(&self) -> bool {
        let Self::Lake(cause) = self else {
            return false;
        };
        let cause: &(dyn std::error::Error + 'static) = &**cause;
        matches!(cause.downcast_ref(), Some(LakeError::FileListed(_)))
    }

    /// Whether the connection is gone.
    pub(super) fn lost_connection(&self) -> bool {
        match self {
            Self::Query { source, .. }
            | Self::LockTimeout { source, .. }
            | Self::Connect { source, .. } => is_lost(source),
            _ => false,
        }
    }
}

impl Classified for WarehouseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url(_)
            | Self::TlsMode(_)
            | Self::CaFile { .. }
            | Self::NoTrustedCertificate { .. }
            | Self::Tls { .. }
            | Self::Verifier { .. }
            | Self::NewerSchema { .. }
            | Self::NotMigrated { .. }
            | Self::SecondWriter { .. }
            | Self::Misfit(_)
            | Self::NameTooLong { .. } => ErrorKind::Configuration,
            Self::Connect { source, again, .. } => match classify(source) {
                ErrorKind::Configuration => ErrorKind::Configuration,
                _ if *again => ErrorKind::Transient,
                ErrorKind::Transient if source.code().is_some() => ErrorKind::Transient,
                _ => ErrorKind::Unreachable,
            },
            Self::Query { source, .. } => classify(source),
            Self::LockTimeout { .. } | Self::CommitUnknown { .. } | Self::NotAlone { .. } => {
                ErrorKind::Transient
            }
            Self::Fenced { .. } | Self::Outrun { .. } => ErrorKind::Fenced,
            Self::NewerGeneration { .. } => ErrorKind::Superseded,
            Self::Refused(_) => ErrorKind::Model,
            Self::Position { .. } | Self::Encode { .. } | Self::Decode(_) | Self::Broken(_) => {
                ErrorKind::Internal
            }
            Self::Rows { source, .. } | Self::Lake(source) => source.kind(),
        }
    }
}

/// What an error of the client library means.
fn classify(error: &tokio_postgres::Error) -> ErrorKind {
    if is_lost(error) {
        return ErrorKind::Transient;
    }
    let Some(database) = error.as_db_error() else {
        return ErrorKind::Internal;
    };
    let code = database.code();
    // Another DuckLake client took the snapshot id that this epoch was about to take.
    let snapshot_taken =
        *code == SqlState::UNIQUE_VIOLATION && database.table() == Some("ducklake_snapshot");
    let transient = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::QUERY_CANCELED,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    if snapshot_taken || transient.contains(code) {
        return ErrorKind::Transient;
    }
    match &code.code()[..2] {
        "22" | "23" => ErrorKind::Model,
        "28" | "3D" => ErrorKind::Configuration,
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => ErrorKind::Configuration,
        _ => ErrorKind::Internal,
    }
}

/// Whether the connection ended: the socket, or a server that shuts down, crashed or starts up.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return code.code().starts_with("08")
            || matches!(code.code(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03");
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    error.is_closed()
}

/// Whether the rows are at fault: a data exception or a broken constraint.
fn blames_rows(code: &SqlState) -> bool {
    matches!(&code.code()[..2], "22" | "23")
}

/// The row that COPY was reading, from its context: `COPY t, line 7, column amount`.
fn copied_row(error: &DbError) -> Option<usize> {
    let (_, after) = error.where_()?.rsplit_once(", line ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// The column that COPY was reading.
fn copied_column(error: &DbError) -> Option<String> {
    let (_, after) = error.where_()?.rsplit_once(", line ")?;
    let (_, column) = after.split_once(", column ")?;
    Some(column.split(": ").next().unwrap_or(column).to_owned())
}

/// What the server said, for the end of a message.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => {
            let detail = database
                .detail()
                .map(|detail| format!(" ({detail})"))
                .unwrap_or_default();
            format!(": {}{detail}", database.message())
        }
        None => String::new(),
    }
}

fn blocked_by(blockers: &[String]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    format!(" held by {}", blockers.join(", "))
}

fn misfits(misfits: &[Misfit]) -> String {
    let mut text = String::new();
    for misfit in misfits {
        text.push_str(&format!("table {} does not fit its model\n", misfit.table));
        for difference in &misfit.differences {
            text.push_str(&format!("  {difference}\n"));
        }
    }
    text.push_str(
        "change the models back, or rename or drop the tables and let factmill build them again",
    );
    text
}

fn at_row(row: &Option<usize>) -> String {
    match row {
        Some(row) => format!("row {row}"),
        None => "a row".to_owned(),
    }
}

fn at_place(column: &Option<String>, constraint: &Option<String>) -> String {
    match (column, constraint) {
        (Some(column), _) => format!(" at column `{column}`"),
        (None, Some(constraint)) => format!(" by constraint `{constraint}`"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use factmill_core::source::BoxedError;

    use super::*;

    #[test]
    fn a_listed_file_is_told_from_other_failures_of_the_lake() {
        let lake = |error: LakeError| WarehouseError::Lake((Box::new(error) as BoxedError).into());
        assert!(lake(LakeError::FileListed("a.parquet".into())).lists_a_file());
        assert!(!lake(LakeError::TableChanged("t".into())).lists_a_file());
        assert!(!WarehouseError::Broken("b".into()).lists_a_file());
    }
}
