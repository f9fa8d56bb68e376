//! Copies of the project that the repository ships, for the binary to run in.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What of the repository makes the project.
const PARTS: [&str; 7] = [
    "dbt_project.yml",
    "factmill.yml",
    "jobs",
    "models",
    "sql",
    "data/samples",
    "data/seeds",
];

/// A copy of the shipped project in a temporary folder.
///
/// # Errors
/// When a part of it cannot be read or written.
pub fn shipped() -> Result<TempDir> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir()?;
    for part in PARTS {
        copy(&repository.join(part), &folder.path().join(part))?;
    }
    Ok(folder)
}

/// A copy of the shipped project whose banking jobs read `topic`.
///
/// # Errors
/// As [`shipped`], and when the job's file does not name its topic as expected.
pub fn reading(topic: &str) -> Result<TempDir> {
    let folder = shipped()?;
    rewrite(
        &folder.path().join("jobs/banking.yml"),
        "topic: bank_data",
        &format!("topic: {topic}"),
    )?;
    rewrite(
        &folder.path().join("jobs/banking_chained.yml"),
        "raw_topic: bank_data",
        &format!("raw_topic: {topic}"),
    )?;
    Ok(folder)
}

/// Replaces a text that a file must hold.
///
/// # Errors
/// When it does not hold it, or cannot be read or written.
pub fn rewrite(file: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    ensure!(text.contains(from), "{} has no `{from}`", file.display());
    fs::write(file, text.replace(from, to))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        fs::copy(from, to)?;
        return Ok(());
    }
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
