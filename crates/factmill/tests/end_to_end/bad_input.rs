//! Broken records, hostile values and hostile names: each broken record is one dead letter, all else
//! arrives unchanged.

mod broken;
mod hostile_names;
mod hostile_values;
mod late;
mod samples;

use serde_json::{Value, json};
use uuid::Uuid;

/// A valid event; `change` makes of it what a test needs.
fn event(id: Uuid, change: impl FnOnce(&mut Value)) -> Value {
    let mut event = json!({
        "transaction_id": id,
        "timestamp": "2024-01-06T10:00:00.125Z",
        "account_id": "FR76",
        "customer": { "customer_id": "C1", "name": "Zoé", "city": "Lyon", "email": "zoe@example.com" },
        "amount": "12.50",
        "currency": "EUR",
        "transaction_type": "card_payment",
        "merchant": { "merchant_id": "M1", "name": "Chez \"Luc\"", "category": "food" },
        "channel": "web",
        "status": "completed",
    });
    change(&mut event);
    event
}

fn bytes(event: &Value) -> Vec<u8> {
    event.to_string().into_bytes()
}
