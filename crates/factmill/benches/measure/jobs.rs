//! The shipped jobs over what their producers sent.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use factmill_testkit::{Mongo, TestDatabase, project, same_tables};
use serde::Deserialize;
use tempfile::TempDir;

use super::run::{Phases, phases_by_job, succeed};
use super::world::{PARTITIONS, World};

/// The jobs, their topics, and how many events each gets. A message of stripe holds up to 25 charges, and a document
/// of ecommerce goes through an HTTP service that stores it before it answers.
pub(crate) const JOBS: [(&str, &str, u64); 5] = [
    ("banking", "bank_data", 500_000),
    ("payments", "financial_transactions", 500_000),
    ("stripe", "stripe_charges", 200),
    ("ecommerce", "transactions_topic", 50_000),
    ("retail", "retail_transactions", 200_000),
];

/// Servers, the project, and Stripe's rates.
pub(crate) struct Jobs {
    world: World,
    mongo: Mongo,
    folder: TempDir,
    rates: Rates,
}

/// A simulated Stripe that answers with rates of exchange; ended when it is dropped.
struct Rates {
    process: Child,
    address: String,
}

impl Drop for Rates {
    fn drop(&mut self) {
        // gone already where it failed
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a run of one job did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) job: String,
    sent: u64,
    rows_in: u64,
    rows_out: u64,
    seconds: f64,
    peak_rss_bytes: u64,
    phases: Phases,
}

/// The line that a run of one job prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    job: String,
    rows_in: u64,
    rows_out: u64,
    rows_per_second: f64,
    peak_rss_bytes: u64,
}

impl Jobs {
    pub(crate) async fn start(binary: PathBuf, settings: Vec<String>) -> Result<Self> {
        let (world, mongo) = tokio::try_join!(World::start(binary, settings), Mongo::start())?;
        for (_, topic, _) in JOBS {
            world.kafka.create_topic(topic, PARTITIONS).await?;
        }
        let folder = project::shipped()?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = address.to_string();
        let process = world
            .command(folder.path())
            .args(["serve", "stripe", "--listen", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            world,
            mongo,
            folder,
            rates: Rates { process, address },
        })
    }

    fn command(&self, database: &str, lake: &str) -> Command {
        let mut command = self.world.command(self.folder.path());
        let rates = format!("http://{}/forex/{{date}}.json", self.rates.address);
        command
            .env("DATABASE_URL", database)
            .env("MONGO_URL", self.mongo.url())
            .env("LAKE_PATH", self.folder.path().join(lake))
            .env("FOREX_URL", rates);
        command
    }

    fn stream(&self, jobs: &[&str], database: &str, lake: &str) -> Command {
        let mut command = self.command(database, lake);
        command.arg("stream").args(jobs).args(self.world.settings());
        command
    }

    /// Fills a job's topic; says how many records are in it.
    pub(crate) async fn produce(&self, job: &str, count: u64) -> Result<u64> {
        let mut command = self.world.command(self.folder.path());
        command.args(["produce", job, "--rate", "max", "--json"]);
        if job == "payments" {
            command.arg("--input").arg(self.payments(count)?);
        } else {
            command.args(["--count", &count.to_string()]);
        }
        let output = succeed(command).await?;
        let line: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        line["events"].as_u64().context("no count of events")
    }

    /// A file of so many rows: those of the shipped sample, again and again.
    fn payments(&self, rows: u64) -> Result<PathBuf> {
        let sample = fs::read_to_string(self.folder.path().join("data/samples/payments.csv"))?;
        let (header, sample) = sample.split_once('\n').context("the sample has a header")?;
        // a row whose quotes go on in the next line is no row of its own
        let lines: Vec<&str> = sample.lines().filter(|line| !line.contains('"')).collect();
        let path = self.folder.path().join("payments.csv");
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        writeln!(file, "{header}")?;
        for line in lines.iter().cycle().take(usize::try_from(rows)?) {
            writeln!(file, "{line}")?;
        }
        file.flush()?;
        Ok(path)
    }

