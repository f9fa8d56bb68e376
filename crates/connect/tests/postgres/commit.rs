//! One transaction: positions, tables, dead letters, lineage.

use std::time::Duration;

use factmill_connect::sink::postgres::{
    DeadLetterFilter, Generation, Warehouse, WarehouseConfig, WarehouseError,
};
use factmill_core::dead_letter::{DeadLetter, Reason};
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use super::{Fixture, change, incarnation, interval, keyed, keyed_rows, partition, reader};

#[tokio::test]
async fn an_epoch_leaves_rows_positions_and_lineage() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![change(0, keyed_rows(&[("a", "1", 1), ("b", "2", 2)]))];
    let first = fixture.warehouse.commit(&epoch).await.unwrap();
    let second = fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 12))
        .await
        .unwrap();
    assert!(
        second.epoch > first.epoch,
        "numbers follow the order of commits"
    );

    assert_eq!(
        fixture.value("select count(*) from banking.keyed").await,
        "2"
    );
    let positions = fixture.warehouse.list_positions(&reader()).await.unwrap();
    assert_eq!(positions.len(), 1);
    assert_eq!(positions[0].position, "12");
    let epochs = fixture.warehouse.list_epochs(&reader(), 10).await.unwrap();
    let counted: Vec<_> = epochs
        .iter()
        .map(|epoch| (epoch.epoch, epoch.rows_in, epoch.rows_out))
        .collect();
    assert_eq!(counted, [(second.epoch, 2, 0), (first.epoch, 10, 2)]);
    assert_eq!(
        fixture.value("select string_agg(concat_ws(':', from_position, to_position), ',' order by epoch) from factmill.epoch_intervals").await,
        "10,10:12"
    );
    assert_eq!(
        fixture
            .value("select rows from factmill.epoch_tables")
            .await,
        "2"
    );
    assert_eq!(
        fixture
            .value("select max(snapshot_id) from lake.ducklake_snapshot")
            .await,
        second.epoch.to_string(),
        "an epoch's number is its lake snapshot"
    );
}

#[tokio::test]
async fn a_moved_position_fences_and_nothing_changes() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
    let before = fixture.value("select count(*) from factmill.epochs").await;

    let mut stale = fixture.epoch(&tables, &generations, 5, 20);
    stale.changes = vec![change(0, keyed_rows(&[("a", "stale", 1)]))];
    let error = fixture.warehouse.commit(&stale).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let WarehouseError::Fenced {
        partition: fenced,
        expected,
        found,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(*fenced, partition("0"));
    assert!(
        expected.starts_with("5 ") && found.starts_with("10 "),
        "{error}"
    );

    let mut first_again = stale.clone();
    first_again.intervals = vec![interval("0", None, 20)];
    assert_eq!(
        fixture
            .warehouse
            .commit(&first_again)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Fenced
    );

    // One partition of several is enough to drop all of the epoch.
    let mut mixed = stale.clone();
    mixed.intervals = vec![interval("0", Some(5), 20), interval("1", None, 3)];
    assert_eq!(
        fixture.warehouse.commit(&mixed).await.unwrap_err().kind(),
        ErrorKind::Fenced
    );

    assert_eq!(
        fixture.value("select count(*) from banking.keyed").await,
        "0"
    );
    assert_eq!(
        fixture.value("select count(*) from factmill.epochs").await,
        before
    );
    assert_eq!(
        fixture
            .warehouse
            .list_positions(&reader())
            .await
            .unwrap()
            .len(),
        1
    );
    fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 11))
        .await
        .unwrap();
}

#[tokio::test]
async fn of_two_processes_with_one_partition_one_wins() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let other = fixture.another().await;
    let epoch = fixture.epoch(&tables, &generations, 0, 10);
    let (one, two) = tokio::join!(fixture.warehouse.commit(&epoch), other.commit(&epoch));
    let lost = match (one, two) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        both => panic!("expected one winner: {both:?}"),
    };
    assert_eq!(lost.kind(), ErrorKind::Fenced, "{lost}");
    assert_eq!(
        fixture.value("select count(*) from factmill.epochs").await,
        "1"
    );
}

