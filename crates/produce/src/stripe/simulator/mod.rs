//! A Stripe for trying out, on loopback: the same JSON, the same errors, no account and no money.
//!
//! | call | answer |
//! |---|---|
//! | `POST /v1/charges` | a charge; 402 and an error where the token is declined |
//! | `GET /v1/charges` | charges, newest first, by `limit`, `starting_after`, `ending_before` |
//! | `GET /v1/charges/{id}` | one charge |
//! | `GET /forex/{date}.json`, `GET /forex/latest.json` | what one pound is in ten currencies on a day |
//!
//! A charge is a pure function of the simulator's seed, the request's form and idempotency key, and
//! with [`Clock::Steps`] so is its time. Keys of test mode are taken, all others are refused.

mod charge;
mod forex;
mod ledger;
mod payer;
mod server;

use std::sync::Arc;
use std::time::Duration;

pub use charge::{Charges, Clock, Outcome};
pub use forex::{CURRENCIES, ForexRates};
pub use server::serve;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// The same seed gives the same charges for the same requests, and the same rates.
    pub seed: u64,
    /// What time the charges are made at.
    pub clock: Clock,
    /// More requests in a second than this are answered with 429.
    pub requests_per_second: u32,
    /// Every so manieth charge is made and then answered with 500, as if the answer got lost; the
    /// next attempt with its idempotency key gets the charge. `None`: never.
    pub lose_every: Option<u64>,
    /// The daily rates; keep a clone to hold one back.
    pub rates: Arc<ForexRates>,
}

impl SimulatorSettings {
    /// Charges of the present, 25 requests a second, no trouble.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            clock: Clock::Now,
            requests_per_second: 25,
            lose_every: None,
            rates: Arc::new(ForexRates::new(seed)),
        }
    }
}

/// The time over which requests are counted.
const WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
