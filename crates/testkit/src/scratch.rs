//! Temporary folders of servers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use factmill_provision::account::Account;
use tempfile::TempDir;

/// A fresh folder that a server can reach which runs as another user than root.
pub(crate) fn folder(server: &str) -> Result<TempDir> {
    let wanted = std::env::temp_dir();
    let reached =
        Account::unprivileged()?.is_none_or(|account| account.reaches(&wanted.join("any")));
    let base = if reached {
        wanted.as_path()
    } else {
        Path::new("/tmp")
    };
    let folder = tempfile::Builder::new()
        .prefix(&format!("factmill-{server}-"))
        .tempdir_in(base)
        .with_context(|| format!("could not create a temporary folder in {}", base.display()))?;
    // passable, not listable: the server's own folder in it is closed to all others
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))
        .with_context(|| format!("could not open {}", folder.path().display()))?;
    Ok(folder)
}
