//! `RawStore` against a real MongoDB-compatible server.

use factmill_connect::sink::raw_store::{RawStore, RawStoreError};
use factmill_core::error::ErrorKind;
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source::Classified;
use factmill_testkit::{Mongo, unique_name};
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};

const TOPIC: &str = "bank_data";

/// Records of one partition from offset 0 on.
fn pulled(payloads: &[Option<Vec<u8>>]) -> Pulled {
    let mut records = Records::default();
    for (offset, payload) in payloads.iter().enumerate() {
        records.payloads.push(payload.as_deref());
        records.keys.push(Some(b"FR76"));
        records.headers.push([("source", Some(&b"web"[..]))]);
        records.partitions.push(0);
        records.offsets.push(offset as i64);
        records.timestamps.push(Some(1_700_000_000_123_000));
    }
    Pulled {
        topic: TOPIC.into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: SourceName::new("banking", "transactions"),
                partition: "3".into(),
            },
            number: 3,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "cluster/topic".into(),
            },
        }],
        records,
    }
}

fn bytes(payloads: &[&str]) -> Vec<Option<Vec<u8>>> {
    payloads
        .iter()
        .map(|payload| Some(payload.as_bytes().to_vec()))
        .collect()
}

/// A store in a collection of its own, and that collection.
async fn store(mongo: &Mongo) -> (RawStore, mongodb::Collection<Document>) {
    let database = unique_name("raw");
    let store = RawStore::connect(mongo.url(), &database, "transactions")
        .await
        .unwrap();
    let client = mongo.connect().await.unwrap();
    (store, client.database(&database).collection("transactions"))
}

async fn stored(collection: &mongodb::Collection<Document>) -> Vec<Document> {
    collection
        .find(doc! { "topic": TOPIC, "incarnation": 1, "partition": 3 })
        .sort(doc! { "offset": 1 })
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn every_record_is_stored_whatever_it_says() {
    let (store, collection) = store(Mongo::shared().await.unwrap()).await;
    let mut payloads = bytes(&[
        r#"{"transaction_id":"a","amount":"12.50","customer":{"name":"Zoé \"'; drop"},"tags":[1,null,true,{}]}"#,
        r#"{"small":1,"large":9007199254740993,"float":0.1,"zero":0.0}"#,
        "{broken",
        "",
        "[1]",
        r#"{"a":1,"a":2}"#,
        r#"{"$set":{"a.b":1}}"#,
        r#"{"nul":"a\u0000b"}"#,
        r#"{"zero":-0.0}"#,
        r#"{"exact":12345678901234567890.78}"#,
    ]);
    payloads.push(None);
    payloads.push(Some(b"{\"a\":\"\xff\"}".to_vec()));
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    payloads.push(Some(deep.into_bytes()));
    let nearly = format!("{}1{}", "{\"a\":".repeat(90), "}".repeat(90));
    payloads.push(Some(nearly.into_bytes()));
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(5 << 20));
    payloads.push(Some(large.into_bytes()));
    store.write(&pulled(&payloads)).await.unwrap();

    let stored = stored(&collection).await;
    assert_eq!(stored.len(), payloads.len());
    for (offset, (document, payload)) in stored.iter().zip(&payloads).enumerate() {
        assert_eq!(
            document.get_str("_id").unwrap(),
            format!("{TOPIC}:3:{offset}")
        );
        assert_eq!(document.get_i64("offset").unwrap(), offset as i64);
        match document.get("payload") {
            None => assert!(document.get_document("document").is_ok(), "{offset}"),
            Some(Bson::Null) => assert_eq!(payload, &None, "{offset}"),
            Some(Bson::Binary(kept)) => assert_eq!(Some(&kept.bytes), payload.as_ref()),
            Some(other) => panic!("{other:?}"),
        }
    }
    let documents: Vec<usize> = (0..stored.len())
        .filter(|&at| stored[at].contains_key("document"))
        .collect();
    assert_eq!(documents, [0, 1, 7, 13, 14]);
    let numbers = stored[1].get_document("document").unwrap();
    assert_eq!(numbers.get_i32("small").unwrap(), 1);
    assert_eq!(numbers.get_i64("large").unwrap(), 9_007_199_254_740_993);
    assert_eq!(numbers.get_f64("float").unwrap(), 0.1);
}

#[tokio::test]
async fn writing_again_changes_nothing_and_other_content_is_refused() {
    let (store, collection) = store(Mongo::shared().await.unwrap()).await;
    let payloads = bytes(&[r#"{"amount":12.5,"at":{"city":"Lyon"}}"#, "{broken", "{}"]);
    store.write(&pulled(&payloads)).await.unwrap();
    // what a crash left: the first three are there, the rest is not
    let more: Vec<_> = payloads
        .iter()
        .cloned()
        .chain(bytes(&["{\"n\":1}", "x"]))
        .collect();
    store.write(&pulled(&more)).await.unwrap();
    store.write(&pulled(&more)).await.unwrap();
    assert_eq!(stored(&collection).await.len(), 5);

    for (changed, at) in [("{\"amount\":12.6}", 0), ("{broken ", 1), ("{} ", 4)] {
        let mut other = more.clone();
        other[at] = Some(changed.as_bytes().to_vec());
        let error = store.write(&pulled(&other)).await.unwrap_err();
        assert!(matches!(&error, RawStoreError::Differs { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("{TOPIC}:3:{at}")),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    assert_eq!(stored(&collection).await.len(), 5);
}

#[tokio::test]
async fn large_pulls_are_split_and_complete() {
    let (store, collection) = store(Mongo::shared().await.unwrap()).await;
    let payloads: Vec<_> = (0..12_000)
        .map(|at| Some(format!("{{\"n\":{at}}}").into_bytes()))
        .chain((0..4).map(|_| Some(vec![b'x'; 3 << 20])))
        .collect();
    store.write(&pulled(&payloads)).await.unwrap();
    let count = collection.count_documents(doc! {}).await.unwrap();
    assert_eq!(count, payloads.len() as u64);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_without_the_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let url = format!(
        "mongodb://me:hunter2@{address}/?directConnection=true&serverSelectionTimeoutMS=500"
    );
    let error = RawStore::connect(&url, "banking", "transactions")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));

    let unreadable = RawStore::connect("mongodb://me:hunter/2@h", "a", "b")
        .await
        .unwrap_err();
    assert_eq!(unreadable.kind(), ErrorKind::Configuration, "{unreadable}");
    assert!(!format!("{unreadable} {unreadable:?}").contains("hunter"));
}

#[tokio::test]
async fn a_name_that_the_server_refuses_is_a_mistake_in_the_job() {
    let mongo = Mongo::shared().await.unwrap();
    let error = RawStore::connect(mongo.url(), "no spaces in names", "transactions")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("no spaces in names"), "{error}");
}

#[tokio::test]
async fn a_server_that_was_killed_is_a_passing_failure() {
    let mongo = Mongo::start().await.unwrap();
    if !mongo.restartable() {
        eprintln!("skipped: the server is not ours to kill");
        return;
    }
    let (store, collection) = store(&mongo).await;
    let payloads = bytes(&["{\"n\":1}"]);
    store.write(&pulled(&payloads)).await.unwrap();
    mongo.kill().unwrap();
    let error = store.write(&pulled(&payloads)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    mongo.restart().await.unwrap();
    store.write(&pulled(&payloads)).await.unwrap();
    assert_eq!(stored(&collection).await.len(), 1);
}
