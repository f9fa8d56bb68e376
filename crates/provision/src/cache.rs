//! What was downloaded or built once and is used by every later run of the same user.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::ProvisionError;

/// The user's cache folder: `FACTMILL_CACHE`, else `$XDG_CACHE_HOME/factmill`, else
/// `~/.cache/factmill`, else `factmill` in the folder for temporary files.
pub fn folder() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("FACTMILL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("factmill")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/factmill")))
        .unwrap_or_else(|| env::temp_dir().join("factmill"))
}

/// The finished entry `name` of the cache below `base`, made by `make` when it is not there yet.
///
/// `make` fills an empty folder; only when it succeeds does the folder get its final name, so a
/// half-made entry is never seen. Processes that want the same entry at once wait for the first
/// one. The name should carry the version of what it holds: an entry is never made anew.
///
/// # Errors
/// What `make` returns, or [`ProvisionError::Io`]; a failed attempt leaves nothing behind.
pub fn entry<E: From<ProvisionError>>(
    base: &Path,
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let finished = base.join(name);
    if finished.is_dir() {
        return Ok(finished);
    }
    fs::create_dir_all(base).map_err(ProvisionError::io(format!(
        "create the cache folder {}",
        base.display()
    )))?;
    let _lock = lock(&base.join(format!("{name}.lock")))?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let attempt = base.join(format!("{name}.partial"));
    // left by a process that was killed in the middle of its attempt
    remove(&attempt)?;
    fs::create_dir(&attempt)
        .map_err(ProvisionError::io(format!("create {}", attempt.display())))?;
    match make(&attempt) {
        Ok(()) => fs::rename(&attempt, &finished).map_err(ProvisionError::io(format!(
            "move {} in place",
            finished.display()
        )))?,
        Err(error) => {
            remove(&attempt)?;
            return Err(error);
        }
    }
    Ok(finished)
}

/// Holds the lock on `file` until the returned file is dropped or the process ends.
///
/// # Errors
/// [`ProvisionError::Io`] when the file cannot be made or locked.
pub fn lock(file: &Path) -> Result<File, ProvisionError> {
    let locked = File::create(file).map_err(ProvisionError::io(format!(
        "create the lock {}",
        file.display()
    )))?;
    flock(&locked, FlockOperation::LockExclusive).map_err(|error| ProvisionError::Io {
        what: format!("lock {}", file.display()),
        source: error.into(),
    })?;
    Ok(locked)
}

fn remove(folder: &Path) -> Result<(), ProvisionError> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .map_err(ProvisionError::io(format!("remove {}", folder.display())))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn many_at_once_make_an_entry_once() {
        let base = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = entry::<ProvisionError>(base.path(), "jars-1", |folder| {
                        made.fetch_add(1, Ordering::SeqCst);
                        fs::write(folder.join("a.jar"), "a").unwrap();
                        Ok(())
                    });
                    assert!(folder.unwrap().join("a.jar").is_file());
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_failed_attempt_is_not_an_entry() {
        let base = tempfile::tempdir().unwrap();
        let failed = entry(base.path(), "x", |folder| {
            fs::write(folder.join("half"), "").unwrap();
            Err(ProvisionError::NoAccount)
        });
        assert!(failed.is_err());
        assert!(!base.path().join("x").exists());
        assert!(entry::<ProvisionError>(base.path(), "x", |_| Ok(())).is_ok());
    }
}
