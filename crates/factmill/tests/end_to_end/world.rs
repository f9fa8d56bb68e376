//! Real servers, a copy of the shipped project, and the binary run against them.

use std::fs;
use std::io::{Read, Seek};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use factmill_testkit::{Kafka, Mongo, Postgres, TestDatabase, project, unique_name};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Client;

use super::banking::Record;

/// How many end-to-end tests run at a time: they wait for their servers often enough to leave two cores idle.
const AT_A_TIME: u32 = 3;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME as usize);

/// Servers that wait for the next world.
static IDLE: Mutex<Vec<Servers>> = Mutex::new(Vec::new());

/// How long anything may take that a test waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Servers, a fresh database, and the shipped project with names of its own on these servers.
pub(super) struct World {
    pub(super) servers: Lent,
    pub(super) database: TestDatabase,
    /// What the shipped names of topics and of MongoDB's databases end with here.
    mark: String,
    /// The topic of banking.
    pub(super) topic: String,
    /// Variables beside those of the servers.
    variables: Vec<(&'static str, String)>,
    project: tempfile::TempDir,
    /// What each process that was started prints into.
    logs: Mutex<Vec<PathBuf>>,
    producer: FutureProducer,
    _turn: Turn,
}

/// The servers of a world.
pub(super) struct Servers {
    pub(super) kafka: Kafka,
    pub(super) postgres: Postgres,
    pub(super) mongo: Mongo,
}

/// Servers that one world has to itself, and the next one after it.
pub(super) struct Lent {
    /// `None` only while it is dropped.
    servers: Option<Servers>,
    /// Whether they are in the state that another world expects.
    handed_on: bool,
}

/// The right to run.
pub(super) type Turn = SemaphorePermit<'static>;

/// A record as it is sent by hand.
#[derive(Default)]
pub(super) struct Sent<'a> {
    pub(super) partition: i32,
    pub(super) key: Option<&'a str>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'a str, &'a [u8])],
}

