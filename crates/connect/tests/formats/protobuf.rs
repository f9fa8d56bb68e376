//! Protobuf: messages made by hand, types within types, imports, broken ones.

use serde_json::json;

use super::registry::Registered;
use super::*;

const SHOP: &str = r#"
syntax = "proto3";
package shop;
import "shop/money.proto";
import "google/protobuf/timestamp.proto";
message Order {
  string id = 1;
  int64 customer_id = 2;
  Money total = 3;
  google.protobuf.Timestamp placed_at = 4;
  repeated Line lines = 5;
  optional bool paid = 6;
  Status status = 7;
  bytes raw = 8;
  message Line { string sku = 1; uint32 quantity = 2; }
  enum Status { UNKNOWN = 0; DONE = 1; }
}
"#;

async fn registered() -> Registered {
    let registered = Registered::start().await;
    registered.put(
        "/schemas/ids/5",
        json!({
            "schema": SHOP,
            "schemaType": "PROTOBUF",
            "references": [{"name": "shop/money.proto", "subject": "money/v", "version": 3}],
        }),
    );
    registered.put(
        "/subjects/money%2Fv/versions/3",
        json!({
            "schema": "syntax = \"proto3\"; package shop; message Money { string amount = 1; }",
            "schemaType": "PROTOBUF",
        }),
    );
    registered
}

/// A field with a length.
fn sized(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8][..], content].concat()
}

fn order() -> Vec<u8> {
    let lines = [
        sized(5, &[sized(1, b"A"), vec![0x10, 2]].concat()),
        sized(5, &sized(1, b"B")),
    ];
    [
        sized(1, "o-é".as_bytes()),
        vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        sized(3, &sized(1, b"12.50")),
        sized(4, &[8, 1]),
        lines.concat(),
        vec![0x38, 1],
        sized(8, b"\x00\xff"),
        // a field that the schema does not know
        vec![0x78, 1],
    ]
    .concat()
}

#[tokio::test]
async fn a_message_is_read_by_its_registered_schema_and_what_it_imports() {
    let registered = registered().await;
    let columns = schema(&[
        ("id", "text"),
        ("customer_id", "bigint"),
        ("total.amount", "numeric(8,2)"),
        ("placed_at", "timestamptz"),
        ("lines", "struct(sku text, quantity integer)[]"),
        ("paid", "boolean"),
        ("status", "text"),
        ("raw", "bytea"),
    ]);
    let message = order();
    let payloads = [
        framed(5, &[&[0][..], &message].concat()),
        framed(5, &[&[2, 0][..], &message].concat()),
        framed(5, &[0]),
    ];
    let decoded = decode(Format::Protobuf, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(letters(&decoded), []);
    let wanted = [
        "o-é",
        "9223372036854775807",
        "12.50",
        "1970-01-01T00:00:01Z",
        "[{sku: A, quantity: 2}, {sku: B, quantity: 0}]",
        "",
        "DONE",
        "00ff",
    ];
    assert_eq!(row(&decoded, 0), wanted);
    assert_eq!(row(&decoded, 1), wanted);
    assert_eq!(
        row(&decoded, 2),
        ["", "0", "", "", "[]", "", "UNKNOWN", ""],
        "defaults"
    );
}

#[tokio::test]
async fn a_type_within_a_type_is_found_and_a_broken_message_is_not_read() {
    let registered = registered().await;
    let line = sized(1, b"A");
    let payloads = [
        framed(5, &[&[4, 0, 0][..], &line].concat()),
        framed(5, &[&[4, 0, 8][..], &line].concat()),
        framed(5, &[0, 0x0A, 9, b'x']),
        framed(5, &[]),
        framed(5, &[0, 0x0A, 1, 0xFF]),
    ];
    let columns = schema(&[("sku", "text")]);
    let decoded = decode(Format::Protobuf, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(row(&decoded, 0), ["A"]);
    let found = letters(&decoded);
    let offsets: Vec<_> = found.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
    assert!(
        found
            .iter()
            .all(|(_, reason, _)| *reason == Reason::Malformed),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_reference_that_is_not_there_stops_the_job() {
    let registered = Registered::start().await;
    registered.put(
        "/schemas/ids/1",
        json!({
            "schema": SHOP,
            "schemaType": "PROTOBUF",
            "references": [{"name": "shop/money.proto", "subject": "money", "version": 1}],
        }),
    );
    let payloads = [framed(1, &[0])];
    let failed = decode(
        Format::Protobuf,
        &schema(&[]),
        &registered.options(),
        &payloads,
    )
    .await;
    assert!(
        failed
            .err()
            .unwrap()
            .to_string()
            .contains("subject `money`")
    );
}
