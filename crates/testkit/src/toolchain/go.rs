//! The `go` command: found, installed, or a newer one fetched by an old one.

use std::env::consts::{ARCH, OS};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use factmill_provision::packages::SystemPackage;
use factmill_provision::program;

/// Since this minor version of Go 1, it fetches the release that a module asks for by itself.
const SELF_FETCHING: u32 = 21;

/// The release to fetch where the installed one is older.
const RELEASE: &str = "1.24.4";

const GO: SystemPackage = SystemPackage {
    what: "Go",
    apt: &["golang-go", "ca-certificates"],
    brew: &["go"],
};

/// A `go` that builds any module.
///
/// Debian 12 packages Go 1.19. Releases of Go are modules too, with checksums in Go's public log, so
/// an old one can fetch and check a new one.
///
/// # Errors
/// When Go is missing and cannot be installed, or too old and the new one cannot be fetched.
pub fn go() -> Result<PathBuf> {
    // where Go's own archive puts it, which is not on every PATH
    let unpacked = Path::new("/usr/local/go/bin/go");
    let found = if program::find("go").is_none() && program::is_executable(unpacked) {
        unpacked.to_path_buf()
    } else {
        super::ensure("go", &GO)?
    };
    let version = program::output(Command::new(&found).arg("version"))?;
    match minor(&version) {
        Some(minor) if minor < SELF_FETCHING => newer(&found),
        _ => Ok(found),
    }
}

/// `go version go1.24.4 linux/amd64` is 24.
fn minor(version: &str) -> Option<u32> {
    let release = version.split_whitespace().nth(2)?.strip_prefix("go1.")?;
    let end = release
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(release.len());
    release[..end].parse().ok()
}

fn newer(old: &Path) -> Result<PathBuf> {
    let module = format!("golang.org/toolchain@v0.0.1-go{RELEASE}.{}", platform());
    eprintln!("testkit: the installed Go is too old, fetching {RELEASE}");
    let answer = program::output(Command::new(old).args(["mod", "download", "-json", &module]))?;
    let answer: serde_json::Value =
        serde_json::from_str(&answer).context("could not read what Go says about its release")?;
    let folder = Path::new(
        answer["Dir"]
            .as_str()
            .context("Go names no folder of its release")?,
    );
    // a module keeps no permissions
    let tools = folder.join("pkg/tool").join(platform().replace('-', "_"));
    for programs in [folder.join("bin"), tools] {
        for file in fs::read_dir(&programs)
            .with_context(|| format!("could not list {}", programs.display()))?
        {
            let file = file?.path();
            fs::set_permissions(&file, Permissions::from_mode(0o755))
                .with_context(|| format!("could not make {} executable", file.display()))?;
        }
    }
    Ok(folder.join("bin/go"))
}

/// This machine in Go's words.
fn platform() -> String {
    let system = if OS == "macos" { "darwin" } else { OS };
    let processor = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_versions() {
        assert_eq!(minor("go version go1.19.8 linux/amd64\n"), Some(19));
        assert_eq!(minor("go version go1.26rc1 darwin/arm64\n"), Some(26));
        assert_eq!(minor("go version devel\n"), None);
    }
}
