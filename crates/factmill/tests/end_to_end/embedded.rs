//! The embedded profile as a newcomer meets it: started, stopped and started again in one folder.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use factmill_provision::process::exists;
use factmill_testkit::project;
use rustix::process::Signal;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use super::world::{Running, eventually, finished, succeeded, turn, turn_alone};

/// How long each of three runs streams: a minute in all.
const A_WHILE: Duration = Duration::from_secs(20);

/// How long Ctrl-C may take.
const SECONDS: Duration = Duration::from_secs(5);

/// The binary in a project's folder, without anything that would choose another profile.
pub(super) fn factmill(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factmill"));
    command
        .args(arguments)
        .args(["--project-dir".as_ref(), project])
        .env_remove("FACTMILL_PROFILE")
        // nothing but --profile leaves the embedded one, not even a database in the environment
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/elsewhere")
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .stdin(Stdio::null());
    command
}

/// A stream at full rate.
fn stream(project: &Path, run: u32) -> Result<Running> {
    let arguments = [
        "stream",
        "banking",
        "--produce-rate",
        "max",
        "--listen",
        "127.0.0.1:0",
    ];
    Running::start(
        factmill(project, &arguments),
        project.join(format!("stream-{run}.log")),
    )
}

/// What the tables say of themselves, all of one moment.
#[derive(Debug)]
struct Counts {
    facts: i64,
    ids: i64,
    read: i64,
    dead_letters: i64,
    lake: i64,
    gaps: i64,
}

impl Counts {
    async fn of(warehouse: &Client) -> Result<Self> {
        let row = warehouse
            .query_one(
                "select (select count(*) from banking.fct_transactions), \
                     (select count(distinct transaction_id) from banking.fct_transactions), \
                     (select coalesce(sum(to_position::bigint - coalesce(from_position, '0')::bigint), 0)::bigint \
                      from factmill.epoch_intervals), \
                     (select count(*) from factmill.dead_letters), \
                     (select coalesce(sum(record_count), 0)::bigint from lake.ducklake_table_stats s \
                      join lake.ducklake_table t using (table_id) where t.table_name = 'transactions'), \
                     (select count(*) from (select from_position::bigint as \"from\", \
                          lag(to_position::bigint) over (partition by source, partition, incarnation order by epoch) as \"before\" \
                      from factmill.epoch_intervals) i where coalesce(\"from\", 0) <> coalesce(\"before\", 0))",
                &[],
            )
            .await?;
        Ok(Self {
            facts: row.get(0),
            ids: row.get(1),
            read: row.get(2),
            dead_letters: row.get(3),
            lake: row.get(4),
            gaps: row.get(5),
        })
    }

    /// Each record that was read is one fact, in the table and in the lake.
    fn hold(&self) -> Result<()> {
        ensure!(
            self.ids == self.facts
                && self.facts == self.read - self.dead_letters
                && self.lake == self.facts
                && self.gaps == 0,
            "{self:?}"
        );
        Ok(())
    }
}

