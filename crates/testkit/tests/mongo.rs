use factmill_testkit::{Mongo, unique_name};
use mongodb::bson::{Document, doc};

#[tokio::test]
async fn a_key_is_taken_once() {
    let mongo = Mongo::shared().await.unwrap();
    let client = mongo.connect().await.unwrap();
    let documents = client
        .database(&unique_name("test"))
        .collection::<Document>("c");
    documents
        .insert_one(doc! { "_id": "a", "n": 1 })
        .await
        .unwrap();
    let error = documents
        .insert_one(doc! { "_id": "a", "n": 2 })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("11000"), "{error}");
}

#[tokio::test]
async fn documents_survive_a_kill() {
    let mongo = Mongo::start().await.unwrap();
    if !mongo.restartable() {
        println!("skipped: the server is not ours to kill");
        return;
    }
    let name = unique_name("test");
    let write = mongo.connect().await.unwrap();
    let documents = write.database(&name).collection::<Document>("c");
    documents.insert_one(doc! { "_id": "a" }).await.unwrap();
    mongo.kill().unwrap();
    mongo.restart().await.unwrap();
    let read = mongo.connect().await.unwrap();
    let found = read
        .database(&name)
        .collection::<Document>("c")
        .find_one(doc! {})
        .await
        .unwrap();
    assert_eq!(found, Some(doc! { "_id": "a" }));
}
