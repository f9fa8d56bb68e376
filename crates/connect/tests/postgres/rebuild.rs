//! Tables that are replaced as a whole.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::record_batch::RecordBatch;
use factmill_connect::sink::postgres::{Loaded, Swap, WarehouseError};
use factmill_core::epoch::Epoch;
use factmill_core::source::BoxedError;
use factmill_core::table::{Column, Maintenance, Table};
use factmill_core::table_reader::RowStream;
use factmill_core::types::DeclaredType;
use futures::StreamExt;

use super::{Fixture, batch, keyed, keyed_rows, reader, table};

fn totals() -> Table {
    let every = Duration::from_secs(30);
    table(
        "totals",
        &[("day", "text"), ("n", "integer")],
        Maintenance::Rebuild { every },
    )
}

/// By a stream that found the table's first generation.
const REFRESH: Swap = Swap::Refresh { compiled: 1 };

/// By a batch run that has read every epoch there may be.
fn replace() -> Swap {
    Swap::Replace {
        read: Epoch::new(i64::MAX),
    }
}

fn rows(rows: &[(&str, i32)]) -> RecordBatch {
    batch(&[
        (
            "day",
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()) as ArrayRef,
        ),
        (
            "n",
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int32Array>()),
        ),
    ])
}

fn stream(batches: Vec<Result<RecordBatch, BoxedError>>) -> RowStream {
    futures::stream::iter(batches).boxed()
}

async fn load(
    fixture: &Fixture,
    table: &Table,
    content: &[(&str, i32)],
    swap: Swap,
) -> Result<Loaded, WarehouseError> {
    let batches = stream(vec![Ok(rows(content)), Ok(rows(&[]))]);
    fixture
        .warehouse
        .load_shadow_and_swap(&reader(), table, batches, swap)
        .await
}

async fn contents(fixture: &Fixture) -> String {
    fixture
        .value("select string_agg(day || n, ' ' order by day) from banking.totals")
        .await
}

const LEFT_OVER: &str = "select count(*) from pg_class where relname like '%factmill_shadow%'";

#[tokio::test]
async fn a_table_is_made_and_replaced() {
    let fixture = Fixture::new().await;
    let first = load(&fixture, &totals(), &[("a", 1), ("b", 2)], REFRESH)
        .await
        .unwrap();
    assert_eq!(
        first,
        Loaded {
            rows: 2,
            generation: 1
        }
    );
    assert_eq!(contents(&fixture).await, "a1 b2");
    let second = load(&fixture, &totals(), &[("c", 3)], REFRESH)
        .await
        .unwrap();
    assert_eq!(
        second,
        Loaded {
            rows: 1,
            generation: 1
        }
    );
    let third = load(&fixture, &totals(), &[("d", 4)], replace())
        .await
        .unwrap();
    assert_eq!(
        third,
        Loaded {
            rows: 1,
            generation: 2
        }
    );
    assert_eq!(contents(&fixture).await, "d4");
    assert_eq!(fixture.value(LEFT_OVER).await, "0");
    fixture
        .warehouse
        .prepare_tables(&reader(), &[totals()])
        .await
        .unwrap();
}

