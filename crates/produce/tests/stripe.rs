//! The producer of stripe: its messages against the project's contract, and its way to a broker.

use std::collections::BTreeSet;
use std::time::Duration;

use factmill_core::position::SourceName;
use factmill_produce::http::ApiKey;
use factmill_produce::stripe::simulator::{Clock, ForexRates, SimulatorSettings, serve};
use factmill_produce::stripe::{ChargeRequests, StripeSettings, StripeSource};
use factmill_produce::{Event, EventSource, Next, produce};
use factmill_testkit::Kafka;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::decoded::{decoded, refused};
use crate::kafka::{config, fresh_topic, read, stored};

/// A simulator that loses answers, and settings to call it as fast as it answers.
async fn world() -> (StripeSettings, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = StripeSettings {
        base_url: format!("http://{}", listener.local_addr().unwrap()),
        every: Duration::ZERO,
        requests_per_second: 10_000,
        seed: Some(21),
        ..StripeSettings::new(ApiKey::new("sk_test_1"))
    };
    let simulated = SimulatorSettings {
        clock: Clock::Steps {
            start: 1_704_067_200,
            step: 30,
        },
        requests_per_second: 10_000,
        lose_every: Some(40),
        ..SimulatorSettings::new(2)
    };
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, simulated, stop.clone()));
    (settings, stop.drop_guard())
}

fn messages(mut source: StripeSource, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let mut event = Event::default();
        event.clear();
        match source.next(&mut event).unwrap() {
            Next::Event => events.push(event),
            Next::Wait(_) => {}
            Next::End => panic!("the source ended"),
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_good_message_loads_and_every_broken_one_becomes_a_dead_letter() {
    const COUNT: usize = 150;
    let (settings, _stop) = world().await;
    let settings = StripeSettings {
        bad_percent: 40.0,
        charges: 3,
        ..settings
    };
    let source = StripeSource::start(settings, Handle::current()).unwrap();
    let events = tokio::task::spawn_blocking(|| messages(source, COUNT))
        .await
        .unwrap();
    let decoded = decoded(&SourceName::new("stripe", "charges"), &events);
    let broken: Vec<usize> = (0..COUNT).filter(|&at| events[at].is_bad()).collect();
    assert_eq!(refused(&decoded), broken);
    assert!(broken.len() > 30, "{broken:?}");
    assert_eq!(decoded.rows.num_rows(), COUNT - broken.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_follow_each_other_send_every_charge_once() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("stripe");
    let (settings, _stop) = world().await;
    let folder = TempDir::new().unwrap();
    for _ in 0..3 {
        let settings = StripeSettings {
            seed: None,
            state: Some(folder.path().join("place")),
            ..settings.clone()
        };
        let source = StripeSource::start(settings, Handle::current()).unwrap();
        let config = config(kafka.brokers(), &topic, 4);
        let report = produce(config, source, &CancellationToken::new(), |_| {})
            .await
            .unwrap();
        assert_eq!(report.acknowledged, 4);
    }
    assert_eq!(stored(kafka, &topic).await, 12);
    let messages = read(kafka.brokers(), &topic, 12, |_, _| {});
    let mut orders = BTreeSet::new();
    let mut charges = 0;
    for message in messages.into_values().flatten() {
        let message: Value = serde_json::from_slice(&message.unwrap()).unwrap();
        for charge in message["transactions"].as_array().unwrap() {
            charges += 1;
            if let Some(order) = charge["metadata"]["order"].as_str() {
                assert!(
                    orders.insert(order.parse::<u64>().unwrap()),
                    "{order} twice"
                );
            }
        }
    }
    // The sizes and the declined ones depend on the seed, which the state file keeps.
    let place = std::fs::read_to_string(folder.path().join("place")).unwrap();
    let place: Value = serde_json::from_str(&place).unwrap();
    let seed = place["place"]["batch"]["seed"].as_u64().unwrap();
    let wanted = (0..12).flat_map(|batch| ChargeRequests::new(seed, 25).batch(batch));
    let (declined, paid): (Vec<_>, Vec<_>) = wanted.partition(|request| request.is_declined());
    assert_eq!(charges, declined.len() + paid.len());
    assert_eq!(orders, paid.iter().map(|request| request.order).collect());
}

#[test]
fn the_rates_of_a_day_load() {
    let mut event = Event::default();
    event.clear();
    let date = chrono::NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
    let json = ForexRates::new(4).json(date).unwrap();
    event.payload_mut().extend_from_slice(json.as_bytes());
    let decoded = decoded(&SourceName::new("stripe", "forex_rates"), &[event]);
    assert_eq!(
        (decoded.rows.num_rows(), decoded.dead_letters.len()),
        (1, 0)
    );
    assert!(decoded.undeclared.is_empty(), "{:?}", decoded.undeclared);
}
