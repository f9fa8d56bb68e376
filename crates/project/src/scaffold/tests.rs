#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::path::Path;

use factmill_core::source_schema::ColumnOrigin;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::infer::{Value, infer};
use crate::project::LoadOptions;

/// An empty project.
fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("dbt_project.yml"), "name: shop\n").unwrap();
    folder
}

fn load(folder: &Path) -> Result<Project, factmill_core::diagnostic::Diagnostics> {
    Project::load(folder, &LoadOptions::default())
}

/// Writes the files of a job into a project and reads it again; nothing may be odd in it.
fn written(folder: &Path, from: &ReadFrom, records: &[Value]) -> Project {
    let inferred = infer(records, &from.table()).unwrap();
    let scaffold = Scaffold {
        job: "own",
        from,
        inferred: &inferred,
        now: 1_700_000_000_000_000,
    };
    let files = scaffold.files(&load(folder).unwrap());
    for file in &files {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.text).unwrap();
    }
    let texts = || {
        files
            .iter()
            .map(|file| file.text.as_str())
            .collect::<Vec<_>>()
            .join("\n---\n")
    };
    let project = load(folder).unwrap_or_else(|wrong| panic!("{wrong}\n{}", texts()));
    assert_eq!(project.warnings, [], "{}", texts());
    let job = project.job("own").unwrap();
    assert_eq!(project.job_models(job).unwrap().len(), 2);
    project
}

fn kafka() -> ReadFrom {
    ReadFrom::Kafka {
        topic: "weather_readings".into(),
    }
}

fn one(json: &str) -> Vec<Value> {
    vec![Value::from_json(json.as_bytes()).unwrap()]
}

#[test]
fn a_job_reads_like_the_shipped_ones() {
    let records = one(
        r#"{"reading_id":"r1","timestamp":"2024-01-01T00:00:00Z","station":{"station_id":"s","name":"x"},"price":1.5,"seen":1704067200,"order":7}"#,
    );
    let folder = project();
    let project = written(folder.path(), &kafka(), &records);
    let staging = std::fs::read_to_string(
        folder
            .path()
            .join("models/own/staging/stg_weather_readings.sql"),
    );
    assert_eq!(
        staging.unwrap(),
        "with\n\nsource as (\n\n    select * from {{ source('own', 'weather_readings') }}\n\n),\n\n\
         renamed as (\n\n    select\n        reading_id,\n        \"timestamp\" as ts,\n\n        \
         station['station_id'] as station_id,\n        station['name'] as station_name,\n\n        price,\n        \
         seen,\n        \"order\"\n\n    from source\n\n)\n\nselect * from renamed\n"
    );
    let models = project.job_models(&project.jobs[0]).unwrap();
    let fact = &models[1];
    assert_eq!(fact.relation.to_string(), "own.fct_weather_readings");
    assert_eq!(fact.unique_key, ["reading_id"]);
    let tests: Vec<(&str, Option<&str>)> = fact
        .tests
        .iter()
        .map(|test| (test.kind.as_str(), test.column.as_deref()))
        .collect();
    assert_eq!(
        tests,
        [
            ("unique", Some("reading_id")),
            ("not_null", Some("reading_id")),
            ("not_null", Some("ts"))
        ]
    );
    let source = &project.sources[0].schema;
    assert_eq!(source.event_time.as_deref(), Some("timestamp"));
    let needed: Vec<&str> = source
        .columns
        .iter()
        .filter(|column| column.not_null)
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(needed, ["reading_id", "timestamp"]);
}

