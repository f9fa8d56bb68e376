//! `cargo xtask test`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use factmill_testkit::toolchain;

use crate::steps;

/// What the test harness reads its number of threads from.
const THREADS: &str = "RUST_TEST_THREADS";

/// What every Java server of the tests reads its options from.
const JAVA_OPTIONS: &str = "JAVA_TOOL_OPTIONS";

/// How tests come by servers that run already.
pub(crate) const SERVERS: &str = "\
Servers that run already are used instead of private ones where these variables name them:
  FACTMILL_TEST_KAFKA     the brokers, host:port[,host:port…]
  FACTMILL_TEST_POSTGRES  postgresql://user:password@host:port/database of a superuser
  FACTMILL_TEST_MONGO     a connection string, mongodb://…
  FACTMILL_TEST_REGISTRY  the URL of a schema registry
They are never stopped: tests that would do so skip, and say so.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the tests of this package; may be given more than once
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Only tests whose name contains one of these
    filters: Vec<String>,
}

/// Runs the tests with their own output on stdout, and closes with what they come to.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    install()?;
    let started = Instant::now();
    let mut command = cargo_test(arguments);
    eprintln!("\n$ {}", steps::line(&command));
    let mut tests = command
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start cargo test")?;
    let output = tests.stdout.take().context("cargo test has no output")?;
    let mut summary = Summary::default();
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        summary.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = tests.wait()?;
    summary.print(started.elapsed());
    if !status.success() {
        bail!("the tests failed ({status})");
    }
    Ok(())
}

fn install() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("could not start a runtime")?;
    runtime
        .block_on(toolchain::ensure_all())
        .context("the tests need something that is missing")
}

/// All packages in one invocation, also for some of them: one feature graph, one build.
fn cargo_test(arguments: &Arguments) -> Command {
    // a failed package does not hide what the others have to say
    let mut command = steps::cargo(&["test", "--release", "--no-fail-fast"]);
    if std::env::var_os(THREADS).is_none() {
        // tests of servers wait more than they compute
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (3 * cores).to_string());
    }
    if std::env::var_os(JAVA_OPTIONS).is_none() {
        // a server that lives for a minute does not earn back what its second compiler takes
        command.env(JAVA_OPTIONS, "-XX:TieredStopAtLevel=1");
    }
    if arguments.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &arguments.packages {
        command.args(["--package", package]);
    }
    if !arguments.filters.is_empty() {
        command.arg("--").args(&arguments.filters);
    }
    command
}

/// What all test binaries reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    passed: u64,
    failed: u64,
    ignored: u64,
    failures: Vec<String>,
}

impl Summary {
    /// Takes one line of the test harness.
    fn read(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
        // test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; …
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse::<u64>().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse::<u64>().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }

    fn print(&self, elapsed: Duration) {
        println!();
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("after {} s", elapsed.as_secs());
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.ignored
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up() {
        let mut summary = Summary::default();
        for line in [
            "running 2 tests",
            "test decode::empty_payload ... ok",
            "test decode::nul ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 9.10s",
        ] {
            summary.read(line);
        }
        assert_eq!(
            summary,
            Summary {
                passed: 6,
                failed: 1,
                ignored: 2,
                failures: vec!["decode::nul".to_owned()]
            }
        );
    }
}
