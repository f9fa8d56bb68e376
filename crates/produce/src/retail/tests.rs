#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::{Event, EventSource, Next, Rate};

const LIMIT: Duration = Duration::from_secs(60);

fn events(bad_percent: f64) -> RetailEvents {
    RetailEvents::new(EventSettings {
        seed: 11,
        spread: Spread::Month(20_000),
        bad_percent,
    })
}

fn written(events: &RetailEvents, index: u64) -> Event {
    let mut event = Event::default();
    event.clear();
    events.write(index, &mut event);
    event
}

fn parsed(events: &RetailEvents, index: u64) -> Value {
    serde_json::from_slice(written(events, index).payload().unwrap()).unwrap()
}

#[test]
fn an_event_is_what_the_table_says() {
    let events = events(0.0);
    let mut ids = HashSet::new();
    let mut languages: HashMap<&str, HashSet<Tone>> = HashMap::new();
    let mut tiers: HashMap<String, HashSet<String>> = HashMap::new();
    let (mut unknown, mut without_review) = (0, 0);
    for index in 0..20_000 {
        let event = written(&events, index);
        assert_eq!(event.payload(), written(&events, index).payload());
        let sale = parsed(&events, index);
        let key = std::str::from_utf8(event.key().unwrap()).unwrap();
        assert_eq!(sale["store"]["store_id"], key);
        assert!(ids.insert(sale["transaction_id"].to_string()));
        let amount = cents(&sale["payment"]["amount"]);
        let items = sale["items"].as_array().unwrap();
        let of_items = items.iter().map(|item| {
            let quantity = item["quantity"].as_u64().unwrap();
            let rest = 100 - cents(&item["discount"]);
            (quantity * cents(&item["unit_price"]) * rest + 50) / 100
        });
        assert_eq!(of_items.sum::<u64>(), amount, "{sale}");
        match sale["customer"]["customer_id"].as_str() {
            Some(customer) => {
                let tier = sale["customer"]["loyalty"].as_str().unwrap().to_owned();
                tiers.entry(customer.to_owned()).or_default().insert(tier);
            }
            None => unknown += 1,
        }
        match events.review(index) {
            Some(review) => {
                assert_eq!(sale["review"], review.text);
                languages
                    .entry(review.language)
                    .or_default()
                    .insert(review.tone);
            }
            None => {
                assert!(sale["review"].is_null());
                without_review += 1;
            }
        }
    }
    assert_eq!(languages.len(), 12);
    assert!(
        languages.values().all(|tones| tones.len() == 2),
        "{languages:?}"
    );
    assert!((1000..2200).contains(&unknown), "{unknown}");
    assert!(
        (13_000..15_000).contains(&without_review),
        "{without_review}"
    );
    let changing = tiers.values().filter(|tiers| tiers.len() > 1).count();
    assert!(
        (300..1000).contains(&changing),
        "{changing} of {}",
        tiers.len()
    );
}

/// A decimal with two places as a whole number.
fn cents(value: &Value) -> u64 {
    (value.as_f64().unwrap() * 100.0).round() as u64
}

#[test]
fn reviews_need_no_escape() {
    let events = events(0.0);
    for index in 0..2_000 {
        if let Some(review) = events.review(index) {
            assert!(!review.text.contains(['"', '\\', '\n']), "{}", review.text);
        }
    }
}

struct World {
    runtime: Runtime,
    url: String,
    _stop: DropGuard,
}

impl World {
    fn start(settings: SimulatorSettings) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/stream", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        runtime.spawn(serve(listener, settings, stop.clone()));
        Self {
            runtime,
            url,
            _stop: stop.drop_guard(),
        }
    }

    fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    fn source(&self, change: impl FnOnce(&mut RetailSettings)) -> RetailSource {
        let mut settings = RetailSettings {
            seed: 11,
            ..RetailSettings::new(&self.url)
        };
        change(&mut settings);
        RetailSource::start(settings, self.handle()).unwrap()
    }
}

fn simulated() -> SimulatorSettings {
    SimulatorSettings {
        rate: Rate::Max,
        ..SimulatorSettings::new(Arc::new(events(0.0)))
    }
}

