#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
use std::collections::HashSet;
use std::time::{Duration, Instant};

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::simulator::{Charges, Clock, Outcome, SimulatorSettings, serve};
use super::*;
use crate::http::{ApiKey, decode};
use crate::{Event, EventSource, Next};

const LIMIT: Duration = Duration::from_secs(60);
const STEPS: Clock = Clock::Steps {
    start: 1_704_067_200,
    step: 60,
};

/// A simulator that runs as long as this lives.
struct World {
    runtime: Runtime,
    base: String,
    _stop: DropGuard,
}

impl World {
    fn start(settings: SimulatorSettings) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        runtime.spawn(serve(listener, settings, stop.clone()));
        Self {
            runtime,
            base,
            _stop: stop.drop_guard(),
        }
    }

    fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    fn settings(&self) -> StripeSettings {
        StripeSettings {
            base_url: self.base.clone(),
            every: Duration::ZERO,
            requests_per_second: u32::MAX,
            seed: Some(7),
            ..StripeSettings::new(ApiKey::new("sk_test_1"))
        }
    }

    fn source(&self, settings: StripeSettings) -> StripeSource {
        StripeSource::start(settings, self.handle()).unwrap()
    }
}

fn simulated() -> SimulatorSettings {
    SimulatorSettings {
        clock: STEPS,
        requests_per_second: 100_000,
        ..SimulatorSettings::new(3)
    }
}

/// The next message: key and payload.
fn next(source: &mut StripeSource) -> (String, Option<Vec<u8>>, bool) {
    let begun = Instant::now();
    let mut event = Event::default();
    while begun.elapsed() < LIMIT {
        event.clear();
        match source.next(&mut event).unwrap() {
            Next::Event => {
                let key = String::from_utf8(event.key().unwrap().to_vec()).unwrap();
                return (key, event.payload().map(<[u8]>::to_vec), event.is_bad());
            }
            Next::Wait(_) => {}
            Next::End => panic!("the source ended"),
        }
    }
    panic!("no message came");
}

fn failure(source: &mut StripeSource) -> Box<dyn Classified> {
    let begun = Instant::now();
    let mut event = Event::default();
    while begun.elapsed() < LIMIT {
        event.clear();
        match source.next(&mut event) {
            Err(error) => return error,
            Ok(Next::Wait(_)) => {}
            Ok(other) => panic!("{other:?} instead of an error"),
        }
    }
    panic!("no error came");
}

/// What the simulator's settings say that a batch is.
fn expected(seed: u64, batch: u64) -> Vec<Value> {
    let charges = Charges::new(3, STEPS);
    ChargeRequests::new(seed, 25)
        .batch(batch)
        .map(
            |request| match charges.answer(&decode(&request.form()), &request.idempotency_key) {
                Outcome::Paid(charge) => charge,
                Outcome::Declined(..) => Value::Null,
                Outcome::Wrong(error) => panic!("{error}"),
            },
        )
        .collect()
}

fn transactions(payload: Option<Vec<u8>>) -> Vec<Value> {
    let message: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    message["transactions"].as_array().unwrap().clone()
}

#[test]
fn a_message_holds_the_charges_of_a_batch_and_null_where_one_was_declined() {
    let world = World::start(simulated());
    let mut source = world.source(world.settings());
    let (mut nulls, mut ids) = (0, HashSet::new());
    for batch in 0..12 {
        let (key, payload, bad) = next(&mut source);
        let charges = transactions(payload);
        assert_eq!((key, bad), (batch.to_string(), false));
        assert!((1..=25).contains(&charges.len()));
        assert_eq!(charges, expected(7, batch));
        for charge in charges {
            match charge["id"].as_str() {
                Some(id) => assert!(ids.insert(id.to_owned()), "{id} twice"),
                None => nulls += 1,
            }
        }
    }
    assert!(nulls > 0 && ids.len() > 50, "{nulls} of {}", ids.len());
}

#[test]
fn a_lost_answer_and_a_full_second_cost_no_charge_and_double_none() {
    let world = World::start(SimulatorSettings {
        lose_every: Some(5),
        requests_per_second: 60,
        ..simulated()
    });
    let mut source = world.source(world.settings());
    for batch in 0..5 {
        assert_eq!(transactions(next(&mut source).1), expected(7, batch));
    }
    drop(source);
    let mut listed = world.source(StripeSettings {
        mode: Mode::List,
        charges: 100,
        ..world.settings()
    });
    let charges = transactions(next(&mut listed).1);
    // The task may have made charges of the batches that follow.
    let mut orders: Vec<u64> = charges.iter().map(order).collect();
    orders.retain(|order| *order < 500);
    let distinct: HashSet<_> = orders.iter().collect();
    let made: usize = (0..5).map(|batch| expected(7, batch).len()).sum();
    assert_eq!((orders.len(), distinct.len()), (made, made));
}

