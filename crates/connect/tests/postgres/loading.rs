//! How rows reach tables with and without a key.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int32Array, StringArray, TimestampNanosecondArray,
};
use factmill_connect::sink::postgres::{RefusalSource, WarehouseError};
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use factmill_core::table::{DELETED_COLUMN, Maintenance, ORDER_COLUMN, TableChange};

use super::{Fixture, batch, change, interval, keyed, keyed_rows, table, upsert};

/// Key, value, order.
type KeyedRow<'a> = (&'a str, &'a str, u8);

async fn contents(fixture: &Fixture) -> String {
    fixture
        .value("select string_agg(id || '=' || value, ' ' order by id collate \"C\") from banking.keyed")
        .await
}

#[tokio::test]
async fn an_older_order_never_overwrites_a_newer() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    // New keys only, then known ones older and newer, then new keys only, then a known one.
    let steps: [(&[KeyedRow<'_>], &str); 5] = [
        (&[("a", "5", 5), ("b", "5", 5)], "a=5 b=5"),
        (
            &[("a", "4", 4), ("b", "6", 6), ("c", "1", 1)],
            "a=5 b=6 c=1",
        ),
        (&[("d", "1", 1)], "a=5 b=6 c=1 d=1"),
        (&[("e", "1", 1)], "a=5 b=6 c=1 d=1 e=1"),
        (&[("a", "7", 7), ("e", "0", 0)], "a=7 b=6 c=1 d=1 e=1"),
    ];
    for (step, (rows, expected)) in steps.into_iter().enumerate() {
        let from = step as i64 * 10;
        let mut epoch = fixture.epoch(&tables, &generations, from, from + 10);
        epoch.changes = vec![change(0, keyed_rows(rows))];
        fixture.warehouse.commit(&epoch).await.unwrap();
        assert_eq!(contents(&fixture).await, expected);
    }
}

#[tokio::test]
async fn a_deleted_key_goes_away_and_nothing_older_revives_it() {
    let fixture = Fixture::new().await;
    let mut table = keyed();
    if let Maintenance::Upsert { deletes, .. } = &mut table.maintenance {
        *deletes = true;
    }
    let (tables, generations) = fixture.prepare(vec![table]).await;
    // A value of nothing deletes the key.
    let steps: [(&[KeyedRow<'_>], &str); 7] = [
        (&[("a'\"", "1", 1), ("b", "1", 1)], "a'\"=1 b=1"),
        (&[("a'\"", "", 3), ("b", "2", 2), ("c", "", 9)], "b=2"),
        // Older than the deletion, then newer.
        (&[("a'\"", "2", 2), ("c", "8", 8)], "b=2"),
        (&[("a'\"", "4", 4)], "a'\"=4 b=2"),
        // A deletion that is older than the row.
        (&[("b", "", 1)], "a'\"=4 b=2"),
        (&[("b", "3", 3)], "a'\"=4 b=3"),
        (&[("a'\"", "", 5), ("b", "", 5)], "null"),
    ];
    for (step, (rows, expected)) in steps.into_iter().enumerate() {
        let from = step as i64 * 10;
        let mut epoch = fixture.epoch(&tables, &generations, from, from + 10);
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        let deleted = sorted.iter().map(|row| Some(row.1.is_empty()));
        let rows = keyed_rows(rows);
        let mut columns: Vec<_> = ["id", "value", ORDER_COLUMN]
            .into_iter()
            .zip(rows.columns().iter().cloned())
            .collect();
        let deleted: ArrayRef = Arc::new(deleted.collect::<BooleanArray>());
        columns.push((DELETED_COLUMN, deleted));
        epoch.changes = vec![change(0, batch(&columns))];
        fixture.warehouse.commit(&epoch).await.unwrap();
        assert_eq!(contents(&fixture).await, expected);
    }
    let buried = fixture.value("select count(*) from factmill.deleted_keys");
    assert_eq!(buried.await, "3");
}

#[tokio::test]
async fn the_same_order_does_not_overwrite_either() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![
        change(0, keyed_rows(&[("a", "first", 1)])),
        change(0, keyed_rows(&[("a", "second", 1)])),
    ];
    fixture.warehouse.commit(&epoch).await.unwrap();
    assert_eq!(contents(&fixture).await, "a=first");
}

#[tokio::test]
async fn overlapping_epochs_of_many_processes_never_deadlock() {
    const PROCESSES: usize = 4;
    const EPOCHS: i64 = 25;
    let fixture = Fixture::new().await;
    // The collation of the database is not that of Arrow: keys that the two order differently.
    let keys = ["a", "B", "ab", "Ä", "_", "b", "A", "é", "z", "Z"];
    let mut second = keyed();
    second.name.name = "keyed_too".into();
    let (tables, generations) = fixture.prepare(vec![keyed(), second]).await;
    let mut processes = Vec::new();
    for process in 0..PROCESSES {
        let warehouse = fixture.another().await;
        let mut epochs = Vec::new();
        for epoch in 0..EPOCHS {
            let mut changes = fixture.epoch(&tables, &generations, 0, 1);
            changes.intervals = vec![interval(
                &process.to_string(),
                (epoch > 0).then_some(epoch),
                epoch + 1,
            )];
            let order = (epoch as usize * PROCESSES + process) as u8;
            let value = order.to_string();
            // Each epoch leaves out another key, so that the first insertions overlap too.
            let rows: Vec<_> = keys
                .iter()
                .enumerate()
                .filter(|(index, _)| !(index + epoch as usize + process).is_multiple_of(3))
                .map(|(_, key)| (*key, value.as_str(), order))
                .collect();
            changes.changes = vec![change(0, keyed_rows(&rows)), change(1, keyed_rows(&rows))];
            epochs.push(changes);
        }
        processes.push(tokio::spawn(async move {
            for epoch in epochs {
                warehouse.commit(&epoch).await.unwrap();
            }
        }));
    }
    for process in processes {
        process.await.unwrap();
    }
    for table in ["keyed", "keyed_too"] {
        assert_eq!(
            fixture
                .value(&format!("select count(*) from banking.{table}"))
                .await,
            keys.len().to_string()
        );
        // The newest order among the last three epochs of each process has each key twice.
        let oldest = fixture
            .value(&format!("select min(value::int) from banking.{table}"))
            .await;
        assert!(
            oldest.parse::<usize>().unwrap() >= (EPOCHS as usize - 3) * PROCESSES,
            "{oldest}"
        );
        let mixed = format!(
            "select count(*) from banking.{table} where value::int <> get_byte(_factmill_order, 0)"
        );
        assert_eq!(
            fixture.value(&mixed).await,
            "0",
            "a row is that of its order"
        );
    }
    assert_eq!(
        fixture.value("select count(*) from factmill.epochs").await,
        (PROCESSES as i64 * EPOCHS).to_string()
    );
}

#[tokio::test]
async fn large_batches_come_whole_by_both_paths() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let ids: Vec<String> = (0..50_000).map(|id| format!("{id:08}")).collect();
    for (from, value, order) in [(0, "first", 1), (10, "second", 2), (20, "third", 3)] {
        let value = value.repeat(10);
        let rows: Vec<_> = ids
            .iter()
            .map(|id| (id.as_str(), value.as_str(), order))
            .collect();
        let mut epoch = fixture.epoch(&tables, &generations, from, from + 10);
        epoch.changes = vec![change(0, keyed_rows(&rows))];
        fixture.warehouse.commit(&epoch).await.unwrap();
        let same = format!("select count(*) from banking.keyed where value = '{value}'");
        assert_eq!(fixture.value(&same).await, "50000");
    }
}

fn amounts(rows: &[Option<i128>], texts: &[&str]) -> TableChange {
    let amounts = rows
        .iter()
        .copied()
        .collect::<Decimal128Array>()
        .with_precision_and_scale(38, 2)
        .unwrap();
    let texts: StringArray = texts.iter().map(|text| Some(*text)).collect();
    change(
        0,
        batch(&[
            ("amount", Arc::new(amounts) as ArrayRef),
            ("code", Arc::new(texts)),
        ]),
    )
}

#[tokio::test]
async fn a_refused_row_is_named_and_nothing_is_written() {
    let fixture = Fixture::new().await;
    let mut amounts_table = table(
        "amounts",
        &[("amount", "numeric(5,2)"), ("code", "varchar(3)")],
        Maintenance::Append,
    );
    amounts_table.columns[0].not_null = true;
    let (tables, generations) = fixture.prepare(vec![amounts_table]).await;
    fixture
        .run("alter table banking.amounts add constraint positive check (amount > 0)")
        .await;
    let cases = [
        (
            amounts(&[Some(1), None], &["a", "b"]),
            Some("amount"),
            None,
            None,
        ),
        (
            amounts(&[Some(1), Some(100_000)], &["a", "b"]),
            Some("amount"),
            None,
            Some(1),
        ),
        (
            amounts(&[Some(1), Some(1), Some(2)], &["a", "b", "long"]),
            Some("code"),
            None,
            Some(2),
        ),
        (
            amounts(&[Some(-1)], &["a"]),
            None,
            Some("positive"),
            Some(0),
        ),
        (amounts(&[Some(1)], &["\0"]), Some("code"), None, Some(0)),
    ];
    for (rows, column, constraint, row) in cases {
        let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
        epoch.changes = vec![rows];
        let error = fixture.warehouse.commit(&epoch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model, "{error:?}");
        let refusal = error.refusal().unwrap();
        assert_eq!(refusal.table.name, "amounts");
        assert_eq!(refusal.column.as_deref(), column, "{error:?}");
        assert_eq!(refusal.constraint.as_deref(), constraint, "{error:?}");
        if row.is_some() {
            assert_eq!(refusal.row, row, "{error:?}");
        }
        assert!(matches!(refusal.source, RefusalSource::Server(_)));
    }
    assert_eq!(
        fixture.value("select count(*) from banking.amounts").await,
        "0"
    );
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![amounts(&[Some(99_999)], &["abc"])];
    fixture.warehouse.commit(&epoch).await.unwrap();
    assert_eq!(
        fixture
            .value("select amount || code from banking.amounts")
            .await,
        "999.99abc"
    );
}

#[tokio::test]
async fn what_would_be_rounded_is_refused_before_it_is_sent() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture
        .prepare(vec![table(
            "times",
            &[("at", "timestamp"), ("n", "integer")],
            upsert(&["n"]),
        )])
        .await;
    let times = TimestampNanosecondArray::from(vec![1_000, 1_001]);
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    let orders = arrow::array::BinaryArray::from_vec(vec![b"1", b"2"]);
    epoch.changes = vec![change(
        0,
        batch(&[
            ("at", Arc::new(times)),
            ("n", Arc::new(Int32Array::from(vec![1, 2]))),
            ("_factmill_order", Arc::new(orders)),
        ]),
    )];
    let error = fixture.warehouse.commit(&epoch).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(
        (refusal.column.as_deref(), refusal.row),
        (Some("at"), Some(1))
    );
    assert!(matches!(refusal.source, RefusalSource::Encoder(_)));

    epoch.changes = vec![change(
        0,
        batch(&[("at", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]),
    )];
    let error = fixture.warehouse.commit(&epoch).await.unwrap_err();
    assert!(matches!(error, WarehouseError::Encode { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Internal);
}
