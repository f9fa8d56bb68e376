//! Incarnations and what sources see of positions.

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::sink::postgres::{LakeEpoch, WarehouseError};
use factmill_core::position::{Cursor, Incarnation, Interval};
use factmill_core::source::PositionStore;

use super::{Fixture, incarnation, interval, keyed, partition, reader};

#[tokio::test]
async fn an_ended_incarnation_begins_anew() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let store = fixture.warehouse.positions_of(reader());
    let source = partition("0").source;
    let first = store.incarnation(&source, "cluster/topic").await.unwrap();
    assert_eq!(first.ordinal, 1);
    assert!(!store.has_read(&source).await.unwrap());
    assert_eq!(
        store.incarnation(&source, "cluster/topic").await.unwrap(),
        first
    );
    fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
    assert!(store.has_read(&source).await.unwrap());
    let stored = store
        .positions(&[partition("0"), partition("1")])
        .await
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[&partition("0")].cursor, Cursor::Offset(10));
    assert_eq!(stored[&partition("0")].incarnation, first);

    let second = store.incarnation(&source, "cluster/another").await.unwrap();
    assert_eq!(second.ordinal, 2);
    let mut epoch = fixture.epoch(&tables, &generations, 0, 5);
    epoch.intervals = vec![begin(&second, 5)];
    fixture.warehouse.commit(&epoch).await.unwrap_err();

    assert_eq!(
        fixture
            .warehouse
            .end_incarnations(&reader(), &source, Some("cluster/another"))
            .await
            .unwrap(),
        1
    );
    assert!(store.positions(&[partition("0")]).await.unwrap().is_empty());
    assert!(!store.has_read(&source).await.unwrap());
    fixture.warehouse.commit(&epoch).await.unwrap();
    let stored = store.positions(&[partition("0")]).await.unwrap();
    assert_eq!(stored[&partition("0")].incarnation, second);
    assert_eq!(stored[&partition("0")].cursor, Cursor::Offset(5));

    let read = fixture
        .warehouse
        .records_read(&reader(), &source)
        .await
        .unwrap();
    assert_eq!(
        read,
        [("0".to_owned(), 15)].into(),
        "10 of the first incarnation, 5 of the second"
    );

    let returned = store.incarnation(&source, "cluster/topic").await.unwrap();
    assert_eq!(
        returned.ordinal, 3,
        "an ended incarnation does not come back"
    );
}

#[tokio::test]
async fn a_renewed_incarnation_goes_on_where_it_is_told_to() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(Vec::new()).await;
    let (source, identity) = (partition("0").source, incarnation().identity);
    let mut first = fixture.epoch(&tables, &generations, 0, 10);
    first.intervals.push(interval("1", None, 50));
    let store = fixture.warehouse.positions_of(reader());
    store.incarnation(&source, &identity).await.unwrap();
    fixture.warehouse.commit(&first).await.unwrap();

    let next = [(partition("0"), 10), (partition("1"), 20)];
    fixture
        .warehouse
        .renew_incarnation(&reader(), &source, &identity, &next)
        .await
        .unwrap();
    let stored = store
        .positions(&[partition("0"), partition("1")])
        .await
        .unwrap();
    for (partition, offset) in next {
        let position = &stored[&partition];
        assert_eq!(position.cursor, Cursor::Offset(offset));
        assert_eq!(position.incarnation.ordinal, 2);
    }
    let late = fixture.epoch(&tables, &generations, 10, 20);
    let error = fixture.warehouse.commit(&late).await.unwrap_err();
    assert!(matches!(error, WarehouseError::Fenced { .. }), "{error:?}");
}

#[tokio::test]
async fn lost_records_are_passed_over_in_an_epoch_of_their_own() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(Vec::new()).await;
    let first = fixture.epoch(&tables, &generations, 0, 10);
    fixture.warehouse.commit(&first).await.unwrap();
    let empty = || {
        Arc::new(LakeEpoch {
            lake: fixture.lake.clone(),
            staged: Vec::new(),
        })
    };
    let lost = vec![interval("0", Some(10), 70), interval("1", None, 5)];
    let warehouse = &fixture.warehouse;
    let epoch = warehouse.pass_over(&reader(), lost.clone(), empty()).await;
    let epoch = epoch.unwrap();
    let lineage = format!(
        "select string_agg(concat_ws(' ', partition, from_position, to_position), ', ' order by partition) \
             || ' in ' || max(rows_in) || ' rows by ' || max(code_version) \
         from factmill.epoch_intervals join factmill.epochs using (epoch) where epoch = {epoch}"
    );
    let lineage = fixture.value(&lineage).await;
    assert!(
        lineage.starts_with("0 10 70, 1 5 in 0 rows by ") && lineage.ends_with(" accept-gap"),
        "{lineage}"
    );
    let again = warehouse.pass_over(&reader(), lost, empty()).await;
    assert!(matches!(again, Err(WarehouseError::Fenced { .. })));
}

fn begin(incarnation: &Incarnation, to: i64) -> Interval {
    Interval::new(
        partition("0"),
        incarnation.clone(),
        None,
        Cursor::Offset(to),
    )
    .unwrap()
}

#[tokio::test]
async fn processes_that_meet_a_new_incarnation_agree() {
    let fixture = Fixture::new().await;
    let other = fixture.another().await;
    let source = partition("0").source;
    let (one, two) = (
        fixture.warehouse.positions_of(reader()),
        other.positions_of(reader()),
    );
    let (one, two) = tokio::join!(one.incarnation(&source, "x"), two.incarnation(&source, "x"));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(
        fixture
            .value("select count(*) from factmill.incarnations")
            .await,
        "1"
    );
}

#[tokio::test]
async fn one_process_works_alone_until_it_lets_go() {
    let fixture = Fixture::new().await;
    let other = fixture.another().await;
    let held = fixture
        .warehouse
        .try_alone(&reader(), "rebuild")
        .await
        .unwrap()
        .unwrap();
    assert!(
        other
            .try_alone(&reader(), "rebuild")
            .await
            .unwrap()
            .is_none()
    );
    assert!(other.try_alone(&reader(), "flush").await.unwrap().is_some());
    drop(held);
    // The server lets go when it sees the connection end.
    let next = async {
        while other
            .try_alone(&reader(), "rebuild")
            .await
            .unwrap()
            .is_none()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), next)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_position_says_how_far_it_is_behind() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let kept = "select (p.lag, i.lag, e.phases -> 'pull', e.phases ? 'tables') from factmill.positions p \
                join factmill.epoch_intervals i on i.to_position = p.position join factmill.epochs e using (epoch)";
    // a source that cannot tell, then one that can, then one that has caught up
    for (to, lag, shown) in [
        (10, None, "(,,12.0,t)"),
        (20, Some(70), "(70,70,12.0,t)"),
        (90, Some(0), "(0,0,12.0,t)"),
    ] {
        let from = fixture.value("select coalesce(max(position), '0') from factmill.positions");
        let from = from.await.parse().unwrap();
        let mut epoch = fixture.epoch(&tables, &generations, from, to);
        epoch.observed.lag = lag.map(|lag| (partition("0"), lag)).into_iter().collect();
        epoch.observed.phases = vec![("pull", Duration::from_millis(12))];
        fixture.warehouse.commit(&epoch).await.unwrap();
        assert_eq!(fixture.value(kept).await, shown);
    }
}
