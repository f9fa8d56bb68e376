#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
use std::sync::Arc;

use chrono::NaiveDate;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{SimulatorSettings, serve};
use crate::http::{Address, HttpClient, HttpError};

struct World {
    base: Address,
    client: HttpClient,
    _stop: DropGuard,
}

impl World {
    async fn start(settings: SimulatorSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let base = Address::parse(&base).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, settings, stop.clone()));
        Self {
            client: HttpClient::new(&base).unwrap(),
            base,
            _stop: stop.drop_guard(),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let answer = HttpClient::answer(&self.base, request, 100_000).await;
        let (status, body) = answer.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let request = self.client.get(&self.base.join(path));
        request.bearer_auth("sk_test_1")
    }

    fn charge(&self, key: &str, form: &str) -> RequestBuilder {
        let request = self.client.post(&self.base.join("v1/charges"));
        request
            .bearer_auth("rk_test_1")
            .header("Idempotency-Key", key)
            .body(form.to_owned())
    }
}

const FORM: &str = "amount=1099&currency=GBP&source=tok_visa&metadata[order]=1";

#[tokio::test]
async fn an_idempotency_key_gives_its_charge_again_and_takes_no_other_form() {
    let world = World::start(SimulatorSettings::new(1)).await;
    let (status, first) = world.answer(world.charge("a", FORM)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(first["amount"], 1099);
    assert_eq!(first["currency"], "gbp");
    assert_eq!(first["livemode"], false);
    assert_eq!(first["source"]["last4"], "4242");
    assert_eq!(first["payment_method_details"]["card"]["brand"], "visa");
    assert_eq!(world.answer(world.charge("a", FORM)).await.1, first);
    assert_ne!(
        world.answer(world.charge("b", FORM)).await.1["id"],
        first["id"]
    );
    let (status, error) = world.answer(world.charge("a", "amount=1")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["type"], "idempotency_error");

    let id = first["id"].as_str().unwrap();
    let path = format!("v1/charges/{id}");
    assert_eq!(world.answer(world.get(&path)).await.1, first);
    let (_, list) = world.answer(world.get("v1/charges")).await;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert_eq!(list["data"][1], first);
}

#[tokio::test]
async fn wrong_requests_and_declined_cards_have_stripes_errors() {
    let world = World::start(SimulatorSettings::new(1)).await;
    for (form, parameter) in [
        ("currency=gbp&source=tok_visa", "amount"),
        ("amount=0&currency=gbp&source=tok_visa", "amount"),
        ("amount=10&currency=pound&source=tok_visa", "currency"),
        ("amount=10&currency=gbp&source=tok_none", "source"),
    ] {
        let (status, error) = world.answer(world.charge(form, form)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(error["error"]["param"], parameter, "{form}");
    }
    let form = FORM.replace("tok_visa", "tok_chargeDeclinedInsufficientFunds");
    let (status, error) = world.answer(world.charge("d", &form)).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(error["error"]["decline_code"], "insufficient_funds");
    let (_, list) = world.answer(world.get("v1/charges")).await;
    assert_eq!(list["data"][0]["id"], error["error"]["charge"]);
    assert_eq!(list["data"][0]["status"], "failed");
}

#[tokio::test]
async fn a_key_is_wanted_and_a_second_has_its_limit() {
    let settings = SimulatorSettings {
        requests_per_second: 1,
        ..SimulatorSettings::new(1)
    };
    let world = World::start(settings).await;
    for key in ["sk_live_1", "pk_test_1", ""] {
        let call = world.client.get(&world.base.join("v1/charges"));
        let answer = HttpClient::answer(&world.base, call.bearer_auth(key), 1000).await;
        assert!(
            matches!(answer, Err(HttpError::Unauthorized { .. })),
            "{key}"
        );
    }
    // On a busy machine a request may take so long that the next one is in another second.
    let refused = loop {
        let answer = HttpClient::answer(&world.base, world.get("v1/charges"), 1000).await;
        if let Err(error) = answer {
            break error;
        }
    };
    let HttpError::Unavailable { status, after, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(after.unwrap().as_secs(), 1);
}

#[tokio::test]
async fn the_rates_of_a_day_may_come_late() {
    let settings = SimulatorSettings::new(1);
    let rates = Arc::clone(&settings.rates);
    let world = World::start(settings).await;
    let day = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
    rates.hold_back(day);
    let ask = || world.answer(world.get("forex/2026-11-20.json"));
    assert_eq!(ask().await.0, StatusCode::NOT_FOUND);
    rates.release(day);
    let (status, found) = ask().await;
    assert_eq!(
        (status, &found["date"]),
        (StatusCode::OK, &Value::from("2026-11-20"))
    );
    for path in ["forex/2026-02-30.json", "forex/2026-11-20"] {
        assert_eq!(world.answer(world.get(path)).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(
        world.answer(world.get("forex/latest.json")).await.0,
        StatusCode::OK
    );
}
