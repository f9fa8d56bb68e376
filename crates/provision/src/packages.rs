//! System packages, installed where that takes no question.
//!
//! It takes none as root or with a `sudo` that asks for nothing on Debian and its descendants, and
//! for the own user with Homebrew. Everywhere else the error names one command to copy.

use std::io;
use std::process::{Command, Stdio};

use crate::{ProvisionError, program};

/// Something that a system package brings.
#[derive(Debug, Clone, Copy)]
pub struct SystemPackage {
    /// What it is, as a person calls it: "a Postgres server".
    pub what: &'static str,
    /// Its packages on Debian and Ubuntu.
    pub apt: &'static [&'static str],
    /// Its Homebrew formulas.
    pub brew: &'static [&'static str],
}

/// The Postgres server and its `initdb`.
pub const POSTGRES: SystemPackage = SystemPackage {
    what: "a Postgres server",
    apt: &["postgresql"],
    brew: &["postgresql@17"],
};

/// How packages get onto this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    AptAsRoot,
    AptBySudo,
    Brew,
}

impl Installer {
    fn choose() -> Option<Self> {
        if program::find("apt-get").is_some() {
            if rustix::process::geteuid().is_root() {
                return Some(Self::AptAsRoot);
            }
            return sudo_asks_nothing().then_some(Self::AptBySudo);
        }
        program::find("brew").map(|_| Self::Brew)
    }

    /// The commands that install the package, to run one after the other.
    fn commands(self, package: &SystemPackage) -> Vec<Command> {
        match self {
            Self::Brew => {
                let mut brew = Command::new("brew");
                brew.arg("install").args(package.brew);
                vec![brew]
            }
            Self::AptAsRoot | Self::AptBySudo => {
                let mut update = self.apt();
                update.arg("update");
                let mut install = self.apt();
                install
                    .args(["install", "--yes", "--no-install-recommends"])
                    .args(package.apt);
                vec![update, install]
            }
        }
    }

    /// `apt-get` that asks nothing and waits up to five minutes for another one to finish.
    fn apt(self) -> Command {
        let mut command = match self {
            Self::AptBySudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
            Self::AptAsRoot | Self::Brew => Command::new("env"),
        };
        command.args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "--quiet",
            "--option",
            "DPkg::Lock::Timeout=300",
        ]);
        command
    }
}

fn sudo_asks_nothing() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs a package, after saying so on stderr; all output of the package manager goes there.
///
/// # Errors
/// [`ProvisionError::Missing`] with one command to copy where it may not be installed from here,
/// [`ProvisionError::Command`] when the package manager fails.
pub fn install(package: &SystemPackage) -> Result<(), ProvisionError> {
    let Some(installer) = Installer::choose() else {
        return Err(missing(package));
    };
    let commands = installer.commands(package);
    let lines: Vec<String> = commands.iter().map(program::command_line).collect();
    eprintln!(
        "factmill: {} is missing, installing it: {}",
        package.what,
        lines.join(" && ")
    );
    for mut command in commands {
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(io::stderr()))
            .status()
            .map_err(ProvisionError::io("run the package manager"))?;
        if !status.success() {
            return Err(ProvisionError::Command {
                command: program::command_line(&command),
                status: status.to_string(),
                output: String::new(),
            });
        }
    }
    Ok(())
}

/// The error that names the command to copy on this system.
pub fn missing(package: &SystemPackage) -> ProvisionError {
    let command = if program::find("apt-get").is_some() {
        format!("sudo apt-get install --yes {}", package.apt.join(" "))
    } else {
        format!("brew install {}", package.brew.join(" "))
    };
    ProvisionError::Missing {
        what: package.what.to_owned(),
        command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_asks_nothing() {
        let commands: Vec<String> = Installer::AptBySudo
            .commands(&POSTGRES)
            .iter()
            .map(program::command_line)
            .collect();
        assert_eq!(commands.len(), 2);
        assert!(commands[0].ends_with(" update"), "{commands:?}");
        assert!(commands[1].starts_with("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get"));
        assert!(commands[1].ends_with("install --yes --no-install-recommends postgresql"));
    }

    #[test]
    fn what_is_missing_comes_with_a_command_to_copy() {
        let error = missing(&POSTGRES).to_string();
        assert!(error.starts_with("a Postgres server is missing"), "{error}");
        assert!(error.contains("install"), "{error}");
    }
}
