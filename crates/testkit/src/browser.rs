//! A real Chromium without a window, driven over the WebDriver protocol (W3C) and, for what that
//! lacks, Chromium's own commands.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use factmill_provision::postgres::free_port;
use factmill_provision::process::{Launch, Parting, ServerProcess};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{scratch, toolchain};

/// How long the browser may take for one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps a test's browser from everything but the test's own pages.
const ARGUMENTS: [&str; 7] = [
    "--headless",
    // as root there is no sandbox; the pages are our own
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one page. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    /// The address of the session.
    session: String,
    _driver: ServerProcess,
    _folder: TempDir,
}

impl Browser {
    /// Starts a browser with a profile of its own.
    ///
    /// # Errors
    /// When Chromium or its driver is missing and cannot be installed, or does not start.
    pub async fn start() -> Result<Self> {
        let (driver, folder, port) = tokio::task::spawn_blocking(launch).await??;
        // An error means that the process has a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .context("could not make an HTTP client")?;
        let profile = format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        );
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let driver_url = format!("http://127.0.0.1:{port}");
        let new = ask(
            &client,
            Method::POST,
            &format!("{driver_url}/session"),
            Some(wanted),
        )
        .await?;
        let id = new["sessionId"].as_str().context("the session has no id")?;
        Ok(Self {
            session: format!("{driver_url}/session/{id}"),
            client,
            _driver: driver,
            _folder: folder,
        })
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// When the page does not answer.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.command("url", json!({ "url": url })).await.map(drop)
    }

    /// What a script returns: the body of a function whose arguments are `arguments`.
    ///
    /// # Errors
    /// What the script throws.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> Result<Value> {
        let body = json!({ "script": script, "args": arguments });
        self.command("execute/sync", body).await
    }

    /// Runs a script again and again until it returns something true, and gives that back.
    ///
    /// # Errors
    /// What the script throws, or when a minute is not enough.
    pub async fn wait_for(&self, script: &str, arguments: &[&str]) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.run(script, arguments).await?;
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("waited {PATIENCE:?} in vain for {script} with {arguments:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types keys into the element that has the focus; `\u{e004}` is Tab, `\u{e007}` is Enter.
    ///
    /// # Errors
    /// When the element takes none.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let active = format!("{}/element/active", self.session);
        let element = ask(&self.client, Method::GET, &active, None).await?;
        let element = element.as_object().and_then(|found| found.values().next());
        let id = element
            .and_then(Value::as_str)
            .context("no element has the focus")?;
        let body = json!({ "text": keys });
        self.command(&format!("element/{id}/value"), body)
            .await
            .map(drop)
    }

    /// Gives the page a size in CSS pixels and a colour scheme, `light` or `dark`.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn shape(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.own("Emulation.setDeviceMetricsOverride", size).await?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.own(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await
        .map(drop)
    }

    /// What the page looks like, a PNG of the visible part.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let url = format!("{}/screenshot", self.session);
        let picture = ask(&self.client, Method::GET, &url, None).await?;
        let text = picture.as_str().context("the picture is no text")?;
        Ok(BASE64.decode(text)?)
    }

    /// Warnings and errors that the console got since it was last asked.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.command("se/log", json!({ "type": "browser" })).await?;
        let entries = log.as_array().context("the log is no array")?;
        let grave = entries
            .iter()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(grave.map(|entry| entry["message"].to_string()).collect())
    }

    async fn own(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("goog/cdp/execute", body).await
    }

    async fn command(&self, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}/{path}", self.session);
        ask(&self.client, Method::POST, &url, Some(body)).await
    }
}

fn launch() -> Result<(ServerProcess, TempDir, u16)> {
    let program: PathBuf = toolchain::chromedriver()?;
    let folder = scratch::folder("browser")?;
    let port = free_port()?;
    let mut command = Command::new(program);
    command
        .arg(format!("--port={port}"))
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .current_dir(folder.path());
    let driver = ServerProcess::start(Launch {
        name: "ChromeDriver",
        command,
        log: folder.path().join("driver.log"),
        ready: |line| line.contains("started successfully"),
        within: Duration::from_secs(30),
        // the browser is in the driver's process group
        parting: Parting::Kill,
        scratch: Some(folder.path().to_path_buf()),
    })?;
    Ok((driver, folder, port))
}

/// One command of the protocol: its `value`.
async fn ask(client: &Client, method: Method, url: &str, body: Option<Value>) -> Result<Value> {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.context("the driver does not answer")?;
    let is_done = answer.status().is_success();
    let mut answer: Value = answer.json().await.context("the driver answers no JSON")?;
    let value = answer["value"].take();
    if !is_done {
        let (error, message) = (&value["error"], &value["message"]);
        bail!("the browser refuses: {error}: {message}");
    }
    Ok(value)
}
