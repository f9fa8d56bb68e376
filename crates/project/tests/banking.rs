//! The project that ships.

use std::time::Duration;

use factmill_core::position::SourceName;
use factmill_core::source_schema::ColumnOrigin;
use factmill_project::{Dependency, Materialized};

use crate::folder::shipped;

#[test]
fn the_models_of_banking_land_in_its_schema_behind_what_they_read() {
    let project = shipped();
    assert_eq!(project.warnings, []);
    let job = project.job("banking").unwrap();
    let models = project.job_models(job).unwrap();
    let names: Vec<String> = models
        .iter()
        .map(|model| model.relation.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "banking.dim_date",
            "banking.stg_transactions",
            "banking.dim_customer",
            "banking.dim_merchant",
            "banking.fct_transactions",
            "banking.agg_daily_by_type",
            "banking.agg_hourly_volume",
            "banking.dim_account",
        ]
    );
    let staging = project.model("stg_transactions").unwrap();
    assert_eq!(staging.materialized, Materialized::View);
    assert!(
        staging
            .sql
            .text()
            .contains(r#"select * from "lake"."banking"."transactions""#),
        "{}",
        staging.sql.text()
    );
    assert_eq!(
        staging.depends_on,
        [Dependency::Source(SourceName::new(
            "banking",
            "transactions"
        ))]
    );
    assert!(
        staging
            .tests
            .iter()
            .any(|test| test.kind == "accepted_values" && test.warn_only)
    );

    let facts = project.model("fct_transactions").unwrap();
    assert_eq!(
        (facts.materialized, facts.unique_key.join(",")),
        (Materialized::Incremental, "transaction_id".into())
    );
    assert!(
        facts
            .sql
            .text()
            .contains(r#"from "banking"."stg_transactions""#)
    );
    assert!(
        facts
            .sql
            .text()
            .contains("case when extract(dow from ts) in (0, 6) then 'weekend'")
    );

    let accounts = project.model("dim_account").unwrap();
    assert_eq!(
        accounts.factmill.rebuild_every,
        Some(Duration::from_secs(30))
    );
    let days = project.model("dim_date").unwrap();
    assert_eq!(
        days.depends_on,
        [Dependency::Seed("french_public_holidays".into())]
    );
}

#[test]
fn the_contract_of_the_transactions_is_read_whole() {
    let project = shipped();
    let source = project
        .source(&SourceName::new("banking", "transactions"))
        .unwrap();
    let columns: Vec<String> = source
        .schema
        .columns
        .iter()
        .map(|column| {
            format!(
                "{} {}{}",
                column.name,
                column.data_type,
                if column.not_null { " !" } else { "" }
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            "transaction_id uuid !",
            "timestamp timestamptz !",
            "account_id text !",
            r#"customer struct("customer_id" text, "name" text, "city" text, "email" text)"#,
            "amount numeric(18,2) !",
            "currency text",
            "transaction_type text",
            r#"merchant struct("merchant_id" text, "name" text, "category" text)"#,
            "channel text",
            "status text",
        ]
    );
    assert_eq!(source.schema.event_time.as_deref(), Some("timestamp"));
    assert_eq!(source.schema.time_zone, "UTC");
    assert!(
        source
            .schema
            .columns
            .iter()
            .all(|column| column.origin == ColumnOrigin::Field(vec![column.name.clone()]))
    );
    assert_eq!(
        source.location.to_string(),
        "models/banking/_sources.yml:7:15"
    );
}

#[test]
fn the_seed_has_the_eleven_holidays_of_each_year() {
    let project = shipped();
    let seed = project.seed("french_public_holidays").unwrap();
    assert_eq!(seed.relation.to_string(), "seeds.french_public_holidays");
    let columns: Vec<String> = seed
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.data_type.as_ref().unwrap()))
        .collect();
    assert_eq!(columns, ["date_day date", "name text"]);
    let text = std::fs::read_to_string(project.dir.join(&seed.file)).unwrap();
    for year in 2023..=2030 {
        let days = text
            .lines()
            .filter(|line| line.starts_with(&year.to_string()))
            .count();
        assert_eq!(days, 11, "{year}");
    }
    assert!(text.contains("2024-04-01,Lundi de Pâques"));
    assert!(text.contains("2026-05-14,Ascension"));
}

#[test]
fn every_analysis_and_test_query_renders() {
    let project = shipped();
    for folder in ["sql/analyses", "sql/tests"] {
        for entry in std::fs::read_dir(project.dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let rendered = project.render_query(&text, &path).unwrap();
            let of_a_job = |job: &factmill_project::Job| {
                rendered.text().contains(&format!("\"{}\".", job.schema))
            };
            assert!(project.jobs.iter().any(of_a_job), "{}", rendered.text());
        }
    }
}
