//! Projects in memory for unit tests, and rows of a banking-like source.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray, StructArray,
};
use datafusion::arrow::array::{FixedSizeBinaryArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use factmill_core::diagnostic::Location;
use factmill_core::position::SourceName;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};
use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;
use factmill_project::model::ModelMeta;
use factmill_project::{
    Dependency, Job, Materialized, Model, Project, ProjectSource, Rendered, job,
};

pub(crate) fn source_name() -> SourceName {
    SourceName::new("banking", "transactions")
}

/// The source as models write it.
pub(crate) const SOURCE: &str = r#""lake"."banking"."transactions""#;

fn contract() -> SourceSchema {
    let column = |name: &str, data_type: &str, not_null| SourceColumn {
        name: name.into(),
        data_type: DeclaredType::parse(data_type).unwrap(),
        origin: ColumnOrigin::Field(vec![name.into()]),
        not_null,
        accepted_values: Vec::new(),
    };
    SourceSchema {
        columns: vec![
            column("transaction_id", "uuid", true),
            column("timestamp", "timestamptz", true),
            column("account_id", "text", true),
            column(
                "customer",
                "struct(customer_id text, name text, city text)",
                true,
            ),
            column("amount", "numeric(18,2)", true),
            column("transaction_type", "text", false),
            column("tags", "text[]", false),
        ],
        event_time: Some("timestamp".into()),
        time_zone: "UTC".into(),
        key: Vec::new(),
    }
}

/// A project of one source and a job that reads it, and the models.
pub(crate) fn project(models: Vec<Model>) -> (Project, Job) {
    let job = Job {
        name: "banking".into(),
        file: "jobs/banking.yml".into(),
        description: None,
        schema: "banking".into(),
        sources: vec![job::JobSource {
            source: source_name(),
            origin: job::Origin::Kafka {
                topic: "bank_data".into(),
                start: job::Start::Earliest,
            },
            format: factmill_core::source_schema::Format::Json,
        }],
        raw_store: None,
        lake: job::Lake {
            schema: None,
            inline_rows: 1000,
        },
        models: vec!["banking".into()],
        trigger: job::Trigger {
            max_rows: 100_000,
            max_wait: Duration::from_millis(20),
            max_bytes: 16 << 20,
        },
        producer: None,
        dead_letters: job::DeadLetters::default(),
    };
    let project = Project {
        name: "test".into(),
        dir: PathBuf::from("."),
        models,
        seeds: Vec::new(),
        sources: vec![ProjectSource {
            name: source_name(),
            schema: contract(),
            description: None,
            column_descriptions: Vec::new(),
            tags: Vec::new(),
            tests: Vec::new(),
            location: place("models/_sources.yml"),
            reference: None,
        }],
        jobs: vec![job.clone()],
        ..Project::default()
    };
    (project, job)
}

