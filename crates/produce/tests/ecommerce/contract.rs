//! What the shop's services write, held to the contract that the project declares.

use std::collections::HashSet;
use std::path::Path;

use factmill_connect::decode::{Decoded, decoder};
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source_schema::Format;
use factmill_project::{LoadOptions, Project};

use super::*;

fn transactions() -> SourceName {
    SourceName::new("ecommerce", "transactions")
}

pub(super) fn decoded(kept: &[Kept]) -> Decoded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let project = Project::load(&root, &LoadOptions::default()).unwrap();
    let schema = project.source(&transactions()).unwrap().schema.clone();
    let mut records = Records::default();
    for (index, kept) in kept.iter().enumerate() {
        records.payloads.push(Some(&kept.payload));
        records.keys.push(kept.key.as_deref());
        let headers = kept.headers.iter();
        records
            .headers
            .push(headers.map(|(name, value)| (name.as_str(), Some(value.as_slice()))));
        records.partitions.push(0);
        records.offsets.push(index as i64);
        records.timestamps.push(None);
    }
    let pulled = Pulled {
        topic: "transactions_topic".into(),
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
    };
    decoder(Format::Json, &schema)
        .unwrap()
        .decode(&transactions(), &pulled)
}

#[tokio::test(flavor = "multi_thread")]
async fn good_documents_load_and_broken_ones_become_dead_letters() {
    let shelf = Shelf::new();
    let shop = Shop::open(settings(), shelf.clone()).await;
    let url = format!(
        "{}/real_time_response?rate=max&count=5000&bad=20",
        shop.generator
    );
    all(&url).await;
    shop.close().await;
    let kept = shelf.kept();
    let decoded = decoded(&kept);
    let dead = decoded
        .dead_letters
        .iter()
        .map(|letter| letter.offset as usize);
    let broken = (0..kept.len()).filter(|&index| kept[index].is_bad);
    assert_eq!(dead.collect::<HashSet<_>>(), broken.collect());
    assert_eq!(decoded.undeclared, Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_partys_documents_load_whatever_their_manner() {
    const MANNERS: [&str; 5] = [
        // all as texts
        r#"{"transaction_id":"a","timestamp":"2026-11-21 10:00:00","customer_id":"17","total_amount":"12.50","status":"SHIPPED","product_details":[{"product_id":"P","product_name":"Mug","quantity":"2","price":"6.25"}],"shipping_address":{"street":"s","city":"c","state":"x","zip_code":"02108","country":"US"}}"#,
        // all as numbers
        r#"{"transaction_id":"b","timestamp":"2026-11-21T10:00:00","customer_id":17,"total_amount":12.5,"product_details":[{"product_id":7,"quantity":2,"price":6.25}],"shipping_address":{"zip_code":2108}}"#,
        // an offset, more digits than cents, fields that nobody declared
        r#"{"transaction_id":"c","timestamp":"2026-11-21T10:00:00.123+01:00","total_amount":59.980000000000004,"loyalty":{"points":[1,2]},"status":"delivered"}"#,
        // nothing but what must be there
        r#"{"transaction_id":"d","timestamp":"2026-11-21","total_amount":0}"#,
        r#"{"transaction_id":"e","timestamp":"2026-11-21T10:00Z","total_amount":1,"product_details":[],"shipping_address":null,"customer_id":null}"#,
    ];
    let kept = MANNERS.map(|document| Kept {
        key: None,
        payload: document.as_bytes().to_vec(),
        headers: vec![("source".into(), b"third_party".to_vec())],
        is_bad: false,
    });
    let decoded = decoded(&kept);
    assert!(
        decoded.dead_letters.is_empty(),
        "{:?}",
        decoded.dead_letters
    );
    assert_eq!(decoded.rows.num_rows(), MANNERS.len());
    let source = decoded.rows.column_by_name("source").unwrap();
    assert_eq!(source.null_count(), 0, "the header is a column");
}
