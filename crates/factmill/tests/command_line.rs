//! What the binary says and with which exit code, without any server.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The binary in a folder, with an environment of its own.
fn factmill(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_factmill"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A small project with one job.
fn project(factmill_yml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("factmill.yml", factmill_yml);
    write("dbt_project.yml", "name: small\nversion: \"1\"\n");
    write(
        "models/_sources.yml",
        "sources:\n  - name: shop\n    tables:\n      - name: sales\n        columns:\n          - { name: id, data_type: text }\n",
    );
    write(
        "models/stg_sales.sql",
        "select id from {{ source('shop', 'sales') }}\n",
    );
    write(
        "jobs/shop.yml",
        "sources: { shop.sales: { kafka: { topic: sales, start: earliest }, format: json } }\nmodels: [stg_sales]\n",
    );
    folder
}

const NOWHERE: &str = "profiles: { local: { kafka: { brokers: \"127.0.0.1:1\" }, \
    warehouse: { url: \"postgres://me:hunter2@127.0.0.1:1/x\", connect_timeout: 2s }, lake: { path: lake } } }\n";

#[test]
fn every_command_has_help_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    let help = factmill(folder.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).contains("Exit codes:"));
    for command in [
        "stream",
        "produce",
        "run",
        "sql",
        "dead-letters",
        "positions",
        "doctor",
        "completions",
    ] {
        assert!(stdout(&help).contains(command), "{command}");
        let help = factmill(folder.path(), &[command, "--help"]);
        assert_eq!(code(&help), 0, "{command}");
        assert!(stdout(&help).contains("Examples:"), "{command}");
        assert!(stdout(&help).contains("--profile"), "{command}");
    }
}

#[test]
fn the_version_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let version = factmill(folder.path(), &["--version"]);
    assert!(
        stdout(&version).starts_with("factmill 0."),
        "{}",
        stdout(&version)
    );
}

#[test]
fn completions_are_scripts() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef factmill"),
        ("fish", "complete -c factmill"),
    ] {
        let script = factmill(folder.path(), &["completions", shell]);
        assert!(stdout(&script).contains(mark), "{shell}");
    }
}

#[test]
fn wrong_use_is_2_and_says_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = factmill(folder.path(), &["strem"]);
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("'stream'"), "{}", stderr(&wrong));
    let nowhere = factmill(folder.path(), &["doctor"]);
    assert_eq!(code(&nowhere), 2);
    assert!(
        stderr(&nowhere).contains("no factmill project here"),
        "{}",
        stderr(&nowhere)
    );
    let project = project("profiles: { embedded: { embedded: {} } }\n");
    let job = factmill(project.path(), &["positions", "shpo", "list"]);
    assert_eq!(code(&job), 2);
    assert!(stderr(&job).contains("`shop`"), "{}", stderr(&job));
}

#[test]
fn a_wrong_configuration_is_shown_whole_with_its_places() {
    let project = project(
        "profiles:\n  local:\n    kafka: { broker: x }\n    warehouse: { url: \"${DATABASE_URL}\" }\n    lake: { path: \"gs://x\" }\n",
    );
    let wrong = factmill(project.path(), &["doctor", "--profile", "local"]);
    assert_eq!(code(&wrong), 2);
    let expected = "\
error: factmill.yml:3:12: missing key `brokers` in `profiles.local.kafka`
error: factmill.yml:3:14: unknown key `broker` in `profiles.local.kafka`
  help: did you mean `brokers`?
error: factmill.yml:4:23: variable `DATABASE_URL` is not set
  help: set it, or write a default: `${DATABASE_URL:-…}`
";
    assert_eq!(stderr(&wrong), expected);
}

