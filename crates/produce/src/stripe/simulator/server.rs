//! The simulator's HTTP side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_recursion::async_recursion as boxed;
use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::Utc;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::SimulatorSettings;
use super::charge::{Charges, Outcome};
use super::ledger::{Answer, Ledger};
use crate::http::decode;

struct Simulator {
    settings: SimulatorSettings,
    charges: Charges,
    ledger: Mutex<Ledger>,
}

/// Answers on `listener` until `stop` is cancelled; requests under way have two seconds more.
///
/// # Errors
/// What the listener says when it cannot accept connections any more.
#[boxed]
pub async fn serve(
    listener: TcpListener,
    settings: SimulatorSettings,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let simulator = Arc::new(Simulator {
        charges: Charges::new(settings.seed, settings.clock),
        settings,
        ledger: Mutex::default(),
    });
    let api = Router::new()
        .route("/v1/charges", get(list).post(create))
        .route("/v1/charges/{id}", get(retrieve))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&simulator),
            admit,
        ));
    let app = Router::new()
        .route("/forex/{file}", get(rates))
        .merge(api)
        .with_state(simulator);
    crate::http::serve(listener, app, stop).await
}

/// Lets calls through that have a key and are within the rate limit.
async fn admit(State(simulator): State<Arc<Simulator>>, request: Request, next: Next) -> Response {
    let key = request.headers().get(header::AUTHORIZATION);
    let key = key
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !key.is_some_and(|key| key.starts_with("sk_test_") || key.starts_with("rk_test_")) {
        let error = json!({ "error": {
            "message": "Invalid API Key provided: use one that begins with sk_test_ or rk_test_",
            "type": "invalid_request_error",
        }});
        return answer((StatusCode::UNAUTHORIZED, error.to_string()));
    }
    let limit = simulator.settings.requests_per_second;
    if !simulator.ledger().admits(Instant::now(), limit) {
        let error = json!({ "error": {
            "code": "rate_limit",
            "message": "Request rate limit exceeded.",
            "type": "invalid_request_error",
        }});
        let refused = answer((StatusCode::TOO_MANY_REQUESTS, error.to_string()));
        return ([(header::RETRY_AFTER, "1")], refused).into_response();
    }
    next.run(request).await
}

async fn create(
    State(simulator): State<Arc<Simulator>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let key = headers.get("idempotency-key");
    let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
    answer(simulator.create(key, &body))
}

async fn list(State(simulator): State<Arc<Simulator>>, RawQuery(query): RawQuery) -> Response {
    let query = decode(query.as_deref().unwrap_or_default());
    answer(simulator.ledger().list(&query))
}

async fn retrieve(State(simulator): State<Arc<Simulator>>, Path(id): Path<String>) -> Response {
    answer(simulator.ledger().charge(&id))
}

async fn rates(State(simulator): State<Arc<Simulator>>, Path(file): Path<String>) -> Response {
    let date = match file.strip_suffix(".json") {
        Some("latest") => Some(Utc::now().date_naive()),
        Some(date) => date.parse().ok(),
        None => None,
    };
    match date.and_then(|date| simulator.settings.rates.json(date)) {
        Some(rates) => answer((StatusCode::OK, rates)),
        None => answer((
            StatusCode::NOT_FOUND,
            json!({ "error": "there are no rates of that day" }).to_string(),
        )),
    }
}

fn answer((status, body): Answer) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

impl Simulator {
    /// The memory is whole after each of its methods.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, key: Option<String>, form: &str) -> Answer {
        let mut ledger = self.ledger();
        if let Some(before) = key.as_deref().and_then(|key| ledger.answered(key, form)) {
            return before;
        }
        // Without a key each request is one of its own.
        let key = key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let (answer, made) = match self.charges.answer(&decode(form), &key) {
            Outcome::Paid(charge) => (
                (StatusCode::OK, charge.to_string()),
                Some(ledger.keep(&charge)),
            ),
            Outcome::Declined(charge, error) => (
                (StatusCode::PAYMENT_REQUIRED, error.to_string()),
                Some(ledger.keep(&charge)),
            ),
            Outcome::Wrong(error) => ((StatusCode::BAD_REQUEST, error.to_string()), None),
        };
        ledger.answer(&key, form, &answer);
        match (self.settings.lose_every, made) {
            (Some(every), Some(made)) if made.is_multiple_of(every) => {
                let error =
                    json!({ "error": { "message": "An error occurred.", "type": "api_error" } });
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            _ => answer,
        }
    }
}
