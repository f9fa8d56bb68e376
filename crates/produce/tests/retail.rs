//! The producer of retail: its events against the project's contract, and its way to a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factmill_core::position::SourceName;
use factmill_produce::retail::{
    EventSettings, FAULTS, RetailEvents, RetailSettings, RetailSource, SimulatorSettings, Spread,
    serve,
};
use factmill_produce::{Event, Rate, produce};
use factmill_testkit::Kafka;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::decoded::{decoded, refused};
use crate::kafka::{config, fresh_topic, read, stored};

fn events(bad_percent: f64) -> RetailEvents {
    RetailEvents::new(EventSettings {
        seed: 5,
        spread: Spread::Month(10_000),
        bad_percent,
    })
}

fn written(events: &RetailEvents, count: u64) -> Vec<Event> {
    (0..count)
        .map(|index| {
            let mut event = Event::default();
            event.clear();
            events.write(index, &mut event);
            event
        })
        .collect()
}

#[test]
fn every_good_event_loads_and_every_broken_one_becomes_a_dead_letter() {
    let events = events(25.0);
    let decoded = decoded(
        &SourceName::new("retail", "transactions"),
        &written(&events, 3000),
    );
    let broken: Vec<usize> = (0..3000)
        .filter(|&index| events.fault(index as u64).is_some())
        .collect();
    assert_eq!(refused(&decoded), broken);
    assert_eq!(decoded.rows.num_rows(), 3000 - broken.len());
    assert_eq!(
        decoded.undeclared,
        BTreeMap::new(),
        "the contract names every field"
    );
    let kinds: BTreeSet<String> = (0..3000)
        .filter_map(|index| events.fault(index).map(|fault| format!("{fault:?}")))
        .collect();
    assert_eq!(kinds.len(), FAULTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_follow_each_other_send_every_event_once() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = fresh_topic("retail");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    // The connection breaks off in the middle of an event, again and again.
    let simulated = SimulatorSettings {
        rate: Rate::Max,
        cut_after: Some(900),
        ..SimulatorSettings::new(Arc::new(events(0.0)))
    };
    let server = tokio::spawn(serve(listener, simulated, stop.clone()));
    let folder = TempDir::new().unwrap();
    let broken = events(10.0);
    let mut sent = 0;
    for count in [1500, 1, 2499] {
        let settings = RetailSettings {
            seed: 5,
            bad_percent: 10.0,
            state: Some(folder.path().join("place")),
            ..RetailSettings::new(&url)
        };
        let source = RetailSource::start(settings, Handle::current()).unwrap();
        let config = config(kafka.brokers(), &topic, count);
        let report = produce(config, source, &CancellationToken::new(), |_| {})
            .await
            .unwrap();
        let bad = (sent..sent + count).filter(|&index| broken.fault(index).is_some());
        assert_eq!(
            (report.acknowledged, report.bad),
            (count, bad.count() as u64)
        );
        sent += count;
    }
    stop.cancel();
    server.await.unwrap().unwrap();
    assert_eq!(stored(kafka, &topic).await, 4000);
    let mut found: Vec<_> = read(kafka.brokers(), &topic, 4000, |_, _| {})
        .into_values()
        .flatten()
        .collect();
    let mut expected: Vec<_> = written(&broken, 4000)
        .iter()
        .map(|event| event.payload().map(<[u8]>::to_vec))
        .collect();
    found.sort();
    expected.sort();
    assert!(found == expected);
}
