//! Records as a whole: what is at fault, what is kept, what the rest of the pull becomes.

use factmill_core::dead_letter::Reason;

use super::super::DecoderError;
use super::super::OTHER_FIELDS;
use super::*;

fn customers() -> SourceSchema {
    schema([
        column("id", "integer"),
        column("customer.name", "text"),
        column("customer.address.city", "text"),
        column("tags", "text[]"),
    ])
}

fn rows(decoded: &Decoded) -> Vec<Vec<String>> {
    let columns: Vec<_> = decoded.rows.columns().iter().map(shown).collect();
    (0..decoded.rows.num_rows())
        .map(|row| columns.iter().map(|column| column[row].clone()).collect())
        .collect()
}

#[test]
fn one_bad_record_is_one_dead_letter_and_the_rest_loads() {
    let deep = format!("{{\"x\":{}", "[".repeat(200_000));
    let payloads: [Option<&[u8]>; 12] = [
        Some(br#"{"id":1,"customer":{"name":"Zo\u00e9","address":{"city":"Lyon"}},"tags":["a",null]}"#),
        Some(br#"{"id":2,"tags":["x","y"],"customer":{"name":"Luc","address":{"city":7}}}"#),
        None,
        Some(b""),
        Some(b"{\"id\":3,\"customer\":{\"name\":\"\xff\"}}"),
        Some(br#"{"id":4,"customer":{"name":"half"#),
        Some(deep.as_bytes()),
        Some(br#"[{"id":5}]"#),
        Some(br#"{"id":6} trailing"#),
        Some(br#"{"id":"7","tags":[1],"customer":{"#),
        Some(b"  "),
        Some(b" {\n\"id\" : 8 , \"customer\" : null } \r\n"),
    ];
    let decoded = decode(&customers(), &pulled(payloads));
    assert_eq!(
        rows(&decoded),
        [
            ["1", "Zoé", "Lyon", "[a, null]", "bank_data", "2", "3", "0"],
            ["8", "null", "null", "null", "bank_data", "2", "3", "11"],
        ]
    );
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            (Reason::WrongType, Some("customer.address.city"), 1),
            (Reason::EmptyPayload, None, 2),
            (Reason::EmptyPayload, None, 3),
            (Reason::InvalidUtf8, None, 4),
            (Reason::Malformed, None, 5),
            (Reason::TooDeep, None, 6),
            (Reason::WrongType, None, 7),
            (Reason::Malformed, None, 8),
            (Reason::Malformed, None, 9),
            (Reason::Malformed, None, 10),
        ]
    );
    assert_eq!(
        decoded.dead_letters[7].detail,
        "expected the end of the document at byte 9"
    );
}

#[test]
fn a_dead_letter_keeps_the_whole_record() {
    let mut pulled = pulled([Some(&b"{"[..])]);
    pulled.records.headers = Default::default();
    pulled
        .records
        .headers
        .push_raw([(&b"a"[..], Some(&b"\xff"[..])), (&b"a"[..], None)]);
    let letter = decode(&customers(), &pulled).dead_letters.remove(0);
    assert_eq!(letter.partition.to_string(), "banking.transactions/3");
    assert_eq!((letter.incarnation.ordinal, letter.offset), (2, 0));
    assert_eq!(letter.timestamp, Some(1_700_000_000_000_000));
    assert_eq!(letter.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(letter.payload.as_deref(), Some(&b"{"[..]));
    assert_eq!(
        letter.headers,
        [("a".to_owned(), Some(vec![0xff])), ("a".to_owned(), None)]
    );
}

#[test]
fn of_fields_with_one_name_the_last_counts() {
    let decoded = decode_texts(
        &customers(),
        &[
            r#"{"id":"bad","id":1,"customer":{"name":"a","address":{"city":"b"}},"customer":{"name":"c"}}"#,
            r#"{"id":1,"id":"bad"}"#,
            r#"{"customer":7,"customer":{"name":"d"},"tags":[1,2],"tags":["e"]}"#,
            r#"{"customer":{"name":"a"},"customer":null,"\u0069d":9}"#,
        ],
    );
    let declared: Vec<_> = rows(&decoded)
        .iter()
        .map(|row| row[..4].join(" "))
        .collect();
    assert_eq!(
        declared,
        ["1 c null null", "null d null [e]", "9 null null null"]
    );
    assert_eq!(
        summary(&decoded.dead_letters),
        [(Reason::WrongType, Some("id"), 1)]
    );
}

#[test]
fn a_record_that_breaks_off_inside_leaves_nothing_behind() {
    let schema = schema([column("items", "struct(sku text, tags text[])[]")]);
    let decoded = decode_texts(
        &schema,
        &[
            r#"{"items":[{"sku":"a","tags":["x"]},{"sku":"b","tags":["y","#,
            r#"{"items":[{"tags":["z"]}]}"#,
        ],
    );
    assert_eq!(rows(&decoded)[0][0], "[{sku: null, tags: [z]}]");
    assert_eq!(
        summary(&decoded.dead_letters),
        [(Reason::Malformed, None, 0)]
    );
}

#[test]
fn a_value_can_fill_several_columns() {
    let whole = SourceColumn {
        name: "whole".into(),
        ..column("customer", "json")
    };
    let schema = schema([
        column("customer.name", "text"),
        whole,
        column("customer", "struct(name varchar(1))"),
    ]);
    let decoded = decode_texts(
        &schema,
        &[
            r#"{"customer":{"name":"a","age":7}}"#,
            r#"{"customer":{"name":"bc"}}"#,
        ],
    );
    assert_eq!(
        rows(&decoded)[0][..3],
        ["a", r#"{"name":"a","age":7}"#, "{name: a}"]
    );
    assert_eq!(
        summary(&decoded.dead_letters),
        [(Reason::DoesNotFit, Some("customer.name"), 1)]
    );
}

#[test]
fn undeclared_fields_are_counted_by_path_in_good_records() {
    let schema = schema([
        column("id", "integer"),
        column("customer.name", "text"),
        column("items", "struct(sku text)[]"),
    ]);
    let decoded = decode_texts(
        &schema,
        &[
            r#"{"id":1,"extra":{"deep":[1]},"customer":{"phone":"1","phone":"2"},"items":[{"c":1},{"c":2,"sku":"x"}]}"#,
            r#"{"extra":null,"odd\"name":1}"#,
            r#"{"extra":1,"never":1,"id":"bad"}"#,
        ],
    );
    let counted: Vec<_> = decoded
        .undeclared
        .iter()
        .map(|(path, count)| (path.as_str(), *count))
        .collect();
    assert_eq!(
        counted,
        [
            ("customer.phone", 1),
            ("extra", 2),
            ("items[].c", 1),
            ("odd\"name", 1)
        ]
    );
}

#[test]
fn ever_new_names_take_bounded_memory() {
    let documents: Vec<_> = (0..5000)
        .map(|index| format!("{{\"n{index}\":1,\"id\":{index}}}"))
        .collect();
    let decoded = decode_texts(
        &customers(),
        &documents.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(decoded.rows.num_rows(), 5000);
    assert!(
        decoded.undeclared.len() <= 1000,
        "{}",
        decoded.undeclared.len()
    );
    assert!(decoded.undeclared[OTHER_FIELDS] > 0);
    assert_eq!(decoded.undeclared.values().sum::<u64>(), 5000);
}

#[test]
fn not_null_and_accepted_values_are_part_of_the_contract() {
    let required = SourceColumn {
        not_null: true,
        ..column("customer.id", "integer")
    };
    let chosen = |path, declared, values: &[&str]| SourceColumn {
        accepted_values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..column(path, declared)
    };
    let schema = schema([
        required,
        chosen("kind", "text", &["a", "b"]),
        chosen("size", "numeric(4,1)", &["1", "2.5"]),
    ]);
    let decoded = decode_texts(
        &schema,
        &[
            r#"{"customer":{"id":1},"kind":"a","size":1.0}"#,
            r#"{"customer":{"id":null}}"#,
            r#"{"customer":null}"#,
            r#"{}"#,
            r#"{"customer":{"id":1},"kind":"c"}"#,
            r#"{"customer":{"id":1},"size":"2.50"}"#,
            r#"{"customer":{"id":1},"size":3}"#,
        ],
    );
    assert_eq!(decoded.rows.num_rows(), 2);
    let missing = |offset| (Reason::NullNotAllowed, Some("customer.id"), offset);
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            missing(1),
            missing(2),
            missing(3),
            (Reason::NotAccepted, Some("kind"), 4),
            (Reason::NotAccepted, Some("size"), 6),
        ]
    );
}

fn from(name: &str, declared: &str, origin: ColumnOrigin) -> SourceColumn {
    SourceColumn {
        name: name.into(),
        origin,
        ..column(name, declared)
    }
}

#[test]
fn columns_from_the_record_around_the_payload() {
    let schema = schema([
        from("key", "text", ColumnOrigin::Key),
        from("key_bytes", "bytea", ColumnOrigin::Key),
        from("at", "timestamptz", ColumnOrigin::Timestamp),
        from("topic", "text", ColumnOrigin::Topic),
        from("partition", "smallint", ColumnOrigin::Partition),
        from("offset", "bigint", ColumnOrigin::Offset),
        from("trace", "integer", ColumnOrigin::Header("trace".into())),
        from("headers", "json", ColumnOrigin::Headers),
        column("id", "integer"),
    ]);
    let mut pulled = pulled([Some(&b"{\"id\":1}"[..]), Some(b"{\"id\":2}"), Some(b"{}")]);
    pulled.records.headers = Default::default();
    pulled.records.headers.push_raw([
        (&b"trace"[..], Some(&b"1"[..])),
        (&b"trace"[..], Some(&b"42"[..])),
    ]);
    pulled
        .records
        .headers
        .push_raw([(&b"trace"[..], Some(&b"x"[..]))]);
    pulled
        .records
        .headers
        .push_raw([(&b"a"[..], None), (&b"b"[..], Some(&b"\xff"[..]))]);
    let decoded = decode(&schema, &pulled);
    assert_eq!(
        rows(&decoded)[0][..9],
        [
            "key",
            "6b6579",
            "2023-11-14T22:13:20Z",
            "bank_data",
            "3",
            "0",
            "42",
            r#"[["trace","1"],["trace","42"]]"#,
            "1"
        ]
    );
    assert_eq!(
        rows(&decoded)[1][6..9],
        ["null", r#"[["a",null],["b","\\xff"]]"#, "null"]
    );
    assert_eq!(
        summary(&decoded.dead_letters),
        [(Reason::WrongType, Some("trace"), 1)]
    );
}

#[test]
fn a_key_that_is_no_text_is_the_records_fault() {
    let mut pulled = pulled([Some(&b"{}"[..])]);
    pulled.records.keys = Default::default();
    pulled.records.keys.push(Some(b"\xff"));
    let letters = decode(&schema([from("k", "text", ColumnOrigin::Key)]), &pulled).dead_letters;
    assert_eq!(summary(&letters), [(Reason::InvalidUtf8, Some("k"), 0)]);
}

#[test]
fn in_a_keyed_source_a_record_without_payload_deletes_its_key() {
    let id = SourceColumn {
        not_null: true,
        ..column("id", "integer")
    };
    let city = SourceColumn {
        not_null: true,
        ..column("city", "text")
    };
    let keyed = SourceSchema {
        key: vec!["id".into()],
        ..schema([id, city])
    };
    let mut pulled = pulled([
        Some(&b"{\"id\":1,\"city\":\"Lyon\"}"[..]),
        None,
        Some(b""),
        Some(b"{\"id\":4}"),
        None,
        None,
        Some(b"{\"city\":\"Nice\"}"),
    ]);
    pulled.records.keys = factmill_core::records::ByteColumn::default();
    let keys: [Option<&[u8]>; 7] = [
        None,
        Some(b"{\"id\":2}"),
        Some(b"{\"id\":3,\"city\":\"Brest\"}"),
        None,
        None,
        Some(b"{\"no\":6}"),
        None,
    ];
    keys.iter().for_each(|key| pulled.records.keys.push(*key));
    let decoded = decode(&keyed, &pulled);
    assert_eq!(shown(decoded.rows.column(0)), ["1", "2", "3"]);
    assert_eq!(shown(decoded.rows.column(6)), ["false", "true", "true"]);
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            (Reason::NullNotAllowed, Some("city"), 3),
            (Reason::EmptyPayload, None, 4),
            (Reason::NullNotAllowed, Some("id"), 5),
            (Reason::NullNotAllowed, Some("id"), 6),
        ]
    );
}

#[test]
fn a_schema_that_contradicts_itself_is_refused() {
    let refused = |schema: &SourceSchema| decoder(Format::Json, schema).err().unwrap();
    let zone = SourceSchema {
        time_zone: "Europe/Pari".into(),
        ..customers()
    };
    assert!(matches!(refused(&zone), DecoderError::TimeZone { .. }));
    let origin = schema([from("offset", "text", ColumnOrigin::Offset)]);
    assert!(matches!(refused(&origin), DecoderError::Origin { .. }));
    let accepted = schema([SourceColumn {
        accepted_values: vec!["many".into()],
        ..column("n", "integer")
    }]);
    let message = refused(&accepted).to_string();
    assert_eq!(
        message,
        "accepted value `many` of column `n` is no integer: expected integer, found the number many"
    );
    assert!(matches!(
        refused(&schema([from(
            "x",
            "text",
            ColumnOrigin::Field(Vec::new())
        )])),
        DecoderError::EmptyPath { .. }
    ));
}

#[test]
fn a_source_may_have_no_columns_and_a_pull_no_records() {
    assert_eq!(
        decode_texts(&schema([]), &["{}", "{\"a\":1}"])
            .rows
            .num_rows(),
        2
    );
    assert_eq!(decode_texts(&customers(), &[]).rows.num_rows(), 0);
}
