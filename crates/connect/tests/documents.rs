//! `Documents` against real MongoDB-compatible servers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use factmill_connect::sink::documents::{Documents, DocumentsError};
use factmill_core::document::{Collection, CollectionName, DocumentChange};
use factmill_core::error::ErrorKind;
use factmill_core::order::OrderKey;
use factmill_core::source::Classified;
use factmill_core::table::{Column, DELETED_COLUMN, ORDER_COLUMN};
use factmill_core::types::DeclaredType;
use factmill_testkit::{Mongo, unique_name};
use futures::TryStreamExt;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

const TOPIC: &str = "retail_transactions";

/// A collection of a database of its own, with these columns.
fn collection(columns: &[(&str, &str)], key: &[usize]) -> Collection {
    let columns = columns.iter().map(|(name, data_type)| Column {
        name: (*name).into(),
        data_type: DeclaredType::parse(data_type).unwrap(),
        not_null: false,
        description: None,
    });
    Collection {
        name: CollectionName {
            database: unique_name("documents"),
            collection: "transactions_processed".into(),
        },
        model: "transactions_processed".into(),
        columns: columns.collect(),
        key: key.to_vec(),
    }
}

fn order(incarnation: i32, offset: i64) -> Vec<u8> {
    let mut key = Vec::new();
    OrderKey {
        event_time: None,
        topic: TOPIC,
        incarnation,
        partition: 3,
        offset,
        index: 0,
    }
    .encode(&mut key);
    key
}

/// Rows of a collection: its columns, then what comes beside them.
fn change(
    collection: &Collection,
    columns: Vec<ArrayRef>,
    order: &[Vec<u8>],
    deleted: Option<Vec<bool>>,
) -> DocumentChange {
    let mut fields: Vec<Field> = collection
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.arrow(), true))
        .collect();
    let mut columns = columns;
    let order: ArrayRef = Arc::new(BinaryArray::from_iter_values(order));
    fields.push(Field::new(ORDER_COLUMN, order.data_type().clone(), false));
    columns.push(order);
    if let Some(deleted) = deleted {
        let deleted: ArrayRef = Arc::new(BooleanArray::from(deleted));
        fields.push(Field::new(
            DELETED_COLUMN,
            deleted.data_type().clone(),
            false,
        ));
        columns.push(deleted);
    }
    DocumentChange {
        collection: 0,
        rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap(),
    }
}

async fn open(
    mongo: &Mongo,
    collection: &Collection,
) -> (Documents, mongodb::Collection<Document>) {
    let documents = Documents::connect(mongo.url(), vec![collection.clone()].into())
        .await
        .unwrap();
    let client = mongo.connect().await.unwrap();
    let database = client.database(&collection.name.database);
    (documents, database.collection(&collection.name.collection))
}

async fn stored(collection: &mongodb::Collection<Document>) -> Vec<Document> {
    let found = collection.find(doc! {}).sort(doc! { "_id": 1 });
    found.await.unwrap().try_collect().await.unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Rows `(text, order)` of a collection with one text column.
fn records(collection: &Collection, rows: &[(&str, i64)]) -> DocumentChange {
    let values: Vec<_> = rows.iter().map(|(text, _)| Some(*text)).collect();
    let order: Vec<_> = rows.iter().map(|(_, offset)| order(1, *offset)).collect();
    change(collection, vec![texts(&values)], &order, None)
}

#[tokio::test]
async fn each_row_is_a_document_under_the_id_of_its_raw_document() {
    for (mongo, name) in [
        // FerretDB does not quote the names of fields
        (Mongo::shared().await.unwrap(), "it's `quoted` é"),
        (
            Mongo::shared_with_changes().await.unwrap(),
            "it's \"quoted\" é",
        ),
    ] {
        let collection = collection(
            &[
                (name, "text"),
                ("amount", "numeric(18,2)"),
                ("at", "timestamptz"),
                ("id", "uuid"),
                ("count", "bigint"),
            ],
            &[],
        );
        let (documents, found) = open(mongo, &collection).await;
        let amounts = Decimal128Array::from(vec![Some(1250), None])
            .with_precision_and_scale(18, 2)
            .unwrap();
        let times = vec![Some(1_700_000_000_123_000), Some(-1_000)];
        let hostile = "a\0b ${jndi:x} '; drop {\"$set\":1} \u{1F600}";
        let columns: Vec<ArrayRef> = vec![
            texts(&[Some(hostile), Some("")]),
            Arc::new(amounts),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[7_u8; 16], [255; 16]].iter()).unwrap()),
            Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN])),
        ];
        let written = change(&collection, columns, &[order(1, 40), order(2, 7)], None);
        documents
            .write(std::slice::from_ref(&written))
            .await
            .unwrap();

        let amount = match documents.has_decimals() {
            true => Bson::Decimal128("12.50".parse().unwrap()),
            false => Bson::String("12.50".into()),
        };
        let uuid = |byte| {
            Bson::Binary(Binary {
                subtype: BinarySubtype::Uuid,
                bytes: vec![byte; 16],
            })
        };
        let expected = [
            doc! {
                "_id": format!("{TOPIC}:3:40"), name: hostile, "amount": amount,
                "at": DateTime::from_millis(1_700_000_000_123), "id": uuid(7), "count": i64::MAX,
            },
            doc! {
                "_id": format!("{TOPIC}@2:3:7"), name: "", "amount": Bson::Null,
                "at": DateTime::from_millis(-1), "id": uuid(255), "count": i64::MIN,
            },
        ];
        assert_eq!(stored(&found).await, expected);
    }
}

