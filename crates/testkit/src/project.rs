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

/// A copy of the shipped project with names of its own on servers that others use too: every topic and
/// every database of MongoDB that its jobs and models name ends with `mark`.
///
/// # Errors
/// As [`shipped`].
pub fn apart(mark: &str) -> Result<TempDir> {
    let folder = shipped()?;
    mark_folder(&folder.path().join("jobs"), mark)?;
    mark_folder(&folder.path().join("models"), mark)?;
    Ok(folder)
}

fn mark_folder(folder: &Path, mark: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            mark_folder(&path, mark)?;
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            let text = fs::read_to_string(&path)?;
            let text = marked(&marked(&text, "topic: ", mark), "database: ", mark);
            fs::write(&path, text)?;
        }
    }
    Ok(())
}

/// The text with `mark` after every name that follows `key`.
fn marked(text: &str, key: &str, mark: &str) -> String {
    let mut parts = text.split(key);
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(part.len());
        done.extend([key, &part[..end], mark, &part[end..]]);
    }
    done
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

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn each_name_is_marked() {
        let job = "kafka: { topic: a_b, start: earliest }\nmongo: { raw_topic: a_b, database: a }";
        assert_eq!(
            marked(job, "topic: ", "-1"),
            "kafka: { topic: a_b-1, start: earliest }\nmongo: { raw_topic: a_b-1, database: a }"
        );
    }
}
