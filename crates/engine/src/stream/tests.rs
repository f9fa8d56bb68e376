#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
use datafusion::arrow::util::pretty::pretty_format_batches;
use factmill_core::dead_letter::Reason;
use factmill_core::table::Maintenance;
use factmill_core::types::DeclaredType;
use factmill_project::model::ColumnProperty;
use factmill_project::{Materialized, Model};

use super::StreamPlan;
use crate::fixture::{
    Event, SOURCE, days, facts, model, place, project, rows, source_name, staging,
};
use crate::session::Memory;

mod documents;

async fn compile(models: Vec<Model>) -> Result<StreamPlan, Vec<String>> {
    let (project, job) = project(models);
    StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

async fn wrong(models: Vec<Model>) -> String {
    compile(models).await.unwrap_err().join("\n")
}

fn event(id: u128, seconds: i64, account: &str, amount: i128, offset: i64) -> Event {
    Event {
        id,
        // 2024-01-05, a Friday.
        time: (1_704_412_800 + seconds) * 1_000_000,
        account: account.into(),
        city: "Lyon".into(),
        amount,
        partition: 0,
        offset,
    }
}

#[tokio::test]
async fn an_upsert_keeps_the_newest_row_of_each_key_sorted_by_key() {
    let plan = compile(vec![staging(), days(), facts()]).await.unwrap();
    let names: Vec<_> = plan
        .tables()
        .iter()
        .map(|table| (table.model.as_str(), table.maintenance.as_str()))
        .collect();
    assert_eq!(
        names,
        [("dim_date", "static"), ("fct_transactions", "upsert")]
    );
    assert_eq!(
        plan.statics()[0]
            .rows
            .iter()
            .map(|rows| rows.num_rows())
            .sum::<usize>(),
        2922
    );

    let events = [
        event(7, 10, "A", 100, 0),
        event(3, 20, "B", 200, 1),
        // Older than the row before it, although it comes later.
        event(7, 5, "A", 300, 2),
        // The same event time: the later offset wins.
        event(3, 20, "B", 400, 3),
    ];
    for _ in 0..3 {
        let changes = plan
            .transform(vec![(source_name(), rows(&events))])
            .await
            .unwrap();
        let [change] = &changes[..] else {
            panic!("one table changes")
        };
        let table = &plan.tables()[change.table];
        assert_eq!(table.model, "fct_transactions");
        let fields: Vec<_> = change
            .rows
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        assert_eq!(
            fields,
            [
                "transaction_id",
                "ts",
                "account_id",
                "amount",
                "transaction_type",
                "day_type",
                "_factmill_order"
            ]
        );
        let shown = pretty_format_batches(&[change.rows.project(&[2, 3, 5]).unwrap()])
            .unwrap()
            .to_string();
        assert_eq!(
            shown.lines().collect::<Vec<_>>()[3..5],
            [
                "| B          | 4.00   | weekday  |",
                "| A          | 1.00   | weekday  |"
            ]
        );
    }
    assert!(plan.transform(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_are_appended_filtered_and_unnested_with_an_order_of_their_own() {
    let tags = model(
        "fct_tags",
        Materialized::Incremental,
        &[],
        &format!("select transaction_id, unnest(tags) as tag from {SOURCE} where amount > 0"),
    );
    let latest = model(
        "latest_tags",
        Materialized::Incremental,
        &["account_id"],
        &format!(
            "select account_id, tag from (select account_id, unnest(tags) as tag from {SOURCE}) where tag is not null\n\
             union all select account_id, 'none' from {SOURCE} where amount < 0"
        ),
    );
    let plan = compile(vec![tags, latest]).await.unwrap();
    let events = [
        event(1, 0, "A", 100, 7),
        event(2, 1, "A", -100, 8),
        event(3, 2, "A", 100, 11),
    ];
    let changes = plan
        .transform(vec![(source_name(), rows(&events))])
        .await
        .unwrap();
    assert_eq!(
        changes[0].rows.num_rows(),
        3,
        "offset 7 has one tag, 11 has two, 8 is filtered"
    );
    assert_eq!(
        changes[0].rows.num_columns(),
        2,
        "an append carries the user's columns only"
    );
    let shown = pretty_format_batches(&[changes[1].rows.project(&[0, 1]).unwrap()])
        .unwrap()
        .to_string();
    assert_eq!(
        shown.lines().nth(3).unwrap(),
        "| A          | t1  |",
        "the last element of the newest record"
    );
}

#[tokio::test]
async fn a_field_of_an_unnested_struct_may_be_filtered_by() {
    let cities = model(
        "dim_city",
        Materialized::Incremental,
        &["city"],
        &format!(
            "with lines as (select amount, unnest(make_array(customer)) as line from {SOURCE} as events)\n\
             select line['city'] as city, amount from lines where line['city'] is not null"
        ),
    );
    let plan = compile(vec![cities]).await.unwrap();
    let events = [event(1, 0, "A", 100, 7), event(2, 1, "A", 200, 8)];
    let changes = plan
        .transform(vec![(source_name(), rows(&events))])
        .await
        .unwrap();
    let shown = pretty_format_batches(&[changes[0].rows.project(&[0, 1]).unwrap()])
        .unwrap()
        .to_string();
    assert_eq!(shown.lines().nth(3).unwrap(), "| Lyon | 2.00   |");
}

#[tokio::test]
async fn a_model_reads_the_rows_that_another_one_appends() {
    let appended = model(
        "all_rows",
        Materialized::Incremental,
        &[],
        "select * from \"banking\".\"stg_transactions\"",
    );
    let reader = model(
        "deposits",
        Materialized::Incremental,
        &["transaction_id"],
        "select transaction_id, amount from \"banking\".\"all_rows\" where amount > 0",
    );
    let plan = compile(vec![staging(), appended, reader]).await.unwrap();
    let changes = plan
        .transform(vec![(
            source_name(),
            rows(&[event(1, 0, "A", 5, 0), event(2, 0, "A", -5, 1)]),
        )])
        .await
        .unwrap();
    assert_eq!(
        changes
            .iter()
            .map(|change| change.rows.num_rows())
            .collect::<Vec<_>>(),
        [2, 1]
    );
}

#[tokio::test]
async fn what_is_not_delta_safe_is_refused_with_its_place() {
    let incremental = |sql: &str| {
        let sql = sql
            .replace("STG", "\"banking\".\"stg_transactions\"")
            .replace("DIM", "\"banking\".\"dim_date\"");
        model("m", Materialized::Incremental, &["account_id"], &sql)
    };
    for (sql, expected) in [
        (
            "select account_id,\n  count(*) as n\nfrom STG\ngroup by account_id",
            "models/m.sql:4:10: an aggregate in incremental model `m` cannot be computed from new rows alone",
        ),
        (
            "select distinct account_id from STG",
            "models/m.sql:1:1: distinct in incremental",
        ),
        (
            "select account_id,\n row_number() over (partition by account_id order by ts) as n from STG",
            "models/m.sql:2:2: a window function in",
        ),
        (
            "select account_id from STG\nlimit 5",
            "models/m.sql:2:7: limit in",
        ),
        (
            "select a.account_id from STG as a\n  join STG as b on a.account_id = b.account_id",
            "models/m.sql:2:8: a join of two relations that change",
        ),
        (
            "select t.account_id from DIM as d\nleft join STG as t on cast(t.ts as date) = d.date_day",
            "models/m.sql:2:11: an outer join that keeps rows of the unchanging side",
        ),
        (
            "select account_id from STG where amount = (select max(amount) from STG)",
            "models/m.sql:1:69: a subquery over a relation that changes in",
        ),
        (
            "select account_id from STG\nunion all select day_type from DIM",
            "models/m.sql:2:11: a union with a relation that does not change",
        ),
    ] {
        let found = wrong(vec![staging(), days(), incremental(sql)]).await;
        assert!(found.contains(expected), "{sql}\n{found}");
        assert!(found.contains("help: "), "{found}");
    }
    let view = model(
        "totals",
        Materialized::View,
        &[],
        "select account_id, sum(amount) as total\nfrom \"banking\".\"stg_transactions\"\ngroup by account_id",
    );
    let reader = model(
        "m",
        Materialized::Incremental,
        &["account_id"],
        "select * from \"banking\".\"totals\"",
    );
    let found = wrong(vec![staging(), view, reader]).await;
    assert!(
        found.starts_with(
            "models/totals.sql:1:20: an aggregate, read by incremental model `m`, cannot"
        ) || found.starts_with(
            "models/totals.sql:3:10: an aggregate, read by incremental model `m`, cannot"
        ),
        "{found}"
    );
}

#[tokio::test]
async fn errors_of_all_models_come_at_once_with_place_and_nearest_name() {
    let bad = |name: &str, sql: &str| {
        model(
            name,
            Materialized::Incremental,
            &[],
            &sql.replace("STG", "\"banking\".\"stg_transactions\""),
        )
    };
    let found = wrong(vec![
        staging(),
        bad("a", "select account_id,\n  amuont\nfrom STG"),
        bad("b", "select t.acount_id from STG as t"),
        bad("c", "select\n  uper(account_id) as a from STG"),
        bad("d", "select *\nfrom banking.stg_transaction"),
        bad("e", "select account_id\nform STG where"),
        bad(
            "f",
            "select account_id,\n  amount + transaction_type as x,\n abs(account_id) as y from STG",
        ),
        bad("g", "select account_id,\n account_id from STG"),
        bad("h", "select account_id, now() as at from STG"),
        bad("i", "insert into x values (1)"),
        bad("j", "select sum(amount, 1) as at from STG"),
    ])
    .await;
    for expected in [
        "models/a.sql:2:3: unknown column `amuont`\n  help: did you mean `amount`?",
        "models/b.sql:1:8: unknown column `acount_id` in `t`\n  help: did you mean `account_id`?",
        "models/c.sql:2:3: unknown function `uper`\n  help: did you mean `upper`?",
        "models/d.sql:2:6: unknown relation `banking.stg_transaction`\n  help: did you mean `banking.stg_transactions`?",
        "models/e.sql:2:",
        "models/f.sql:2:3:",
        "models/g.sql:",
        "models/h.sql:1:20: `now` in model `h`, which reads a stream",
        "models/i.sql:1:1: model `i` is not a query",
        "models/j.sql:1:8:",
    ] {
        assert!(found.contains(expected), "{expected}\n---\n{found}");
    }
}

#[tokio::test]
async fn a_stated_maintenance_must_be_the_one_that_is_chosen() {
    let mut stated = facts();
    stated.factmill.maintenance = Some(factmill_project::model::ExpectedMaintenance::Append);
    let found = wrong(vec![staging(), days(), stated]).await;
    assert!(
        found.contains("model `fct_transactions` expects maintenance `append` and gets `upsert`"),
        "{found}"
    );

    let total = model(
        "agg",
        Materialized::Table,
        &[],
        "select account_id, sum(amount) as total from \"banking\".\"stg_transactions\" group by 1",
    );
    let plan = compile(vec![staging(), total]).await.unwrap();
    assert!(matches!(
        plan.tables()[0].maintenance,
        Maintenance::Rebuild { .. }
    ));
    assert_eq!(
        plan.tables()[0].columns[1].data_type.to_string(),
        "numeric(28,2)"
    );
}

#[tokio::test]
async fn values_and_keys_that_fail_name_the_model() {
    let divides = model(
        "ratio",
        Materialized::Incremental,
        &["account_id"],
        "select nullif(account_id, 'N') as account_id, 1 / cast(amount as bigint) as r from \"banking\".\"stg_transactions\"",
    );
    let plan = compile(vec![staging(), divides]).await.unwrap();
    let run = async |event| plan.transform(vec![(source_name(), rows(&[event]))]).await;
    let message = run(event(1, 0, "A", 0, 0)).await.unwrap_err().to_string();
    assert!(
        message.starts_with("model `ratio` failed on a value: "),
        "{message}"
    );
    let message = run(event(1, 0, "N", 500, 0)).await.unwrap_err().to_string();
    assert!(
        message.contains("model `ratio` has a row whose key column `account_id` is null"),
        "{message}"
    );
    let long = "A".repeat(3_000);
    let failure = run(event(1, 0, &long, 500, 0)).await.unwrap_err();
    assert_eq!(
        failure.blames_a_record(),
        Some((Reason::ConstraintFailed, None))
    );
    let message = failure.to_string();
    assert!(
        message.contains("model `ratio` has a key of 3000 bytes"),
        "{message}"
    );
}

#[tokio::test]
async fn a_text_longer_than_its_column_is_at_fault() {
    let mut short = model(
        "short",
        Materialized::Incremental,
        &[],
        "select account_id as label from \"banking\".\"stg_transactions\"",
    );
    short.columns.push(ColumnProperty {
        name: "label".into(),
        description: None,
        data_type: Some(DeclaredType::Varchar(3)),
        not_null: false,
        location: place("short.yml"),
    });
    let plan = compile(vec![staging(), short]).await.unwrap();
    let run = async |label| {
        let rows = rows(&[event(1, 0, label, 500, 0)]);
        plan.transform(vec![(source_name(), rows)]).await
    };
    // three characters in five bytes, and spaces that Postgres cuts off
    for fits in ["", "été", "abc   "] {
        run(fits).await.unwrap();
    }
    let failure = run("étés").await.unwrap_err();
    assert_eq!(
        failure.blames_a_record(),
        Some((Reason::ConstraintFailed, Some("label")))
    );
    assert_eq!(
        failure.to_string(),
        "model `short` has a text of 4 characters in column `label`, which takes at most 3"
    );
}
