//! Keyed sources: what deletes a key in each format, and where the key is read from.

use arrow::array::AsArray;
use factmill_core::table::DELETED_COLUMN;
use serde_json::json;

use super::registry::Registered;
use super::*;

/// `id` and `name`, of which `id` is the key.
fn customers() -> SourceSchema {
    SourceSchema {
        key: vec!["id".into()],
        ..schema(&[("id", "integer"), ("name", "text")])
    }
}

type Sent = (Vec<u8>, Option<Vec<u8>>);

/// Key, name and whether the key is deleted, of each row.
async fn changes(format: Format, options: &DecoderOptions, sent: &[Sent]) -> Vec<(String, bool)> {
    let pulled = pulled_with_keys(sent);
    let decoder = decoder_with(format, &customers(), options).unwrap();
    decoder.prepare(&pulled).await.unwrap();
    let decoded = decoder.decode(&source(), &pulled);
    assert_eq!(letters(&decoded), []);
    let deleted = decoded
        .rows
        .column_by_name(DELETED_COLUMN)
        .unwrap()
        .as_boolean();
    let shown = |at: usize| -> Vec<String> {
        let columns = decoded.rows.columns()[..2].iter();
        let shown = columns.map(|column| array_value_to_string(column, at).unwrap());
        shown.collect()
    };
    (0..decoded.rows.num_rows())
        .map(|at| (shown(at).join(" "), deleted.value(at)))
        .collect()
}

/// `1 a`, `2 b`, then 1 deleted twice.
fn assert_two_and_a_deletion(found: &[(String, bool)], deletions: usize) {
    let (rows, deleted) = found.split_at(2);
    assert_eq!(rows, [("1 a".to_owned(), false), ("2 b".to_owned(), false)]);
    assert_eq!(deleted, vec![("1 ".to_owned(), true); deletions]);
}

const ROW: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"}]}"#;
const KEY: &str = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}"#;

#[tokio::test]
async fn an_empty_payload_deletes_the_key_that_avro_or_json_says() {
    let registered = Registered::start().await;
    registered.avro(1, KEY);
    registered.avro(2, ROW);
    let key = |id: u8| framed(1, &[id * 2]);
    let sent = [
        (key(1), Some(framed(2, &[2, 2, b'a']))),
        (key(2), Some(framed(2, &[4, 2, b'b']))),
        (key(1), None),
        (key(1), Some(Vec::new())),
        (br#"{"id":1}"#.to_vec(), None),
    ];
    let found = changes(Format::Avro, &registered.options(), &sent).await;
    assert_two_and_a_deletion(&found, 3);
}

#[tokio::test]
async fn an_empty_payload_deletes_the_key_that_protobuf_says() {
    let registered = Registered::start().await;
    let text = "syntax = \"proto3\"; message Key { int32 id = 1; } message Row { int32 id = 1; string name = 2; }";
    let schema = json!({"schema": text, "schemaType": "PROTOBUF"});
    registered.put("/schemas/ids/1", schema);
    let key = |id: u8| framed(1, &[0, 8, id]);
    let row = |id: u8, name: u8| framed(1, &[2, 2, 8, id, 0x12, 1, name]);
    let sent = [
        (key(1), Some(row(1, b'a'))),
        (key(2), Some(row(2, b'b'))),
        (key(1), None),
    ];
    let found = changes(Format::Protobuf, &registered.options(), &sent).await;
    assert_two_and_a_deletion(&found, 1);
}

#[tokio::test]
async fn debezium_deletes_by_its_envelope_and_by_the_tombstone_behind_it() {
    let change = |op: &str, after: &str| {
        let before = r#"{"id":1,"name":"a"}"#;
        format!(r#"{{"before":{before},"after":{after},"op":"{op}","ts_ms":1}}"#).into_bytes()
    };
    let wrapped = |payload: &[u8]| {
        let payload = std::str::from_utf8(payload).unwrap();
        format!(r#"{{"schema":{{"type":"struct"}},"payload":{payload}}}"#).into_bytes()
    };
    let key = |id: u8| format!(r#"{{"id":{id}}}"#).into_bytes();
    let sent = [
        (key(1), Some(change("r", r#"{"id":1,"name":"a"}"#))),
        (
            wrapped(&key(2)),
            Some(wrapped(&change("u", r#"{"id":2,"name":"b"}"#))),
        ),
        (key(1), Some(change("d", "null"))),
        (wrapped(&key(1)), Some(wrapped(&change("d", "null")))),
        (wrapped(&key(1)), None),
    ];
    let found = changes(Format::Debezium, &DecoderOptions::default(), &sent).await;
    assert_two_and_a_deletion(&found, 3);
}

#[tokio::test]
async fn debezium_in_avro_deletes_by_its_avro_key() {
    let registered = Registered::start().await;
    registered.avro(1, KEY);
    let envelope = format!(
        r#"{{"type":"record","name":"Envelope","fields":[
            {{"name":"before","type":["null",{ROW}]}},
            {{"name":"after","type":["null","Row"]}},
            {{"name":"op","type":"string"}}]}}"#
    );
    registered.avro(2, &envelope);
    let key = |id: u8| framed(1, &[id * 2]);
    let sent = [
        (key(1), Some(framed(2, &[0, 2, 2, 2, b'a', 2, b'c']))),
        (key(2), Some(framed(2, &[0, 2, 4, 2, b'b', 2, b'r']))),
        (key(1), Some(framed(2, &[2, 2, 2, b'a', 0, 2, b'd']))),
        (key(1), None),
    ];
    let found = changes(Format::DebeziumAvro, &registered.options(), &sent).await;
    assert_two_and_a_deletion(&found, 2);
}

#[tokio::test]
async fn a_deletion_without_a_key_is_a_dead_letter() {
    let pulled = pulled_with_keys(&[(Vec::new(), None), (b"{}".to_vec(), None)]);
    let options = DecoderOptions::default();
    let decoder = decoder_with(Format::Debezium, &customers(), &options).unwrap();
    let decoded = decoder.decode(&source(), &pulled);
    let reasons: Vec<_> = letters(&decoded).iter().map(|letter| letter.1).collect();
    assert_eq!(reasons, [Reason::EmptyPayload, Reason::NullNotAllowed]);
}
