//! `cargo xtask ci`: what CI checks beside the tests.

use anyhow::{Result, bail};

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
