//! Postgres: its binaries, found or fetched, and a private server of them.

mod binaries;
mod download;
mod server;

pub use binaries::{Binaries, NEWEST, OLDEST, find, find_all};
pub use download::download;
pub use server::{Options, PrivatePostgres, Running, free_port};

use async_recursion::async_recursion as boxed;

use crate::{ProvisionError, packages};

/// Postgres's server binaries: those that are installed, else installed by apt or brew where that
/// takes no question, else downloaded from Maven Central into the user's cache.
///
/// What is installed or downloaded is said on stderr first.
///
/// # Errors
/// [`ProvisionError::Missing`] with one command to copy when there is no way to get them.
#[boxed]
pub async fn ensure() -> Result<Binaries, ProvisionError> {
    if let Some(found) = find() {
        return Ok(found);
    }
    // apt takes as long as it takes: not on a thread of the runtime
    let installed = tokio::task::spawn_blocking(|| packages::install(&packages::POSTGRES))
        .await
        .map_err(|error| ProvisionError::Io {
            what: "install Postgres".to_owned(),
            source: std::io::Error::other(error),
        })?;
    if let Err(error) = &installed {
        eprintln!("factmill: {error}");
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    match download().await {
        Ok(binaries) => Ok(binaries),
        Err(error) => {
            eprintln!("factmill: {error}: {:?}", std::error::Error::source(&error));
            Err(packages::missing(&packages::POSTGRES))
        }
    }
}
