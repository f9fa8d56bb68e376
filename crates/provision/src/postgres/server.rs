//! A private Postgres server: its own data folder, a free port on loopback, a password of its own.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Binaries, find_all};
use crate::account::{Account, reachable};
use crate::process::{self, Launch, Parting, ServerProcess};
use crate::{ProvisionError, program};

/// The superuser of a private server.
const USER: &str = "factmill";

/// The time an existing server may need for crash recovery before it takes connections.
const START_LIMIT: Duration = Duration::from_secs(120);
/// A checkpoint on a slow disk must end within the five seconds that a Ctrl-C may take.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// How long a server whose starter was killed may take to end in order.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(10);

/// How a private server is made and run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds the data folder, the password file and the log; created when missing.
    pub directory: PathBuf,
    /// The port on loopback; a free one when none is given.
    pub port: Option<u16>,
    /// Whether a commit reaches the disk before it is answered (`fsync`). Without, a crash of the
    /// server process loses nothing either, but a crash of the machine does.
    pub durable: bool,
    /// Further settings of the server (`postgresql.conf` names), the last one of a name wins.
    pub settings: Vec<(String, String)>,
    /// How the server ends when the process that started it is gone without stopping it.
    pub parting: Parting,
    /// Whether the directory is removed then, too: for servers of tests.
    pub scratch: bool,
}

impl Options {
    /// A durable server in this directory, which stays when the server ends.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            port: None,
            durable: true,
            settings: Vec::new(),
            parting: Parting::Orderly,
            scratch: false,
        }
    }
}

/// How to connect to a private server that runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Running {
    /// The process id of the server.
    pub pid: u32,
    /// The port on 127.0.0.1.
    pub port: u16,
    password: String,
}

impl Running {
    /// A connection URL for one of its databases, as the superuser `factmill`. It holds the
    /// password; see [`Running::psql`] for what to show.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://{USER}:{}@127.0.0.1:{}/{}",
            self.password,
            self.port,
            escape(database)
        )
    }

    /// The server that runs in this directory, whoever started it; `None` when none does.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when the files of a running server cannot be read.
    pub fn find(directory: &Path) -> Result<Option<Self>, ProvisionError> {
        let place = Place::of(directory)?;
        let Ok(status) = fs::read_to_string(place.data().join("postmaster.pid")) else {
            return Ok(None);
        };
        // lines of postmaster.pid: pid, data folder, start time, port, socket folder, address,
        // shared memory, state
        let lines: Vec<&str> = status.lines().map(str::trim).collect();
        let (Some(Ok(pid)), Some(Ok(port)), Some(&"ready")) = (
            lines.first().map(|line| line.parse::<u32>()),
            lines.get(3).map(|line| line.parse::<u16>()),
            lines.get(7),
        ) else {
            return Ok(None);
        };
        // a server that was killed leaves its file behind
        if !process::exists(pid) {
            return Ok(None);
        }
        Ok(Some(Self {
            pid,
            port,
            password: place.password()?,
        }))
    }

    /// The command that opens a prompt on one of its databases; it reads the password from a file.
    pub fn psql(&self, directory: &Path, database: &str) -> String {
        format!(
            "PGPASSFILE='{}' psql -h 127.0.0.1 -p {} -U {USER} {database}",
            directory.join("pgpass").display(),
            self.port
        )
    }
}

