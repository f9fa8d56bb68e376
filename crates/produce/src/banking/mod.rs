//! Card and account transactions of French customers.
//!
//! An event is a JSON object:
//!
//! | field | value |
//! |---|---|
//! | `transaction_id` | a uuid, another one for each index and seed |
//! | `timestamp` | RFC 3339 in UTC with milliseconds, in January 2024; see [`Spread`] |
//! | `account_id` | `ACC` and six digits; the event's key, too |
//! | `customer` | `customer_id`, `name`, `city`, `email`: the holder, always the same for an account |
//! | `amount` | euros above 0 with at most two decimals, as a text or as a number |
//! | `currency` | `EUR` |
//! | `transaction_type` | `deposit`, `withdrawal`, `transfer`, `card_payment`, `direct_debit` |
//! | `merchant` | `merchant_id`, `name`, `category`; null but for card payments and direct debits |
//! | `channel` | `web`, `mobile`, `branch`, `atm`, `api` |
//! | `status` | `completed`, `pending`, `failed` |
//!
//! The event at an index is a pure function of settings and index, so a sequence can be continued or
//! checked from any place. Customers, accounts and merchants are the same for every seed.

mod amount;
mod fault;
mod merchants;
mod people;

use std::sync::Arc;

use factmill_core::source::BoxedError;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::dice::{Dice, Purpose};
use crate::event::{Event, EventSource, Next};
use amount::Amount;
use merchants::Merchants;
use people::Accounts;

pub use crate::clock::Spread;
pub use fault::Fault;

/// What the sequence of events depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BankingSettings {
    /// The same seed gives the same events.
    pub seed: u64,
    /// How event times follow each other.
    pub spread: Spread,
    /// How many of a hundred events are broken, 0 to 100.
    pub bad_percent: f64,
}

impl BankingSettings {
    /// A seed that nobody has used; print it, so that the run can be repeated.
    pub fn fresh_seed() -> u64 {
        rand::random()
    }
}

/// A share of broken events that is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} percent of broken events is not between 0 and 100")]
pub struct InvalidPercent(f64);

/// The events, each by its index.
#[derive(Debug)]
pub struct BankingEvents {
    seed: u64,
    spread: Spread,
    /// An event is broken where 64 random bits are below this.
    bad_below: u128,
    accounts: Accounts,
    merchants: Merchants,
}

/// A transaction as the words of its JSON values.
struct Words<'a> {
    transaction_id: &'a [u8],
    timestamp: &'a [u8],
    account_id: &'a [u8],
    customer: &'a [u8],
    amount: &'a [u8],
    transaction_type: &'a [u8],
    merchant: &'a [u8],
    channel: &'a [u8],
    status: &'a [u8],
}

/// A kind of transaction: how often it comes, between which amounts, over which channels.
struct Kind {
    name: &'static [u8],
    /// Of 100 transactions.
    share: u32,
    /// Least and greatest amount in cents.
    cents: (u32, u32),
    has_merchant: bool,
    channels: &'static [&'static [u8]],
}

const KINDS: [Kind; 5] = [
    Kind {
        name: b"\"card_payment\"",
        share: 52,
        cents: (150, 25_000),
        has_merchant: true,
        channels: &[b"\"web\"", b"\"mobile\"", b"\"api\""],
    },
    Kind {
        name: b"\"transfer\"",
        share: 16,
        cents: (1_000, 300_000),
        has_merchant: false,
        channels: &[b"\"web\"", b"\"mobile\"", b"\"branch\"", b"\"api\""],
    },
    Kind {
        name: b"\"direct_debit\"",
        share: 14,
        cents: (999, 20_000),
        has_merchant: true,
        channels: &[b"\"api\""],
    },
    Kind {
        name: b"\"withdrawal\"",
        share: 12,
        cents: (2_000, 50_000),
        has_merchant: false,
        channels: &[b"\"atm\"", b"\"atm\"", b"\"branch\""],
    },
    Kind {
        name: b"\"deposit\"",
        share: 6,
        cents: (5_000, 500_000),
        has_merchant: false,
        channels: &[b"\"branch\"", b"\"atm\"", b"\"mobile\""],
    },
];

