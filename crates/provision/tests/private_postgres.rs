use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use factmill_provision::postgres::{self, Binaries, Options, PrivatePostgres, Running};
use factmill_provision::process::exists;
use factmill_provision::program;

/// The installed `psql`: neither the downloaded binaries bring one, nor does Homebrew put one on the
/// `PATH`.
fn psql() -> PathBuf {
    program::find("psql")
        .or_else(|| {
            postgres::find_all()
                .iter()
                .map(|installed| installed.program("psql"))
                .find(|file| program::is_executable(file))
        })
        .expect("the tests install Postgres with its client")
}

/// What `psql` answers, or how it failed.
fn ask(server: &Running, sql: &str) -> Result<String, String> {
    program::output(Command::new(psql()).args([&server.url("postgres"), "-Atc", sql]))
        .map(|answer| answer.trim().to_owned())
        .map_err(|error| error.to_string())
}

async fn binaries() -> Binaries {
    postgres::ensure().await.unwrap()
}

#[tokio::test]
async fn the_downloaded_server_starts() {
    let downloaded = postgres::download().await.unwrap();
    let folder = folder();
    let server =
        PrivatePostgres::start(&downloaded, &Options::in_directory(folder.path())).unwrap();
    let version = ask(server.running(), "show server_version_num").unwrap();
    assert!(
        version.starts_with(&downloaded.major().to_string()),
        "{version}"
    );
}

#[tokio::test]
async fn a_stopped_server_keeps_its_data_and_its_password() {
    let binaries = binaries().await;
    let folder = folder();
    let options = Options::in_directory(folder.path());
    let mut first = PrivatePostgres::start(&binaries, &options).unwrap();
    ask(first.running(), "create table t as select 7 as a").unwrap();
    assert_eq!(
        Running::find(folder.path()).unwrap().as_ref(),
        Some(first.running())
    );
    let begun = Instant::now();
    first.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(Running::find(folder.path()).unwrap(), None);
    let second = PrivatePostgres::start(&binaries, &options).unwrap();
    assert_eq!(ask(second.running(), "select a from t").unwrap(), "7");
}

#[tokio::test]
async fn a_directory_that_was_removed_begins_anew_where_its_data_is_kept_apart() {
    let binaries = binaries().await;
    // closed to other users, as root's home is: the server of root keeps its data elsewhere
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("private");
    let options = Options::in_directory(&directory);
    let mut first = PrivatePostgres::start(&binaries, &options).unwrap();
    ask(first.running(), "create table t as select 7 as a").unwrap();
    first.stop().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let options = Options {
        scratch: true,
        ..options
    };
    let second = PrivatePostgres::start(&binaries, &options).unwrap();
    let found = ask(second.running(), "select to_regclass('t') is null").unwrap();
    assert_eq!(found, "t", "the table went with its directory");
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let binaries = binaries().await;
    let folder = folder();
    let server = PrivatePostgres::start(&binaries, &Options::in_directory(folder.path())).unwrap();
    let url = server
        .running()
        .url("postgres")
        .replace("factmill:", "factmill:x");
    let refused = program::output(Command::new(psql()).args([&url, "-c", "select 1"])).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("password authentication failed"),
        "{refused}"
    );
    for secret in ["password", "pgpass"] {
        let mode = folder
            .path()
            .join(secret)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{secret} can be read by others");
    }
}

/// Runs this very test binary as the process that starts a server, and kills it.
#[tokio::test]
async fn nothing_stays_of_a_process_that_was_killed() {
    let binaries = binaries().await;
    if let Ok(directory) = std::env::var("PROVISION_TEST_STARTER") {
        let server = PrivatePostgres::start(&binaries, &Options::in_directory(directory)).unwrap();
        assert!(exists(server.running().pid));
        std::thread::park();
    }
    let folder = folder();
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "private_postgres::nothing_stays_of_a_process_that_was_killed",
        ])
        .env("PROVISION_TEST_STARTER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = wait_for("the server", || Running::find(folder.path()).unwrap());
    starter.kill().unwrap();
    starter.wait().unwrap();
    wait_for("the end of the server", || {
        (!exists(server.pid)).then_some(())
    });
}

/// The next start does not wait for anybody to tidy up after a process that was killed.
#[tokio::test]
async fn the_server_of_a_killed_process_does_not_block_the_next() {
    let binaries = binaries().await;
    let here = "private_postgres::the_server_of_a_killed_process_does_not_block_the_next";
    if let Ok(directory) = std::env::var("PROVISION_TEST_STARTER") {
        let _server = PrivatePostgres::start(&binaries, &Options::in_directory(directory)).unwrap();
        std::thread::park();
    }
    let folder = folder();
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", here])
        .env("PROVISION_TEST_STARTER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let left = wait_for("the server", || Running::find(folder.path()).unwrap());
    starter.kill().unwrap();
    starter.wait().unwrap();
    let mut next =
        PrivatePostgres::start(&binaries, &Options::in_directory(folder.path())).unwrap();
    assert!(!exists(left.pid));
    assert_eq!(ask(next.running(), "select 1"), Ok("1".to_owned()));
    next.stop().unwrap();
}

/// A folder that a server can reach which runs as another user.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 60 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