#[tokio::test]
async fn a_raised_generation_stops_the_older_version() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    fixture
        .run("update factmill.tables set generation = 2")
        .await;
    let error = fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Superseded);
    assert!(
        matches!(
            &error,
            WarehouseError::NewerGeneration {
                compiled: 1,
                found: Generation(Some(2)),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        fixture
            .value("select count(*) from factmill.positions")
            .await,
        "0"
    );
}

#[tokio::test]
async fn dead_letters_are_listed_by_page_and_shown_whole() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let letter = |offset: i64, reason: Reason| DeadLetter {
        partition: partition("0"),
        incarnation: incarnation(),
        offset,
        timestamp: Some(1_700_000_000_000_001),
        reason,
        field: Some("customer.ci\0ty".into()),
        detail: "found a NUL: \0; it's \"bad\"".into(),
        key: None,
        payload: Some(vec![0, 255, b'{']),
        headers: vec![
            ("h".into(), Some(b"v".to_vec())),
            ("h".into(), Some(vec![0xff])),
            ("n".into(), None),
        ],
    };
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.dead_letters = vec![
        letter(1, Reason::WrongType),
        letter(2, Reason::Malformed),
        letter(3, Reason::WrongType),
    ];
    let committed = fixture.warehouse.commit(&epoch).await.unwrap();

    let mut filter = DeadLetterFilter {
        job: Some("banking".into()),
        reason: Some("wrong_type".into()),
        ..DeadLetterFilter::default()
    };
    let first = fixture
        .warehouse
        .list_dead_letters(&filter, 1)
        .await
        .unwrap();
    assert_eq!(
        first.iter().map(|letter| letter.offset).collect::<Vec<_>>(),
        [3]
    );
    filter.after = Some(first[0].id);
    let second = fixture
        .warehouse
        .list_dead_letters(&filter, 10)
        .await
        .unwrap();
    assert_eq!(
        second
            .iter()
            .map(|letter| letter.offset)
            .collect::<Vec<_>>(),
        [1]
    );
    filter.since = Some(chrono::Utc::now() + Duration::from_secs(60));
    assert_eq!(
        fixture
            .warehouse
            .list_dead_letters(&filter, 10)
            .await
            .unwrap(),
        []
    );
    let counts = fixture
        .warehouse
        .count_dead_letters(&DeadLetterFilter::default())
        .await
        .unwrap();
    assert_eq!(
        counts,
        [("wrong_type".to_owned(), 2), ("malformed".to_owned(), 1)]
    );

    let shown = fixture
        .warehouse
        .show_dead_letter(second[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(shown.payload.as_deref(), Some(&[0, 255, b'{'][..]));
    assert_eq!(shown.key, None);
    assert_eq!(
        shown.headers,
        serde_json::json!([["h", "v"], ["h", { "hex": "ff" }], ["n", null]])
    );
    assert_eq!(shown.listed.epoch, committed.epoch);
    assert_eq!(shown.listed.field.as_deref(), Some("customer.ci\u{2400}ty"));
    assert_eq!(
        shown.listed.record_timestamp.unwrap().timestamp_micros(),
        1_700_000_000_000_001
    );
    assert!(
        fixture
            .warehouse
            .show_dead_letter(-1)
            .await
            .unwrap()
            .is_none()
    );
}

/// Holds the row of partition 0 in an open transaction, as a paused process does.
async fn hold_position(fixture: &Fixture, application_name: &str) -> tokio_postgres::Client {
    let client = fixture.database.connect().await.unwrap();
    client
        .batch_execute(&format!(
            "set application_name = '{application_name}'; begin; update factmill.positions set updated_at = now()"
        ))
        .await
        .unwrap();
    client
}

async fn impatient(fixture: &Fixture) -> Warehouse {
    let mut config = WarehouseConfig::new(fixture.database.url());
    config.lock_timeout = Duration::from_millis(300);
    Warehouse::connect(config).await.unwrap()
}

#[tokio::test]
async fn a_paused_process_of_the_job_is_ended() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let warehouse = impatient(&fixture).await;
    warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
    let paused = hold_position(&fixture, "factmill test/banking").await;
    warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 20))
        .await
        .unwrap();
    assert!(
        paused.batch_execute("commit").await.is_err(),
        "its backend was ended"
    );
    assert_eq!(
        fixture
            .value("select position from factmill.positions")
            .await,
        "20"
    );
}

#[tokio::test]
async fn somebody_else_who_holds_a_lock_is_named_and_left_alone() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let warehouse = impatient(&fixture).await;
    warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
    let somebody = hold_position(&fixture, "psql of a colleague").await;
    let error = warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 20))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(error.to_string().contains("psql of a colleague"), "{error}");
    somebody.batch_execute("rollback").await.unwrap();
    warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 20))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_was_ended_is_opened_again() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
    fixture
        .run(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
              where application_name like 'factmill%' and datname = current_database()",
        )
        .await;
    // The first try may find the connection closed already, or find out by its own statement.
    let mut tries = 0;
    loop {
        match fixture
            .warehouse
            .commit(&fixture.epoch(&tables, &generations, 10, 20))
            .await
        {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
                tries += 1;
                assert!(tries < 3, "{error:?}");
            }
        }
    }
    assert_eq!(
        fixture
            .value("select position from factmill.positions")
            .await,
        "20"
    );
}
