//! Executables on the `PATH`.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ProvisionError;

/// The first executable of this name on the `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    find_in(name, env::var_os("PATH")?)
}

fn find_in(name: &str, path: OsString) -> Option<PathBuf> {
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Whether a regular file may be run by somebody.
pub fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Runs a command to its end without input and returns what it wrote to stdout.
///
/// # Errors
/// [`ProvisionError::Command`] with the last lines of its output when it fails.
pub fn output(command: &mut Command) -> Result<String, ProvisionError> {
    let line = command_line(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(ProvisionError::io(format!("run {line}")))?;
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    Err(ProvisionError::Command {
        command: line,
        status: done.status.to_string(),
        output: last_lines(&format!("{stdout}{stderr}"), 20),
    })
}

/// The command as a person would type it, without quoting.
pub fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn finds_only_what_may_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        std::fs::write(&file, "").unwrap();
        let path = || folder.path().as_os_str().to_owned();
        assert_eq!(find_in("tool", path()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in("tool", path()), Some(file));
    }

    #[test]
    fn a_failed_command_shows_what_it_wrote() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo second >&2; exit 3"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("first\nsecond"), "{error}");
    }
}
