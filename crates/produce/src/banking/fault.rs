//! Broken events: each kind is one that a record's contract must catch.

use super::Words;
use crate::dice::Dice;
use crate::event::Event;

/// How an event is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A payload of no bytes.
    EmptyPayload,
    /// A null payload: a tombstone.
    NullPayload,
    /// Bytes that are no UTF-8, in the middle of a text.
    InvalidUtf8,
    /// `\u0000` in a text.
    NulInText,
    /// 20 digits before the point.
    HugeAmount,
    /// A thousandth of a euro.
    FineAmount,
    /// An exponent beyond any number.
    EndlessAmount,
    /// A boolean as amount.
    AmountOfWrongType,
    /// A text that is no number as amount.
    AmountInWords,
    /// No amount.
    NullAmount,
    /// No `transaction_id` at all.
    MissingId,
    /// A `transaction_id` that is no uuid.
    IdOfWrongType,
    /// A number as `account_id`.
    AccountOfWrongType,
    /// A text as customer.
    CustomerOfWrongType,
    /// A day that does not exist.
    NoSuchDay,
    /// A text that is no time.
    TimeInWords,
    /// JSON cut off in its middle.
    Truncated,
    /// A second document behind the first.
    TrailingText,
    /// An array around the object.
    NotAnObject,
    /// No JSON at all.
    NotJson,
    /// Hundreds of arrays in each other.
    DeepNesting,
}

impl Fault {
    /// Every kind; each is as likely as the others.
    pub const ALL: [Self; 21] = [
        Self::EmptyPayload,
        Self::NullPayload,
        Self::InvalidUtf8,
        Self::NulInText,
        Self::HugeAmount,
        Self::FineAmount,
        Self::EndlessAmount,
        Self::AmountOfWrongType,
        Self::AmountInWords,
        Self::NullAmount,
        Self::MissingId,
        Self::IdOfWrongType,
        Self::AccountOfWrongType,
        Self::CustomerOfWrongType,
        Self::NoSuchDay,
        Self::TimeInWords,
        Self::Truncated,
        Self::TrailingText,
        Self::NotAnObject,
        Self::NotJson,
        Self::DeepNesting,
    ];

    /// Writes the transaction, broken.
    pub(super) fn write(self, mut words: Words<'_>, dice: &mut Dice, event: &mut Event) {
        match self {
            Self::InvalidUtf8 => words.customer = b"{\"name\":\"Zo\xE9\"}",
            Self::NulInText => words.account_id = b"\"ACC\\u0000\"",
            Self::HugeAmount => words.amount = b"12345678901234567890",
            Self::FineAmount => words.amount = b"\"12.345\"",
            Self::EndlessAmount => words.amount = b"1e999999999999",
            Self::AmountOfWrongType => words.amount = b"true",
            Self::AmountInWords => words.amount = b"\"douze\"",
            Self::NullAmount => words.amount = b"null",
            Self::IdOfWrongType => words.transaction_id = b"\"TX-1\"",
            Self::AccountOfWrongType => words.account_id = b"123456",
            Self::CustomerOfWrongType => words.customer = b"\"CUST00001\"",
            Self::NoSuchDay => words.timestamp = b"\"2024-02-30T12:00:00.000Z\"",
            Self::TimeInWords => words.timestamp = b"\"hier\"",
            Self::DeepNesting => words.merchant = &Self::NESTED,
            _ => {}
        }
        let payload = event.payload_mut();
        words.append_to(payload);
        match self {
            Self::EmptyPayload => payload.clear(),
            Self::NullPayload => event.set_null_payload(),
            Self::MissingId => {
                // The name, the value and the comma behind it.
                payload.drain(1..br#""transaction_id":"#.len() + words.transaction_id.len() + 2);
            }
            // At least the opening brace stays, at most all but the closing one.
            Self::Truncated => payload.truncate(1 + dice.below(payload.len() as u32 - 1) as usize),
            Self::TrailingText => payload.extend_from_slice(b" {}"),
            Self::NotAnObject => {
                payload.insert(0, b'[');
                payload.push(b']');
            }
            Self::NotJson => {
                payload.clear();
                payload.extend_from_slice(b"virement refus\xC3\xA9");
            }
            _ => {}
        }
    }

    /// Arrays in each other, four times as deep as MongoDB lets a document be.
    const NESTED: [u8; 800] = {
        let mut text = [b'['; 800];
        let mut at = 400;
        while at < text.len() {
            text[at] = b']';
            at += 1;
        }
        text
    };
}