/// A model; it depends on those models whose relations its SQL names.
pub(crate) fn model(
    name: &str,
    materialized: Materialized,
    unique_key: &[&str],
    sql: &str,
) -> Model {
    let file = format!("models/{name}.sql");
    let depends_on = sql
        .split(r#""banking"."#)
        .skip(1)
        .filter_map(|after| after.strip_prefix('"')?.split('"').next())
        .filter(|table| *table != "transactions")
        .map(|table| Dependency::Model(table.into()));
    Model {
        name: name.into(),
        relation: TableName {
            schema: "banking".into(),
            name: name.into(),
        },
        file: file.clone().into(),
        sql: Rendered::verbatim(sql, place(&file)),
        materialized,
        unique_key: unique_key.iter().map(|key| (*key).into()).collect(),
        depends_on: depends_on.collect(),
        columns: Vec::new(),
        description: None,
        tags: Vec::new(),
        tests: Vec::new(),
        factmill: ModelMeta::default(),
    }
}

pub(crate) fn place(file: &str) -> Location {
    Location {
        file: file.into(),
        line: 1,
        column: 1,
    }
}

/// One event of the source.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: u128,
    /// Microseconds since 1970 UTC.
    pub(crate) time: i64,
    pub(crate) account: String,
    pub(crate) city: String,
    /// In cents.
    pub(crate) amount: i128,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Decoded rows as the contract lays them out.
pub(crate) fn rows(events: &[Event]) -> RecordBatch {
    let schema = contract().arrow_schema();
    let texts = |text: &dyn Fn(&Event) -> String| -> ArrayRef {
        Arc::new(
            events
                .iter()
                .map(|event| Some(text(event)))
                .collect::<StringArray>(),
        )
    };
    let DataType::Struct(customer) = schema.field(3).data_type().clone() else {
        panic!("the customer is a struct");
    };
    let customer = StructArray::new(
        customer,
        vec![
            texts(&|event| format!("C-{}", event.account)),
            texts(&|event| format!("Name of {}", event.account)),
            texts(&|event| event.city.clone()),
        ],
        None,
    );
    let ids = events.iter().map(|event| event.id.to_be_bytes());
    let mut tags =
        datafusion::arrow::array::ListBuilder::new(datafusion::arrow::array::StringBuilder::new());
    for event in events {
        for tag in 0..event.offset % 3 {
            tags.values().append_value(format!("t{tag}"));
        }
        tags.append(event.offset % 5 != 0);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(FixedSizeBinaryArray::try_from_iter(ids).unwrap()),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.time))
                .with_timezone("UTC"),
        ),
        texts(&|event| event.account.clone()),
        Arc::new(customer),
        Arc::new(
            events
                .iter()
                .map(|event| event.amount)
                .collect::<Decimal128Array>()
                .with_precision_and_scale(18, 2)
                .unwrap(),
        ),
        texts(&|event| {
            if event.amount < 0 {
                "withdrawal".into()
            } else {
                "deposit".into()
            }
        }),
        Arc::new(tags.finish()),
        texts(&|_| "bank_data".into()),
        Arc::new(Int32Array::from(vec![1; events.len()])),
        Arc::new(
            events
                .iter()
                .map(|event| event.partition)
                .collect::<Int32Array>(),
        ),
        Arc::new(
            events
                .iter()
                .map(|event| event.offset)
                .collect::<Int64Array>(),
        ),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The view over the source.
pub(crate) fn staging() -> Model {
    model(
        "stg_transactions",
        Materialized::View,
        &[],
        &format!(
            "select transaction_id, \"timestamp\" as ts, account_id, customer['customer_id'] as customer_id,\n\
             customer['city'] as city, amount, transaction_type\nfrom {SOURCE}"
        ),
    )
}

/// A calendar, which reads no stream.
pub(crate) fn days() -> Model {
    model(
        "dim_date",
        Materialized::Table,
        &[],
        "select cast(value as date) as date_day,\n\
         case when extract(isodow from value) >= 6 then 'weekend' else 'weekday' end as day_type\n\
         from generate_series(timestamp '2023-01-01', timestamp '2030-12-31', interval '1 day')",
    )
}

/// One row per transaction, the newest.
pub(crate) fn facts() -> Model {
    model(
        "fct_transactions",
        Materialized::Incremental,
        &["transaction_id"],
        "with transactions as (select * from \"banking\".\"stg_transactions\"),\n\
         dates as (select * from \"banking\".\"dim_date\"),\n\
         final as (\n\
           select t.transaction_id, t.ts, t.account_id, t.amount, t.transaction_type, d.day_type\n\
           from transactions as t left join dates as d on cast(t.ts as date) = d.date_day\n\
         )\nselect * from final",
    )
}

/// The models above and one of every other maintenance.
pub(crate) fn banking_models() -> Vec<Model> {
    vec![
        staging(),
        days(),
        facts(),
        model(
            "dim_customer",
            Materialized::Incremental,
            &["customer_id"],
            "select customer_id, city, ts as updated_at from \"banking\".\"stg_transactions\"",
        ),
        model(
            "log_deposits",
            Materialized::Incremental,
            &[],
            "select transaction_id, amount * 2 as twice from \"banking\".\"stg_transactions\" where amount > 0",
        ),
        model(
            "tags",
            Materialized::Incremental,
            &["account_id", "tag"],
            &format!(
                "select * from (select account_id, unnest(tags) as tag, amount from {SOURCE}) where tag is not null"
            ),
        ),
        model(
            "agg_daily_by_type",
            Materialized::Table,
            &[],
            "select cast(ts as date) as day, day_type, count(*) as n, sum(amount) as total\n\
             from \"banking\".\"fct_transactions\" group by 1, 2",
        ),
        model(
            "dim_account",
            Materialized::Table,
            &[],
            "select account_id, min(ts) as first_seen_at, max(ts) as last_seen_at\n\
             from \"banking\".\"stg_transactions\" group by account_id",
        ),
    ]
}
