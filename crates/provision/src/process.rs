//! A server process that ends with the process that started it, however that one ends.
//!
//! A destructor does not run when a process is killed or a static is left behind at exit. So each
//! server has a watchdog beside it: a shell that waits for the end of its input, which the operating
//! system closes when the starting process is gone, and then ends the server by its process id. It
//! needs no help of the operating system that only some have, and no unsafe code.

mod output;
mod watchdog;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::{ProvisionError, program};
use output::Output;
use watchdog::Watchdog;

/// What a server is started with.
pub struct Launch<'a> {
    /// The server as messages call it.
    pub name: &'a str,
    /// The program with its arguments; its input and outputs are set here.
    pub command: Command,
    /// Everything that it writes is appended here.
    pub log: PathBuf,
    /// Whether a line that it writes says that it is ready.
    pub ready: fn(&str) -> bool,
    /// How long it may take to become ready.
    pub within: Duration,
    /// How the watchdog asks it to end.
    pub parting: Parting,
    /// A folder that the watchdog removes after the server; it must belong to this server alone.
    pub scratch: Option<PathBuf>,
}

/// How a server is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// SIGINT: finish in order. Postgres: end all sessions, write a checkpoint.
    Orderly,
    /// SIGQUIT: end at once without finishing. Postgres: as if the power went, but no child stays.
    AtOnce,
    /// SIGKILL to the whole process group.
    Kill,
}

/// A running server in a process group of its own, so that a Ctrl-C on the terminal reaches only
/// the process that started it.
#[derive(Debug)]
pub struct ServerProcess {
    name: String,
    child: Child,
    parting: Parting,
    _watchdog: Watchdog,
}

impl ServerProcess {
    /// Starts the server and waits until it says that it is ready.
    ///
    /// # Errors
    /// [`ProvisionError::NotReady`] with the end of its log when it ends or stays silent; it is
    /// ended then.
    pub fn start(launch: Launch<'_>) -> Result<Self, ProvisionError> {
        let Launch {
            name,
            mut command,
            log,
            ready,
            within,
            parting,
            scratch,
        } = launch;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(ProvisionError::io(format!(
                "start {name} by {}",
                program::command_line(&command)
            )))?;
        let watchdog = Watchdog::watch(child.id(), parting, scratch.as_deref());
        let output = Output::follow(&mut child, &log, ready);
        let mut server = Self {
            name: name.to_owned(),
            child,
            parting,
            _watchdog: watchdog?,
        };
        let failure = match output?.ready_within(within) {
            Ok(()) => return Ok(server),
            Err(output::Silence::TooLong) => {
                server.end_now();
                format!("it stayed silent for {} s", within.as_secs())
            }
            Err(output::Silence::Ended) => match server.child.wait() {
                Ok(status) => format!("it ended ({status})"),
                Err(error) => format!("it ended ({error})"),
            },
        };
        Err(ProvisionError::NotReady {
            server: name.to_owned(),
            reason: failure,
            output: std::fs::read_to_string(&log)
                .map(|text| program::last_lines(&text, 20))
                .unwrap_or_else(|error| format!("(its log could not be read: {error})")),
        })
    }

    /// The process id of the server, which is the id of its process group too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the server still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the server to end and waits for it; kills its group when it takes longer than `within`.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when the signal cannot be sent.
    pub fn end(&mut self, parting: Parting, within: Duration) -> Result<(), ProvisionError> {
        if !self.is_running() {
            return Ok(());
        }
        // a stopped process handles no other signal before it goes on
        self.signal_group(Signal::CONT)?;
        match parting {
            Parting::Orderly => self.signal(Signal::INT)?,
            Parting::AtOnce => self.signal(Signal::QUIT)?,
            Parting::Kill => self.signal_group(Signal::KILL)?,
        }
        if self.wait(within).is_none() {
            self.signal_group(Signal::KILL)?;
            self.child.wait().map_err(ProvisionError::io(format!(
                "wait for the end of {}",
                self.name
            )))?;
        }
        Ok(())
    }

    /// Halts the server and its children (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when the signal cannot be sent.
    pub fn pause(&self) -> Result<(), ProvisionError> {
        self.signal_tree(Signal::STOP)
    }

    /// Lets a halted server go on (SIGCONT).
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when the signal cannot be sent.
    pub fn resume(&self) -> Result<(), ProvisionError> {
        self.signal_tree(Signal::CONT)
    }