#[test]
fn a_model_name_that_is_taken_gets_the_job_before_it() {
    let folder = project();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    std::fs::write(
        folder.path().join("models/fct_weather_readings.sql"),
        "select 1 as one\n",
    )
    .unwrap();
    let project = written(folder.path(), &kafka(), &one(r#"{"id":1}"#));
    let models = project.job_models(&project.jobs[0]).unwrap();
    assert_eq!(models[1].name, "own__fct_weather_readings");
    assert_eq!(models[1].relation.to_string(), "own.fct_weather_readings");
}

#[test]
fn every_kind_of_place_is_written_and_read_back() {
    use crate::job::{FileFormat, Follow, HttpRead, Origin};
    let read = |from: &ReadFrom| {
        let folder = project();
        let project = written(folder.path(), from, &one(r#"{"_id":"x","a":1}"#));
        (
            project.jobs[0].sources[0].origin.clone(),
            project.sources[0].schema.clone(),
        )
    };
    let mongo = |changes| ReadFrom::Mongo {
        database: "we\"ird: ${DB}".into(),
        collection: "orders, all".into(),
        changes,
    };
    let (origin, schema) = read(&mongo(true));
    let Origin::Mongo(origin) = origin else {
        panic!("{origin:?}")
    };
    assert_eq!(
        (origin.database.as_str(), origin.collection.as_str()),
        ("we\"ird: ${DB}", "orders, all")
    );
    assert_eq!(
        (origin.follow, schema.key),
        (Follow::Changes, vec!["_id".to_owned()])
    );
    let (origin, schema) = read(&mongo(false));
    let Origin::Mongo(origin) = origin else {
        panic!("{origin:?}")
    };
    assert_eq!(
        (origin.follow, schema.key),
        (Follow::Field("_id".into()), Vec::new())
    );
    for (path, format) in [
        ("data/it's, {odd}.csv", FileFormat::Csv { delimiter: b'\t' }),
        ("/in/*.jsonl", FileFormat::JsonLines),
        ("rows.parquet", FileFormat::Parquet),
    ] {
        let from = ReadFrom::Files {
            path: path.into(),
            format,
        };
        let (Origin::Files(origin), _) = read(&from) else {
            panic!("files")
        };
        assert_eq!((origin.path, origin.format), (PathBuf::from(path), format));
    }
    let poll = ReadFrom::HttpPoll {
        url: "https://h/rates?day={date}".into(),
        records: Some("/data".into()),
        every: Duration::from_secs(60),
    };
    assert_eq!(poll.table(), "rates");
    let (Origin::Http(origin), _) = read(&poll) else {
        panic!("http")
    };
    assert_eq!(origin.url, "https://h/rates?day={date}");
    assert!(
        matches!(origin.read, HttpRead::Poll(poll) if poll.records.as_deref() == Some("/data"))
    );
    let stream = ReadFrom::HttpStream {
        url: "https://h/".into(),
    };
    assert_eq!(stream.table(), "records");
    let (Origin::Http(origin), _) = read(&stream) else {
        panic!("http")
    };
    assert!(matches!(origin.read, HttpRead::Stream(_)));
}

#[test]
fn a_name_that_cannot_be_is_refused_with_one_that_can() {
    let folder = project();
    let project = written(folder.path(), &kafka(), &one(r#"{"id":1}"#));
    assert!(check_name("weather", &project).is_ok());
    for (name, other) in [
        ("Weather Stations", "weather_stations"),
        ("7up", "up"),
        ("é", "my_job"),
        ("../x", "x"),
        ("", "my_job"),
        ("lake", "job_lake"),
        ("pg_x", "job_pg_x"),
        ("shop", "shop_2"),
        ("own", "own_2"),
        ("a\"b", "a_b"),
    ] {
        let refused = check_name(name, &project).unwrap_err();
        assert_eq!(
            refused.help,
            Some(format!("for example `{other}`")),
            "{name}"
        );
        assert!(check_name(other, &project).is_ok(), "{other}");
    }
    assert!(check_name(&"a".repeat(41), &project).is_err());
}

#[test]
fn the_dashboard_opens_on_the_time_of_the_records() {
    let records = one(r#"{"id":1,"at":"2023-01-05T10:00:00Z","price":2.5}"#);
    let inferred = infer(&records, "x").unwrap();
    let project = Project::default();
    let scaffold = |now| {
        Scaffold {
            job: "own",
            from: &kafka(),
            inferred: &inferred,
            now,
        }
        .files(&project)
        .pop()
        .map(|file| serde_json::from_str::<serde_json::Value>(&file.text).unwrap())
        .unwrap()
    };
    let dashboard = scaffold(1_700_000_000_000_000);
    assert_eq!(dashboard["time"]["from"], "2023-01-05T00:00:00.000Z");
    assert_eq!(dashboard["time"]["to"], "now");
    assert_eq!(scaffold(0)["time"]["to"], "2023-01-06T00:00:00.000Z");
    let titles: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|panel| panel["title"].as_str())
        .collect();
    assert_eq!(
        titles,
        [
            "Rows",
            "Newest",
            "Total price",
            "Dead letters",
            "Rows over time",
            "Total price over time",
            "Newest rows"
        ]
    );
}

#[test]
fn a_dashboard_can_be_narrowed_by_columns_of_few_values() {
    let dashboard = |records: &[Value]| {
        let inferred = infer(records, "x").unwrap();
        let scaffold = Scaffold {
            job: "own",
            from: &kafka(),
            inferred: &inferred,
            now: 0,
        };
        let files = scaffold.files(&Project::default());
        serde_json::from_str::<serde_json::Value>(&files.last().unwrap().text).unwrap()
    };
    let texts = |of: &serde_json::Value, key: &str| -> Vec<String> {
        let all = of.as_array().unwrap().iter();
        all.map(|one| one[key].as_str().unwrap().to_owned())
            .collect()
    };
    let records: Vec<Value> = (0..40)
        .flat_map(|id| {
            let (status, kind) = (["paid", "open"][id % 2], ["card", "cash", "app"][id % 3]);
            one(&format!(
                r#"{{"id":{id},"at":"2023-01-05T10:00:00Z","Größe":"{kind}","_status":"{status}","plate":"P-{id}"}}"#
            ))
        })
        .collect();
    let narrowed = dashboard(&records);
    let variables = &narrowed["templating"]["list"];
    assert_eq!(texts(variables, "name"), ["gre", "status"]);
    assert_eq!(
        variables[1]["query"],
        "select distinct _status from own.fct_weather_readings where _status is not null order by 1"
    );
    for panel in narrowed["panels"].as_array().unwrap() {
        let sql = panel["targets"][0]["rawSql"].as_str().unwrap();
        let chosen =
            sql.contains("and ('*' in (${status:sqlstring}) or _status in (${status:sqlstring}))");
        assert_ne!(chosen, panel["title"] == "Dead letters", "{sql}");
    }
    // nothing repeats, so there is nothing to choose by
    let plain = dashboard(&one(r#"{"id":1,"price":2.5}"#));
    assert_eq!(plain["templating"]["list"], serde_json::json!([]));
    let sql = plain["panels"][0]["targets"][0]["rawSql"].as_str().unwrap();
    assert!(!sql.contains("where"), "{sql}");
}

/// Values of JSON, some of them in each other.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(|number| Value::Number(number.to_string())),
        any::<i32>().prop_map(|number| Value::Number((f64::from(number) / 100.0).to_string())),
        ".{0,12}".prop_map(Value::Text),
        Just(Value::Text("2024-01-31T13:30:00Z".into())),
        Just(Value::Text("2024-01-31".into())),
        Just(Value::Number("1704067200".into())),
    ];
    scalar.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec((name(), inner), 0..4).prop_map(Value::object),
        ]
    })
}

/// Names that people and machines give, hostile ones among them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}(_id|_at)?",
        ".{0,8}",
        "[\"'{}%#:,\\[\\]&*!|>@` $\\\\.-]{1,6}",
        prop::sample::select(vec![
            "id",
            "ID",
            "timestamp",
            "order",
            "select",
            "true",
            "null",
            "12",
            "_factmill_x",
            "kafka.key",
            "a.b"
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_records_hold_the_files_are_a_project(
        records in prop::collection::vec(prop::collection::vec((name(), value()), 1..6).prop_map(Value::object), 1..8)
    ) {
        let Ok(inferred) = infer(&records, "weather_readings") else { return Ok(()) };
        let folder = project();
        let project = written(folder.path(), &kafka(), &records);
        let schema = &project.sources[0].schema;
        prop_assert_eq!(schema.columns.len(), inferred.columns.len());
        for (column, guessed) in schema.columns.iter().zip(&inferred.columns) {
            prop_assert_eq!(&column.data_type, &guessed.guess.declared);
            let path = ColumnOrigin::Field(vec![guessed.field.clone()]);
            prop_assert_eq!(&column.origin, &path);
        }
    }
}
