//! `cargo xtask bench NAME`: the benchmarks of the workspace, found where Cargo finds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::steps;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The benchmark, such as `decode`; without a name they are listed
    name: Option<String>,
    /// What is handed to the benchmark itself
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs one benchmark, or lists all.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let benches = find(&steps::workspace())?;
    let Some(name) = &arguments.name else {
        for (name, package) in &benches {
            println!("{name:<12} of {package}");
        }
        return Ok(());
    };
    let Some(package) = benches.get(name) else {
        let known: Vec<&str> = benches.keys().map(String::as_str).collect();
        bail!(
            "there is no benchmark {name}; there are: {}",
            known.join(", ")
        );
    };
    let mut command = steps::cargo(&["bench", "--package", package, "--bench", name]);
    if !arguments.rest.is_empty() {
        command.arg("--").args(&arguments.rest);
    }
    steps::run(&mut command)
}

/// Every `crates/*/benches/<name>.rs`, with the package it belongs to.
fn find(workspace: &Path) -> Result<BTreeMap<String, String>> {
    let crates = workspace.join("crates");
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(&crates)
        .with_context(|| format!("could not list {}", crates.display()))?
        .flatten()
    {
        let Ok(files) = fs::read_dir(folder.path().join("benches")) else {
            continue;
        };
        let package = package(&folder.path())?;
        for file in files.flatten().map(|file| file.path()) {
            if file.extension().is_some_and(|extension| extension == "rs")
                && let Some(name) = file.file_stem()
            {
                found.insert(name.to_string_lossy().into_owned(), package.clone());
            }
        }
    }
    Ok(found)
}

/// The name that a manifest gives its package.
fn package(folder: &Path) -> Result<String> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("could not read {}", manifest.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("name = "))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .with_context(|| format!("{} names no package", manifest.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn benches_are_found_by_their_file_names() {
        let workspace = tempfile::tempdir().unwrap();
        let folder = workspace.path();
        let benches = folder.join("crates/connect/benches");
        fs::create_dir_all(&benches).unwrap();
        fs::write(benches.join("decode.rs"), "").unwrap();
        fs::write(benches.join("notes.md"), "").unwrap();
        fs::write(
            folder.join("crates/connect/Cargo.toml"),
            "[package]\nname = \"x-connect\"\n",
        )
        .unwrap();
        let found = find(folder).unwrap();
        assert_eq!(
            found,
            BTreeMap::from([("decode".to_owned(), "x-connect".to_owned())])
        );
    }
}
