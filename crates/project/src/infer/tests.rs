#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

/// Records of JSON, one a line.
fn records(lines: &[&str]) -> Vec<Value> {
    lines
        .iter()
        .map(|line| Value::from_json(line.as_bytes()).unwrap())
        .collect()
}

fn inferred(lines: &[&str]) -> Inferred {
    infer(&records(lines), "readings").unwrap()
}

/// `name type` of each column.
fn types(inferred: &Inferred) -> Vec<String> {
    let column = |column: &Column| format!("{} {}", column.name, column.guess.declared);
    inferred.columns.iter().map(column).collect()
}

fn reason<'a>(inferred: &'a Inferred, name: &str) -> &'a str {
    let column = inferred.columns.iter().find(|column| column.name == name);
    &column.unwrap().guess.reason
}

#[test]
fn documents_whose_changes_are_followed_are_told_by_their_id() {
    let mut found = inferred(&[
        r#"{"reading_id":1,"_id":"a"}"#,
        r#"{"reading_id":2,"_id":"a"}"#,
    ]);
    assert_eq!(found.key, ["reading_id"]);
    assert!(found.key_by_id());
    assert_eq!(found.key, ["_id"]);
    let mut found = inferred(&[r#"{"reading_id":1,"_id":{"region":1,"id":2}}"#]);
    assert!(!found.key_by_id());
    assert_eq!(found.key, ["reading_id"]);
}

#[test]
fn every_kind_of_value_has_its_type() {
    let found = inferred(&[
        r#"{"reading_id":"6f1c1f3e-9f3a-4b5e-8d2a-0a1b2c3d4e5f","at":"2024-01-01T00:00:00Z","price":1.5,"temp":-3.25,"count":3,"ok":true,"tags":["a"],"where":{"lat":1.5,"name":"x"},"day":"2024-01-01","zip":"01234","maybe":null,"mix":1,"none":[]}"#,
        r#"{"reading_id":"7f1c1f3e-9f3a-4b5e-8d2a-0a1b2c3d4e5f","at":"2024-01-01 00:00:01","price":2,"temp":4,"count":4,"ok":false,"tags":[],"where":{"lat":2,"site":7},"day":"2024-01-02","zip":"99999","mix":"x","none":[]}"#,
    ]);
    assert_eq!(
        types(&found),
        [
            "reading_id uuid",
            "at timestamptz",
            "price numeric(18,2)",
            "temp double precision",
            "count bigint",
            "ok boolean",
            "tags text[]",
            r#"where struct("lat" double precision, "name" text, "site" bigint)"#,
            "day date",
            "zip text",
            "maybe text",
            "mix json",
            "none json",
        ]
    );
    assert_eq!(
        reason(&found, "price"),
        "2 of 2 have at most two decimals, and the name is one of money"
    );
    assert!(reason(&found, "mix").contains("1 numbers, 1 texts"));
    assert!(reason(&found, "at").contains("1 without offset: taken for UTC"));
    assert_eq!(found.key, ["reading_id"]);
    assert_eq!(found.time.as_deref(), Some("at"));
    assert_eq!(
        found.range,
        Some((1_704_067_200_000_000, 1_704_067_201_000_000))
    );
}

#[test]
fn an_epoch_is_an_instant_and_a_number_of_another_name_is_none() {
    let found = inferred(&[
        r#"{"id":1,"created_at":1704067200,"ts_ms":1704067200000,"size":1704067200}"#,
        r#"{"id":2,"created_at":1704067201,"ts_ms":1704067201000,"size":1704067201}"#,
    ]);
    let reading = |at: usize| found.columns[at].guess.reading;
    assert_eq!(reading(1), Reading::Epoch(Unit::Seconds));
    assert_eq!(reading(2), Reading::Epoch(Unit::Millis));
    assert_eq!(reading(3), Reading::AsItIs);
    assert_eq!(found.columns[1].guess.declared, DeclaredType::BigInt);
    assert_eq!(found.columns[1].guess.modelled(), DeclaredType::TimestampTz);
    assert_eq!(found.time.as_deref(), Some("created_at"));
    assert_eq!(
        found.range,
        Some((1_704_067_200_000_000, 1_704_067_201_000_000))
    );
}

#[test]
fn a_station_and_its_time_are_a_key_where_neither_is_one() {
    let found = inferred(&[
        r#"{"station_id":"a","measured_at":"2024-01-01T00:00:00Z"}"#,
        r#"{"station_id":"b","measured_at":"2024-01-01T00:00:00Z"}"#,
        r#"{"station_id":"a","measured_at":"2024-01-01T01:00:00Z"}"#,
        r#"{"station_id":"a","measured_at":"2024-01-01T01:00:00Z"}"#,
    ]);
    assert_eq!(found.key, ["station_id", "measured_at"]);
    assert_eq!(
        found.repeated, 1,
        "the same record twice is no other record"
    );
}

#[test]
fn what_repeats_is_no_key_and_the_reason_says_so() {
    let found = inferred(&[
        r#"{"order_id":1,"status":"new"}"#,
        r#"{"order_id":1,"status":"paid"}"#,
    ]);
    assert_eq!(found.key, Vec::<String>::new());
    assert!(
        found
            .key_reason
            .contains("`order_id` has 1 values in 2 records")
    );
    assert_eq!(found.time, None);
    let found = inferred(&[r#"{"a":1}"#]);
    assert!(found.key_reason.contains("no field looks like an id"));
}

#[test]
fn its_own_id_is_better_than_that_of_another() {
    let found = inferred(&[
        r#"{"sensor_id":"s1","reading_id":"r1"}"#,
        r#"{"sensor_id":"s2","reading_id":"r2"}"#,
    ]);
    assert_eq!(found.key, ["reading_id"]);
}

#[test]
fn numbers_beyond_64_bits_and_long_money_stay_exact() {
    let found =
        inferred(&[r#"{"n":123456789012345678901,"fee":0.123456,"total_count":1,"f":1e300}"#]);
    assert_eq!(
        types(&found),
        [
            "n numeric(38,0)",
            "fee numeric(38,18)",
            "total_count bigint",
            "f double precision"
        ]
    );
}

#[test]
fn fields_of_csv_are_told_by_their_look() {
    let row = |cells: [&str; 4]| {
        let names = ["id", "amount", "paid", "zip"];
        let cell = |text: &str| match text {
            "" => Value::Null,
            text => Value::Written(text.to_owned()),
        };
        Value::object(names.map(String::from).into_iter().zip(cells.map(cell)))
    };
    let rows = [
        row(["1", "1.50", "true", "01"]),
        row(["2", "", "false", "22"]),
    ];
    let found = infer(&rows, "rows").unwrap();
    assert_eq!(
        types(&found),
        [
            "id bigint",
            "amount numeric(18,2)",
            "paid boolean",
            "zip text"
        ]
    );
    assert_eq!(found.columns[1].nulls, 1);
}

#[test]
fn names_that_sql_has_no_place_for_are_others_or_left_out() {
    let found = inferred(&[
        r#"{"Odd \"Name\"":1,"a.b":1,"":1,"{{ x }}":1,"ID":1,"id":2,"größe":3,"_factmill_order":1}"#,
    ]);
    let names: Vec<(&str, &str)> = found
        .columns
        .iter()
        .map(|column| (column.field.as_str(), column.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("Odd \"Name\"", "odd_name"),
            ("ID", "ID"),
            ("id", "id_2"),
            ("größe", "größe"),
            ("_factmill_order", "factmill_order"),
        ]
    );
    let left_out: Vec<&str> = found
        .left_out
        .iter()
        .map(|left| left.field.as_str())
        .collect();
    assert_eq!(left_out, ["a.b", "", "{{ x }}"]);
}

#[test]
fn an_object_that_holds_data_as_names_is_json() {
    let many: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"id":{n},"by_user":{{"u{n}":1}}}}"#))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let found = inferred(&many);
    assert_eq!(types(&found)[1], "by_user json");
    let deep = format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(20), "}".repeat(20));
    assert!(types(&inferred(&[deep.as_str()]))[0].ends_with("json))))))"));
}

#[test]
fn nothing_is_said_of_nothing() {
    assert_eq!(infer(&[], "x"), Err(InferError::Empty));
    let empty = records(&["{}"]);
    assert_eq!(infer(&empty, "x"), Err(InferError::NoFields { records: 1 }));
}

#[test]
fn kafka_lends_its_time_where_there_is_none() {
    let mut found = inferred(&[r#"{"a":1,"received_at":"soon"}"#]);
    found.or_time_of_kafka(Some((1, 2)));
    assert_eq!(found.time.as_deref(), Some("received_at_2"));
    let column = found.columns.last().unwrap();
    assert_eq!(
        (column.field.as_str(), found.role(column)),
        ("kafka.timestamp", Some("time"))
    );
}

#[test]
fn few_texts_that_repeat_are_choices() {
    let lines: Vec<String> = (0..20)
        .map(|n| format!(r#"{{"id":{n},"status":"{}"}}"#, ["on", "off"][n % 2]))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(inferred(&lines).columns[1].choices, ["off", "on"]);
}

#[test]
fn one_broken_value_in_a_hundred_changes_no_type() {
    let of = |broken: usize| {
        let lines: Vec<String> = (0..200)
            .map(|n| match n < broken {
                true => format!(r#"{{"id":{n},"at":"soon"}}"#),
                false => format!(r#"{{"id":{n},"at":"2024-01-01T00:00:00Z"}}"#),
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        inferred(&lines)
    };
    let found = of(2);
    assert_eq!(types(&found)[1], "at timestamptz");
    assert!(reason(&found, "at").ends_with("; 2 of 200 are not, and would be dead letters"));
    assert_eq!(types(&of(3))[1], "at text");
}
