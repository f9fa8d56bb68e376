//! A schema registry for tests: Apicurio's, from Maven Central, which speaks Confluent's HTTP API.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::postgres::free_port;
use factmill_provision::process::{Launch, Parting, ServerProcess};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::toolchain::{self, Artifact};
use crate::{outside, scratch};

/// Names a running registry by its URL, `http://…`.
const OUTSIDE: &str = "FACTMILL_TEST_REGISTRY";

/// The newest release that runs on Java 17.
const VERSION: &str = "3.0.9";

/// Where it speaks Confluent's API.
const API: &str = "/apis/ccompat/v7";

/// A schema registry: a private one in memory, or the one that `FACTMILL_TEST_REGISTRY` names.
/// Dropping it ends it.
#[derive(Debug)]
pub struct SchemaRegistry {
    url: String,
    client: reqwest::Client,
    /// In the order of their end: the process before its folder.
    _server: Option<(ServerProcess, TempDir)>,
}

impl SchemaRegistry {
    /// Starts a registry of the test's own; it is empty.
    ///
    /// # Errors
    /// When it cannot be had or does not start.
    pub async fn start() -> Result<Self> {
        // another part of the test may have set it already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build()?;
        if let Some(url) = outside::server(OUTSIDE) {
            return Ok(Self {
                url,
                client,
                _server: None,
            });
        }
        let (port, process, folder) = tokio::task::spawn_blocking(launch).await??;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}{API}"),
            client,
            _server: Some((process, folder)),
        })
    }

    /// The registry that all tests of this process share; use fresh subjects on it.
    ///
    /// # Errors
    /// As [`SchemaRegistry::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<SchemaRegistry> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Its URL, with the path of its API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Registers a schema, as `POST /subjects/<subject>/versions` takes it; gives its id.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn register(&self, subject: &str, schema: &Value) -> Result<u32> {
        let request = self
            .client
            .post(format!("{}/subjects/{subject}/versions", self.url))
            .json(schema);
        let answer = request.send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let id = answer["id"].as_u64().context("the registry names no id")?;
        Ok(u32::try_from(id)?)
    }
}

fn launch() -> Result<(u16, ServerProcess, TempDir)> {
    let (java, program) = (toolchain::java()?, install()?);
    let folder = scratch::folder("registry")?;
    let port = free_port()?;
    let mut command = Command::new(java);
    command
        .args(["-Xmx256m", "-Dquarkus.http.host=127.0.0.1"])
        .arg(format!("-Dquarkus.http.port={port}"))
        .args([
            "-Dapicurio.storage.kind=sql",
            "-Dapicurio.storage.sql.kind=h2",
            "-Dquarkus.banner.enabled=false",
        ])
        // it says there that it listens
        .arg("-Dquarkus.log.category.\"io.quarkus\".level=INFO")
        .arg("-jar")
        .arg(program)
        .current_dir(folder.path());
    let process = ServerProcess::start(Launch {
        name: "Apicurio Registry",
        command,
        log: folder.path().join("server.log"),
        ready: |line| line.contains("Listening on:"),
        within: Duration::from_secs(120),
        parting: Parting::Kill,
        scratch: Some(folder.path().to_path_buf()),
    })?;
    Ok((port, process, folder))
}

/// The registry's jar; what it needs lies beside it.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = toolchain::cached(&format!("apicurio-registry-{VERSION}"), |folder| {
        eprintln!("testkit: fetching Apicurio Registry {VERSION} by Maven, about 100 MB");
        let artifact = Artifact {
            group: "io.apicurio",
            name: "apicurio-registry-app",
            version: VERSION,
        };
        toolchain::unpack(&artifact, "tar.gz", "all", folder)
    })?;
    Ok(folder.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
}