/// The next event; `None` at the end.
fn next(source: &mut RetailSource) -> Option<Event> {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let mut event = Event::default();
        event.clear();
        match source.next(&mut event).unwrap() {
            Next::Event => return Some(event),
            Next::Wait(_) => {}
            Next::End => return None,
        }
    }
    panic!("no event came");
}

/// Holds the next events of a source to those of the indexes.
fn expect(source: &mut RetailSource, indexes: std::ops::Range<u64>, bad_percent: f64) {
    let events = events(bad_percent);
    for index in indexes {
        let (found, expected) = (next(source).unwrap(), written(&events, index));
        assert_eq!(found.key(), expected.key(), "{index}");
        assert_eq!(found.is_bad(), expected.is_bad(), "{index}");
        assert_eq!(found.payload(), expected.payload(), "{index}");
    }
}

#[test]
fn both_formats_give_the_events_to_their_end() {
    let world = World::start(SimulatorSettings {
        count: Some(5_000),
        ..simulated()
    });
    for format in [StreamFormat::JsonLines, StreamFormat::ServerSentEvents] {
        let mut source = world.source(|settings| settings.format = format);
        expect(&mut source, 0..5_000, 0.0);
        assert!(next(&mut source).is_none());
    }
}

#[test]
fn a_response_that_breaks_off_goes_on_behind_the_last_whole_event() {
    for format in [StreamFormat::JsonLines, StreamFormat::ServerSentEvents] {
        let world = World::start(SimulatorSettings {
            count: Some(700),
            cut_after: Some(150),
            ..simulated()
        });
        let mut source = world.source(|settings| settings.format = format);
        expect(&mut source, 0..700, 0.0);
        assert!(next(&mut source).is_none());
    }
}

#[test]
fn broken_events_are_those_of_the_sequence() {
    let world = World::start(simulated());
    let mut source = world.source(|settings| settings.bad_percent = 20.0);
    expect(&mut source, 0..3_000, 20.0);
    let sequence = events(20.0);
    let broken: Vec<_> = (0..3_000)
        .filter_map(|index| sequence.fault(index))
        .collect();
    let kinds: HashSet<_> = broken.iter().collect();
    assert_eq!(kinds.len(), FAULTS.len());
    assert!((450..750).contains(&broken.len()), "{}", broken.len());
}

#[test]
fn a_run_goes_on_behind_the_last_acknowledged_event() {
    let world = World::start(simulated());
    let folder = tempfile::tempdir().unwrap();
    for format in [StreamFormat::JsonLines, StreamFormat::ServerSentEvents] {
        let state = folder.path().join(format!("{format:?}"));
        let with_state = |settings: &mut RetailSettings| {
            settings.format = format;
            settings.bad_percent = 10.0;
            settings.state = Some(state.clone());
        };
        let mut source = world.source(with_state);
        expect(&mut source, 0..500, 10.0);
        source.acknowledged(321).unwrap();
        drop(source);
        let mut source = world.source(with_state);
        expect(&mut source, 321..900, 10.0);
        source.acknowledged(579).unwrap();
        drop(source);
        expect(&mut world.source(with_state), 900..910, 10.0);
    }
}

#[test]
fn the_service_keeps_the_pace_that_is_asked_for() {
    let world = World::start(simulated());
    let mut source = world.source(|settings| settings.rate = Some(Rate::PerSecond(100.0)));
    next(&mut source).unwrap();
    let begun = Instant::now();
    (0..50).for_each(|_| drop(next(&mut source).unwrap()));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400), "{took:?}");
}

#[test]
fn a_wrong_address_ends_the_run() {
    let world = World::start(simulated());
    let mut source =
        world.source(|settings| settings.url = settings.url.replace("stream", "sales"));
    let begun = Instant::now();
    let mut event = Event::default();
    let error = loop {
        event.clear();
        match source.next(&mut event) {
            Err(error) => break error,
            Ok(_) => assert!(begun.elapsed() < LIMIT),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error
            .to_string()
            .contains("/sales refuses the request with status 404"),
        "{error}"
    );
    let refused = RetailSource::start(RetailSettings::new("shop"), world.handle()).unwrap_err();
    assert!(refused.to_string().contains("write it whole"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Configuration);
}
