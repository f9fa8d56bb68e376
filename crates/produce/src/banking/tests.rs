//! The sequence is the same for a seed, each event is another one, and a good one is as documented.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;

fn events(seed: u64, bad_percent: f64) -> Arc<BankingEvents> {
    let settings = BankingSettings {
        seed,
        spread: Spread::Steps,
        bad_percent,
    };
    Arc::new(BankingEvents::new(settings).unwrap())
}

fn written(events: &BankingEvents, index: u64) -> Event {
    let mut event = Event::default();
    event.clear();
    events.write(index, &mut event);
    event
}

fn document(event: &Event) -> Value {
    serde_json::from_slice(event.payload().unwrap()).unwrap()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

#[test]
fn a_seed_repeats_its_events_from_any_place() {
    let (one, again, other) = (events(7, 5.0), events(7, 5.0), events(8, 5.0));
    let mut source = Arc::clone(&again).starting_at(1000);
    let mut event = Event::default();
    let mut differ = 0;
    for index in 1000..2000 {
        event.clear();
        assert_eq!(source.next(&mut event).unwrap(), Next::Event);
        let wanted = written(&one, index);
        assert_eq!(
            (event.key(), event.payload(), event.is_bad()),
            (wanted.key(), wanted.payload(), wanted.is_bad())
        );
        differ += u32::from(written(&other, index).payload() != wanted.payload());
    }
    assert!(
        differ > 990,
        "another seed gives other events, in all but empty ones: {differ}"
    );
}

#[test]
fn no_id_comes_twice() {
    let (one, other) = (events(1, 0.0), events(2, 0.0));
    let mut seen = HashSet::new();
    for index in (0..200_000).chain(u64::MAX - 1000..=u64::MAX) {
        for events in [&one, &other] {
            let id = events.transaction_id(index);
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (4, uuid::Variant::RFC4122)
            );
            assert!(seen.insert(id), "{id} at {index}");
        }
    }
}

#[test]
fn a_good_event_is_as_documented() {
    let events = events(42, 0.0);
    let mut kinds: HashMap<String, u32> = HashMap::new();
    let (mut texts, mut numbers) = (0, 0);
    for index in 0..20_000 {
        let event = written(&events, index);
        let document = document(&event);
        let names: Vec<_> = document
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "transaction_id",
                "timestamp",
                "account_id",
                "customer",
                "amount",
                "currency",
                "transaction_type",
                "merchant",
                "channel",
                "status"
            ]
        );
        assert_eq!(
            text(&document, "transaction_id"),
            events.transaction_id(index).to_string()
        );
        assert_eq!(
            text(&document, "account_id").as_bytes(),
            event.key().unwrap()
        );
        let customer = &document["customer"];
        assert!(
            text(customer, "email").is_ascii() && text(customer, "email").contains("@example.")
        );
        assert!(text(customer, "name").contains(' '));
        let amount: f64 = match &document["amount"] {
            Value::String(amount) => {
                texts += 1;
                assert_eq!(amount.split('.').nth(1).map(str::len), Some(2), "{amount}");
                amount.parse().unwrap()
            }
            amount => {
                numbers += 1;
                amount.as_f64().unwrap()
            }
        };
        assert!((1.5..=5000.0).contains(&amount), "{amount}");
        let kind = text(&document, "transaction_type");
        let has_merchant = !document["merchant"].is_null();
        assert_eq!(
            has_merchant,
            matches!(kind, "card_payment" | "direct_debit"),
            "{document}"
        );
        assert!(["web", "mobile", "branch", "atm", "api"].contains(&text(&document, "channel")));
        assert!(["completed", "pending", "failed"].contains(&text(&document, "status")));
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(
        texts > 8000 && numbers > 8000,
        "{texts} texts and {numbers} numbers"
    );
}

#[test]
fn an_account_always_has_the_same_holder() {
    let mut holders = HashMap::new();
    for events in [events(1, 0.0), events(2, 0.0)] {
        for index in 0..10_000 {
            let document = document(&written(&events, index));
            let holder = document["customer"].clone();
            let known = holders
                .entry(text(&document, "account_id").to_owned())
                .or_insert_with(|| holder.clone());
            assert_eq!(*known, holder);
        }
    }
    assert!(holders.len() > 2900);
}

#[test]
fn time_moves_in_steps_or_evenly_and_begins_again_with_new_ids() {
    let at = |spread, index| {
        let settings = BankingSettings {
            seed: 1,
            spread,
            bad_percent: 0.0,
        };
        let document = document(&written(&BankingEvents::new(settings).unwrap(), index));
        (
            text(&document, "timestamp").to_owned(),
            text(&document, "transaction_id").to_owned(),
        )
    };
    let month = 31 * 24 * 720;
    assert_eq!(at(Spread::Steps, 0).0, "2024-01-01T00:00:00.000Z");
    assert_eq!(at(Spread::Steps, 1).0, "2024-01-01T00:00:05.000Z");
    assert_eq!(at(Spread::Steps, month - 1).0, "2024-01-31T23:59:55.000Z");
    assert_eq!(at(Spread::Steps, month).0, at(Spread::Steps, 0).0);
    assert_ne!(at(Spread::Steps, month).1, at(Spread::Steps, 0).1);
    assert_eq!(at(Spread::Month(31), 30).0, "2024-01-31T00:00:00.000Z");
    assert_eq!(
        at(Spread::Month(1_000_000), 1).0,
        "2024-01-01T00:00:02.678Z"
    );
    assert_eq!(
        at(Spread::Month(1_000_000), 999_999).0,
        "2024-01-31T23:59:57.321Z"
    );
    assert_eq!(at(Spread::Month(0), 5).0, "2024-01-01T00:00:00.000Z");
}

#[test]
fn as_many_are_broken_as_asked_for_and_each_says_so() {
    for (percent, range) in [
        (0.0, 0..=0),
        (1.0, 850..=1150),
        (50.0, 49_000..=51_000),
        (100.0, 100_000..=100_000),
    ] {
        let events = events(3, percent);
        let faults: Vec<_> = (0..100_000)
            .filter_map(|index| events.fault(index))
            .collect();
        assert!(
            range.contains(&faults.len()),
            "{percent} percent gave {} of 100,000",
            faults.len()
        );
        for index in 0..2000 {
            assert_eq!(
                written(&events, index).is_bad(),
                events.fault(index).is_some()
            );
        }
        if percent >= 1.0 {
            assert_eq!(
                faults.iter().collect::<HashSet<_>>().len(),
                Fault::ALL.len(),
                "every kind comes"
            );
        }
    }
}

#[test]
fn breaking_some_events_leaves_the_others_as_they_were() {
    let (clean, broken) = (events(3, 0.0), events(3, 30.0));
    for index in (0..5000).filter(|&index| broken.fault(index).is_none()) {
        assert_eq!(
            written(&clean, index).payload(),
            written(&broken, index).payload()
        );
    }
}

#[test]
fn a_share_that_is_no_percentage_is_refused() {
    for percent in [-0.1, 100.1, f64::NAN] {
        let settings = BankingSettings {
            seed: 0,
            spread: Spread::Steps,
            bad_percent: percent,
        };
        assert!(BankingEvents::new(settings).is_err(), "{percent}");
    }
}