#[tokio::test]
async fn the_new_table_keeps_rights_indexes_and_comments() {
    let fixture = Fixture::new().await;
    let mut planned = totals();
    planned.name.name = "é".repeat(31) + "x";
    fixture.prepare(vec![planned.clone()]).await;
    let name = format!("banking.\"{}\"", planned.name.name);
    fixture
        .run(&format!(
            "do $$ begin create role grafana_of_test; exception when duplicate_object then null; end $$; \
             do $$ begin create role owner_of_test; exception when duplicate_object then null; end $$; \
             grant select on {name} to grafana_of_test with grant option; grant update (n) on {name} to public; \
             create index \"by using n\" on {name} using btree (n desc) where n > 0; \
             create unique index once on {name} (lower(day)); \
             alter table {name} add constraint positive check (n > 0), add constraint days unique (day); \
             grant create, usage on schema banking to owner_of_test; alter table {name} owner to owner_of_test"
        ))
        .await;
    let facts = format!(
        "select concat_ws('|', relowner::regrole, (select string_agg(a::text, ',' order by a::text) from unnest(relacl) a), \
             (select attacl::text from pg_attribute where attrelid = c.oid and attname = 'n'), \
             obj_description(c.oid), col_description(c.oid, 1), \
             (select string_agg(pg_get_indexdef(indexrelid), ',' order by indexrelid::regclass::text) from pg_index where indrelid = c.oid), \
             (select string_agg(conname || pg_get_constraintdef(oid), ',' order by conname) from pg_constraint where conrelid = c.oid)) \
         from pg_class c where oid = '{name}'::regclass"
    );
    let before = fixture.value(&facts).await;
    assert!(
        before.contains("grafana_of_test=r*") && before.contains("WHERE (n > 0)"),
        "{before}"
    );
    let oid = format!("select '{name}'::regclass::oid");
    let old = fixture.value(&oid).await;
    for content in [[("a", 1)], [("b", 2)]] {
        load(&fixture, &planned, &content, REFRESH).await.unwrap();
        assert_eq!(fixture.value(&facts).await, before);
    }
    assert_ne!(fixture.value(&oid).await, old, "it is another table by now");
    let error = load(&fixture, &planned, &[("a", -1)], REFRESH)
        .await
        .unwrap_err();
    assert_eq!(
        error
            .refusal()
            .unwrap()
            .constraint
            .as_deref()
            .map(|name| name.contains("shadow")),
        Some(true),
        "{error}"
    );
    assert_eq!(
        fixture
            .value(&format!("select string_agg(day, ',') from {name}"))
            .await,
        "b"
    );
}

#[tokio::test]
async fn views_live_on() {
    let fixture = Fixture::new().await;
    fixture.prepare(vec![totals()]).await;
    fixture.run("create view banking.seen as select day, n from banking.totals; grant select on banking.seen to public").await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    load(&fixture, &totals(), &[("b", 2), ("c", 3)], replace())
        .await
        .unwrap();
    assert_eq!(fixture.value("select sum(n) from banking.seen").await, "5");
    assert_eq!(fixture.value(LEFT_OVER).await, "0");

    let mut changed = totals();
    changed.columns.push(Column {
        name: "added".into(),
        data_type: DeclaredType::Text,
        not_null: false,
        description: None,
    });
    let wider = || {
        let rows = rows(&[("d", 4)]);
        let added: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        batch(&[
            ("day", Arc::clone(rows.column(0))),
            ("n", Arc::clone(rows.column(1))),
            ("added", added),
        ])
    };
    let swap = |fixture: &Fixture| {
        let (warehouse, changed, batches) = (
            fixture.warehouse.clone(),
            changed.clone(),
            stream(vec![Ok(wider())]),
        );
        async move {
            warehouse
                .load_shadow_and_swap(&reader(), &changed, batches, replace())
                .await
        }
    };
    let error = swap(&fixture).await.unwrap_err();
    assert!(error.to_string().contains("view banking.seen"), "{error}");
    assert_eq!(
        fixture.value("select sum(n) from banking.seen").await,
        "5",
        "nothing was changed"
    );
    fixture.run("drop view banking.seen").await;
    assert_eq!(swap(&fixture).await.unwrap().generation, 3);
    assert_eq!(fixture.value("select added from banking.totals").await, "x");
}

#[tokio::test]
async fn a_keyed_table_is_replaced_with_its_key_and_order() {
    let fixture = Fixture::new().await;
    let (tables, _) = fixture.prepare(vec![keyed()]).await;
    let batches = stream(vec![
        Ok(keyed_rows(&[("a", "1", 1)])),
        Ok(keyed_rows(&[("b", "1", 1)])),
    ]);
    fixture
        .warehouse
        .load_shadow_and_swap(&reader(), &tables[0], batches, replace())
        .await
        .unwrap();
    let generations = fixture
        .warehouse
        .prepare_tables(&reader(), &tables)
        .await
        .unwrap();
    assert_eq!(generations.of(0), 2);
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![super::change(
        0,
        keyed_rows(&[("a", "old", 0), ("b", "new", 2)]),
    )];
    fixture.warehouse.commit(&epoch).await.unwrap();
    let found = fixture
        .value("select string_agg(id || value, ' ' order by id) from banking.keyed")
        .await;
    assert_eq!(found, "a1 bnew");

    let twice = stream(vec![Ok(keyed_rows(&[("a", "1", 1), ("a", "2", 2)]))]);
    let error = fixture
        .warehouse
        .load_shadow_and_swap(&reader(), &tables[0], twice, REFRESH)
        .await
        .unwrap_err();
    assert!(error.refusal().is_some(), "{error:?}");
    assert_eq!(
        fixture.value("select count(*) from banking.keyed").await,
        "2"
    );
}

