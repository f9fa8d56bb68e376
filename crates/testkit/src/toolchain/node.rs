//! The `node` command and packages of `npm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use factmill_provision::packages::{self as system, SystemPackage};
use factmill_provision::program;

/// What Mockoon's command runs on.
const NODE_SINCE: u32 = 18;

const NODE: SystemPackage = SystemPackage {
    what: "Node.js 18 or newer with npm",
    apt: &["nodejs", "npm"],
    brew: &["node"],
};

/// A `node` that is new enough.
///
/// # Errors
/// When there is none and it cannot be installed.
pub fn node() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    system::install(&NODE)?;
    find().ok_or_else(|| system::missing(&NODE).into())
}

/// A folder with npm packages, each `name@version`, made once for the user as `entry` of the cache.
///
/// # Errors
/// When `npm` or the packages cannot be installed.
pub fn packages(entry: &str, packages: &[String]) -> Result<PathBuf> {
    super::cached(entry, |folder| {
        let npm = super::ensure("npm", &NODE)?;
        eprintln!("testkit: installing {}", packages.join(" and "));
        let mut install = Command::new(npm);
        install
            .args(["install", "--no-audit", "--no-fund", "--no-save"])
            // what a package would run at its installation is not needed and not trusted
            .arg("--ignore-scripts")
            .arg("--prefix")
            .arg(folder)
            .args(packages);
        program::output(&mut install)?;
        Ok(())
    })
}

fn find() -> Option<PathBuf> {
    program::find("node").filter(|node| version(node).is_some_and(|major| major >= NODE_SINCE))
}

fn version(node: &Path) -> Option<u32> {
    major(&program::output(Command::new(node).arg("--version")).ok()?)
}

/// `v20.20.2` is 20.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_node_versions() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20"), None);
    }
}
