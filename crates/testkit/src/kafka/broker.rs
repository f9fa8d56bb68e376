//! The broker's process: formatted once, started as often as a test likes.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::postgres::free_port;
use factmill_provision::process::{Launch, ServerProcess};
use factmill_provision::program;
use tempfile::TempDir;

use super::{PARTING, jars};
use crate::{scratch, toolchain};

/// Java on a busy machine of two cores, with a log to recover.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Only the line that says "started", warnings and errors: the rest is thousands of lines.
const LOGGING: &str = "\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
";

/// Fields in the order of their end: the process before its folder.
#[derive(Debug)]
pub(super) struct Broker {
    process: Option<ServerProcess>,
    java: PathBuf,
    jars: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Broker {
    pub(super) fn start(settings: Vec<(String, String)>) -> Result<Self> {
        let java = toolchain::java()?;
        let jars = jars::folder()?;
        let folder = scratch::folder("kafka")?;
        let (port, controller) = (free_port()?, free_port()?);
        let properties = properties(folder.path(), port, controller, &settings);
        fs::write(folder.path().join("server.properties"), properties)
            .context("could not write Kafka's settings")?;
        fs::write(folder.path().join("log4j2.properties"), LOGGING)
            .context("could not write Kafka's logging settings")?;
        let mut broker = Self {
            process: None,
            java,
            jars,
            port,
            folder,
        };
        broker.format()?;
        broker.launch()?;
        Ok(broker)
    }

    /// The address that clients start with.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Writes the identity of a new cluster into the log folder.
    fn format(&self) -> Result<()> {
        program::output(
            self.java_command()
                .args([
                    "kafka.tools.StorageTool",
                    "format",
                    "-t",
                    &cluster_id(),
                    "-c",
                ])
                .arg(self.settings()),
        )
        .context("could not format Kafka's log folder")?;
        Ok(())
    }

    /// Starts the process and waits until it serves clients.
    pub(super) fn launch(&mut self) -> Result<()> {
        let mut command = self.java_command();
        command.arg("kafka.Kafka").arg(self.settings());
        self.process = Some(ServerProcess::start(Launch {
            name: "Kafka",
            command,
            log: self.folder.path().join("server.log"),
            ready: |line| line.contains("Kafka Server started"),
            within: START_LIMIT,
            parting: PARTING,
            scratch: Some(self.folder.path().to_path_buf()),
        })?);
        Ok(())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.end(PARTING, Duration::from_secs(10))?;
        }
        Ok(())
    }

    pub(super) fn process(&self) -> Result<&ServerProcess> {
        self.process
            .as_ref()
            .context("the Kafka broker was killed and not restarted")
    }

    fn java_command(&self) -> Command {
        let mut command = Command::new(&self.java);
        command
            .args(["-Xms128m", "-Xmx512m"])
            // what Kafka's own start script says, for pauses below 20 ms
            .args(["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"])
            .arg("-XX:InitiatingHeapOccupancyPercent=35")
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.folder.path().join("log4j2.properties").display()
            ))
            .current_dir(self.folder.path());
        command
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }
}

/// A random id in Kafka's writing, 16 bytes in URL-safe base 64 without padding: hexadecimal digits
/// are digits of it too, and the last of the 22 holds only 2 bits.
fn cluster_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}A", &random[..21])
}

fn properties(folder: &Path, port: u16, controller: u16, more: &[(String, String)]) -> String {
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         message.max.bytes=10485760\n",
        folder.join("logs").display()
    );
    text.push_str(
        // one node holds the only copy; few internal partitions and no delay make groups start fast
        "offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n",
    );
    for (name, value) in more {
        // the last one of a name wins
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_22_digits_of_base_64() {
        let id = cluster_id();
        assert_eq!(id.len(), 22);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }

    #[test]
    fn further_settings_come_last() {
        let more = [("message.max.bytes".to_owned(), "5".to_owned())];
        let text = properties(Path::new("/x"), 1, 2, &more);
        assert!(text.ends_with("\nmessage.max.bytes=5\n"), "{text}");
        assert!(text.contains("voters=1@127.0.0.1:2\n"), "{text}");
    }
}
