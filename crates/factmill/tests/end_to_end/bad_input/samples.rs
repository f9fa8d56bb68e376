//! Payloads that must be dead letters, and odd ones that must not.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{bytes, event};

/// A broken payload with its reason and the field at fault.
pub(super) struct Broken {
    pub(super) payload: Option<Vec<u8>>,
    pub(super) reason: &'static str,
    pub(super) field: Option<&'static str>,
}

/// An event with one field changed.
pub(super) fn with(field: &str, value: Value) -> Vec<u8> {
    bytes(&event(Uuid::new_v4(), |event| {
        *event.pointer_mut(field).expect("the event has it") = value;
    }))
}

/// A valid event as text, one part of it replaced by what `json!` cannot write.
fn with_text(from: &str, to: &str) -> Vec<u8> {
    let text = event(Uuid::new_v4(), |_| {}).to_string();
    assert!(text.contains(from), "{text} has no {from}");
    text.replacen(from, to, 1).into_bytes()
}

/// All that must be a dead letter.
pub(super) fn broken() -> Vec<Broken> {
    let whole = |payload: &[u8], reason| Broken {
        payload: Some(payload.to_vec()),
        reason,
        field: None,
    };
    let at = |payload: Vec<u8>, reason, field| Broken {
        payload: Some(payload),
        reason,
        field: Some(field),
    };
    let mut not_utf8 = with("/account_id", json!("X"));
    let place = not_utf8
        .iter()
        .position(|byte| *byte == b'X')
        .expect("the account");
    not_utf8[place] = 0xff;
    let mut raw_nul = not_utf8.clone();
    raw_nul[place] = 0;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_field = with_text(
        "\"Lyon\"",
        &format!("{}1{}", "{\"a\":".repeat(2_000), "}".repeat(2_000)),
    );
    let missing = |field: &str| {
        bytes(&event(Uuid::new_v4(), |event| {
            event
                .as_object_mut()
                .expect("an object")
                .remove(field)
                .expect("the field");
        }))
    };
    let large = "x".repeat(5_000_000);
    vec![
        Broken {
            payload: None,
            reason: "empty_payload",
            field: None,
        },
        whole(b"", "empty_payload"),
        whole(b" \n ", "malformed"),
        whole(&not_utf8, "invalid_utf8"),
        whole(b"\xc3\x28", "invalid_utf8"),
        whole(&raw_nul, "malformed"),
        whole(b"not json", "malformed"),
        whole(b"{\"transaction_id\":\"", "malformed"),
        whole(b"{} {}", "malformed"),
        whole(b"[{}]", "wrong_type"),
        whole(b"\"text\"", "wrong_type"),
        whole(b"null", "wrong_type"),
        whole(deep.as_bytes(), "too_deep"),
        whole("[".repeat(100_000).as_bytes(), "too_deep"),
        whole(&deep_field, "too_deep"),
        whole(format!("{{\"a\":\"{large}").as_bytes(), "malformed"),
        at(
            with("/account_id", json!("a\0b")),
            "does_not_fit",
            "account_id",
        ),
        at(
            with("/customer/name", json!("\0")),
            "does_not_fit",
            "customer.name",
        ),
        at(
            with("/amount", json!("12345678901234567890")),
            "does_not_fit",
            "amount",
        ),
        at(
            with("/amount", json!(12_345_678_901_234_567_890_u64)),
            "does_not_fit",
            "amount",
        ),
        at(with("/amount", json!("0.001")), "does_not_fit", "amount"),
        at(with_text("\"12.50\"", "1e400"), "does_not_fit", "amount"),
        at(with("/amount", json!(true)), "wrong_type", "amount"),
        at(with("/amount", json!("twelve")), "wrong_type", "amount"),
        at(with("/amount", json!([1])), "wrong_type", "amount"),
        at(with("/amount", json!("NaN")), "wrong_type", "amount"),
        at(with("/amount", Value::Null), "null_not_allowed", "amount"),
        at(
            with("/transaction_id", json!("not-a-uuid")),
            "wrong_type",
            "transaction_id",
        ),
        at(
            with("/transaction_id", json!(7)),
            "wrong_type",
            "transaction_id",
        ),
        at(with("/account_id", json!(76)), "wrong_type", "account_id"),
        at(with("/account_id", json!({})), "wrong_type", "account_id"),
        at(with("/customer", json!("C1")), "wrong_type", "customer"),
        at(
            with("/customer/city", json!(["Lyon"])),
            "wrong_type",
            "customer.city",
        ),
        at(with("/merchant", json!(7)), "wrong_type", "merchant"),
        at(
            with("/timestamp", json!("yesterday")),
            "wrong_type",
            "timestamp",
        ),
        at(
            with("/timestamp", json!(["2024"])),
            "wrong_type",
            "timestamp",
        ),
        at(
            with("/timestamp", json!("2024-02-30T00:00:00Z")),
            "does_not_fit",
            "timestamp",
        ),
        at(
            missing("transaction_id"),
            "null_not_allowed",
            "transaction_id",
        ),
        at(missing("timestamp"), "null_not_allowed", "timestamp"),
        at(missing("amount"), "null_not_allowed", "amount"),
        at(missing("account_id"), "null_not_allowed", "account_id"),
    ]
}

/// Valid events that look odd.
pub(super) fn odd_but_good() -> Vec<Vec<u8>> {
    let nothing_optional = bytes(&event(Uuid::new_v4(), |event| {
        let fields = event.as_object_mut().expect("an object");
        for field in [
            "customer",
            "merchant",
            "currency",
            "channel",
            "status",
            "transaction_type",
        ] {
            fields.remove(field);
        }
    }));
    let more_fields = bytes(&event(Uuid::new_v4(), |event| {
        event["_id"] = json!(1);
        event["$where"] = json!("1; drop table x");
        event["customer"]["nested.name"] = json!([{ "deep": [1, 2, [3]] }]);
        event[""] = Value::Null;
    }));
    vec![
        nothing_optional,
        more_fields,
        with("/customer/name", json!("x".repeat(5_000_000))),
        with("/amount", json!(-0.01)),
        with("/amount", json!("9999999999999999.99")),
        with("/merchant", Value::Null),
        with("/timestamp", json!("2024-01-06T11:00:00.125+01:00")),
        with("/timestamp", json!("2024-01-06T10:00:00")),
    ]
}