/// A run of the binary that has not ended.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl World {
    /// On servers that an earlier world used, or on new ones.
    pub(super) async fn start() -> Result<Self> {
        let turn = turn().await;
        let idle = idle().pop();
        let servers = match idle {
            Some(servers) => servers,
            None => Servers::start(Mongo::start()).await?,
        };
        Self::on(servers, true, turn).await
    }

    /// On servers that no other world gets: the test kills one of them or wants another MongoDB.
    pub(super) async fn start_own(mongo: impl Future<Output = Result<Mongo>>) -> Result<Self> {
        let turn = turn().await;
        let servers = Servers::start(mongo).await?;
        Self::on(servers, false, turn).await
    }

    async fn on(servers: Servers, handed_on: bool, turn: Turn) -> Result<Self> {
        let servers = Lent {
            servers: Some(servers),
            handed_on,
        };
        let database = servers.postgres.create_database().await?;
        let mark = unique_name("").replace('_', "-");
        Ok(Self {
            producer: servers.kafka.producer()?,
            servers,
            database,
            project: marked_project(&mark)?,
            logs: Mutex::default(),
            topic: format!("bank_data{mark}"),
            mark,
            variables: Vec::new(),
            _turn: turn,
        })
    }

    /// What a topic or a database of MongoDB is called here that the shipped jobs call `shipped`.
    pub(super) fn named(&self, shipped: &str) -> String {
        format!("{shipped}{}", self.mark)
    }

    /// The binary with these arguments, on this world's servers.
    pub(super) fn factmill(&self, arguments: &[&str]) -> Command {
        self.factmill_in(self.project.path(), arguments)
    }

    /// The same for another project.
    pub(super) fn factmill_in(&self, project: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factmill"));
        command
            .args(arguments)
            .args(["--project-dir".as_ref(), project])
            .env("FACTMILL_PROFILE", "local")
            .env("KAFKA_BROKERS", self.servers.kafka.brokers())
            .env("DATABASE_URL", self.database.url())
            .env("MONGO_URL", self.servers.mongo.url())
            .env("LAKE_PATH", self.lake())
            .env("RUST_BACKTRACE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Starts the simulated Stripe, from whose rates the job reads from now on.
    pub(super) fn serve_rates(&mut self) -> Result<Running> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let simulated = self.spawn(&["serve", "stripe", "--listen", &address])?;
        let rates = format!("http://{address}/forex/{{date}}.json");
        self.variables.push(("FOREX_URL", rates));
        Ok(simulated)
    }

    /// Runs the binary to its end; standard output of a success.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        succeeded(self.factmill(arguments))
    }

    /// Starts the binary and lets it run.
    pub(super) fn spawn(&self, arguments: &[&str]) -> Result<Running> {
        let log = self.project.path().join(unique_name("log"));
        self.logs().push(log.clone());
        Running::start(self.factmill(arguments), log)
    }

    /// Sends a record to a topic and waits until it is stored; its partition and offset.
    pub(super) async fn send(&self, topic: &str, sent: &Sent<'_>) -> Result<(i32, i64)> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in sent.headers {
            headers = headers.insert(Header {
                key,
                value: Some(*value),
            });
        }
        let mut record = FutureRecord::<[u8], [u8]>::to(topic)
            .partition(sent.partition)
            .headers(headers);
        record.key = sent.key.map(str::as_bytes);
        record.payload = sent.payload;
        let stored = self.producer.send(record, PATIENCE).await;
        let stored = stored.map_err(|(error, _)| error)?;
        Ok((stored.partition, stored.offset))
    }

    /// The lake's folder.
    pub(super) fn lake(&self) -> PathBuf {
        self.project.path().join("lake")
    }

    /// The project's folder.
    pub(super) fn project(&self) -> &Path {
        self.project.path()
    }

    /// A connection to the warehouse.
    pub(super) async fn warehouse(&self) -> Result<Client> {
        self.database.connect().await
    }

    /// All records of the topic, aborted transactions left out.
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let consumer: BaseConsumer = self
            .servers
            .kafka
            .client()
            .set("group.id", unique_name("reference"))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(&self.topic), PATIENCE)?;
        let partitions = metadata.topics()[0].partitions();
        let mut assignment = TopicPartitionList::new();
        let mut left = 0;
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&self.topic, partition.id(), PATIENCE)?;
            left += high - low;
            assignment.add_partition_offset(&self.topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut records = Vec::new();
        while left > 0 {
            let message = consumer.poll(PATIENCE).context("the topic ends early")??;
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                payload: message.payload().map(<[u8]>::to_vec),
            });
            left -= 1;
        }
        Ok(records)
    }

    /// Waits until the job's positions add up to at least `records`.
    pub(super) async fn read_at_least(&self, warehouse: &Client, records: i64) -> Result<()> {
        eventually(&format!("{records} records read"), async || {
            Ok(read_so_far(warehouse).await? >= records)
        })
        .await
        .with_context(|| self.said())
    }

    /// What the processes of this world printed.
    fn said(&self) -> String {
        let said = |log: &PathBuf| match fs::read_to_string(log) {
            Ok(text) => text,
            Err(error) => format!("{}: {error}", log.display()),
        };
        let said: Vec<_> = self.logs().iter().map(said).collect();
        format!("what was run said:\n{}", said.join("\n---\n"))
    }

    fn logs(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a command to its end; standard output of a success.
pub(super) fn succeeded(command: Command) -> Result<String> {
    // the environment holds passwords
    let shown: Vec<_> = command
        .get_args()
        .map(|one| one.to_string_lossy())
        .collect();
    let shown = shown.join(" ");
    let output = finished(command)?;
    ensure!(
        output.status.success(),
        "factmill {shown} ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command to its end, which has to come: one that hangs is killed and shown.
pub(super) fn finished(mut command: Command) -> Result<Output> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |file: &mut fs::File| -> Result<Vec<u8>> {
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(text)
    };
    let (stdout, stderr) = (read(&mut stdout)?, read(&mut stderr)?);
    let status = status.with_context(|| {
        let said = String::from_utf8_lossy(&stderr);
        format!("{command:?} still ran after {PATIENCE:?}:\n{said}")
    })?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// How many records all jobs together have read, by their positions.
pub(super) async fn read_so_far(warehouse: &Client) -> Result<i64> {
    read_by(warehouse, "%", "%").await
}

/// How many records of the sources like `source` the jobs like `job` have read, by their positions;
/// those that are no numbers do not count.
pub(super) async fn read_by(warehouse: &Client, job: &str, source: &str) -> Result<i64> {
    let there: bool = warehouse
        .query_one("select to_regclass('factmill.positions') is not null", &[])
        .await?
        .get(0);
    if !there {
        return Ok(0);
    }
    let row = warehouse
        .query_one(
            "select coalesce(sum(position::bigint), 0)::bigint from factmill.positions \
             where job like $1 and source like $2 and position not like 'token:%'",
            &[&job, &source],
        )
        .await?;
    Ok(row.get(0))
}

/// Asks again and again until the answer is yes.
pub(super) async fn eventually(
    what: &str,
    mut asked: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !asked().await? {
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

impl Running {
    /// Starts a command that prints into a file.
    pub(super) fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = fs::File::create(&log)?;
        let child = command.stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Self { child, log })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and its end awaited.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = rustix::process::Pid::from_raw(self.child.id() as i32).context("a process id")?;
        rustix::process::kill_process(id, signal)?;
        Ok(())
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, self.said()?));
            }
            ensure!(
                Instant::now() < deadline,
                "still runs after {PATIENCE:?}:\n{}",
                self.said()?
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end and waits for it.
    pub(super) fn end(self) -> Result<(ExitStatus, String)> {
        self.signal(rustix::process::Signal::TERM)?;
        self.wait()
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// All it printed so far.
    pub(super) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // gone already where the test waited for its end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Servers {
    async fn start(mongo: impl Future<Output = Result<Mongo>>) -> Result<Self> {
        let (kafka, postgres, mongo) = tokio::try_join!(
            Kafka::start_with(&[
                ("group.min.session.timeout.ms", "1000"),
                ("group.initial.rebalance.delay.ms", "0")
            ]),
            Postgres::start_durable(),
            mongo,
        )?;
        Ok(Self {
            kafka,
            postgres,
            mongo,
        })
    }
}

impl Deref for Lent {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        self.servers
            .as_ref()
            .expect("taken only when it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.handed_on {
            idle().extend(self.servers.take());
        }
    }
}

fn idle() -> MutexGuard<'static, Vec<Servers>> {
    // no test can leave a list half changed
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until few enough other end-to-end tests run.
pub(super) async fn turn() -> Turn {
    TURNS.acquire().await.expect("never closed")
}

/// Waits until no other end-to-end test runs, and keeps all of them waiting: for what a test measures
/// in seconds.
pub(super) async fn turn_alone() -> Turn {
    TURNS.acquire_many(AT_A_TIME).await.expect("never closed")
}

/// A copy of the shipped project whose topics and databases end with `mark`.
fn marked_project(mark: &str) -> Result<tempfile::TempDir> {
    let folder = project::apart(mark)?;
    // the group forgets a killed process after a second instead of ten
    project::rewrite(
        &folder.path().join("factmill.yml"),
        r#""${KAFKA_BROKERS:-127.0.0.1:9092}""#,
        r#""${KAFKA_BROKERS}", properties: { session.timeout.ms: "1000", heartbeat.interval.ms: "250" }"#,
    )?;
    Ok(folder)
}
