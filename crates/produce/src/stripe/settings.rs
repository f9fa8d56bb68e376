//! What a run depends on, and the checks before it begins.

use std::path::PathBuf;
use std::time::Duration;

use super::error::StripeError;
use crate::http::ApiKey;

/// Stripe's own address.
pub const BASE_URL: &str = "https://api.stripe.com";

/// Where charges come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `POST /v1/charges`: test charges are made, the same ones for the same seed.
    Create,
    /// `GET /v1/charges`: the charges of the account, from the newest back to the first one, then
    /// those that follow.
    List,
}

/// What a run depends on.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// Where the API is; [`StripeSettings::new`] takes Stripe's own.
    pub base_url: String,
    /// The account's secret or restricted key.
    pub key: ApiKey,
    /// Allows a key of live mode, whose charges move money.
    pub live: bool,
    /// Where charges come from.
    pub mode: Mode,
    /// From the start of one batch to the start of the next.
    pub every: Duration,
    /// Most charges of a batch, 1 to 100.
    pub charges: u32,
    /// Most requests a second, above 0; `u32::MAX` is as many as the service answers.
    pub requests_per_second: u32,
    /// The same seed asks for the same charges from the first batch on; without one that of the state
    /// file goes on, or a fresh one is drawn.
    pub seed: Option<u64>,
    /// The number of the first batch, where the run does not go on from a state file.
    pub first_batch: u64,
    /// How many of a hundred messages are broken, 0 to 100.
    pub bad_percent: f64,
    /// Keeps the place behind the last acknowledged message, so that another run goes on there.
    pub state: Option<PathBuf>,
}

impl StripeSettings {
    /// 25 test charges every 3 s, made at Stripe's own address, 25 requests a second.
    pub fn new(key: ApiKey) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            live: false,
            mode: Mode::Create,
            every: Duration::from_secs(3),
            charges: 25,
            requests_per_second: 25,
            seed: None,
            first_batch: 0,
            bad_percent: 0.0,
            state: None,
        }
    }

    /// A seed that nobody has used.
    pub fn fresh_seed() -> u64 {
        rand::random()
    }

    pub(super) fn check(&self) -> Result<(), StripeError> {
        let key = self.key.expose();
        let starts = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| key.starts_with(prefix));
        if starts(["sk_live_", "rk_live_"]) {
            if !self.live {
                return Err(StripeError::LiveKey);
            }
        } else if !starts(["sk_test_", "rk_test_"]) {
            return Err(StripeError::NoSecretKey);
        }
        if !(0.0..=100.0).contains(&self.bad_percent) {
            return Err(StripeError::BadPercent(self.bad_percent));
        }
        if !(1..=100).contains(&self.charges) {
            return Err(StripeError::BatchSize(self.charges));
        }
        if self.requests_per_second == 0 {
            return Err(StripeError::NoRequests);
        }
        Ok(())
    }
}
