//! Models that go to a collection.

use datafusion::arrow::array::AsArray;
use factmill_core::diagnostic::Location;
use factmill_core::document::CollectionName;
use factmill_core::order::RecordPlace;
use factmill_core::table::ORDER_COLUMN;
use factmill_project::model::ModelCollection;

use super::*;

/// The model, sent to a collection of its name.
fn sent(mut model: Model) -> Model {
    model.factmill.mongo = Some(ModelCollection {
        name: CollectionName {
            database: "banking".into(),
            collection: "processed".into(),
        },
        location: Location {
            file: format!("models/{}.yml", model.name).into(),
            line: 7,
            column: 9,
        },
    });
    model
}

fn view(sql: &str) -> Model {
    sent(model("processed", Materialized::View, &[], sql))
}

#[tokio::test]
async fn each_record_is_a_document_even_where_the_table_keeps_one_row_of_a_key() {
    for facts in [
        sent(facts_without_join()),
        view(
            "select transaction_id, account_id from \"banking\".\"stg_transactions\" where amount > 0",
        ),
    ] {
        let plan = compile(vec![staging(), facts]).await.unwrap();
        let [collection] = &plan.collections()[..] else {
            panic!("one collection")
        };
        assert_eq!(collection.name.to_string(), "banking.processed");
        assert!(collection.key.is_empty());
        let events = [
            event(7, 10, "A", 100, 0),
            event(7, 20, "A", 200, 1),
            event(7, 5, "A", -300, 2),
        ];
        let changes = plan
            .documents(vec![(source_name(), rows(&events))])
            .await
            .unwrap();
        let [change] = &changes[..] else {
            panic!("one collection changes")
        };
        let order = change.rows.column_by_name(ORDER_COLUMN).unwrap();
        let places = order.as_binary::<i32>().iter().map(|key| {
            let place = RecordPlace::decode(key.unwrap()).unwrap();
            assert_eq!(place.topic, "bank_data");
            place.offset
        });
        assert_eq!(places.collect::<Vec<_>>(), [0, 1]);
        assert_eq!(change.rows.num_columns(), collection.columns.len() + 1);
    }
}

fn facts_without_join() -> Model {
    model(
        "fct_transactions",
        Materialized::Incremental,
        &["transaction_id"],
        "select transaction_id, amount from \"banking\".\"stg_transactions\" where amount > 0",
    )
}

#[tokio::test]
async fn what_can_make_several_rows_of_a_record_is_named() {
    let several = [
        (
            format!("select account_id, unnest(tags) as tag from {SOURCE}"),
            "an unnest of a list",
        ),
        (
            format!("select account_id from {SOURCE} union all select account_id from {SOURCE}"),
            "a union",
        ),
        (
            "select t.account_id, d.day_type from \"banking\".\"stg_transactions\" as t \
             left join \"banking\".\"dim_date\" as d on cast(t.ts as date) = d.date_day"
                .to_owned(),
            "a join",
        ),
    ];
    for (sql, operator) in several {
        let told = wrong(vec![staging(), days(), view(&sql)]).await;
        assert!(told.contains(operator), "{told}");
        assert!(told.contains("banking.processed"), "{told}");
        assert!(told.contains("models/processed.yml:7:9"), "{told}");
    }
    let told = wrong(vec![
        staging(),
        view("select account_id, count(*) as n from \"banking\".\"stg_transactions\" group by 1"),
    ])
    .await;
    assert!(told.contains("an aggregate in model `processed`"), "{told}");
    let whole = sent(model(
        "processed",
        Materialized::Table,
        &[],
        &format!("select account_id from {SOURCE}"),
    ));
    let told = wrong(vec![whole]).await;
    assert!(told.contains("is computed as a whole"), "{told}");
}

#[tokio::test]
async fn what_no_document_can_hold_is_named() {
    for (column, expected) in [
        ("account_id as _id", "`_id` is the id of its record"),
        ("account_id as \"a.b\"", "not named `a.b`"),
        ("account_id as \"$set\"", "not named `$set`"),
        ("named_struct('$a', amount) as s", "not named `$a`"),
        (
            "cast(amount as numeric(38, 2)) as amount",
            "more than the 34 digits",
        ),
    ] {
        let told = wrong(vec![view(&format!("select {column} from {SOURCE}"))]).await;
        assert!(told.contains(expected), "{told}");
    }
    let one = view(&format!("select account_id from {SOURCE}"));
    let other = sent(model(
        "other",
        Materialized::View,
        &[],
        &format!("select account_id from {SOURCE}"),
    ));
    let told = wrong(vec![one, other]).await;
    assert!(told.contains("both go to banking.processed"), "{told}");
}
