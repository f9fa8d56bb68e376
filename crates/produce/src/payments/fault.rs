//! Broken events: each kind is one that a record's contract must catch.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::error::PaymentsError;
use super::event::Words;

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
    /// No description.
    NullDescription,
    /// A number as description.
    DescriptionOfWrongType,
    /// A text as scaled amount.
    AmountInWords,
    /// 40 digits before the point.
    HugeAmount,
    /// An exponent beyond any number.
    EndlessAmount,
    /// A boolean as raw amount.
    AmountOfWrongType,
    /// No `row_number` at all.
    MissingRow,
    /// A row number with a fraction.
    FractionOfRow,
    /// No file.
    NullFile,
    /// A text as flag.
    FlagOfWrongType,
    /// JSON cut off in its middle.
    Truncated,
    /// A second document behind the first.
    TrailingText,
    /// An array around the object.
    NotAnObject,
    /// No JSON at all.
    NotJson,
}

impl Fault {
    /// Every kind; each is as likely as the others.
    pub const ALL: [Self; 18] = [
        Self::EmptyPayload,
        Self::NullPayload,
        Self::InvalidUtf8,
        Self::NulInText,
        Self::NullDescription,
        Self::DescriptionOfWrongType,
        Self::AmountInWords,
        Self::HugeAmount,
        Self::EndlessAmount,
        Self::AmountOfWrongType,
        Self::MissingRow,
        Self::FractionOfRow,
        Self::NullFile,
        Self::FlagOfWrongType,
        Self::Truncated,
        Self::TrailingText,
        Self::NotAnObject,
        Self::NotJson,
    ];

    /// Appends the event, broken.
    pub(super) fn write(self, mut words: Words<'_>, cut: u64, payload: &mut Vec<u8>) {
        match self {
            Self::InvalidUtf8 => words.description = b"\"caf\xE9\"",
            Self::NulInText => words.description = b"\"cafe\\u0000\"",
            Self::NullDescription => words.description = b"null",
            Self::DescriptionOfWrongType => words.description = b"17",
            Self::AmountInWords => words.amount = b"\"douze\"",
            Self::HugeAmount => words.amount_raw = b"\"1234567890123456789012345678901234567890\"",
            Self::EndlessAmount => words.amount_raw = b"1e999999999999",
            Self::AmountOfWrongType => words.amount_raw = b"true",
            Self::MissingRow => words.row_number = None,
            Self::FractionOfRow => words.row_number = Some(b"1.5"),
            Self::NullFile => words.file = b"null",
            Self::FlagOfWrongType => words.out_of_range = b"\"no\"",
            Self::EmptyPayload | Self::NullPayload => return,
            Self::NotJson => return payload.extend_from_slice(b"paiement refus\xC3\xA9"),
            Self::NotAnObject => payload.push(b'['),
            Self::Truncated | Self::TrailingText => {}
        }
        let start = payload.len();
        words.append_to(payload);
        match self {
            Self::NotAnObject => payload.push(b']'),
            Self::TrailingText => payload.extend_from_slice(b" {}"),
            // At least the opening brace stays, at most all but the closing one.
            Self::Truncated => {
                let length = (payload.len() - start) as u64;
                payload.truncate(start + 1 + (cut % (length - 1)) as usize);
            }
            _ => {}
        }
    }
}

/// Which rows become broken events: a pure function of seed and row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    seed: u64,
    share: f64,
}

impl Faults {
    pub(super) fn new(seed: u64, percent: f64) -> Result<Self, PaymentsError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(PaymentsError::BadPercent(percent));
        }
        Ok(Self {
            seed,
            share: percent / 100.0,
        })
    }

    /// What is wrong with the event of a row, and 64 bits to break it with.
    pub(super) fn of(&self, row: u64) -> Option<(Fault, u64)> {
        if self.share == 0.0 {
            return None;
        }
        // An odd factor: no two rows of a seed share their numbers.
        let mut dice = StdRng::seed_from_u64(self.seed ^ row.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let is_bad = dice.random_bool(self.share);
        let fault = Fault::ALL.choose(&mut dice).filter(|_| is_bad)?;
        Some((*fault, dice.random()))
    }
}
