//! Who may use the embedded folder: one process runs its servers, others join it.
//!
//! The operating system drops a flock with the process that held it, so a lock is never stale; the
//! files stay and mean nothing by themselves.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::state::State;

/// How often a process looks again that waits for another one; an flock cannot be waited for with
/// a limit.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a process that has just taken the folder may leave unsaid which one it is.
const SAYS_SO: Duration = Duration::from_millis(500);

/// The folder of an embedded profile.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// The right to run the folder's servers. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Held {
    folder: Folder,
    _lock: File,
}

/// The wish that the servers of another process keep running. Dropping it takes it back.
#[derive(Debug)]
pub(crate) struct Joined {
    _users: File,
}

/// Who runs the servers of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// A process that has not said yet who it is.
    Starting,
    /// This one.
    Process(State),
}

/// Why the folder could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Another process runs its servers.
    #[error("{}", taken(directory, holder.as_ref()))]
    Taken {
        /// The folder.
        directory: PathBuf,
        /// Who it is, where that is known already.
        holder: Option<State>,
    },
    /// A file in it cannot be used.
    #[error("cannot {what} in {}", directory.display())]
    Io {
        /// The attempt.
        what: &'static str,
        /// The folder.
        directory: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn taken(directory: &Path, holder: Option<&State>) -> String {
    let place = directory.display();
    match holder {
        Some(State {
            pid,
            command,
            since,
            ..
        }) => format!(
            "`{command}` (process {pid}) has used {place} since {}; end it first, or run in another folder",
            since.format("%Y-%m-%d %H:%M:%S UTC")
        ),
        None => format!("another process is just starting in {place}; try again"),
    }
}

impl Folder {
    /// The folder at this path, created when missing.
    ///
    /// # Errors
    /// [`FolderError::Io`] when it cannot be created.
    pub(crate) fn at(directory: &Path) -> Result<Self, FolderError> {
        let folder = Self(directory.to_path_buf());
        let directory = std::fs::create_dir_all(directory).and_then(|()| directory.canonicalize());
        Ok(Self(directory.map_err(folder.io("create the folder"))?))
    }

    /// Its path, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the right to run the servers, and says in the folder that `command` has it.
    ///
    /// # Errors
    /// [`FolderError::Taken`] with the holder when another process has it.
    pub(crate) fn hold(&self, command: &str) -> Result<Held, FolderError> {
        let lock = self.open("lock")?;
        let deadline = Instant::now() + SAYS_SO;
        while !self.try_lock(&lock, FlockOperation::NonBlockingLockExclusive)? {
            let holder = match self.holder()? {
                Holder::Process(state) => Some(state),
                // It will say who it is, or was a copy of a lock on its way from fork to exec.
                Holder::Starting if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Holder::Starting => None,
                // What was in the way was the passing look of another process.
                Holder::Nobody => continue,
            };
            return Err(FolderError::Taken {
                directory: self.0.clone(),
                holder,
            });
        }
        // The state of a holder that was killed must not be taken for ours.
        State::starting(command)
            .write(&self.0)
            .map_err(self.io("write the state"))?;
        Ok(Held {
            folder: self.clone(),
            _lock: lock,
        })
    }

    /// Who runs the servers now.
    ///
    /// # Errors
    /// [`FolderError::Io`] when the files cannot be read.
    pub(crate) fn holder(&self) -> Result<Holder, FolderError> {
        let lock = self.open("lock")?;
        // A shared lock is refused just while somebody holds the folder.
        if self.try_lock(&lock, FlockOperation::NonBlockingLockShared)? {
            return Ok(Holder::Nobody);
        }
        let state = State::read(&self.0).map_err(self.io("read the state"))?;
        // A state of a process that is gone was left by the holder before.
        let alive = state.filter(|state| factmill_provision::process::exists(state.pid));
        Ok(alive.map_or(Holder::Starting, Holder::Process))
    }

    fn try_lock(&self, file: &File, operation: FlockOperation) -> Result<bool, FolderError> {
        match flock(file, operation) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(self.io("lock")(error.into())),
        }
    }

    /// Joins the process that runs the servers, once they take connections.
    ///
    /// `None` when no process runs them, or when it ended while it was waited for.
    ///
    /// # Errors
    /// [`FolderError::Taken`] when the holder is not ready within `patience`.
    pub(crate) async fn join(
        &self,
        patience: Duration,
    ) -> Result<Option<(Joined, State)>, FolderError> {
        let users = self.open("users")?;
        flock(&users, FlockOperation::LockShared).map_err(|error| self.io("join")(error.into()))?;
        let deadline = Instant::now() + patience;
        loop {
            let holder = match self.holder()? {
                Holder::Nobody => return Ok(None),
                Holder::Process(state) if state.ready => {
                    return Ok(Some((Joined { _users: users }, state)));
                }
                Holder::Process(state) => Some(state),
                Holder::Starting => None,
            };
            if Instant::now() >= deadline {
                return Err(FolderError::Taken {
                    directory: self.0.clone(),
                    holder,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn open(&self, name: &str) -> Result<File, FolderError> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(self.0.join(name))
            .map_err(self.io("open a lock"))
    }

    fn io(&self, what: &'static str) -> impl FnOnce(io::Error) -> FolderError {
        let directory = self.0.clone();
        move |source| FolderError::Io {
            what,
            directory,
            source,
        }
    }
}

impl Held {
    /// The folder held.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Tells the others what runs.
    ///
    /// # Errors
    /// [`FolderError::Io`] when the folder cannot be written.
    pub(crate) fn publish(&self, state: &State) -> Result<(), FolderError> {
        state
            .write(self.folder.path())
            .map_err(self.folder.io("write the state"))
    }

    /// Waits until no other process uses the servers.
    ///
    /// # Errors
    /// [`FolderError::Io`] when the lock cannot be had for another reason.
    pub(crate) async fn alone(&self) -> Result<(), FolderError> {
        let users = self.folder.open("users")?;
        loop {
            if self
                .folder
                .try_lock(&users, FlockOperation::NonBlockingLockExclusive)?
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // While the lock is still held: afterwards the file may be that of the next holder.
        if let Err(error) = State::remove(self.folder.path()) {
            tracing::warn!(%error, "cannot remove the state file; the next start replaces it");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a failed step is a failed test"
    )]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn folder() -> (tempfile::TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::at(&directory.path().join(".factmill")).unwrap();
        (directory, folder)
    }

    #[test]
    fn a_second_holder_is_told_who_has_it_and_since_when() {
        let (_directory, folder) = folder();
        let held = folder.hold("factmill stream banking").unwrap();
        let message = folder
            .hold("factmill stream other")
            .unwrap_err()
            .to_string();
        assert!(message.contains("`factmill stream banking`"), "{message}");
        assert!(
            message.contains(&format!("process {}", std::process::id())),
            "{message}"
        );
        assert!(message.contains(" UTC; end it first"), "{message}");
        drop(held);
        assert!(folder.hold("factmill stream other").is_ok());
    }

    #[test]
    fn the_state_of_a_killed_holder_means_nothing() {
        let (_directory, folder) = folder();
        let mut left = State::starting("factmill stream killed");
        left.ready = true;
        left.write(folder.path()).unwrap();
        assert_eq!(folder.holder().unwrap(), Holder::Nobody);
        let held = folder.hold("factmill stream next").unwrap();
        let Holder::Process(holder) = folder.holder().unwrap() else {
            panic!("the holder is known");
        };
        assert_eq!(
            (holder.command.as_str(), holder.ready),
            ("factmill stream next", false)
        );

        // between taking the lock and saying so, the state is still that of a process that is gone
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        left.pid = gone.id();
        held.publish(&left).unwrap();
        assert_eq!(folder.holder().unwrap(), Holder::Starting);
    }

    #[test]
    fn a_look_never_takes_the_folder_from_anybody() {
        let (_directory, folder) = folder();
        let looking = std::thread::spawn({
            let folder = folder.clone();
            move || {
                for _ in 0..2_000 {
                    folder.holder().unwrap();
                }
            }
        });
        while !looking.is_finished() {
            drop(folder.hold("factmill stream banking").unwrap());
        }
        looking.join().unwrap();
    }

    #[tokio::test]
    async fn nobody_joins_an_empty_folder() {
        let (_directory, folder) = folder();
        assert!(folder.join(PATIENCE).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_user_joins_once_the_servers_are_ready_and_is_waited_for() {
        let (_directory, folder) = folder();
        let held = folder.hold("factmill sql").unwrap();
        let joining = tokio::spawn({
            let folder = folder.clone();
            async move { folder.join(PATIENCE).await }
        });
        tokio::task::yield_now().await;
        let mut state = State::starting("factmill sql");
        state.ready = true;
        held.publish(&state).unwrap();
        let (joined, found) = joining.await.unwrap().unwrap().unwrap();
        assert_eq!(found, state);

        let waiting = tokio::spawn(async move { held.alone().await });
        tokio::time::sleep(LOOK_AGAIN * 3).await;
        assert!(!waiting.is_finished(), "the user is still there");
        drop(joined);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_holder_that_never_gets_ready_is_named() {
        let (_directory, folder) = folder();
        let _held = folder.hold("factmill stream slow").unwrap();
        let error = folder.join(Duration::ZERO).await.unwrap_err();
        assert!(
            error.to_string().contains("factmill stream slow"),
            "{error}"
        );
    }
}
