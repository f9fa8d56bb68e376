//! Terminals and what they look like: commands run on pseudoterminals (`script` of util-linux), and
//! xterm.js in a real browser draws every byte that they wrote.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use factmill_testkit::{Browser, toolchain};

/// Characters in a line of every terminal.
const COLUMNS: u32 = 116;

const XTERM: &str = "6.0.0";

/// A terminal in which one command runs.
pub(crate) struct Terminal {
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<std::io::Result<()>>,
}

impl Terminal {
    /// Shows the command as one types it, and starts it in `folder`. Its programs are looked for in
    /// `programs` first.
    pub(crate) fn start(typed: &str, folder: &Path, programs: &Path) -> Result<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let session = format!(
            "stty columns {COLUMNS} rows 60; printf '\\033[32m$\\033[0m %s\\n' \"$TYPED\"; eval \"$TYPED\""
        );
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &session,
                "/dev/null",
            ])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env("TYPED", typed)
            .env_remove("FACTMILL_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start `script` of util-linux, which makes terminals")?;
        let mut output = child.stdout.take().context("it has an output")?;
        let written = Arc::new(Mutex::new(Vec::new()));
        let more = Arc::clone(&written);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match output.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => lock(&more).extend_from_slice(&buffer[..count]),
                }
            }
        });
        Ok(Self {
            child,
            written,
            reader,
        })
    }

    /// All that was written so far, control sequences included.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&lock(&self.written)).into_owned()
    }

    /// Waits for the command's success; all that was written.
    pub(crate) fn end(mut self) -> Result<String> {
        let status = self.child.wait()?;
        match self.reader.join() {
            Ok(read) => read?,
            Err(_) => anyhow::bail!("the reader of a terminal failed"),
        }
        let written = String::from_utf8_lossy(&lock(&self.written)).into_owned();
        ensure!(status.success(), "{status}:\n{written}");
        Ok(written)
    }
}

fn lock(written: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A screenshot of terminals, one below the other, that show what was written to them.
pub(crate) async fn screenshot(browser: &Browser, terminals: &[String]) -> Result<Vec<u8>> {
    /// Draws into the next terminal and cuts it below the last line; says when all is drawn.
    const DRAW: &str = "\
        const place = document.querySelector('section:empty'); \
        const terminal = new Terminal({ cols: Number(arguments[0]), rows: 60, fontSize: 14, lineHeight: 1.2, scrollback: 0, \
            fontFamily: 'DejaVu Sans Mono, monospace', cursorInactiveStyle: 'none', \
            theme: { background: '#161b22', foreground: '#e6edf3', green: '#7ee787' } }); \
        terminal.open(place); \
        terminal.write(arguments[1], () => { \
            terminal.resize(terminal.cols, terminal.buffer.active.cursorY + 1); \
            requestAnimationFrame(() => requestAnimationFrame(() => { place.dataset.drawn = 'yes'; })); \
        })";
    const DRAWN: &str =
        "return document.querySelectorAll('[data-drawn]').length === Number(arguments[0])";
    const SIZE: &str = "\
        const box = document.querySelector('main').getBoundingClientRect(); \
        return [Math.ceil(box.width), Math.ceil(box.height)]";
    let packages = [format!("@xterm/xterm@{XTERM}")];
    let xterm = toolchain::npm_packages(&format!("xterm-{XTERM}"), &packages)?;
    let xterm = xterm.join("node_modules/@xterm/xterm");
    let folder = tempfile::tempdir()?;
    let mut sections = String::new();
    for _ in terminals {
        // writing into memory does not fail
        let _ = write!(sections, "<section></section>");
    }
    let page = folder.path().join("terminals.html");
    fs::write(
        &page,
        format!(
            "<!doctype html><meta charset=\"utf-8\"><link rel=\"stylesheet\" href=\"file://{0}/css/xterm.css\">\
             <style>body{{margin:0;background:#0d1117}}main{{display:inline-grid;gap:12px;padding:12px}}\
             section{{background:#161b22;border-radius:8px;padding:12px}}</style>\
             <script src=\"file://{0}/lib/xterm.js\"></script><main>{sections}</main>",
            xterm.display()
        ),
    )?;
    browser.shape(1400, 1600, "dark").await?;
    browser.open(&format!("file://{}", page.display())).await?;
    for (number, written) in terminals.iter().enumerate() {
        browser.run(DRAW, &[&COLUMNS.to_string(), written]).await?;
        browser
            .wait_for(DRAWN, &[&(number + 1).to_string()])
            .await?;
    }
    let size = browser.run(SIZE, &[]).await?;
    let pixels = |at: usize| {
        let pixels = size[at].as_u64().and_then(|pixels| pixels.try_into().ok());
        pixels.context("the terminals have no size")
    };
    browser.shape(pixels(0)?, pixels(1)?, "dark").await?;
    browser.screenshot().await
}
