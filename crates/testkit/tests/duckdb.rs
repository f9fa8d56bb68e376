use factmill_testkit::{DuckDb, Postgres};
use serde_json::json;

#[tokio::test]
async fn what_one_client_writes_another_one_reads() {
    let database = Postgres::shared()
        .await
        .unwrap()
        .create_database()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let writer = DuckDb::attach_writable(database.url(), data).await.unwrap();
    writer
        .query("create table lake.t as select 1.50::decimal(9,2) as amount, [1, 2] as list, null as nothing")
        .await
        .unwrap();
    let judge = DuckDb::attach(database.url(), data).await.unwrap();
    let rows = judge.query("select * from lake.t").await.unwrap();
    assert_eq!(rows, [[json!("1.50"), json!([1, 2]), json!(null)]]);
    let refused = judge
        .query("delete from lake.t")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("read-only"), "{refused}");
}