/// Connects to the private Postgres of a run that has said that it is ready.
async fn warehouse(project: &Path, run: &mut Running) -> Result<Client> {
    let folder = project.join(".factmill");
    let state = folder.join("state.json");
    eventually("the private servers", async || {
        ensure!(run.runs()?, "the stream ended:\n{}", run.said()?);
        let state = fs::read_to_string(&state).unwrap_or_default();
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        // what a killed run left means nothing
        Ok(state["ready"] == true && state["pid"] == run.id())
    })
    .await?;
    let running = factmill_provision::postgres::Running::find(&folder.join("postgres"))?;
    let running = running.context("a Postgres runs")?;
    let (client, connection) = tokio_postgres::connect(&running.url("factmill"), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Processes that work in a folder or descend from `ancestor`, other than it.
fn processes(folder: &Path, ancestor: Option<u32>) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?.path();
        let Some(id) = entry
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // a process that ends meanwhile is none
        let arguments = fs::read(entry.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let works_in = fs::read_link(entry.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        if arguments.contains(&*folder.to_string_lossy()) || works_in {
            found.insert(id);
        }
        let stat = fs::read_to_string(entry.join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let mut families: BTreeSet<u32> = ancestor.into_iter().collect();
    loop {
        let before = families.len();
        families.extend(
            parents
                .iter()
                .filter(|(_, parent)| families.contains(parent))
                .map(|(id, _)| *id)
                .collect::<Vec<_>>(),
        );
        if families.len() == before {
            break;
        }
    }
    found.extend(families);
    if let Some(ancestor) = ancestor {
        found.remove(&ancestor);
    }
    Ok(found)
}

/// Ctrl-C: everything ends within seconds and nothing stays behind.
pub(super) fn interrupt(project: &Path, run: Running) -> Result<()> {
    let started = processes(project, Some(run.id()))?;
    ensure!(!started.is_empty(), "the run has servers of its own");
    let asked = Instant::now();
    run.signal(Signal::INT)?;
    let (status, said) = run.wait()?;
    let took = asked.elapsed();
    ensure!(status.success(), "ended with {status}:\n{said}");
    ensure!(took <= SECONDS, "the end took {took:?}:\n{said}");
    let left: Vec<u32> = started.into_iter().filter(|id| exists(*id)).collect();
    ensure!(left.is_empty(), "processes {left:?} outlive the run");
    let others = processes(project, None)?;
    ensure!(others.is_empty(), "processes {others:?} work in the folder");
    let folder = project.join(".factmill");
    for trace in ["state.json", "postgres/postmaster.pid"] {
        ensure!(!folder.join(trace).exists(), "{trace} is left");
    }
    Ok(())
}

/// The facts that a question of its own counts, while no stream runs.
fn asked(project: &Path) -> Result<i64> {
    let query = "select count(*) as facts from banking.fct_transactions";
    let answer = succeeded(factmill(project, &["sql", "--format", "json", query]))?;
    let answer: Value = serde_json::from_str(&answer)?;
    answer[0]["facts"].as_i64().context("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_at_full_rate_in_three_runs_of_one_folder() -> Result<()> {
    let _turn = turn_alone().await;
    let project = project::shipped()?;
    let project = project.path();
    let mut before = 0;
    for run in 1..=3 {
        let mut streaming = stream(project, run)?;
        let warehouse = warehouse(project, &mut streaming).await?;
        // what was there is kept, and it goes on
        eventually("facts to grow", async || {
            ensure!(
                streaming.runs()?,
                "the stream ended:\n{}",
                streaming.said()?
            );
            Ok(read(&warehouse).await? > before)
        })
        .await?;
        let until = Instant::now() + A_WHILE;
        if run == 2 {
            others_are_told(project, &streaming)?;
        }
        while Instant::now() < until {
            Counts::of(&warehouse).await?.hold()?;
            ensure!(
                streaming.runs()?,
                "the stream ended:\n{}",
                streaming.said()?
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let counts = Counts::of(&warehouse).await?;
        drop(warehouse);
        interrupt(project, streaming)?;
        // no lock is left either: the next command has the folder
        let now = asked(project)?;
        eprintln!("run {run}: {now} facts, {} a second", (now - before) / 20);
        ensure!(
            now >= counts.facts && counts.facts > before,
            "{now} facts after {counts:?}"
        );
        before = now;
    }
    let summary = succeeded(factmill(
        project,
        &["stream", "banking", "--once", "--json"],
    ))?;
    let rows = one_line_of_json(&summary)?;
    ensure!(
        asked(project)? == before + rows,
        "{before} facts, then {summary}"
    );
    Ok(())
}

/// How many facts there are; none before the tables.
async fn read(warehouse: &Client) -> Result<i64> {
    let there: bool = warehouse
        .query_one(
            "select to_regclass('factmill.epochs') is not null and to_regclass('banking.fct_transactions') is not null",
            &[],
        )
        .await?
        .get(0);
    if !there {
        return Ok(0);
    }
    Ok(warehouse
        .query_one("select count(*) from banking.fct_transactions", &[])
        .await?
        .get(0))
}

/// A second stream is refused with the first one's name; other commands join it.
fn others_are_told(project: &Path, streaming: &Running) -> Result<()> {
    let second = finished(factmill(project, &["stream", "banking"]))?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(
        second.status.code() == Some(2),
        "a second stream ends with {}:\n{said}",
        second.status
    );
    ensure!(
        said.contains("`factmill stream banking`")
            && said.contains(&format!("process {}", streaming.id())),
        "it is not told who has the folder:\n{said}"
    );
    ensure!(asked(project)? > 0, "a question joins the running stream");
    let produced = succeeded(factmill(
        project,
        &[
            "produce", "banking", "--count", "100", "--rate", "max", "--json",
        ],
    ))?;
    let produced: Value = serde_json::from_str(&produced)?;
    ensure!(produced["events"] == 100, "{produced}");
    Ok(())
}

/// The summary's keys; how many rows were read.
fn one_line_of_json(summary: &str) -> Result<i64> {
    ensure!(
        summary.ends_with('\n') && summary.lines().count() == 1,
        "not one line: {summary:?}"
    );
    let line: Value = serde_json::from_str(summary)?;
    let keys: Vec<&str> = line
        .as_object()
        .context("an object")?
        .keys()
        .map(String::as_str)
        .collect();
    let wanted = [
        "job",
        "epochs",
        "rows_in",
        "rows_out",
        "dead_letters",
        "seconds",
        "rows_per_second",
        "peak_rss_bytes",
    ];
    ensure!(keys == wanted, "{summary}");
    ensure!(
        line["job"] == "banking" && line["dead_letters"] == 0,
        "{summary}"
    );
    for key in &wanted[1..] {
        ensure!(line[key].is_number(), "{key} of {summary}");
    }
    line["rows_in"].as_i64().context("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_by_itself_and_a_killed_run_leaves_nothing_in_the_way() -> Result<()> {
    let _turn = turn_alone().await;
    let project = project::shipped()?;
    let project = project.path();
    let alone = finished(factmill(project, &["produce", "banking", "--count", "1"]))?;
    ensure!(
        alone.status.code() == Some(3)
            && String::from_utf8_lossy(&alone.stderr).contains("start `factmill stream` first"),
        "{alone:?}"
    );
    let summary = succeeded(factmill(
        project,
        &["stream", "banking", "--once", "--json"],
    ))?;
    let rows = one_line_of_json(&summary)?;
    ensure!(rows == 10_000 && asked(project)? == rows, "{summary}");

    let mut streaming = stream(project, 1)?;
    let client = warehouse(project, &mut streaming).await?;
    eventually("facts to grow", async || Ok(read(&client).await? > rows)).await?;
    let started = processes(project, Some(streaming.id()))?;
    streaming.kill()?;
    eventually("the servers of a killed run to end", async || {
        Ok(started.iter().all(|id| !exists(*id)))
    })
    .await?;
    let mut again = stream(project, 2)?;
    let client = warehouse(project, &mut again).await?;
    let kept = read(&client).await?;
    ensure!(kept > rows, "{kept} facts are left of {rows}");
    eventually("facts to grow", async || Ok(read(&client).await? > kept)).await?;
    Counts::of(&client).await?.hold()?;
    drop(client);
    interrupt(project, again)
}

/// With this seed one partition gets more of the first events than may lie unread beside a live stream.
#[tokio::test(flavor = "multi_thread")]
async fn once_sends_all_of_the_first_part_before_it_reads() -> Result<()> {
    let _turn = turn().await;
    let project = project::shipped()?;
    let private = project.path().join(".factmill");
    std::fs::create_dir(&private)?;
    std::fs::write(private.join("seed"), "17087247289901807656\n")?;
    let once = ["stream", "retail", "--once", "--json"];
    let streamed = finished(factmill(project.path(), &once))?;
    let said = String::from_utf8_lossy(&streamed.stderr);
    ensure!(streamed.status.success(), "{}:\n{said}", streamed.status);
    let summary: Value = serde_json::from_slice(&streamed.stdout)?;
    ensure!(summary["rows_in"] == 10_000, "{summary}");
    Ok(())
}

/// `--all` runs every job that can run here, and says which cannot.
#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_stream_where_no_mongodb_is() -> Result<()> {
    let _turn = turn().await;
    let project = project::shipped()?;
    let all = ["stream", "--all", "--once", "--json"];
    let mut command = factmill(project.path(), &all);
    command.env("PATH", path_without_mongod()?);
    let streamed = finished(command)?;
    let said = String::from_utf8_lossy(&streamed.stderr);
    ensure!(streamed.status.success(), "{}:\n{said}", streamed.status);
    ensure!(said.contains("banking_chained is left out"), "{said}");
    let summaries = String::from_utf8(streamed.stdout)?;
    let mut jobs = Vec::new();
    for summary in summaries.lines() {
        let summary: Value = serde_json::from_str(summary)?;
        ensure!(summary["rows_in"].as_i64() > Some(0), "{summary}");
        jobs.push(summary["job"].as_str().context("a name")?.to_owned());
    }
    jobs.sort_unstable();
    ensure!(
        jobs == ["banking", "ecommerce", "payments", "retail", "stripe"],
        "{jobs:?}"
    );
    Ok(())
}

/// The folders of programs, but for those that have a `mongod`.
fn path_without_mongod() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| !folder.join("mongod").exists());
    Ok(std::env::join_paths(folders)?)
}

/// Runs payments over a file to its end; how many rows were read of the topic.
fn payments(project: &Path, settings: &[&str]) -> Result<i64> {
    let arguments = ["stream", "payments", "--once", "--json"];
    let summary = succeeded(factmill(project, &[&arguments, settings].concat()))?;
    let line: Value = serde_json::from_str(&summary)?;
    line["rows_in"].as_i64().context("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_of_an_own_file_is_left_out_for_those_of_the_sample() -> Result<()> {
    const OWN: i64 = 200;
    let _turn = turn().await;
    let project = project::shipped()?;
    let project = project.path();
    let facts = || -> Result<i64> {
        let query = "select count(*) as facts from payments.fct_payments";
        let answer = succeeded(factmill(project, &["sql", "--format", "json", query]))?;
        let answer: Value = serde_json::from_str(&answer)?;
        answer[0]["facts"].as_i64().context("a count")
    };
    let sample = payments(project, &[])?;
    ensure!(
        sample > OWN && facts()? == sample,
        "{sample} rows of the sample"
    );
    ensure!(payments(project, &[])? == 0, "its rows are sent once");
    let rows: String = (0..OWN).map(|row| format!("own row,{row}\n")).collect();
    fs::write(
        project.join("own.csv"),
        format!("Description,Amount\n{rows}"),
    )?;
    let own = ["--set", "producer.input=own.csv"];
    for (sent, all) in [(OWN, sample + OWN), (0, sample + OWN)] {
        let read = payments(project, &own)?;
        ensure!(
            (read, facts()?) == (sent, all),
            "{read} of {sent} rows were sent"
        );
    }
    Ok(())
}