#[tokio::test]
async fn rows_that_end_with_an_error_change_nothing() {
    let fixture = Fixture::new().await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    let broken: BoxedError = Box::new(
        fixture
            .warehouse
            .reader("select nothing")
            .await
            .unwrap_err(),
    );
    let batches = stream(vec![Ok(rows(&[("b", 2)])), Err(broken)]);
    let error = fixture
        .warehouse
        .load_shadow_and_swap(&reader(), &totals(), batches, REFRESH)
        .await
        .unwrap_err();
    assert!(matches!(error, WarehouseError::Rows { .. }), "{error:?}");
    assert_eq!(contents(&fixture).await, "a1");
    load(&fixture, &totals(), &[("c", 3)], REFRESH)
        .await
        .unwrap();
}

#[tokio::test]
async fn tables_of_one_schema_are_replaced_side_by_side_and_granted() {
    let fixture = Fixture::new().await;
    let named = |index: usize| {
        let mut table = totals();
        table.name.name = format!("totals_{index}");
        table
    };
    let tables: Vec<Table> = (0..6).map(named).collect();
    let (tables, _) = fixture.prepare(tables).await;
    fixture.warehouse.create_roles().await.unwrap();
    for granted_before in [false, true, true] {
        if !granted_before {
            fixture
                .run("revoke usage on schema banking from factmill_reader")
                .await;
        }
        let content = [("a", 1)];
        let loads = tables
            .iter()
            .map(|table| load(&fixture, table, &content, REFRESH));
        futures::future::try_join_all(loads).await.unwrap();
        let granted = "select has_schema_privilege('factmill_reader', 'banking', 'usage') \
                       and has_table_privilege('factmill_reader', 'banking.totals_5', 'select')";
        assert_eq!(fixture.value(granted).await, "true");
    }
}

#[tokio::test]
async fn a_long_reader_does_not_stop_the_others() {
    let fixture = Fixture::new().await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    let long = fixture.database.connect().await.unwrap();
    long.batch_execute("begin; select * from banking.totals")
        .await
        .unwrap();
    let warehouse = fixture.warehouse.clone();
    let rebuild = tokio::spawn(async move {
        warehouse
            .load_shadow_and_swap(
                &reader(),
                &totals(),
                stream(vec![Ok(rows(&[("b", 2)]))]),
                REFRESH,
            )
            .await
    });
    // The rebuild waits for its lock by now; whoever queues behind it is let go within its short wait.
    let waiting = "select exists (select from pg_locks where mode = 'AccessExclusiveLock' and not granted \
                   and relation = 'banking.totals'::regclass)";
    while fixture.value(waiting).await != "true" {
        tokio::task::yield_now().await;
    }
    assert_eq!(contents(&fixture).await, "a1");
    assert!(!rebuild.is_finished());
    long.batch_execute("commit").await.unwrap();
    rebuild.await.unwrap().unwrap();
    assert_eq!(contents(&fixture).await, "b2");
}

#[tokio::test]
async fn a_stream_of_before_a_batch_run_refreshes_nothing() {
    let fixture = Fixture::new().await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    load(&fixture, &totals(), &[("b", 2)], replace())
        .await
        .unwrap();
    let error = load(&fixture, &totals(), &[("c", 3)], REFRESH)
        .await
        .unwrap_err();
    assert!(
        matches!(error, WarehouseError::NewerGeneration { compiled: 1, .. }),
        "{error:?}"
    );
    assert_eq!(contents(&fixture).await, "b2");
}

