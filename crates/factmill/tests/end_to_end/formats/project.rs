//! A project that reads one topic of each format.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const PROFILE: &str = r#"profiles:
  local:
    kafka: { brokers: "${KAFKA_BROKERS}" }
    schema_registry: { url: "${SCHEMA_REGISTRY_URL}" }
    warehouse: { url: "${DATABASE_URL}" }
    lake: { path: "${LAKE_PATH}" }
  without:
    kafka: { brokers: "${KAFKA_BROKERS}" }
    warehouse: { url: "${DATABASE_URL}" }
    lake: { path: "${LAKE_PATH}" }
"#;

const SOURCES: &str = "sources:
  - name: shop
    tables:
      - name: orders
        config: { meta: { factmill: { key: [id] } } }
        columns:
          - { name: id, data_type: bigint }
          - { name: customer, data_type: text }
          - { name: amount, data_type: 'numeric(9,2)' }
          - { name: note, data_type: text }
      - name: customers
        config: { meta: { factmill: { key: [id] } } }
        columns:
          - { name: id, data_type: integer }
          - { name: name, data_type: text }
      - name: stock
        config: { meta: { factmill: { key: [id] } } }
        columns:
          - { name: id, data_type: integer }
          - { name: pieces, data_type: bigint }
      - name: payments
        columns:
          - { name: id, data_type: bigint }
          - { name: amount, data_type: 'numeric(9,2)' }
";

/// Writes the project; its topics begin with `prefix`.
pub(super) fn write(folder: &Path, prefix: &str) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    };
    write("factmill.yml", PROFILE)?;
    write("dbt_project.yml", "name: shop\nversion: \"1\"\n")?;
    write("models/_sources.yml", SOURCES)?;
    for (table, columns) in [
        ("orders", "id, customer, amount, note"),
        ("customers", "id, name"),
        ("stock", "id, pieces"),
    ] {
        let model = format!(
            "{{{{ config(materialized='incremental', unique_key='id') }}}}\n\
             select {columns} from {{{{ source('shop', '{table}') }}}}\n"
        );
        write(&format!("models/{table}.sql"), &model)?;
    }
    let payments = "{{ config(materialized='table') }}\n\
                    select id, amount from {{ source('shop', 'payments') }}\n";
    write("models/payments.sql", payments)?;
    let plain = "{{ config(materialized='table') }}\n\
                 select id, amount from {{ source('shop', 'payments') }}\n";
    write("models/plain.sql", plain)?;
    let source = |table: &str, format: &str| {
        format!(
            "  shop.{table}:\n    kafka: {{ topic: {prefix}-{table}, start: earliest }}\n    format: {format}\n"
        )
    };
    let job = [
        "sources:\n",
        &source("orders", "avro"),
        &source("customers", "debezium"),
        &source("stock", "debezium_avro"),
        &source("payments", "protobuf"),
        "models: [orders, customers, stock, payments]\n",
    ];
    write("jobs/shop.yml", &job.concat())?;
    let plain = "sources:\n  shop.payments:\n    kafka: { topic: x }\nmodels: [plain]\n\
                 lake: { schema: plain }\n";
    write("jobs/plain.yml", plain)
}