impl std::fmt::Debug for Running {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("pid", &self.pid)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Percent-encodes what a URL's path cannot hold.
fn escape(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The folders and files of a private server.
struct Place {
    directory: PathBuf,
    account: Option<Account>,
    /// Where the server's own files are: the directory, or one that its user can reach.
    home: PathBuf,
}

impl Place {
    fn of(directory: &Path) -> Result<Self, ProvisionError> {
        let directory = std::path::absolute(directory).map_err(ProvisionError::io(format!(
            "resolve {}",
            directory.display()
        )))?;
        let account = Account::unprivileged()?;
        let home = reachable(&directory.join("server"), account);
        Ok(Self {
            directory,
            account,
            home,
        })
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    fn password_file(&self) -> PathBuf {
        self.directory.join("password")
    }

    fn password(&self) -> Result<String, ProvisionError> {
        let file = self.password_file();
        fs::read_to_string(&file)
            .map(|text| text.trim().to_owned())
            .map_err(ProvisionError::io(format!(
                "read the password file {}",
                file.display()
            )))
    }

    /// Ends a server that still runs in the data folder. Its starter was killed, and its watchdog may
    /// be ending it already; two servers in one folder would never be.
    fn end_predecessor(&self) -> Result<(), ProvisionError> {
        let data = self.data();
        let Ok(status) = fs::read_to_string(data.join("postmaster.pid")) else {
            return Ok(());
        };
        let pid = status
            .lines()
            .next()
            .and_then(|line| line.trim().parse::<u32>().ok());
        let Some(pid) = pid.filter(|&pid| process::exists(pid)) else {
            return Ok(());
        };
        // the file outlives its server, and its number may be another process's by now
        let mut ps = Command::new("ps");
        ps.args(["-o", "args=", "-p"]).arg(pid.to_string());
        let is_ours =
            program::output(&mut ps).is_ok_and(|line| line.contains(&*data.to_string_lossy()));
        if !is_ours {
            return Ok(());
        }
        match process::end_by_id(pid, Parting::Orderly, PREDECESSOR_LIMIT) {
            Err(ProvisionError::NotReady { .. }) => {
                process::end_by_id(pid, Parting::AtOnce, PREDECESSOR_LIMIT)
            }
            ended => ended,
        }
    }

    /// Removes data that is kept apart from a directory which is gone: the password went with it, and
    /// who removes the directory means the data too.
    fn forget_removed(&self) -> Result<(), ProvisionError> {
        let is_apart = !self.home.starts_with(&self.directory);
        if !is_apart || !self.home.exists() || self.password_file().exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.home).map_err(ProvisionError::io(format!(
            "remove {}",
            self.home.display()
        )))
    }

    /// Makes the data folder with a fresh password.
    fn initialize(&self, binaries: &Binaries) -> Result<(), ProvisionError> {
        let data = self.data();
        // what an interrupted attempt left: the server's version file is written early, so the
        // folder gets its final name only when it is whole
        let attempt = self.home.join("data.partial");
        if attempt.exists() {
            fs::remove_dir_all(&attempt)
                .map_err(ProvisionError::io(format!("remove {}", attempt.display())))?;
        }
        create_private(&self.home)?;
        if let Some(account) = self.account {
            account.own(&self.home)?;
        }
        let password = uuid::Uuid::new_v4().simple().to_string();
        write_private(&self.password_file(), &password)?;
        // psql's own format: host, port, database, user, password
        let pgpass = format!("127.0.0.1:*:*:{USER}:{password}\n");
        write_private(&self.directory.join("pgpass"), &pgpass)?;
        // initdb runs as the server's user, which cannot read the file of ours
        let handed = self.home.join("initial-password");
        write_private(&handed, &password)?;
        if let Some(account) = self.account {
            account.own(&handed)?;
        }
        let mut command = Command::new(binaries.program("initdb"));
        command
            .arg("--pgdata")
            .arg(&attempt)
            .arg("--pwfile")
            .arg(&handed)
            .args(["--username", USER, "--auth", "scram-sha-256"])
            // the C locale sorts text by bytes, as DataFusion does
            .args([
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
                "--no-instructions",
            ])
            .current_dir("/")
            .env("LC_ALL", "C");
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        let made = program::output(&mut command);
        fs::remove_file(&handed)
            .map_err(ProvisionError::io(format!("remove {}", handed.display())))?;
        made?;
        fs::rename(&attempt, &data).map_err(ProvisionError::io(format!(
            "move {} in place",
            data.display()
        )))
    }
}

/// Creates a folder that nobody else may list, with its parents.
fn create_private(folder: &Path) -> Result<(), ProvisionError> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .map_err(ProvisionError::io(format!("create {}", folder.display())))
}

fn write_private(file: &Path, text: &str) -> Result<(), ProvisionError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(ProvisionError::io(format!("write {}", file.display())))
}

/// A private server that this process started. Dropping it ends it; so does the end of this process.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: ServerProcess,
    running: Running,
}

