//! `cargo xtask ci`: what CI checks beside the tests.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use factmill_testkit::toolchain;

use crate::steps;

/// Every check, the quick ones first; all run, and the failed ones are named at the end.
pub(crate) fn run() -> Result<()> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, done: Result<()>| {
        if let Err(error) = done {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    };
    check(
        "format",
        steps::run(&mut steps::cargo(&["fmt", "--all", "--check"])),
    );
    check("compose file", compose_file());
    check("dependencies", dependencies());
    check(
        "lints",
        steps::run(&mut steps::cargo(&[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])),
    );
    check(
        "docs",
        steps::run(
            steps::cargo(&["doc", "--release", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
    );
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "))
}

/// Advisories come from a git host that not every network reaches; the rest needs none.
fn dependencies() -> Result<()> {
    let fetched = steps::run(&mut steps::cargo(&["deny", "fetch", "db"])).is_ok();
    let mut checks = vec!["deny", "check", "bans", "licenses", "sources"];
    if fetched {
        checks.push("advisories");
    } else {
        eprintln!("the advisory database could not be fetched: advisories are NOT checked");
    }
    // duplicates of small crates are accepted in deny.toml; without this they fill pages
    let mut command = steps::cargo(&checks);
    command.args(["--hide-inclusion-graph", "--allow", "duplicate"]);
    steps::run(&mut command)
}

/// Holds docker-compose.yml to the compose specification, with passwords as `just up` makes them.
/// The checker is a Go program around the library that docker compose itself is made of, and needs
/// no Docker.
fn compose_file() -> Result<()> {
    let workspace = steps::workspace();
    let passwords = Command::new("bash")
        .arg(workspace.join(".ci/fresh-env"))
        .output()
        .context("could not run .ci/fresh-env")?;
    if !passwords.status.success() {
        bail!(
            ".ci/fresh-env failed: {}",
            String::from_utf8_lossy(&passwords.stderr)
        );
    }
    let folder = tempfile::tempdir().context("could not create a temporary folder")?;
    let environment = folder.path().join("env");
    fs::write(&environment, passwords.stdout).context("could not write the environment file")?;
    steps::run(
        Command::new(toolchain::go()?)
            .args(["run", "."])
            .arg(workspace.join("docker-compose.yml"))
            .arg(&environment)
            .current_dir(workspace.join(".ci/compose")),
    )
}
