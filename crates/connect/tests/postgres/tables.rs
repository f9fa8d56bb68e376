//! Tables as the plan declares them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use factmill_connect::sink::postgres::{Warehouse, WarehouseConfig, WarehouseError};
use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use factmill_core::table::{Column, Maintenance, ORDER_COLUMN};
use factmill_core::types::DeclaredType;

use super::{Fixture, batch, change, keyed, reader, table, upsert};

#[tokio::test]
async fn tables_get_types_key_and_comments() {
    let fixture = Fixture::new().await;
    let mut planned = table(
        "planned",
        &[("b", "varchar(3)"), ("a", "numeric(18,2)")],
        upsert(&["a", "b"]),
    );
    planned.columns[0].not_null = true;
    fixture.prepare(vec![planned.clone()]).await;
    assert_eq!(
        fixture.value("select string_agg(attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then '!' else '' end, ', ' order by attnum) \
                       from pg_attribute where attrelid = 'banking.planned'::regclass and attnum > 0").await,
        "b character varying(3)!, a numeric(18,2)!, _factmill_order bytea!"
    );
    assert_eq!(
        fixture.value("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'banking.planned'::regclass and contype = 'p'").await,
        "PRIMARY KEY (a, b)"
    );
    assert_eq!(
        fixture
            .value("select obj_description('banking.planned'::regclass)")
            .await,
        "a table's meaning"
    );
    assert_eq!(
        fixture
            .value("select col_description('banking.planned'::regclass, 1)")
            .await,
        "what b means; it's \"quoted\""
    );

    let again = fixture
        .warehouse
        .prepare_tables(&reader(), &[planned])
        .await
        .unwrap();
    assert_eq!(again.of(0), 1, "preparing again changes nothing");
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_with_every_difference() {
    let fixture = Fixture::new().await;
    let fits = table("fits", &[("a", "integer")], Maintenance::Append);
    fixture.prepare(vec![fits.clone(), keyed()]).await;
    fixture.run("insert into banking.fits values (1)").await;

    let mut other = table("fits", &[("a", "bigint"), ("b", "text")], upsert(&["b"]));
    other.columns[0].not_null = true;
    let mut wider = keyed();
    wider.columns.push(Column {
        name: "added".into(),
        data_type: DeclaredType::Text,
        not_null: false,
        description: None,
    });
    let error = fixture
        .warehouse
        .prepare_tables(&reader(), &[wider.clone(), other])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = error.to_string();
    for part in [
        "table banking.fits does not fit its model",
        "column `a` is integer in the warehouse and bigint in the model",
        "column `b` text not null is missing",
        "the primary key is no key in the warehouse and (b) in the model",
        "drop the tables",
    ] {
        assert!(message.contains(part), "`{part}` is not in:\n{message}");
    }
    let columns = "select count(*) from pg_attribute where attrelid = 'banking.keyed'::regclass and attnum > 0";
    assert_eq!(fixture.value(columns).await, "3", "nothing was changed");

    fixture
        .warehouse
        .prepare_tables(&reader(), &[wider, fits])
        .await
        .unwrap();
    assert_eq!(
        fixture.value(columns).await,
        "4",
        "a nullable column is added"
    );

    fixture
        .run("create view banking.seen as select 1 as a")
        .await;
    let seen = table("seen", &[("a", "integer")], Maintenance::Append);
    let error = fixture
        .warehouse
        .prepare_tables(&reader(), &[seen])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not a table"), "{error}");
}

#[tokio::test]
async fn a_second_writer_is_refused_by_name() {
    let fixture = Fixture::new().await;
    fixture.prepare(vec![keyed()]).await;
    let other = Reader {
        target: "test".into(),
        job: "other".into(),
    };
    let error = fixture
        .warehouse
        .prepare_tables(&other, &[keyed()])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, WarehouseError::SecondWriter { job, .. } if job == "banking"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn hostile_names_stay_names() {
    let fixture = Fixture::new().await;
    let longest = "é".repeat(31) + "x";
    assert_eq!(longest.len(), 63);
    let hostile = "a\"; drop table banking.keyed; --'\\";
    let mut planned = table(
        &longest,
        &[(hostile, "text"), ("sélect", "text")],
        upsert(&[hostile]),
    );
    planned.name.schema = "sch\"ema'; select 1".into();
    let (tables, generations) = fixture.prepare(vec![keyed(), planned.clone()]).await;
    for (from, value) in [
        (0, "'; drop table banking.keyed; --"),
        (10, "\\x00 \"quoted\" ünï"),
    ] {
        let rows = batch(&[
            (
                hostile,
                Arc::new(StringArray::from(vec![value, "key"])) as ArrayRef,
            ),
            ("sélect", Arc::new(StringArray::from(vec![value, value]))),
            (
                ORDER_COLUMN,
                Arc::new(BinaryArray::from_vec(vec![&[from as u8], &[from as u8]])),
            ),
        ]);
        let mut epoch = fixture.epoch(&tables, &generations, from, from + 10);
        epoch.changes = vec![change(1, rows)];
        fixture.warehouse.commit(&epoch).await.unwrap();
    }
    let rows = fixture.rows(&planned.name).await;
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    assert_eq!(rows[0].schema().field(0).name(), hostile);
    assert_eq!(
        fixture.value("select count(*) from banking.keyed").await,
        "0"
    );

    let too_long = table(
        &format!("{longest}y"),
        &[("a", "text")],
        Maintenance::Append,
    );
    let error = fixture
        .warehouse
        .prepare_tables(&reader(), &[too_long])
        .await
        .unwrap_err();
    assert!(
        matches!(error, WarehouseError::NameTooLong { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_older_binary_is_refused() {
    let fixture = Fixture::new().await;
    let version = fixture.warehouse.migrate().await.unwrap();
    fixture.warehouse.check_schema().await.unwrap();
    fixture
        .run("insert into factmill.schema_version (version) values (999)")
        .await;
    for error in [
        fixture.warehouse.migrate().await.unwrap_err(),
        fixture.warehouse.check_schema().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            matches!(error, WarehouseError::NewerSchema { found: 999, known } if known == version),
            "{error}"
        );
    }
}

#[tokio::test]
async fn processes_that_start_together_migrate_once() {
    let database = factmill_testkit::Postgres::shared()
        .await
        .unwrap()
        .create_database()
        .await
        .unwrap();
    let connect = || Warehouse::connect(WarehouseConfig::new(database.url()));
    let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
    let unmigrated = one.check_schema().await.unwrap_err();
    assert!(matches!(
        unmigrated,
        WarehouseError::NotMigrated { found: None }
    ));
    let (one, two) = tokio::join!(one.migrate(), two.migrate());
    assert_eq!(one.unwrap(), two.unwrap());
}

#[tokio::test]
async fn readers_see_tables_and_no_payloads() {
    let fixture = Fixture::new().await;
    fixture.prepare(vec![keyed()]).await;
    fixture.warehouse.create_roles().await.unwrap();
    fixture.warehouse.create_roles().await.unwrap();
    let later = table("later", &[("a", "integer")], Maintenance::Append);
    fixture.prepare(vec![later]).await;
    let may = |role: &str, relation: &str| {
        format!("select has_table_privilege('{role}', '{relation}', 'select')")
    };
    for relation in [
        "banking.keyed",
        "banking.later",
        "factmill.epochs",
        "factmill.dead_letter_list",
    ] {
        assert_eq!(
            fixture.value(&may("factmill_reader", relation)).await,
            "true",
            "{relation}"
        );
    }
    assert_eq!(
        fixture
            .value(&may("factmill_reader", "factmill.dead_letters"))
            .await,
        "false"
    );
    assert_eq!(
        fixture
            .value(&may("factmill_dead_letter_reader", "factmill.dead_letters"))
            .await,
        "true"
    );
}

#[tokio::test]
async fn connecting_says_what_is_wrong_without_the_password() {
    let fixture = Fixture::new().await;
    let config: tokio_postgres::Config = fixture.database.url().parse().unwrap();
    let port = config.get_ports()[0];
    let connect = async |url: String| {
        Warehouse::connect(WarehouseConfig::new(url))
            .await
            .unwrap_err()
    };
    let unknown = connect(format!(
        "postgres://nobody_here:hunter2@127.0.0.1:{port}/postgres"
    ))
    .await;
    assert_eq!(unknown.kind(), ErrorKind::Configuration, "{unknown:?}");
    assert!(
        !format!("{unknown} {unknown:?}").contains("hunter2"),
        "{unknown:?}"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    let away = connect(format!("postgres://u:hunter2@127.0.0.1:{free}/postgres")).await;
    assert_eq!(away.kind(), ErrorKind::Unreachable, "{away:?}");
    assert!(
        away.to_string()
            .contains(&format!("127.0.0.1:{free}/postgres")),
        "{away}"
    );
}
