//! The contract of banking's events, as its `_sources.yml` declares it.

use factmill_core::dead_letter::Reason;

use super::*;

fn transactions() -> SourceSchema {
    let columns = [
        ("transaction_id", "uuid"),
        ("timestamp", "timestamptz"),
        ("account_id", "text"),
        ("customer.customer_id", "text"),
        ("customer.name", "text"),
        ("amount", "numeric(18,2)"),
        (
            "merchant",
            "struct(merchant_id text, name text, category text)",
        ),
        ("status", "text"),
    ];
    schema(columns.map(|(path, declared)| SourceColumn {
        not_null: path == "transaction_id",
        ..column(path, declared)
    }))
}

const GOOD: &str = r#"{"transaction_id":"5d1a8d0e-8a4b-4c6e-9f43-0a3f7a1c2b3d","timestamp":"2024-01-01T00:00:05.000Z","account_id":"A1","customer":{"customer_id":"C1","name":"Chloé"},"amount":"12.34","merchant":null,"status":"completed"}"#;

#[test]
fn an_event_becomes_a_row() {
    let decoded = decode_texts(&transactions(), &[GOOD]);
    let row: Vec<_> = decoded
        .rows
        .columns()
        .iter()
        .map(|column| shown(column).remove(0))
        .collect();
    assert_eq!(
        row[..8],
        [
            "5d1a8d0e8a4b4c6e9f430a3f7a1c2b3d",
            "2024-01-01T00:00:05Z",
            "A1",
            "C1",
            "Chloé",
            "12.34",
            "null",
            "completed"
        ]
    );
}

#[test]
fn every_kind_of_bad_event_is_quarantined() {
    let with = |old: &str, new: &str| GOOD.replace(old, new);
    let cases = [
        (
            with("\"12.34\"", "12345678901234567890"),
            Reason::DoesNotFit,
            Some("amount"),
        ),
        (with("\"12.34\"", "true"), Reason::WrongType, Some("amount")),
        (
            with("Chloé", "a\\u0000b"),
            Reason::DoesNotFit,
            Some("customer.name"),
        ),
        (
            with("\"merchant\":null", "\"merchant\":[]"),
            Reason::WrongType,
            Some("merchant"),
        ),
        (
            with("\"transaction_id\"", "\"id\""),
            Reason::NullNotAllowed,
            Some("transaction_id"),
        ),
        (
            with("2024-01-01T", "2024-01-32T"),
            Reason::DoesNotFit,
            Some("timestamp"),
        ),
        (GOOD[..100].to_owned(), Reason::Malformed, None),
        (with("null", &"[".repeat(5_000_000)), Reason::TooDeep, None),
    ];
    let payloads: Vec<_> = cases.iter().map(|(payload, ..)| payload.as_str()).collect();
    let wanted: Vec<_> = (0..)
        .zip(&cases)
        .map(|(offset, (_, reason, field))| (*reason, *field, offset))
        .collect();
    assert_eq!(
        summary(&decode_texts(&transactions(), &payloads).dead_letters),
        wanted
    );
}

#[test]
fn a_large_event_loads() {
    let name = "é".repeat(2_500_000);
    let decoded = decode_texts(&transactions(), &[&GOOD.replace("Chloé", &name)]);
    assert_eq!(shown(decoded.rows.column(4)), [name]);
}
