//! Which test charges are asked for: each a pure function of seed, batch and its place in it.

use crate::dice::{Dice, Purpose};
use crate::http::encode;

/// Stripe's test tokens, and how many of a hundred charges use them. The last three are declined.
const TOKENS: [(&str, u32); 8] = [
    ("tok_visa", 38),
    ("tok_mastercard", 24),
    ("tok_visa_debit", 14),
    ("tok_amex", 8),
    ("tok_discover", 6),
    ("tok_chargeDeclined", 5),
    ("tok_chargeDeclinedInsufficientFunds", 3),
    ("tok_chargeDeclinedFraudulent", 2),
];

/// Currencies by frequency. There is no rate for the last one.
const CURRENCIES: [(&str, u32); 12] = [
    ("gbp", 26),
    ("usd", 22),
    ("eur", 20),
    ("jpy", 7),
    ("cad", 5),
    ("aud", 5),
    ("chf", 4),
    ("cny", 3),
    ("sek", 3),
    ("nzd", 2),
    ("mxn", 2),
    ("dkk", 1),
];

const CUSTOMERS: u32 = 500;

/// The charges that a seed asks for.
#[derive(Debug, Clone, Copy)]
pub struct ChargeRequests {
    seed: u64,
    most: u32,
}

/// One charge to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// In the currency's minor unit.
    pub amount: u32,
    /// ISO 4217, lower case.
    pub currency: &'static str,
    /// The test token to charge.
    pub token: &'static str,
    /// Who pays, a number that comes back in the metadata.
    pub customer: u32,
    /// The number of the charge over all batches.
    pub order: u64,
    /// The same for every attempt at this charge, and for no other charge.
    pub idempotency_key: String,
}

impl ChargeRequests {
    /// Batches of at most `most` charges, 1 to 100.
    pub fn new(seed: u64, most: u32) -> Self {
        Self { seed, most }
    }

    /// The charges of a batch, at least one.
    pub fn batch(self, batch: u64) -> impl ExactSizeIterator<Item = ChargeRequest> {
        let size = 1 + Dice::new(self.seed, batch, Purpose::Size).below(self.most);
        (0..size).map(move |place| self.charge(batch, place))
    }

    fn charge(self, batch: u64, place: u32) -> ChargeRequest {
        let order = batch.wrapping_mul(100).wrapping_add(u64::from(place));
        let mut dice = Dice::new(self.seed, order, Purpose::Event);
        let token = *dice.one_by_share(&TOKENS);
        let currency = *dice.one_by_share(&CURRENCIES);
        // Small amounts are more frequent. Without minor units the same figures are larger sums.
        let amount = 150 + dice.below(50_000).min(dice.below(50_000));
        ChargeRequest {
            amount,
            currency,
            token,
            customer: dice.below(CUSTOMERS),
            order,
            idempotency_key: format!("factmill-{:016x}-{order}", self.seed),
        }
    }
}

impl ChargeRequest {
    /// Whether Stripe declines the token.
    pub fn is_declined(&self) -> bool {
        self.token.starts_with("tok_chargeDeclined")
    }

    /// The body of `POST /v1/charges`.
    pub(super) fn form(&self) -> String {
        encode([
            ("amount", &self.amount.to_string()[..]),
            ("currency", self.currency),
            ("source", self.token),
            ("description", &format!("Test order {}", self.order)),
            ("metadata[order]", &self.order.to_string()),
            ("metadata[customer]", &self.customer.to_string()),
        ])
    }
}
