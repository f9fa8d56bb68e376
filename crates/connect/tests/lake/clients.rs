//! Several writers at once, other DuckLake clients among them, and attempts that fail.

use std::collections::HashSet;
use std::time::Duration;

use factmill_connect::sink::lake::{Lake, LakeError};
use factmill_core::error::ErrorKind;
use serde_json::json;

use super::rows::{rows, schema};
use super::{Fixture, commit, location, one};

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_epoch_leaves_nothing_visible() {
    let mut fixture = Fixture::new(10).await;
    let table = fixture.table("t", schema()).await.unwrap();
    let before = Lake::snapshot(&fixture.client).await.unwrap();
    let staged = fixture
        .write(&[(&table, rows(0, 5)), (&table, rows(5, 500))])
        .await;
    let tx = fixture.client.transaction().await.unwrap();
    let part = fixture.lake.stage(&tx, &staged).await.unwrap();
    tx.query_one("select factmill.lake_commit($1)", &[&part])
        .await
        .unwrap();
    tx.rollback().await.unwrap();

    assert_eq!(Lake::snapshot(&fixture.client).await.unwrap(), before);
    // the same session goes on, and what it staged before is gone
    let snapshot = fixture.epoch(&[(&table, rows(0, 5))]).await;
    assert_eq!(snapshot, before + 1);
    let judge = fixture.judge().await;
    assert_eq!(
        one(&judge, "select count(*), sum(n) from lake.banking.t").await,
        [json!(5), json!(10)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_get_snapshots_and_rows_of_their_own() {
    const EPOCHS: i64 = 20;
    let mut fixture = Fixture::new(10).await;
    let table = fixture.table("t", schema()).await.unwrap();
    let first = Lake::snapshot(&fixture.client).await.unwrap() + 1;
    let writers = (0..2).map(|writer| {
        let (lake, table) = (fixture.lake.clone(), table.clone());
        let connect = fixture.database.connect();
        async move {
            let mut client = connect.await.unwrap();
            let mut snapshots = Vec::new();
            for epoch in 0..EPOCHS {
                // one inlined, one in a file
                let count = if epoch % 2 == 0 { 10 } else { 20 };
                let staged = lake
                    .write(&table, &rows((writer * EPOCHS + epoch) * 100, count))
                    .await
                    .unwrap();
                snapshots.push(commit(&lake, &mut client, &[staged]).await.unwrap());
            }
            snapshots
        }
    });
    let snapshots: Vec<i64> = futures::future::join_all(writers)
        .await
        .into_iter()
        .flatten()
        .collect();
    let distinct: HashSet<i64> = snapshots.iter().copied().collect();
    assert_eq!(distinct, (first..first + 2 * EPOCHS).collect());

    let judge = fixture.judge().await;
    let counted = one(
        &judge,
        "select count(*), count(distinct rowid), count(distinct n), max(rowid) from lake.banking.t",
    )
    .await;
    assert_eq!(counted, [json!(600), json!(600), json!(600), json!(599)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_may_write_between_epochs() {
    let mut fixture = Fixture::new(10).await;
    let columns = schema().project(&[8, 11, 1]).unwrap();
    let table = fixture.table("t", columns.into()).await.unwrap();
    let some = |first, count| rows(first, count).project(&[8, 11, 1]).unwrap();
    let other = fixture.other_client().await;
    let insert = |first: i64, count: i64| {
        format!(
            "insert into lake.banking.t select range, 'zz' || range, null from range({first}, {})",
            first + count
        )
    };
    // the other client is first, so that it meets statistics that have seen no value
    other.query(&insert(-1000, 3)).await.unwrap();
    fixture.epoch(&[(&table, some(0, 5))]).await;
    other.query(&insert(10_000, 500)).await.unwrap();
    fixture.epoch(&[(&table, some(5, 100))]).await;
    other.query(&insert(20_000, 5)).await.unwrap();
    other
        .query("create table lake.banking.own as select 1 as a")
        .await
        .unwrap();
    other
        .query("delete from lake.banking.t where n in (1, 50, 10001)")
        .await
        .unwrap();
    let snapshot = fixture.epoch(&[(&table, some(105, 5))]).await;

    let expected = [json!(3 + 5 + 500 + 100 + 5 + 5 - 3), json!(615)];
    let counts = "select count(*), count(distinct rowid) from lake.banking.t";
    let judge = fixture.judge().await;
    assert_eq!(
        one(&judge, counts).await,
        [expected[0].clone(), expected[0].clone()]
    );
    for (filter, matching) in [
        ("n < 0", 3),
        ("n >= 20000", 5),
        ("txt > 'zz'", 507),
        ("n between 100 and 200", 10),
    ] {
        let counted = one(
            &judge,
            &format!("select count(*) from lake.banking.t where {filter}"),
        )
        .await;
        assert_eq!(counted, [json!(matching)], "{filter}");
    }
    // and the other client can do the housekeeping
    other
        .query("call ducklake_flush_inlined_data('lake')")
        .await
        .unwrap();
    assert_eq!(one(&judge, counts).await[0], expected[0]);
    fixture.epoch(&[(&table, some(200, 5))]).await;
    assert_eq!(one(&judge, counts).await[0], json!(620));
    let earlier = format!("select count(*) from lake.banking.t at (version => {snapshot})");
    assert_eq!(one(&judge, &earlier).await[0], expected[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_and_another_client_do_not_lose_to_each_other() {
    let mut fixture = Fixture::new(10).await;
    let columns = schema().project(&[8]).unwrap();
    let table = fixture.table("t", columns.into()).await.unwrap();
    let other = fixture.other_client().await;
    let inserts = (0..10).map(|n| format!("insert into lake.banking.t values ({});", 100_000 + n));
    // that client counts on finding a free snapshot in a few tries, and waits longer after each: on a
    // busy machine for hours
    let inserts = format!(
        "set ducklake_max_retry_count = 1000; set ducklake_retry_backoff = 1; {}",
        inserts.collect::<String>()
    );
    // a busy stream: fifty epochs a second
    let mut next_epoch = tokio::time::interval(Duration::from_millis(20));
    let inserting = tokio::spawn(async move { other.query(&inserts).await });
    let mut epochs = 0;
    while !inserting.is_finished() {
        next_epoch.tick().await;
        fixture
            .epoch(&[(&table, rows(epochs, 1).project(&[8]).unwrap())])
            .await;
        epochs += 1;
    }
    inserting.await.unwrap().unwrap();
    let judge = fixture.judge().await;
    let counted = one(
        &judge,
        "select count(*), count(distinct rowid), count(distinct n) from lake.banking.t",
    )
    .await;
    assert_eq!(
        counted,
        [json!(epochs + 10), json!(epochs + 10), json!(epochs + 10)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_listed_for_deletion_is_refused() {
    let mut fixture = Fixture::new(0).await;
    let table = fixture.table("t", schema()).await.unwrap();
    let staged = fixture.write(&[(&table, rows(0, 5))]).await;
    let folder = fixture.folder.path().join("banking/t");
    let file = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    fixture
        .client
        .execute(
            "insert into lake.ducklake_files_scheduled_for_deletion values (99, $1, true, now())",
            &[&format!("banking/t/{}", file.to_str().unwrap())],
        )
        .await
        .unwrap();
    let refused = commit(&fixture.lake, &mut fixture.client, &staged)
        .await
        .unwrap_err();
    let error = LakeError::of_commit(&refused).unwrap();
    assert!(matches!(error, LakeError::FileListed(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(fixture.lake.is_there(&staged[0]).await.unwrap());
    std::fs::remove_file(fixture.folder.path().join("banking/t").join(&file)).unwrap();
    assert!(!fixture.lake.is_there(&staged[0]).await.unwrap());
    fixture.epoch(&[(&table, rows(0, 5))]).await;
    assert_eq!(
        one(
            &fixture.judge().await,
            "select count(*) from lake.banking.t"
        )
        .await,
        [json!(5)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_changed_by_another_client_is_refused() {
    let mut fixture = Fixture::new(10).await;
    let table = fixture.table("t", schema()).await.unwrap();
    let dropped = fixture.table("dropped", schema()).await.unwrap();
    let other = fixture.other_client().await;
    other
        .query(
            "alter table lake.banking.t add column more integer; drop table lake.banking.dropped",
        )
        .await
        .unwrap();
    for table in [&table, &dropped] {
        let staged = fixture.write(&[(table, rows(0, 5))]).await;
        let refused = commit(&fixture.lake, &mut fixture.client, &staged)
            .await
            .unwrap_err();
        let error = LakeError::of_commit(&refused).unwrap();
        assert!(matches!(error, LakeError::TableChanged(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_made_by_another_client_is_taken_over() {
    let database = factmill_testkit::Postgres::shared()
        .await
        .unwrap()
        .create_database()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let other = factmill_testkit::DuckDb::attach_writable(database.url(), path)
        .await
        .unwrap();
    other
        .query(
            "create schema lake.banking; create table lake.banking.t (n bigint not null); \
                insert into lake.banking.t values (1)",
        )
        .await
        .unwrap();
    let client = database.connect().await.unwrap();
    client.batch_execute(super::MIGRATION).await.unwrap();
    let lake = Lake::open(&client, location(&folder)).await.unwrap();
    let mut fixture = Fixture {
        database,
        folder,
        client,
        lake,
    };
    let table = fixture
        .table("t", schema().project(&[8]).unwrap().into())
        .await
        .unwrap();
    fixture
        .epoch(&[(&table, rows(10, 5).project(&[8]).unwrap())])
        .await;
    let counted = one(
        &fixture.judge().await,
        "select count(*), min(n), max(n) from lake.banking.t",
    )
    .await;
    assert_eq!(counted, [json!(6), json!(1), json!(14)]);
}