impl PrivatePostgres {
    /// Starts the server of a directory, making its data folder when there is none, and waits until
    /// it takes connections. As root it runs as another user. A server that a killed process left
    /// in the directory is ended first, so nobody else may be using it.
    ///
    /// # Errors
    /// [`ProvisionError::DataVersion`] when the data folder is of a major version that is not
    /// installed, [`ProvisionError::NotReady`] when the server does not come up, with its last lines.
    pub fn start(binaries: &Binaries, options: &Options) -> Result<Self, ProvisionError> {
        let place = Place::of(&options.directory)?;
        fs::create_dir_all(&place.directory).map_err(ProvisionError::io(format!(
            "create {}",
            place.directory.display()
        )))?;
        let data = place.data();
        place.end_predecessor()?;
        place.forget_removed()?;
        let binaries = if data.exists() {
            matching(binaries, &data)?
        } else {
            place.initialize(binaries)?;
            binaries.clone()
        };
        let port = match options.port {
            Some(port) => port,
            None => free_port()?,
        };
        let mut command = Command::new(binaries.program("postgres"));
        command
            .arg("-D")
            .arg(&data)
            .arg("-p")
            .arg(port.to_string())
            .current_dir("/");
        for (name, value) in settings(options) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(account) = place.account {
            account.apply(&mut command);
        }
        let server = ServerProcess::start(Launch {
            name: "Postgres",
            command,
            log: place.log(),
            ready: |line| line.contains("database system is ready to accept connections"),
            within: START_LIMIT,
            parting: options.parting,
            scratch: options.scratch.then(|| place.directory.clone()),
        })?;
        let running = Running {
            pid: server.id(),
            port,
            password: place.password()?,
        };
        Ok(Self { server, running })
    }

    /// How to connect to it.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.server.is_running()
    }

    /// Ends all its sessions, writes a checkpoint and stops, within seconds.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when it cannot be signalled.
    pub fn stop(&mut self) -> Result<(), ProvisionError> {
        self.server.end(Parting::Orderly, STOP_LIMIT)
    }

    /// Ends it at once, without a checkpoint: the next start recovers from its log, as after a
    /// crash. None of its processes is left when this returns.
    ///
    /// # Errors
    /// [`ProvisionError::Io`] when it cannot be signalled.
    pub fn crash(&mut self) -> Result<(), ProvisionError> {
        self.server.end(Parting::AtOnce, Duration::from_secs(20))
    }

    /// The process of the server.
    pub fn process(&self) -> &ServerProcess {
        &self.server
    }
}

/// Binaries of the major version that made the data folder.
fn matching(binaries: &Binaries, data: &Path) -> Result<Binaries, ProvisionError> {
    let file = data.join("PG_VERSION");
    let made_by = fs::read_to_string(&file)
        .map_err(ProvisionError::io(format!("read {}", file.display())))?
        .trim()
        .to_owned();
    if made_by == binaries.major().to_string() {
        return Ok(binaries.clone());
    }
    let installed = find_all();
    installed
        .iter()
        .find(|other| made_by == other.major().to_string())
        .cloned()
        .ok_or_else(|| ProvisionError::DataVersion {
            directory: data.to_path_buf(),
            made_by,
            found: installed
                .iter()
                .map(|other| other.major().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn settings(options: &Options) -> Vec<(&str, &str)> {
    let mut settings = vec![
        // loopback only, and no socket: nothing to find a place for
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        // the line that says "ready" is looked for in English
        ("lc_messages", "C"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("timezone", "UTC"),
    ];
    if !options.durable {
        settings.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]);
    }
    settings.extend(
        options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    settings
}

/// A port on loopback that was free a moment ago.
///
/// # Errors
/// [`ProvisionError::Io`] when the operating system has none.
pub fn free_port() -> Result<u16, ProvisionError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ProvisionError::io("find a free port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_any_database_name_and_debug_no_password() {
        let running = Running {
            pid: 1,
            port: 5,
            password: "secret".to_owned(),
        };
        assert_eq!(
            running.url("a b/ü"),
            "postgresql://factmill:secret@127.0.0.1:5/a%20b%2F%C3%BC"
        );
        assert!(!format!("{running:?}").contains("secret"));
    }

    #[test]
    fn a_setting_given_last_wins() {
        let mut options = Options::in_directory("x");
        options
            .settings
            .push(("timezone".to_owned(), "Europe/Paris".to_owned()));
        let all = settings(&options);
        let last = all.iter().rfind(|(name, _)| *name == "timezone");
        assert_eq!(last, Some(&("timezone", "Europe/Paris")));
    }
}
