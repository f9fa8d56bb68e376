//! Debezium's changes, as JSON and as Avro.

use super::registry::Registered;
use super::*;

#[tokio::test]
async fn a_change_is_decoded_from_its_row() {
    let columns = schema(&[("id", "integer"), ("name", "text")]);
    let envelope = |op: &str, after: &str| {
        format!(
            r#"{{"before":null,"after":{after},"source":{{"db":"shop"}},"op":"{op}","ts_ms":1}}"#
        )
        .into_bytes()
    };
    let payloads = [
        envelope("r", r#"{"id":1,"name":"a"}"#),
        envelope("u", r#"{"id":1,"name":"b","extra":1}"#),
        envelope("d", "null"),
        envelope("c", r#"{"id":"x"}"#),
        b"{\"id\":1}".to_vec(),
    ];
    let options = DecoderOptions::default();
    let decoded = decode(Format::Debezium, &columns, &options, &payloads)
        .await
        .unwrap();
    assert_eq!(
        [row(&decoded, 0), row(&decoded, 1)],
        [["1", "a"], ["1", "b"]]
    );
    let found: Vec<_> = letters(&decoded)
        .iter()
        .map(|(offset, reason, _)| (*offset, *reason))
        .collect();
    assert_eq!(
        found,
        [
            (2, Reason::EmptyPayload),
            (3, Reason::WrongType),
            (4, Reason::Malformed)
        ],
        "a deletion has no row"
    );
    assert_eq!(
        decoded.undeclared.into_iter().collect::<Vec<_>>(),
        [("extra".to_owned(), 1)]
    );
    assert_eq!(
        decoded.dead_letters[1].payload.as_ref(),
        Some(&payloads[3]),
        "the whole envelope"
    );
}

#[tokio::test]
async fn an_envelope_may_be_avro() {
    let registered = Registered::start().await;
    registered.avro(
        9,
        r#"{"type":"record","name":"Envelope","namespace":"shop.orders","fields":[
            {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
                {"name":"id","type":"int"},
                {"name":"day","type":{"type":"int","connect.name":"io.debezium.time.Date"}}]}]},
            {"name":"after","type":["null","Value"]},
            {"name":"op","type":"string"}]}"#,
    );
    let payloads = [
        framed(9, &[0, 2, 2, 4, 2, b'c']),
        framed(9, &[2, 2, 4, 0, 2, b'd']),
    ];
    let columns = schema(&[("id", "integer"), ("day", "date")]);
    let options = registered.options();
    let decoded = decode(Format::DebeziumAvro, &columns, &options, &payloads)
        .await
        .unwrap();
    assert_eq!(row(&decoded, 0), ["1", "1970-01-03"]);
    assert_eq!(letters(&decoded)[0].1, Reason::EmptyPayload);
}
