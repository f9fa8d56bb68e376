//! What the servers are built with or run on: Java, Maven, Go, Python, Node,
//! Chromium.
//!
//! Each is looked for first, then installed where that takes no question; else the error names one
//! command to copy.

mod chromium;
mod go;
mod maven;
mod node;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use factmill_provision::packages::{self, SystemPackage};
use factmill_provision::{ProvisionError, cache, postgres, program};

pub use chromium::chromedriver;
pub use go::go;
pub(crate) use maven::{Artifact, copy, unpack};
pub use node::node;
pub use node::packages as npm_packages;

/// Kafka 4 runs on Java 17 and newer.
const JAVA_SINCE: u32 = 17;

const JAVA: SystemPackage = SystemPackage {
    what: "Java 17 or newer",
    apt: &["default-jre-headless"],
    brew: &["openjdk"],
};

/// Where the default Java of the distribution is older.
const JAVA_17: SystemPackage = SystemPackage {
    what: "Java 17 or newer",
    apt: &["openjdk-17-jre-headless"],
    brew: &["openjdk@17"],
};

const PYTHON: SystemPackage = SystemPackage {
    what: "Python 3 with venv",
    apt: &["python3", "python3-venv"],
    brew: &["python3"],
};

/// Looks for everything that the tests need and installs what is missing, so that a long run does
/// not stop in its middle. What the `FACTMILL_TEST_…` variables name is not needed.
///
/// # Errors
/// The first thing that is missing and cannot be installed, with a command to copy.
pub async fn ensure_all() -> Result<()> {
    postgres::ensure().await?;
    tokio::task::spawn_blocking(|| {
        crate::kafka::install()?;
        crate::mongo::install()?;
        crate::duckdb::install()?;
        crate::mockoon::install()?;
        crate::grafana::install()?;
        crate::registry::install()?;
        chromedriver()?;
        Ok(())
    })
    .await?
}

/// A `java` of version 17 or newer.
///
/// # Errors
/// When there is none and it cannot be installed.
pub fn java() -> Result<PathBuf> {
    for package in [JAVA, JAVA_17] {
        if let Some(found) = find_java() {
            return Ok(found);
        }
        packages::install(&package)?;
    }
    find_java().ok_or_else(|| packages::missing(&JAVA_17).into())
}

fn find_java() -> Option<PathBuf> {
    let mut candidates = Vec::new();
    candidates.extend(program::find("java"));
    candidates.extend(env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")));
    for homebrew in ["/opt/homebrew/opt/openjdk", "/usr/local/opt/openjdk"] {
        candidates.push(Path::new(homebrew).join("bin/java"));
    }
    if let Ok(installed) = std::fs::read_dir("/usr/lib/jvm") {
        candidates.extend(
            installed
                .flatten()
                .map(|folder| folder.path().join("bin/java")),
        );
    }
    candidates
        .into_iter()
        .find(|java| java_version(java).is_some_and(|version| version >= JAVA_SINCE))
}

fn java_version(java: &Path) -> Option<u32> {
    // it writes its version to stderr
    let output = Command::new(java).arg("-version").output().ok()?;
    parse_java_version(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, `java version "1.8.0_392"` is 1.
fn parse_java_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    quoted.split(['.', '-', '+']).next()?.parse().ok()
}

/// A `python3` that can make virtual environments.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn python() -> Result<PathBuf> {
    if let Some(found) = find_python() {
        return Ok(found);
    }
    packages::install(&PYTHON)?;
    find_python().ok_or_else(|| packages::missing(&PYTHON).into())
}

fn find_python() -> Option<PathBuf> {
    let found = program::find("python3")?;
    // Debian splits off ensurepip, without which a virtual environment has no pip
    program::output(Command::new(&found).args(["-c", "import venv, ensurepip"])).ok()?;
    Some(found)
}

fn ensure(name: &str, package: &SystemPackage) -> Result<PathBuf> {
    if let Some(found) = program::find(name) {
        return Ok(found);
    }
    packages::install(package)?;
    program::find(name).ok_or_else(|| packages::missing(package).into())
}

/// A Python environment with these packages, made once.
///
/// `name` must change when the packages do.
///
/// # Errors
/// When Python is missing or a package cannot be installed.
pub fn python_environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let python = python()?;
    let base = cache::folder();
    // a virtual environment holds its own path, so it is made in its final place, and a file says
    // that it is whole
    std::fs::create_dir_all(&base)
        .with_context(|| format!("could not create the cache folder {}", base.display()))?;
    let folder = base.join(name);
    let done = folder.join("complete");
    let _lock = cache::lock(&base.join(format!("{name}.lock")))?;
    let interpreter = folder.join("bin/python3");
    if done.exists() {
        return Ok(interpreter);
    }
    eprintln!(
        "testkit: installing {} into {}",
        requirements.join(", "),
        folder.display()
    );
    program::output(
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    program::output(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(requirements),
    )?;
    std::fs::write(&done, requirements.join("\n"))
        .with_context(|| format!("could not write {}", done.display()))?;
    Ok(interpreter)
}

/// Builds an entry of the cache; see [`cache::entry`].
pub(crate) fn cached(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    /// [`cache::entry`] needs an error that its own converts into and that keeps ours.
    struct Failure(anyhow::Error);
    impl From<ProvisionError> for Failure {
        fn from(error: ProvisionError) -> Self {
            Self(error.into())
        }
    }
    cache::entry(&cache::folder(), name, |folder| {
        make(folder).map_err(Failure)
    })
    .map_err(|Failure(error)| error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_java_versions() {
        let read = parse_java_version;
        assert_eq!(read("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(read("openjdk version \"24\" 2025-03-18\n"), Some(24));
        assert_eq!(read("openjdk version \"25-ea\" 2025-09-16\n"), Some(25));
        assert_eq!(read("java version \"1.8.0_392\"\n"), Some(1));
        assert_eq!(read("no java here"), None);
    }
}
