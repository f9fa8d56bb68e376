//! What banking's producer writes, held to the contract that the project declares.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use factmill_connect::decode::decoder;
use factmill_core::dead_letter::Reason;
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source_schema::{Format, SourceSchema};
use factmill_produce::Event;
use factmill_produce::banking::{BankingEvents, BankingSettings, Fault, Spread};
use factmill_project::{LoadOptions, Project};

fn transactions() -> SourceName {
    SourceName::new("banking", "transactions")
}

fn declared() -> SourceSchema {
    let options = LoadOptions::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let project = Project::load(&root, &options).unwrap();
    project.source(&transactions()).unwrap().schema.clone()
}

fn pulled(events: &BankingEvents, count: u64) -> Pulled {
    let mut records = Records::default();
    let mut event = Event::default();
    for index in 0..count {
        event.clear();
        events.write(index, &mut event);
        records.payloads.push(event.payload());
        records.keys.push(event.key());
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(index as i64);
        records.timestamps.push(None);
    }
    Pulled {
        topic: "bank_data".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: transactions(),
                partition: "0".into(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "test".into(),
            },
        }],
        records,
    }
}

fn banking(bad_percent: f64) -> BankingEvents {
    let settings = BankingSettings {
        seed: 20_240_101,
        spread: Spread::Steps,
        bad_percent,
    };
    BankingEvents::new(settings).unwrap()
}

#[test]
fn every_good_event_loads_and_every_broken_one_becomes_a_dead_letter() {
    const COUNT: u64 = 20_000;
    let events = banking(20.0);
    let decoded = decoder(Format::Json, &declared())
        .unwrap()
        .decode(&transactions(), &pulled(&events, COUNT));
    let broken: HashSet<i64> = (0..COUNT)
        .filter(|&index| events.fault(index).is_some())
        .map(|index| index as i64)
        .collect();
    let dead: HashSet<i64> = decoded
        .dead_letters
        .iter()
        .map(|letter| letter.offset)
        .collect();
    assert_eq!(dead, broken);
    assert_eq!(
        decoded.dead_letters.len() + decoded.rows.num_rows(),
        COUNT as usize
    );
    assert_eq!(
        decoded.undeclared,
        Default::default(),
        "the contract names every field"
    );
}

#[test]
fn every_kind_of_fault_has_its_reason() {
    let events = banking(100.0);
    let decoded = decoder(Format::Json, &declared())
        .unwrap()
        .decode(&transactions(), &pulled(&events, 2000));
    let mut found: HashMap<Fault, HashSet<(Reason, Option<String>)>> = HashMap::new();
    for letter in decoded.dead_letters {
        let fault = events.fault(letter.offset as u64).unwrap();
        found
            .entry(fault)
            .or_default()
            .insert((letter.reason, letter.field));
    }
    for fault in Fault::ALL {
        let of_fault = &found[&fault];
        let (reason, field) = wanted(fault);
        if fault == Fault::Truncated {
            let reasons: HashSet<_> = of_fault.iter().map(|(reason, _)| *reason).collect();
            assert!(
                reasons.is_subset(&HashSet::from([reason, Reason::InvalidUtf8])),
                "{reasons:?}"
            );
        } else {
            assert_eq!(
                *of_fault,
                HashSet::from([(reason, field.map(str::to_owned))]),
                "{fault:?}"
            );
        }
    }
}

fn wanted(fault: Fault) -> (Reason, Option<&'static str>) {
    match fault {
        Fault::EmptyPayload | Fault::NullPayload => (Reason::EmptyPayload, None),
        Fault::InvalidUtf8 => (Reason::InvalidUtf8, None),
        Fault::NulInText => (Reason::DoesNotFit, Some("account_id")),
        Fault::HugeAmount | Fault::FineAmount | Fault::EndlessAmount => {
            (Reason::DoesNotFit, Some("amount"))
        }
        Fault::AmountOfWrongType | Fault::AmountInWords => (Reason::WrongType, Some("amount")),
        Fault::NullAmount => (Reason::NullNotAllowed, Some("amount")),
        Fault::MissingId => (Reason::NullNotAllowed, Some("transaction_id")),
        Fault::IdOfWrongType => (Reason::WrongType, Some("transaction_id")),
        Fault::AccountOfWrongType => (Reason::WrongType, Some("account_id")),
        Fault::CustomerOfWrongType => (Reason::WrongType, Some("customer")),
        Fault::NoSuchDay => (Reason::DoesNotFit, Some("timestamp")),
        Fault::TimeInWords => (Reason::WrongType, Some("timestamp")),
        Fault::Truncated | Fault::TrailingText | Fault::NotJson => (Reason::Malformed, None),
        Fault::NotAnObject => (Reason::WrongType, None),
        Fault::DeepNesting => (Reason::TooDeep, None),
    }
}