impl BankingEvents {
    /// The sequence for some settings.
    ///
    /// # Errors
    /// [`InvalidPercent`] when `bad_percent` is not in 0 to 100.
    pub fn new(settings: BankingSettings) -> Result<Self, InvalidPercent> {
        let percent = settings.bad_percent;
        if !(0.0..=100.0).contains(&percent) {
            return Err(InvalidPercent(percent));
        }
        Ok(Self {
            seed: settings.seed,
            spread: settings.spread,
            bad_below: (percent / 100.0 * 2_f64.powi(64)) as u128,
            accounts: Accounts::new(),
            merchants: Merchants::new(),
        })
    }

    /// The events from `first` on, without end.
    pub fn starting_at(self: Arc<Self>, first: u64) -> BankingSource {
        BankingSource {
            events: self,
            next: first,
        }
    }

    /// What is wrong with the event at `index`; `None` for a good one.
    #[inline]
    pub fn fault(&self, index: u64) -> Option<Fault> {
        if self.bad_below == 0 {
            return None;
        }
        let mut dice = Dice::new(self.seed, index, Purpose::Fault);
        let is_bad = u128::from(dice.roll()) < self.bad_below;
        is_bad.then(|| *dice.one_of(&Fault::ALL))
    }

    /// The `transaction_id` of the event at `index`, a version 4 uuid.
    ///
    /// No two indexes of a seed share one: 64 of its bits are a permutation of the index.
    pub fn transaction_id(&self, index: u64) -> Uuid {
        let mut dice = Dice::new(self.seed, index, Purpose::Identity);
        let (mark, permuted) = (dice.roll(), Dice::permute(self.seed, index));
        // Version 4 stands in bits 12 to 15 of the first half, the variant on top of the second.
        let high = (mark & !0xF003) | 0x4000 | (permuted >> 62);
        let low = (permuted & (u64::MAX >> 2)) | (1 << 63);
        Uuid::from_u64_pair(high, low)
    }

    /// Writes the event at `index`, which must be as [`Event::clear`] leaves it.
    pub fn write(&self, index: u64, event: &mut Event) {
        let mut dice = Dice::new(self.seed, index, Purpose::Event);
        let kind = kind(dice.below(100));
        let account = self.accounts.get(dice.roll());
        let amount = Amount::between(kind.cents, &mut dice);
        let timestamp = Timestamp::new(self.spread.millis(index));
        let words = Words {
            transaction_id: &quoted(self.transaction_id(index)),
            timestamp: timestamp.as_json(),
            account_id: account.id(),
            customer: account.customer(),
            amount: amount.as_json(),
            transaction_type: kind.name,
            merchant: if kind.has_merchant {
                self.merchants.get(dice.roll())
            } else {
                b"null"
            },
            channel: dice.one_of::<&[u8]>(kind.channels),
            status: match dice.below(100) {
                0..92 => b"\"completed\"",
                92..97 => b"\"pending\"",
                _ => b"\"failed\"",
            },
        };
        event.set_key(account.key());
        match self.fault(index) {
            None => words.append_to(event.payload_mut()),
            Some(fault) => {
                event.mark_bad();
                fault.write(words, &mut dice, event);
            }
        }
    }
}

fn kind(mut of_hundred: u32) -> &'static Kind {
    for kind in &KINDS {
        if of_hundred < kind.share {
            return kind;
        }
        of_hundred -= kind.share;
    }
    &KINDS[0]
}

fn quoted(id: Uuid) -> [u8; 38] {
    let mut quoted = [b'"'; 38];
    id.hyphenated().encode_lower(&mut quoted[1..37]);
    quoted
}

impl Words<'_> {
    fn append_to(&self, payload: &mut Vec<u8>) {
        for (name, value) in [
            (&b"{\"transaction_id\":"[..], self.transaction_id),
            (b",\"timestamp\":", self.timestamp),
            (b",\"account_id\":", self.account_id),
            (b",\"customer\":", self.customer),
            (b",\"amount\":", self.amount),
            (
                b",\"currency\":\"EUR\",\"transaction_type\":",
                self.transaction_type,
            ),
            (b",\"merchant\":", self.merchant),
            (b",\"channel\":", self.channel),
            (b",\"status\":", self.status),
        ] {
            payload.extend_from_slice(name);
            payload.extend_from_slice(value);
        }
        payload.push(b'}');
    }
}

/// [`BankingEvents`] one after the other; it never ends.
#[derive(Debug)]
pub struct BankingSource {
    events: Arc<BankingEvents>,
    next: u64,
}

impl EventSource for BankingSource {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        self.events.write(self.next, event);
        self.next = self.next.wrapping_add(1);
        Ok(Next::Event)
    }
}

#[cfg(test)]
mod tests;
