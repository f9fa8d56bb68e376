//! Broken documents: each kind is one that the source's contract must catch.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// How a document is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No `transaction_id` at all.
    MissingId,
    /// A null `transaction_id`.
    NullId,
    /// No `timestamp`.
    MissingTimestamp,
    /// A text that is no time.
    TimeInWords,
    /// A day that does not exist.
    NoSuchDay,
    /// No `total_amount`.
    MissingAmount,
    /// A text that is no number as `total_amount`.
    AmountInWords,
    /// 40 digits before the point.
    HugeAmount,
    /// A text that is no number as `customer_id`.
    CustomerInWords,
    /// A text that is no number as a line's price.
    PriceInWords,
    /// An object where the lines stand.
    LinesOfWrongType,
    /// A text as address.
    AddressOfWrongType,
    /// `\u0000` in a text.
    NulInText,
    /// JSON cut off in its middle.
    Truncated,
    /// A text around the document.
    NotAnObject,
    /// No JSON at all.
    NotJson,
}

impl Fault {
    /// Every kind; each is as likely as the others.
    pub const ALL: [Self; 16] = [
        Self::MissingId,
        Self::NullId,
        Self::MissingTimestamp,
        Self::TimeInWords,
        Self::NoSuchDay,
        Self::MissingAmount,
        Self::AmountInWords,
        Self::HugeAmount,
        Self::CustomerInWords,
        Self::PriceInWords,
        Self::LinesOfWrongType,
        Self::AddressOfWrongType,
        Self::NulInText,
        Self::Truncated,
        Self::NotAnObject,
        Self::NotJson,
    ];

    /// Breaks a good document.
    pub(super) fn apply(self, json: &mut Vec<u8>, dice: &mut StdRng) {
        match self {
            // At least the opening brace stays, at most all but the closing one.
            Self::Truncated => json.truncate(dice.random_range(1..json.len())),
            Self::NotAnObject => *json = json!(String::from_utf8_lossy(json)).to_string().into(),
            Self::NotJson => *json = b"order refused".to_vec(),
            _ => {
                let mut document =
                    serde_json::from_slice(json).expect("a good document is valid JSON");
                self.change(&mut document);
                *json = document.to_string().into();
            }
        }
    }

    fn change(self, document: &mut Value) {
        let mut set = |field: &str, value: Value| document[field] = value;
        match self {
            Self::NullId => set("transaction_id", Value::Null),
            Self::TimeInWords => set("timestamp", json!("yesterday")),
            Self::NoSuchDay => set("timestamp", json!("2026-02-30T12:00:00")),
            Self::AmountInWords => set("total_amount", json!("twelve")),
            Self::HugeAmount => set("total_amount", json!("1".repeat(40))),
            Self::CustomerInWords => set("customer_id", json!("nobody")),
            Self::PriceInWords => document["product_details"][0]["price"] = json!("cheap"),
            Self::LinesOfWrongType => set("product_details", json!({ "product_id": "P-1" })),
            Self::AddressOfWrongType => set("shipping_address", json!("12 Mill Lane, Bristol")),
            Self::NulInText => set("payment_method", json!("Credit\u{0}Card")),
            Self::MissingId => remove(document, "transaction_id"),
            Self::MissingTimestamp => remove(document, "timestamp"),
            Self::MissingAmount => remove(document, "total_amount"),
            Self::Truncated | Self::NotAnObject | Self::NotJson => {}
        }
    }
}

fn remove(document: &mut Value, field: &str) {
    if let Value::Object(fields) = document {
        fields.remove(field);
    }
}