    /// One job to the end of its topic, in a database of its own.
    pub(crate) async fn alone(&self, job: &str, sent: u64) -> Result<Ran> {
        let database = self.world.database().await?;
        self.world.settle().await?;
        let mut command = self.stream(&[job], database.url(), &format!("lake-{job}"));
        command.args(["--once", "--json", "--log-format", "json"]);
        let began = Instant::now();
        let output = succeed(command).await?;
        let seconds = began.elapsed().as_secs_f64();
        let line: Line = serde_json::from_slice(&output.stdout)?;
        ensure!(
            line.rows_in >= sent,
            "{job}: {} of {sent} records were read",
            line.rows_in
        );
        let mut phases = phases_by_job(&output.stderr)?;
        Ok(Ran {
            phases: phases.remove(job).context("no phases were logged")?,
            job: line.job,
            sent,
            rows_in: line.rows_in,
            rows_out: line.rows_out,
            seconds,
            peak_rss_bytes: line.peak_rss_bytes,
        })
    }

    /// Processes side by side over the same topics, each running some jobs, in one database.
    pub(crate) async fn together(
        &self,
        processes: &[Vec<&str>],
        lasting: Duration,
    ) -> Result<Vec<Vec<Line>>> {
        let database = self.world.database().await?;
        self.world.settle().await?;
        let lake = format!("lake-of-{}", processes.len());
        let lasting = format!("{}s", lasting.as_secs());
        let mut running = Vec::new();
        for jobs in processes {
            let child = self
                .stream(jobs, database.url(), &lake)
                .args(["--for", &lasting, "--json", "--listen", "127.0.0.1:0"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            running.push(tokio::task::spawn_blocking(move || {
                child.wait_with_output()
            }));
        }
        let mut ran = Vec::new();
        for process in running {
            let output = process.await??;
            if !output.status.success() {
                bail!("{}", String::from_utf8_lossy(&output.stderr));
            }
            let lines = std::str::from_utf8(&output.stdout)?.lines();
            let lines: Result<Vec<Line>, _> = lines.map(serde_json::from_str).collect();
            ran.push(lines?);
        }
        self.keep_their_promise(&processes.concat(), &database, &lake)
            .await?;
        Ok(ran)
    }

    /// Reads what is left, rebuilds what is not current, and compares each job's tables with those of
    /// a batch over the lake.
    async fn keep_their_promise(
        &self,
        jobs: &[&str],
        database: &TestDatabase,
        lake: &str,
    ) -> Result<()> {
        let mut rest = self.stream(jobs, database.url(), lake);
        rest.args(["--once", "--listen", "127.0.0.1:0"]);
        succeed(rest).await?;
        let client = database.connect().await?;
        for job in jobs {
            let schema = format!("batch_{job}");
            let mut batch = self.command(database.url(), lake);
            batch.args(["run", "--job", job, "--set", &format!("schema={schema}")]);
            succeed(batch).await?;
            same_tables(&client, job, &schema).await?;
        }
        Ok(())
    }
}

/// Rows a second and where the time went; the stages run side by side, so shares are of their sum.
pub(crate) fn print_alone(ran: &[Ran]) {
    println!(
        "{:<10} {:>9} {:>9} {:>8} {:>9} {:>9} {:>7}  share of pull, decode, transform, side writes, commit, rebuild",
        "job", "records", "rows out", "s", "records/s", "rows/s", "RSS MiB"
    );
    for ran in ran {
        println!(
            "{:<10} {:>9} {:>9} {:>8.1} {:>9.0} {:>9.0} {:>7}  {}",
            ran.job,
            ran.rows_in,
            ran.rows_out,
            ran.seconds,
            ran.sent as f64 / ran.seconds,
            ran.rows_out as f64 / ran.seconds,
            ran.peak_rss_bytes >> 20,
            ran.phases.shares(),
        );
    }
}

/// What each job came to, and the memory of each process.
pub(crate) fn print_together(how: &str, processes: &[Vec<Line>]) {
    println!();
    println!(
        "{:<24} {:>9} {:>9} {:>9}",
        how, "records", "rows out", "records/s"
    );
    for lines in processes {
        for line in lines {
            println!(
                "{:<24} {:>9} {:>9} {:>9.0}",
                line.job, line.rows_in, line.rows_out, line.rows_per_second
            );
        }
        let peak = lines.iter().map(|line| line.peak_rss_bytes).max();
        println!("{:<24} {:>9} MiB", "peak RSS", peak.unwrap_or(0) >> 20);
    }
}
