//! Incarnations and what sources see of positions.

use factmill_core::position::{Cursor, Incarnation, Interval};
use factmill_core::source::PositionStore;

use super::{Fixture, keyed, partition, reader};

#[tokio::test]
async fn an_ended_incarnation_begins_anew() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let store = fixture.warehouse.positions_of(reader());
    let source = partition("0").source;
    let first = store.incarnation(&source, "cluster/topic").await.unwrap();
    assert_eq!(first.ordinal, 1);
    assert_eq!(
        store.incarnation(&source, "cluster/topic").await.unwrap(),
        first
    );
    fixture
        .warehouse
        .commit(&fixture.epoch(&tables, &generations, 0, 10))
        .await
        .unwrap();
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
    fixture.warehouse.commit(&epoch).await.unwrap();
    let stored = store.positions(&[partition("0")]).await.unwrap();
    assert_eq!(stored[&partition("0")].incarnation, second);
    assert_eq!(stored[&partition("0")].cursor, Cursor::Offset(5));

    let returned = store.incarnation(&source, "cluster/topic").await.unwrap();
    assert_eq!(
        returned.ordinal, 3,
        "an ended incarnation does not come back"
    );
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
