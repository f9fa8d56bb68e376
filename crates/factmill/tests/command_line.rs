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
fn doctor_asks_for_what_the_job_uses_alone() {
    let project = project(
        "profiles: { local: { kafka: { brokers: \"${NO_SUCH_BROKERS}\" }, \
            warehouse: { url: \"postgres://me@127.0.0.1:1/x\", connect_timeout: 2s }, lake: { path: lake } } }\n",
    );
    let job = |name: &str, text: &str| {
        std::fs::write(project.path().join(format!("jobs/{name}.yml")), text).unwrap();
    };
    job(
        "filed",
        "sources: { shop.sales: { files: { path: \"in/*.csv\", kind: csv } } }\nmodels: [stg_sales]\nschema: filed\nlake: { schema: filed }\n",
    );
    job(
        "sent",
        "sources: { shop.sales: { files: { path: \"in/*.csv\", kind: csv } } }\nmodels: [stg_sales]\nschema: sent\nlake: { schema: sent }\nproducer: { kind: banking }\n",
    );
    let doctor = |job: &str| factmill(project.path(), &["doctor", job, "--profile", "local"]);
    let filed = doctor("filed");
    assert_eq!(code(&filed), 3, "the warehouse alone: {}", stderr(&filed));
    for needy in ["shop", "sent"] {
        let refused = doctor(needy);
        assert_eq!(code(&refused), 2, "{needy}: {}", stdout(&refused));
        let told = stderr(&refused);
        assert!(told.contains("`NO_SUCH_BROKERS` is not set"), "{told}");
    }
}

#[test]
fn a_flag_that_would_do_nothing_is_refused_by_its_name() {
    let project = project("profiles: { embedded: { embedded: {} } }\n");
    let producer = |name: &str, producer: &str| {
        let text = format!(
            "sources: {{ shop.sales: {{ kafka: {{ topic: {name} }} }} }}\nmodels: [stg_sales]\nschema: {name}\nlake: {{ schema: {name} }}\nproducer: {producer}\n"
        );
        std::fs::write(project.path().join(format!("jobs/{name}.yml")), text).unwrap();
    };
    producer("banking", "{ kind: banking }");
    producer("stripe", "{ kind: stripe }");
    producer("retail", "{ kind: retail }");
    producer("paid", "{ kind: payments, input: in.csv, scaler: s.json }");
    for (arguments, flag) in [
        (&["produce", "banking", "--live"][..], "--live"),
        (
            &["produce", "banking", "--fit", "--scaler", "s"],
            "--scaler",
        ),
        (&["produce", "banking", "--again"], "--again"),
        (
            &["produce", "paid", "--output", "o", "--rate", "9"],
            "--rate",
        ),
        (&["produce", "paid", "--output", "o", "--bad", "9"], "--bad"),
        (
            &["produce", "paid", "--output", "o", "--seed", "9"],
            "--seed",
        ),
        (&["produce", "paid", "--output", "o", "--again"], "--again"),
        (&["produce", "paid", "--output", "o", "--live"], "--live"),
        (&["serve", "stripe", "--rate", "9"], "--rate"),
        (&["serve", "stripe", "--bad", "9"], "--bad"),
        (&["serve", "stripe", "--page", "127.0.0.1:1"], "--page"),
        (&["serve", "retail", "--page", "127.0.0.1:1"], "--page"),
        (
            &["serve", "retail", "--third-party", "127.0.0.1:1"],
            "--third-party",
        ),
    ] {
        let refused = factmill(project.path(), arguments);
        assert_eq!(code(&refused), 2, "{arguments:?}: {}", stderr(&refused));
        let told = stderr(&refused);
        assert!(
            told.contains(&format!("`{flag}` ")),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn as_many_rows_of_a_file_are_cleaned_as_were_asked_for() {
    let project = project("profiles: { embedded: { embedded: {} } }\n");
    let write = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
    write(
        "jobs/shop.yml",
        "sources: { shop.sales: { kafka: { topic: t } } }\nmodels: [stg_sales]\nproducer: { kind: payments, input: in.csv, scaler: s.json }\n",
    );
    write("in.csv", "Description,Amount\ncoffee,3\ntea,2\nmilk,1\n");
    write("s.json", "{\"data_min\":0,\"data_max\":4}");
    let output = project.path().join("out.csv");
    let output = output.to_str().unwrap();
    let cleaned = factmill(
        project.path(),
        &["produce", "shop", "--output", output, "--count", "2"],
    );
    assert_eq!(code(&cleaned), 0, "{}", stderr(&cleaned));
    assert!(
        stdout(&cleaned).contains("2 rows read"),
        "{}",
        stdout(&cleaned)
    );
    assert_eq!(
        std::fs::read_to_string(output).unwrap(),
        "row,description,amount,amount_raw\n1,coffee,0.75,3\n2,tea,0.5,2\n"
    );
}

/// Nobody can be asked here, standard input is no terminal.
#[test]
fn a_stream_without_a_job_is_that_of_banking_where_there_is_one() {
    let project = project(NOWHERE);
    let stream = || factmill(project.path(), &["stream", "--once", "--profile", "local"]);
    let add = |name: &str| {
        let text = format!(
            "sources: {{ shop.sales: {{ kafka: {{ topic: {name} }} }} }}\nmodels: [stg_sales]\nschema: {name}\nlake: {{ schema: {name} }}\n"
        );
        std::fs::write(project.path().join(format!("jobs/{name}.yml")), text).unwrap();
    };
    add("accounts");
    let several = stream();
    assert_eq!(code(&several), 2, "{}", stderr(&several));
    assert!(
        stderr(&several).contains("name one of: accounts, shop"),
        "{}",
        stderr(&several)
    );
    add("banking");
    let usual = stream();
    assert_eq!(code(&usual), 3, "{}", stderr(&usual));
    assert!(stderr(&usual).contains("banking"), "{}", stderr(&usual));
}

#[test]
fn an_embedded_profile_is_one_by_its_kind() {
    let project = project("profiles: { demo: { embedded: { directory: .demo } } }\n");
    std::fs::write(
        project.path().join("jobs/shop.yml"),
        "sources: { shop.sales: { kafka: { topic: sales } } }\nmodels: [stg_sales]\nproducer: { kind: banking }\n",
    )
    .unwrap();
    let produce = factmill(
        project.path(),
        &["produce", "shop", "--count", "1", "--profile", "demo"],
    );
    assert_eq!(code(&produce), 3, "{}", stderr(&produce));
    assert!(
        !project.path().join(".factmill").exists(),
        "a broker that begins empty leaves no place to go on from"
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