#[tokio::test]
async fn writing_again_leaves_each_document_once_with_what_was_written_last() {
    for mongo in [
        Mongo::shared().await.unwrap(),
        Mongo::shared_with_changes().await.unwrap(),
    ] {
        let collection = collection(&[("text", "text")], &[]);
        let (documents, found) = open(mongo, &collection).await;
        let first = records(&collection, &[("a", 0), ("b", 1)]);
        documents.write(&[first]).await.unwrap();
        // another attempt, after a crash and with a newer model, in an epoch of another size
        let again = records(&collection, &[("b'", 1), ("c", 2)]);
        documents.write(std::slice::from_ref(&again)).await.unwrap();
        documents.write(&[again]).await.unwrap();
        let texts: Vec<_> = stored(&found)
            .await
            .iter()
            .map(|document| document.get_str("text").unwrap().to_owned())
            .collect();
        assert_eq!(texts, ["a", "b'", "c"]);
    }
}

#[tokio::test]
async fn keys_follow_their_newest_row_and_go_away_with_it() {
    for mongo in [
        Mongo::shared().await.unwrap(),
        Mongo::shared_with_changes().await.unwrap(),
    ] {
        let columns = [("id", "text"), ("region", "bigint"), ("name", "text")];
        let collection = collection(&columns, &[1, 0]);
        let (documents, found) = open(mongo, &collection).await;
        let write = async |rows: &[(&str, Option<&str>, i64)]| {
            let ids: Vec<_> = rows.iter().map(|(id, ..)| Some(*id)).collect();
            let names: Vec<_> = rows.iter().map(|(_, name, _)| *name).collect();
            let order: Vec<_> = rows.iter().map(|(.., offset)| order(1, *offset)).collect();
            let deleted = names.iter().map(Option::is_none).collect();
            let regions: ArrayRef = Arc::new(Int64Array::from(vec![1; rows.len()]));
            let columns = vec![texts(&ids), regions, texts(&names)];
            let change = change(&collection, columns, &order, Some(deleted));
            documents.write(&[change]).await.unwrap();
        };
        let names = async || -> Vec<(Document, String)> {
            let name = |document: Document| {
                let id = document.get_document("_id").unwrap().clone();
                (id, document.get_str("name").unwrap().to_owned())
            };
            stored(&found).await.into_iter().map(name).collect()
        };
        let id = |id: &str| doc! { "region": 1_i64, "id": id };
        write(&[("a", Some("Ada"), 0), ("b", Some("Bob"), 1)]).await;
        write(&[("a", Some("Ada II"), 9), ("b", None, 10), ("c", None, 11)]).await;
        assert_eq!(names().await, [(id("a"), "Ada II".to_owned())]);
        // a process that was paused comes late: neither its row nor its deletion holds
        write(&[("a", Some("Ada"), 3)]).await;
        write(&[("a", None, 8)]).await;
        assert_eq!(names().await, [(id("a"), "Ada II".to_owned())]);
        // the same again, as after a crash
        write(&[("a", Some("Ada III"), 9), ("b", None, 10)]).await;
        assert_eq!(names().await, [(id("a"), "Ada III".to_owned())]);
        write(&[("b", Some("Bea"), 12)]).await;
        assert_eq!(names().await.len(), 2);
    }
}

#[tokio::test]
async fn large_epochs_are_split_and_what_no_document_holds_is_named() {
    let collection = collection(&[("text", "text")], &[]);
    let (documents, found) = open(Mongo::shared().await.unwrap(), &collection).await;
    let large = "x".repeat(6 << 20);
    let mut rows: Vec<(&str, i64)> = (0..12_000).map(|offset| ("small", offset)).collect();
    rows.extend((12_000..12_003).map(|offset| (large.as_str(), offset)));
    for _ in 0..2 {
        documents
            .write(&[records(&collection, &rows)])
            .await
            .unwrap();
        let count = found.count_documents(doc! {}).await.unwrap();
        assert_eq!(count, rows.len() as u64);
    }
    let huge = "x".repeat(17 << 20);
    let error = documents
        .write(&[records(&collection, &[(&huge, 1)])])
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, DocumentsError::TooLarge { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn a_killed_server_is_a_passing_failure_and_nothing_is_there_twice() {
    let mongo = Mongo::start().await.unwrap();
    if !mongo.restartable() {
        eprintln!("skipped: the server is not ours to kill");
        return;
    }
    let collection = collection(&[("text", "text")], &[]);
    let (documents, found) = open(&mongo, &collection).await;
    let rows: Vec<(&str, i64)> = (0..30_000).map(|offset| ("text", offset)).collect();
    let all = records(&collection, &rows);
    let writing = tokio::spawn({
        let (documents, all) = (documents.clone(), all.clone());
        async move { documents.write(&[all]).await }
    });
    // killed once something of it is there
    while found.count_documents(doc! {}).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    mongo.kill().unwrap();
    if let Err(error) = writing.await.unwrap() {
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    }
    mongo.restart().await.unwrap();
    documents.write(&[all]).await.unwrap();
    assert_eq!(found.count_documents(doc! {}).await.unwrap(), 30_000);
}

#[tokio::test]
async fn a_server_or_name_that_will_not_do_is_told_without_the_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let url = format!(
        "mongodb://me:hunter2@{address}/?directConnection=true&serverSelectionTimeoutMS=500"
    );
    let mut collection = collection(&[("text", "text")], &[]);
    let collections = Arc::from(vec![collection.clone()]);
    let error = Documents::connect(&url, collections).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));

    collection.name.database = "no spaces in names".into();
    let mongo = Mongo::shared().await.unwrap();
    let error = Documents::connect(mongo.url(), vec![collection].into()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("no spaces in names"), "{error}");
    assert!(
        error.to_string().contains("transactions_processed"),
        "{error}"
    );
}
