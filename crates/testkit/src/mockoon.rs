//! Mockoon: an HTTP API out of a file, as a user runs it with `@mockoon/cli`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::postgres::free_port;
use factmill_provision::process::{Launch, Parting, ServerProcess};
use tempfile::TempDir;

use crate::{scratch, toolchain};

const PACKAGE: &str = "@mockoon/cli";
const VERSION: &str = "9.9.0";

/// A running Mockoon with one environment. Dropping it ends it.
#[derive(Debug)]
pub struct Mockoon {
    port: u16,
    _process: ServerProcess,
    _folder: TempDir,
}

impl Mockoon {
    /// Serves a Mockoon environment file on a free port of loopback.
    ///
    /// # Errors
    /// When Mockoon cannot be installed, or the file is none of its environments.
    pub async fn start(environment: &Path) -> Result<Self> {
        let environment = environment.to_owned();
        tokio::task::spawn_blocking(move || Self::launch(&environment)).await?
    }

    fn launch(environment: &Path) -> Result<Self> {
        let (node, cli) = (toolchain::node()?, install()?);
        let folder = scratch::folder("mockoon")?;
        // Mockoon writes into the file when it is an older one, and into the home folder.
        let copy = folder.path().join("environment.json");
        fs::copy(environment, &copy)
            .with_context(|| format!("could not read {}", environment.display()))?;
        let port = free_port()?;
        let mut command = Command::new(node);
        command
            .arg(cli)
            .args(["start", "--hostname", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .args(["--disable-log-to-file", "--disable-admin-api", "--data"])
            .arg(&copy)
            .env("HOME", folder.path())
            .env_remove("NODE_OPTIONS")
            .current_dir(folder.path());
        let process = ServerProcess::start(Launch {
            name: "Mockoon",
            command,
            log: folder.path().join("server.log"),
            ready: |line| line.contains("Server started on port"),
            within: Duration::from_secs(60),
            parting: Parting::Kill,
            scratch: Some(folder.path().to_path_buf()),
        })?;
        Ok(Self {
            port,
            _process: process,
            _folder: folder,
        })
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The command's script, installed once for the user.
pub(crate) fn install() -> Result<PathBuf> {
    let packages = [format!("{PACKAGE}@{VERSION}")];
    let folder = toolchain::npm_packages(&format!("mockoon-{VERSION}"), &packages)?;
    Ok(folder.join("node_modules/@mockoon/cli/bin/run.js"))
}