#[tokio::test]
async fn rows_that_lack_an_epoch_do_not_replace_what_it_wrote() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed(), totals()]).await;
    let mut first = fixture.epoch(&tables, &generations, 0, 10);
    first.changes = vec![super::change(0, keyed_rows(&[("a", "1", 1)]))];
    let read = fixture.warehouse.commit(&first).await.unwrap().epoch;
    let mut second = fixture.epoch(&tables, &generations, 10, 20);
    second.changes = vec![super::change(0, keyed_rows(&[("b", "1", 1)]))];
    fixture.warehouse.commit(&second).await.unwrap();

    let of_first = || stream(vec![Ok(keyed_rows(&[("a", "1", 1)]))]);
    let error = fixture
        .warehouse
        .load_shadow_and_swap(&reader(), &tables[0], of_first(), Swap::Replace { read })
        .await
        .unwrap_err();
    assert!(
        matches!(error, WarehouseError::Outrun { read: of, newest, .. } if of == read && newest > read),
        "{error:?}"
    );
    let ids = "select string_agg(id, ' ' order by id) from banking.keyed";
    assert_eq!(fixture.value(ids).await, "a b", "nothing was changed");
    // what is rebuilt as a whole is made anew by the stream
    load(&fixture, &totals(), &[("a", 1)], Swap::Replace { read })
        .await
        .unwrap();

    let paused = fixture.warehouse.pause(&reader()).await.unwrap();
    let (another, third) = (
        fixture.another().await,
        fixture.epoch(&tables, &generations, 20, 30),
    );
    let epoch = tokio::spawn(async move { another.commit(&third).await });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                 and database = (select oid from pg_database where datname = current_database())";
    while fixture.value(waits).await == "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    paused
        .load_shadow_and_swap(&tables[0], of_first())
        .await
        .unwrap();
    drop(paused);
    let error = epoch.await.unwrap().unwrap_err();
    assert!(
        matches!(error, WarehouseError::NewerGeneration { .. }),
        "{error:?}"
    );
    assert_eq!(fixture.value(ids).await, "a");
}

/// Ends the sessions that hold a lock of who works alone, as the server does when it hears nothing.
const SILENCED: &str = "select count(pg_terminate_backend(a.pid, 5000)) from pg_locks l join pg_stat_activity a using (pid) \
                        where l.locktype = 'advisory' and l.granted and a.datname = current_database() \
                        and a.application_name = 'factmill'";

#[tokio::test]
async fn a_process_that_is_not_alone_any_more_refreshes_nothing() {
    let fixture = Fixture::new().await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    let alone = fixture.warehouse.alone(&reader(), "rebuild").await.unwrap();
    let refresh = async |row| {
        let batches = stream(vec![Ok(rows(&[row]))]);
        alone.refresh(&totals(), batches, 1).await
    };
    refresh(("b", 2)).await.unwrap();
    assert_eq!(fixture.value(SILENCED).await, "1");
    let error = refresh(("c", 3)).await.unwrap_err();
    assert!(
        matches!(error, WarehouseError::NotAlone { .. }),
        "{error:?}"
    );
    assert_eq!(contents(&fixture).await, "b2");
}

#[tokio::test]
async fn who_takes_over_does_not_wait_for_the_rebuild_that_was_left() {
    let fixture = Fixture::new().await;
    load(&fixture, &totals(), &[("a", 1)], REFRESH)
        .await
        .unwrap();
    let alone = fixture.warehouse.alone(&reader(), "rebuild").await.unwrap();
    let (go_on, paused) = tokio::sync::oneshot::channel();
    let left = tokio::spawn(async move {
        let older = async {
            paused.await.unwrap();
            Ok(rows(&[("older", 0)]))
        };
        let older = futures::stream::once(older).boxed();
        alone.refresh(&totals(), older, 1).await
    });
    let copying = "select exists (select from pg_stat_activity where state = 'active' and query like 'copy %' \
                   and datname = current_database())";
    while fixture.value(copying).await != "true" {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.value(SILENCED).await, "1");
    let other = fixture.another().await;
    let next = other.alone(&reader(), "rebuild").await.unwrap();
    let batches = stream(vec![Ok(rows(&[("b", 2)]))]);
    next.refresh(&totals(), batches, 1).await.unwrap();
    go_on.send(()).unwrap();
    let error = left.await.unwrap().unwrap_err();
    assert!(
        matches!(error, WarehouseError::NotAlone { .. }),
        "{error:?}"
    );
    assert_eq!(contents(&fixture).await, "b2");
}
