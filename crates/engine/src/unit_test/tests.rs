#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
use std::path::Path;

use factmill_project::unit_test::GivenRows;
use factmill_project::{LoadOptions, Project, UnitTest};

use super::{Difference, UnitTestError, run};

fn shipped() -> Project {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Project::load(&repository, &LoadOptions::default()).unwrap()
}

fn named<'p>(project: &'p Project, name: &str) -> &'p UnitTest {
    let found = project.unit_tests.iter().find(|test| test.name == name);
    found.unwrap_or_else(|| unreachable!("the project has no unit test `{name}`"))
}

async fn difference(project: &Project, test: &UnitTest) -> Difference {
    run(project, test).await.unwrap().unwrap()
}

async fn wrong(project: &Project, test: &UnitTest) -> String {
    match run(project, test).await {
        Err(UnitTestError::Wrong(found)) => found.to_string(),
        other => unreachable!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn every_shipped_unit_test_passes() {
    let project = shipped();
    let mut failures = Vec::new();
    for test in &project.unit_tests {
        match run(&project, test).await {
            Ok(None) => {}
            Ok(Some(difference)) => failures.push(difference.to_string()),
            Err(error) => failures.push(format!("{}: {error}", test.name)),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// What each rule of business is held to.
#[test]
fn each_rule_of_business_has_a_unit_test() {
    let project = shipped();
    for (rule, model, test) in [
        (
            "day type",
            "fct_transactions",
            "the_day_type_is_that_of_the_day_in_utc",
        ),
        (
            "late forex rate",
            "fct_charges",
            "a_charge_without_a_rate_waits_for_it",
        ),
        (
            "duplicated order",
            "fct_orders",
            "a_duplicated_order_counts_once",
        ),
        (
            "cancelled after delivered",
            "fct_orders",
            "an_order_may_be_cancelled_after_it_was_delivered",
        ),
        (
            "null merchant",
            "fct_transactions",
            "a_transaction_without_a_merchant_is_kept",
        ),
        (
            "discount",
            "fct_sale_items",
            "a_discount_is_taken_off_and_the_rest_rounded",
        ),
    ] {
        assert_eq!(named(&project, test).model, model, "{rule}");
    }
}

#[tokio::test]
async fn a_difference_names_the_rows_and_the_lines_that_expect_them() {
    let project = shipped();
    let mut test = named(&project, "a_duplicated_order_counts_once").clone();
    let GivenRows::Rows(rows) = &mut test.expect else {
        unreachable!("it expects written rows")
    };
    rows[1].values["status"] = "Delivered".into();
    let line = rows[1].location.line;
    let difference = difference(&project, &test).await;
    assert_eq!(difference.counts(), (1, 1));
    let shown = difference.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(
        lines[0].contains("fct_orders.yml:")
            && lines[0].ends_with("1 rows are missing, 1 are not expected"),
        "{shown}"
    );
    assert!(
        lines[2].starts_with("  - b") && lines[2].contains(&format!("fct_orders.yml:{line}:")),
        "{shown}"
    );
    assert!(
        lines[3].starts_with("  + b") && lines[3].contains("Shipped"),
        "{shown}"
    );
}

#[tokio::test]
async fn how_often_a_row_comes_counts_and_its_place_does_not() {
    let project = shipped();
    let mut test = named(
        &project,
        "a_message_gives_a_row_for_each_charge_and_none_for_a_declined_one",
    )
    .clone();
    let GivenRows::Rows(rows) = &mut test.expect else {
        unreachable!("it expects written rows")
    };
    rows.push(rows[0].clone());
    assert_eq!(difference(&project, &test).await.counts(), (1, 0));
    let mut test = named(&project, "an_amount_is_converted_by_way_of_the_pound").clone();
    let GivenRows::Rows(rows) = &mut test.expect else {
        unreachable!("it expects written rows")
    };
    rows.reverse();
    assert!(run(&project, &test).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_wrong_in_a_test_is_told_with_its_place() {
    let project = shipped();
    let good = named(&project, "a_duplicated_order_counts_once");

    let mut without = good.clone();
    without.given.clear();
    let told = wrong(&project, &without).await;
    assert!(
        told.contains("gives no rows for ref('stg_orders')"),
        "{told}"
    );

    let mut other = good.clone();
    let GivenRows::Rows(rows) = &mut other.given[0].rows else {
        unreachable!("its rows are written")
    };
    rows[0].values.insert("statsu".into(), "Shipped".into());
    let line = rows[0].location.line;
    rows[1].values["total_amount"] = "a lot".into();
    let told = wrong(&project, &other).await;
    assert!(
        told.contains(&format!("fct_orders.yml:{line}:"))
            && told.contains("did you mean `status`?"),
        "{told}"
    );
    let GivenRows::Rows(rows) = &mut other.given[0].rows else {
        unreachable!("its rows are written")
    };
    rows[0].values.remove("statsu");
    let line = rows[1].location.line;
    let told = wrong(&project, &other).await;
    assert!(
        told.contains(&format!("fct_orders.yml:{line}:")) && told.contains("does not fit"),
        "{told}"
    );
}

#[tokio::test]
async fn variables_of_a_test_reach_the_model() {
    let project = shipped();
    let mut test = named(&project, "the_first_value_of_a_date_stays").clone();
    test.vars.insert("is_dev_run".into(), true.into());
    assert!(
        project
            .model_for(&test)
            .unwrap()
            .unwrap()
            .sql
            .text()
            .contains("limit 100")
    );
    assert!(run(&project, &test).await.unwrap().is_none());
}
