//! Broken messages.

use crate::dice::{Dice, Purpose};
use crate::json_fault::JsonFault;

/// Every way in which a message is broken; each is as likely as the others.
pub const FAULTS: [JsonFault; 15] = [
    JsonFault::EmptyPayload,
    JsonFault::NullPayload,
    JsonFault::Truncated,
    JsonFault::TrailingText,
    JsonFault::NotAnObject,
    JsonFault::NotJson,
    JsonFault::Missing("/transactions"),
    JsonFault::Replaced("/transactions", "null"),
    JsonFault::Replaced("/transactions", "\"none\""),
    JsonFault::Replaced("/transactions/0/amount", "\"a lot\""),
    JsonFault::Replaced("/transactions/0/amount", "9000000000000000000"),
    JsonFault::Replaced("/transactions/0/created", "123456789012345678901234567890"),
    // in microseconds
    JsonFault::Replaced("/transactions/0/created", "1704110400000000"),
    JsonFault::InvalidUtf8("/transactions/0/currency"),
    JsonFault::DeepNesting("/transactions/0/outcome"),
];

/// What is wrong with the message of a batch; `None` for a good one.
pub(super) fn fault(seed: u64, batch: u64, bad_percent: f64) -> Option<(JsonFault, Dice)> {
    let mut dice = Dice::new(seed, batch, Purpose::Fault);
    dice.happens(bad_percent)
        .then(|| (*dice.one_of(&FAULTS), dice))
}
