//! The two calls of Stripe's API that the producer makes.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::requests::ChargeRequest;
use crate::http::{Address, ApiKey, Attempts, HttpClient, HttpError, words};

/// A page of 100 charges is about 300 kB.
const LARGEST_ANSWER: usize = 4 << 20;

/// Where a page of the list begins.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At the newest charge.
    Newest,
    /// Behind this charge, towards older ones.
    OlderThan(String),
    /// Before this charge, towards newer ones: those that came right after it.
    NewerThan(String),
}

/// Charges, newest first, and whether more lie behind them in the direction of the page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) charges: Vec<Value>,
    pub(super) has_more: bool,
}

/// A client of the API that keeps to its rate limit and tries again what may pass.
#[derive(Debug)]
pub(super) struct StripeApi {
    http: HttpClient,
    charges: Address,
    key: ApiKey,
    pace: Interval,
}

impl StripeApi {
    /// Must be called within a runtime.
    pub(super) fn new(http: HttpClient, base: &Address, key: ApiKey, per_second: u32) -> Self {
        let pause = Duration::from_secs(1) / per_second.max(1);
        let mut pace = interval(pause.max(Duration::from_nanos(1)));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            http,
            charges: base.join("/v1/charges"),
            key,
            pace,
        }
    }

    /// Makes a charge; `None` when it was declined.
    ///
    /// Every attempt carries the same idempotency key, so that the charge is made once.
    pub(super) async fn create(
        &mut self,
        request: &ChargeRequest,
    ) -> Result<Option<Value>, HttpError> {
        let (form, mut attempts) = (request.form(), Attempts::default());
        loop {
            self.pace.tick().await;
            let call = self
                .http
                .post(&self.charges)
                .bearer_auth(self.key.expose())
                .header("Idempotency-Key", &request.idempotency_key)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.clone());
            let answer = HttpClient::answer(&self.charges, call, LARGEST_ANSWER).await;
            match answer.and_then(|(status, body)| self.charge(status, &body)) {
                Ok(charge) => return Ok(charge),
                Err(error) => wait_or_give_up(error, &mut attempts).await?,
            }
        }
    }

    /// One page of at most `limit` charges.
    pub(super) async fn list(&mut self, place: &Place, limit: u32) -> Result<Page, HttpError> {
        let address = self.charges.with("limit", &limit.to_string());
        let address = match place {
            Place::Newest => address,
            Place::OlderThan(id) => address.with("starting_after", id),
            Place::NewerThan(id) => address.with("ending_before", id),
        };
        let mut attempts = Attempts::default();
        loop {
            self.pace.tick().await;
            let call = self.http.get(&address).bearer_auth(self.key.expose());
            let answer = HttpClient::answer(&address, call, LARGEST_ANSWER).await;
            match answer.and_then(|(status, body)| self.page(status, &body)) {
                Ok(page) => return Ok(page),
                Err(error) => wait_or_give_up(error, &mut attempts).await?,
            }
        }
    }

    fn charge(&self, status: StatusCode, body: &[u8]) -> Result<Option<Value>, HttpError> {
        match status {
            StatusCode::OK => match serde_json::from_slice(body) {
                Ok(charge @ Value::Object(_)) => Ok(Some(charge)),
                _ => Err(self.unexpected("a charge")),
            },
            StatusCode::PAYMENT_REQUIRED => Ok(None),
            _ => Err(self.refused(status, body)),
        }
    }

    fn page(&self, status: StatusCode, body: &[u8]) -> Result<Page, HttpError> {
        if status != StatusCode::OK {
            return Err(self.refused(status, body));
        }
        let mut page: Value = serde_json::from_slice(body).unwrap_or_default();
        match (page["data"].take(), page["has_more"].as_bool()) {
            (Value::Array(charges), Some(has_more)) => Ok(Page { charges, has_more }),
            _ => Err(self.unexpected("a list of charges")),
        }
    }

    fn unexpected(&self, expected: &'static str) -> HttpError {
        HttpError::Unexpected {
            address: self.charges.clone(),
            expected,
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> HttpError {
        let address = self.charges.clone();
        // Another request with this idempotency key is under way.
        if status == StatusCode::CONFLICT {
            return HttpError::Unavailable {
                address,
                status,
                after: None,
            };
        }
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = match said["error"]["message"].as_str() {
            Some(message) => message.into(),
            None => String::from_utf8_lossy(body),
        };
        // Hidden before it is cut: the cut could leave a part of the key that is none.
        let message = words(self.key.hidden_in(&said).as_bytes());
        HttpError::Refused {
            address,
            status,
            message,
        }
    }
}

/// Waits before the next attempt; an error that another attempt does not mend comes back.
async fn wait_or_give_up(error: HttpError, attempts: &mut Attempts) -> Result<(), HttpError> {
    if !error.may_pass() {
        return Err(error);
    }
    let asked = match &error {
        HttpError::Unavailable { after, .. } => *after,
        _ => None,
    };
    let pause = attempts.failed(asked);
    let attempt = attempts.count();
    tracing::warn!(%error, attempt, ?pause, "Stripe does not answer; trying again");
    sleep(pause).await;
    Ok(())
}
