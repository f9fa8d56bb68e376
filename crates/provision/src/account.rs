//! The user that a server runs as when the own process is root.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ProvisionError;

/// A user and a group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The user to start a server as that refuses root: `None` when the own process is not root,
    /// else `postgres`, else `nobody`.
    ///
    /// Both are local users wherever they exist, so `/etc/passwd` is the whole truth about them.
    ///
    /// # Errors
    /// [`ProvisionError::NoAccount`] when the own process is root and has neither.
    pub fn unprivileged() -> Result<Option<Self>, ProvisionError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")
            .map_err(ProvisionError::io("read /etc/passwd"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(&users, name))
            .map(Some)
            .ok_or(ProvisionError::NoAccount)
    }

    fn named(users: &str, name: &str) -> Option<Self> {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2);
        let uid = numbers.next()?.parse().ok()?;
        let gid = numbers.next()?.parse().ok()?;
        (uid != 0).then_some(Self { uid, gid })
    }

    /// Makes the command's process give up its rights for this user's, before it runs the program.
    /// The standard library drops root's supplementary groups along with the user.
    pub fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives a file or folder to this user.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when the operating system refuses.
    pub fn own(self, path: &Path) -> Result<(), ProvisionError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(ProvisionError::io(
            format!("give {} to user {}", path.display(), self.uid),
        ))
    }

    /// Whether this user can walk down to `path`: every existing folder above it lets it pass.
    pub fn reaches(self, path: &Path) -> bool {
        path.ancestors()
            .skip(1)
            .filter(|folder| folder.exists())
            .all(|folder| self.passes(folder))
    }

    fn passes(self, folder: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        folder.metadata().is_ok_and(|found| {
            let bit = if found.uid() == self.uid {
                0o100
            } else if found.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            found.mode() & bit != 0
        })
    }
}

/// A folder for `path`'s content that the account can reach: `path` itself where it can, else one
/// below `/var/lib/factmill` that belongs to this path alone.
///
/// Root's home is closed to every other user, and a server that has given up root's rights could
/// not reach a data folder in it.
pub fn reachable(path: &Path, account: Option<Account>) -> PathBuf {
    match account {
        Some(account) if !account.reaches(path) => {
            let name = uuid::Uuid::new_v5(
                &uuid::Uuid::NAMESPACE_URL,
                path.as_os_str().as_encoded_bytes(),
            );
            Path::new("/var/lib/factmill").join(name.simple().to_string())
        }
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:/bin/sh\nnobody:x:65534:65533:n:/:/bin/false\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        assert_eq!(Account::named(USERS, "postgres"), None);
        assert_eq!(
            Account::named(USERS, "nobody"),
            Some(Account {
                uid: 65534,
                gid: 65533
            })
        );
    }

    #[test]
    fn a_closed_folder_is_not_passed() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Account {
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let inside = folder.path().join("data");
        let mode = |bits| std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(folder.path(), mode(0o700)).unwrap();
        assert!(!stranger.reaches(&inside));
        assert_ne!(reachable(&inside, Some(stranger)), inside);
        assert_eq!(reachable(&inside, None), inside);
        std::fs::set_permissions(folder.path(), mode(0o711)).unwrap();
        assert!(stranger.reaches(&inside));
        assert_eq!(reachable(&inside, Some(stranger)), inside);
    }
}