    /// Waits for the end, up to a limit; the standard library has no wait with a limit.
    fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end_now(&mut self) {
        if let Err(error) = self.end(self.parting, Duration::from_secs(10)) {
            eprintln!(
                "factmill: could not end {} (process {}): {error}",
                self.name,
                self.id()
            );
        }
    }

    fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<(), ProvisionError> {
        self.sent(kill_process(self.pid(), signal))
    }

    fn signal_group(&self, signal: Signal) -> Result<(), ProvisionError> {
        self.sent(kill_process_group(self.pid(), signal))
    }

    /// Signals the server and its children: Postgres puts each into a session of its own, where a
    /// signal to the group does not reach.
    fn signal_tree(&self, signal: Signal) -> Result<(), ProvisionError> {
        self.signal_group(signal)?;
        for child in children(self.child.id())? {
            self.sent(kill_process(pid(child), signal))?;
        }
        Ok(())
    }

    /// A process that is gone already needs no signal.
    fn sent(&self, result: Result<(), Errno>) -> Result<(), ProvisionError> {
        match result {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(ProvisionError::Io {
                what: format!("signal {} (process {})", self.name, self.id()),
                source: error.into(),
            }),
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Whether a process of this id exists, whoever owns it.
pub fn exists(id: u32) -> bool {
    !matches!(test_kill_process(pid(id)), Err(Errno::SRCH))
}

/// Ends a process that this process did not start, by its id, and waits up to `within` for it to be
/// gone. A process that is gone already is no error.
///
/// # Errors
/// [`ProvisionError::Io`] when the signal cannot be sent, [`ProvisionError::NotReady`] when the
/// process is still there afterwards.
pub fn end_by_id(id: u32, parting: Parting, within: Duration) -> Result<(), ProvisionError> {
    let signal = match parting {
        Parting::Orderly => Signal::INT,
        Parting::AtOnce => Signal::QUIT,
        Parting::Kill => Signal::KILL,
    };
    match kill_process(pid(id), signal) {
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => {
            return Err(ProvisionError::Io {
                what: format!("signal process {id}"),
                source: error.into(),
            });
        }
        Ok(()) => {}
    }
    let deadline = Instant::now() + within;
    while exists(id) {
        if Instant::now() >= deadline {
            return Err(ProvisionError::NotReady {
                server: format!("process {id}"),
                reason: format!(
                    "it still runs {} s after it was asked to end",
                    within.as_secs()
                ),
                output: String::new(),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[allow(
    clippy::expect_used,
    reason = "an operating system numbers its processes from 1 in 31 bits"
)]
fn pid(id: u32) -> Pid {
    let id = i32::try_from(id).expect("a process id fits into 31 bits");
    Pid::from_raw(id).expect("a process id is not 0")
}

/// The direct children of a process.
fn children(of: u32) -> Result<Vec<u32>, ProvisionError> {
    let table = program::output(Command::new("ps").args(["-A", "-o", "pid=,ppid="]))?;
    Ok(table
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(child)), Some(Ok(parent))) if parent == of => Some(child),
                _ => None,
            }
        })
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    fn launch(folder: &std::path::Path, script: &str) -> Launch<'static> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Launch {
            name: "sleeper",
            command,
            log: folder.join("log"),
            ready: |line| line == "ready",
            within: Duration::from_secs(20),
            parting: Parting::Kill,
            scratch: None,
        }
    }

    #[test]
    fn a_server_is_ready_when_it_says_so_and_ends_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let server =
            ServerProcess::start(launch(folder.path(), "echo wait; echo ready; sleep 600"))
                .unwrap();
        let id = server.id();
        assert!(exists(id));
        drop(server);
        assert!(!exists(id));
        assert_eq!(
            std::fs::read_to_string(folder.path().join("log")).unwrap(),
            "wait\nready\n"
        );
    }

    #[test]
    fn a_server_that_ends_shows_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let error = ServerProcess::start(launch(folder.path(), "echo no space left >&2; exit 7"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 7") && error.ends_with("no space left"),
            "{error}"
        );
    }

    #[test]
    fn a_halted_server_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut server =
            ServerProcess::start(launch(folder.path(), "echo ready; sleep 600")).unwrap();
        server.pause().unwrap();
        assert!(server.is_running());
        server.end(Parting::Kill, Duration::from_secs(10)).unwrap();
        assert!(!server.is_running());
    }
}
