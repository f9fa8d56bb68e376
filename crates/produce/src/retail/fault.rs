//! Broken events.

use crate::dice::{Dice, Purpose};
use crate::json_fault::JsonFault;

/// Every way in which an event is broken; each is as likely as the others.
pub const FAULTS: [JsonFault; 18] = [
    JsonFault::EmptyPayload,
    JsonFault::NullPayload,
    JsonFault::Truncated,
    JsonFault::TrailingText,
    JsonFault::NotAnObject,
    JsonFault::NotJson,
    JsonFault::Missing("/transaction_id"),
    JsonFault::Replaced("/transaction_id", "null"),
    JsonFault::Replaced("/transaction_id", "[\"T-1\"]"),
    JsonFault::Replaced("/timestamp", "\"2024-02-30T12:00:00.000Z\""),
    JsonFault::Replaced("/timestamp", "\"yesterday\""),
    JsonFault::Replaced("/store", "\"STR-001\""),
    JsonFault::Replaced("/items", "{\"sku\":\"SKU-0001\"}"),
    JsonFault::Replaced("/payment/amount", "\"plenty\""),
    JsonFault::Replaced("/payment/amount", "12345678901234567890"),
    JsonFault::Replaced("/review", "\"good\\u0000\""),
    JsonFault::InvalidUtf8("/channel"),
    JsonFault::DeepNesting("/customer"),
];

/// What is wrong with the event at an index; `None` for a good one.
pub(super) fn fault(seed: u64, index: u64, bad_percent: f64) -> Option<(JsonFault, Dice)> {
    if bad_percent == 0.0 {
        return None;
    }
    let mut dice = Dice::new(seed, index, Purpose::Fault);
    dice.happens(bad_percent)
        .then(|| (*dice.one_of(&FAULTS), dice))
}