fn order(charge: &Value) -> u64 {
    charge["metadata"]["order"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_list_gives_every_charge_once_also_those_that_come_later() {
    let world = World::start(simulated());
    let mut made = world.source(world.settings());
    (0..4).for_each(|_| drop(next(&mut made)));
    drop(made);
    let list = |state| StripeSettings {
        mode: Mode::List,
        charges: 7,
        state: Some(state),
        ..world.settings()
    };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("place");
    let mut listed = world.source(list(state.clone()));
    let mut seen = HashSet::new();
    let mut messages = 0;
    // The order numbers end with 0 at the oldest charge.
    while !seen.contains(&0) {
        for charge in transactions(next(&mut listed).1) {
            assert!(seen.insert(order(&charge)), "twice");
        }
        messages += 1;
    }
    listed.acknowledged(messages).unwrap();
    drop(listed);

    let mut more = world.source(StripeSettings {
        first_batch: 50,
        ..world.settings()
    });
    next(&mut more);
    drop(more);
    let mut listed = world.source(list(state));
    let next_page = transactions(next(&mut listed).1);
    assert!(
        next_page
            .iter()
            .all(|charge| !seen.contains(&order(charge)))
    );
    assert!(next_page.iter().any(|charge| order(charge) >= 5000));
}

#[test]
fn a_run_goes_on_behind_the_last_acknowledged_message() {
    let world = World::start(simulated());
    let folder = tempfile::tempdir().unwrap();
    let settings = |seed| StripeSettings {
        seed,
        state: Some(folder.path().join("place")),
        ..world.settings()
    };
    let mut source = world.source(settings(None));
    let seed = source.seed();
    for batch in 0..3 {
        assert_eq!(next(&mut source).0, batch.to_string());
    }
    source.acknowledged(2).unwrap();
    drop(source);
    let mut again = world.source(settings(None));
    assert_eq!(again.seed(), seed);
    let (key, payload, _) = next(&mut again);
    assert_eq!((&key[..], transactions(payload)), ("2", expected(seed, 2)));
    // A seed that is asked for is a promise of the same events, also where it is the state file's.
    for wanted in [seed, seed ^ 1] {
        let mut asked = world.source(settings(Some(wanted)));
        let (key, payload, _) = next(&mut asked);
        assert_eq!(
            (&key[..], transactions(payload)),
            ("0", expected(wanted, 0))
        );
    }
}

#[test]
fn broken_messages_are_marked() {
    let world = World::start(simulated());
    let mut source = world.source(StripeSettings {
        bad_percent: 50.0,
        ..world.settings()
    });
    let (mut good, mut bad) = (0, 0);
    for batch in 0..30 {
        let (_, payload, is_bad) = next(&mut source);
        assert_eq!(is_bad, fault::fault(7, batch, 50.0).is_some());
        if is_bad {
            bad += 1;
        } else {
            good += 1;
            assert_eq!(transactions(payload), expected(7, batch));
        }
    }
    assert!(good > 5 && bad > 5, "{good} good, {bad} bad");
}

#[test]
fn a_refused_key_ends_the_run_and_is_never_shown() {
    let world = World::start(simulated());
    let settings = StripeSettings {
        key: ApiKey::new("sk_live_secret"),
        live: true,
        ..world.settings()
    };
    assert!(!format!("{settings:?}").contains("secret"));
    let mut source = world.source(settings.clone());
    let error = failure(&mut source);
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = error.to_string();
    assert!(
        message.contains("refuses the key with status 401"),
        "{message}"
    );
    assert!(!message.contains("secret") && !format!("{error:?}").contains("secret"));

    for (key, live, expected) in [
        ("sk_live_secret", false, "live mode"),
        ("pk_test_secret", false, "no secret key"),
        ("", true, "no secret key"),
    ] {
        let settings = StripeSettings {
            key: ApiKey::new(key),
            live,
            ..settings.clone()
        };
        let error = StripeSource::start(settings, world.handle()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("_secret"),
            "{error:?}"
        );
    }
}

#[test]
fn a_refused_answer_that_quotes_the_key_is_told_without_it() {
    use axum::http::{HeaderMap, StatusCode, header};
    let runtime = Runtime::new().unwrap();
    let stop = CancellationToken::new();
    for status in [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND] {
        for pad in [0, 290] {
            // A proxy, say, that shows the request; the second time the key is where words are cut.
            let echo = move |headers: HeaderMap| async move {
                let said = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
                (status, format!("{}{said}", " ".repeat(pad)))
            };
            let app = axum::Router::new().fallback(echo);
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let settings = StripeSettings {
                base_url: format!("http://{}", listener.local_addr().unwrap()),
                ..StripeSettings::new(ApiKey::new("sk_test_hunter2hunter2"))
            };
            runtime.spawn(crate::http::serve(listener, app, stop.clone()));
            let mut source = StripeSource::start(settings, runtime.handle().clone()).unwrap();
            let error = failure(&mut source);
            let told = format!("{error} {error:?}");
            assert!(told.contains("Bearer "), "{told}");
            assert!(
                !told.contains("sk_test") && !told.contains("hunter2"),
                "{told}"
            );
        }
    }
    stop.cancel();
}

#[test]
fn a_key_leaves_this_machine_encrypted_only() {
    let runtime = Runtime::new().unwrap();
    let start = |base_url: &str| {
        let settings = StripeSettings {
            base_url: base_url.to_owned(),
            ..StripeSettings::new(ApiKey::new("sk_test_1"))
        };
        StripeSource::start(settings, runtime.handle().clone())
    };
    let error = start("http://me:pw@stripe.example.com/v1?key=x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let told = error.to_string();
    assert!(
        told.starts_with("http://stripe.example.com/v1 would get the Stripe key unencrypted"),
        "{told}"
    );
    assert!(start("http://127.0.0.1:1").is_ok());
}

#[test]
fn a_service_that_is_away_is_waited_for() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let runtime = Runtime::new().unwrap();
    let settings = StripeSettings {
        base_url: format!("http://{address}"),
        seed: Some(7),
        ..StripeSettings::new(ApiKey::new("rk_test_1"))
    };
    let mut source = StripeSource::start(settings, runtime.handle().clone()).unwrap();
    let mut event = Event::default();
    event.clear();
    assert!(matches!(source.next(&mut event), Ok(Next::Wait(_))));
    let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
    let stop = CancellationToken::new();
    runtime.spawn(serve(listener, simulated(), stop.clone()));
    assert_eq!(transactions(next(&mut source).1), expected(7, 0));
    stop.cancel();
}