#[test]
fn an_unreachable_service_is_3_and_no_password_is_shown() {
    let project = project(NOWHERE);
    let list = factmill(
        project.path(),
        &["positions", "shop", "list", "--profile", "local"],
    );
    assert_eq!(code(&list), 3, "{}", stderr(&list));
    assert!(stderr(&list).contains("127.0.0.1:1"), "{}", stderr(&list));
    assert!(!stderr(&list).contains("hunter2"), "{}", stderr(&list));

    let doctor = factmill(project.path(), &["doctor", "--profile", "local", "--json"]);
    assert_eq!(code(&doctor), 3, "{}", stderr(&doctor));
    let checks: Vec<serde_json::Value> = stdout(&doctor)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcome = |subject: &str| {
        let check = checks
            .iter()
            .find(|check| check["subject"] == subject)
            .unwrap();
        check["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome("project"), "ok");
    assert_eq!(outcome("kafka"), "unreachable");
    assert_eq!(outcome("warehouse"), "unreachable");
    assert_eq!(outcome("lake"), "ok");
    assert!(!stdout(&doctor).contains("hunter2"));
    assert!(
        checks
            .iter()
            .all(|check| check["outcome"] == "ok" || check["mend"].is_string())
    );
}

#[test]
fn there_is_no_broker_without_a_running_stream() {
    let project = project("profiles: { embedded: { embedded: {} } }\n");
    std::fs::write(
        project.path().join("jobs/shop.yml"),
        "sources: { shop.sales: { kafka: { topic: sales, start: earliest }, format: json } }\nmodels: [stg_sales]\nproducer: { kind: banking }\n",
    )
    .unwrap();
    let produce = factmill(project.path(), &["produce", "shop", "--count", "1"]);
    assert_eq!(code(&produce), 3, "{}", stderr(&produce));
    assert!(
        stderr(&produce).contains("start `factmill stream` first"),
        "{}",
        stderr(&produce)
    );
}

/// Records that no shipped job knows.
fn readings(folder: &Path) {
    let lines: Vec<String> = (0..30)
        .map(|n| format!(r#"{{"reading_id":"r{n}","at":"2024-01-01T00:00:{n:02}Z","price":{n}.5,"odd \"name\"":null}}"#))
        .collect();
    std::fs::write(folder.join("readings.jsonl"), lines.join("\n")).unwrap();
}

#[test]
fn infer_names_each_guess_without_any_server() {
    let folder = project(NOWHERE);
    readings(folder.path());
    let told = factmill(
        folder.path(),
        &["infer", "readings.jsonl", "--profile", "local"],
    );
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    let lines = stdout(&told);
    assert!(
        lines.contains("30 of 30 have at most two decimals"),
        "{lines}"
    );
    assert!(stderr(&told).contains("key reading_id: an id by its name"));
    let told = factmill(
        folder.path(),
        &["infer", "readings.jsonl", "--json", "--sample", "5"],
    );
    let told: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
    assert_eq!(told["records"], 5);
    assert_eq!(told["columns"][2]["data_type"], "numeric(18,2)");
}

#[test]
fn new_writes_once_and_only_what_compiles() {
    let folder = project(NOWHERE);
    readings(folder.path());
    let new = |arguments: &[&str]| {
        let fixed = ["new", "--from", "readings.jsonl"];
        factmill(folder.path(), &[&fixed[..], arguments].concat())
    };
    let dry = new(&["readings", "--dry-run"]);
    assert_eq!(code(&dry), 0, "{}", stderr(&dry));
    assert!(!folder.path().join("jobs/readings.yml").exists());
    let written = new(&["readings"]);
    assert_eq!(code(&written), 0, "{}", stderr(&written));
    let names = [
        "jobs/readings.yml",
        "models/readings/_sources.yml",
        "models/readings/staging/stg_readings.sql",
        "models/readings/staging/stg_readings.yml",
        "models/readings/marts/fct_readings.sql",
        "models/readings/marts/fct_readings.yml",
        "grafana/dashboards/readings.json",
    ];
    for name in names {
        assert!(
            stdout(&written).contains(&format!("wrote {name}\n")),
            "{name}"
        );
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    assert_eq!(code(&new(&["readings"])), 2, "nothing is written over");
    let hand_made = folder.path().join("models/other");
    std::fs::create_dir(&hand_made).unwrap();
    let refused = new(&["other"]);
    assert!(
        stderr(&refused).contains("models/other exists already"),
        "{}",
        stderr(&refused)
    );
    let refused = new(&["Read ings"]);
    assert!(
        stderr(&refused).contains("for example `read_ings`"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_source_that_is_none_is_told_without_its_secrets() {
    let folder = project(NOWHERE);
    std::fs::write(folder.path().join("empty.jsonl"), "\n").unwrap();
    std::fs::write(
        folder.path().join("list.json"),
        "[\n{\"a\":1},\n{\"a\":2}\n]\n",
    )
    .unwrap();
    for (from, exit, said) in [
        ("kafak:readings", 2, "did you mean `kafka`?"),
        ("ftp://me:hunter2@h/x", 2, "is no source"),
        ("mongodb://me:hunter2@h/x", 2, "mongo:DATABASE.COLLECTION"),
        ("empty.jsonl", 2, "holds no records yet"),
        ("list.json", 2, "one JSON object is expected"),
        ("missing.csv", 2, "no file or folder"),
        ("readings.xlsx*", 2, "does not say how records stand"),
        ("kafka:readings", 3, "127.0.0.1:1"),
        ("http://127.0.0.1:1/x?key=hunter2", 3, "127.0.0.1:1"),
        ("https://me:hunter2@127.0.0.1:1/x", 2, "user or password"),
        ("http://127.0.0.1:1/x?key=${NOT_SET}", 2, "NOT_SET"),
    ] {
        let refused = factmill(folder.path(), &["infer", from, "--profile", "local"]);
        let said_all = stderr(&refused);
        assert_eq!(code(&refused), exit, "{from}: {said_all}");
        assert!(said_all.contains(said), "{from}: {said_all}");
        assert!(!said_all.contains("hunter2"), "{from}: {said_all}");
    }
}

#[test]
fn a_record_of_five_megabytes_is_one_of_the_sample() {
    let folder = project(NOWHERE);
    let long = format!(
        "{{\"id\":1,\"text\":\"{}\"}}\n{{\"id\":2}}\n",
        "x".repeat(5 << 20)
    );
    std::fs::write(folder.path().join("long.jsonl"), long).unwrap();
    let told = factmill(folder.path(), &["infer", "long.jsonl"]);
    assert!(
        stdout(&told).contains("up to 5242880 characters"),
        "{}",
        stderr(&told)
    );
}
