//! Where `initdb` and `postgres` are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

/// The oldest supported major version.
pub const OLDEST: u32 = 14;
/// The newest supported major version.
pub const NEWEST: u32 = 18;

/// One installation of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The installation in this folder, when it has a server of a supported version.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let server = folder.join("postgres");
        if !program::is_executable(&server) || !program::is_executable(&folder.join("initdb")) {
            return None;
        }
        let version = program::output(Command::new(&server).arg("--version")).ok()?;
        let major = major(&version)?;
        (OLDEST..=NEWEST).contains(&major).then(|| Self {
            folder: folder.to_path_buf(),
            major,
        })
    }

    /// One of its programs: `postgres`, `initdb`, `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of its programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its major version.
    pub fn major(&self) -> u32 {
        self.major
    }
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` is 15, `… 18beta1` is 18.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// The newest supported installation on this machine.
pub fn find() -> Option<Binaries> {
    find_all().into_iter().max_by_key(Binaries::major)
}

/// Every supported installation on this machine, those of the user's choice (`pg_config`, `PATH`)
/// first.
pub fn find_all() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    for folder in candidates() {
        if found.iter().all(|known| known.folder != folder)
            && let Some(binaries) = Binaries::in_folder(&folder)
        {
            found.push(binaries);
        }
    }
    found
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(config) = program::find("pg_config")
        && let Ok(folder) = program::output(Command::new(config).arg("--bindir"))
    {
        folders.push(PathBuf::from(folder.trim()));
    }
    folders.extend(program::find("postgres").and_then(|file| file.parent().map(Path::to_path_buf)));
    for version in (OLDEST..=NEWEST).rev() {
        // Debian and Ubuntu; Fedora and its descendants; Homebrew on Apple's and on Intel's chips
        folders.push(format!("/usr/lib/postgresql/{version}/bin").into());
        folders.push(format!("/usr/pgsql-{version}/bin").into());
        folders.push(format!("/opt/homebrew/opt/postgresql@{version}/bin").into());
        folders.push(format!("/usr/local/opt/postgresql@{version}/bin").into());
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(major(debian), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres\n"), None);
    }
}
