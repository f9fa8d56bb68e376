//! The tables of a job: made as the plan declares them, refused where they no longer fit.

use std::collections::HashMap;

use async_recursion::async_recursion as boxed;
use factmill_core::epoch::Reader;
use factmill_core::table::{DELETED_COLUMN, Maintenance, ORDER_COLUMN, Table, TableName};
use factmill_core::types::DeclaredType;
use tokio_postgres::Transaction;

use super::Warehouse;
use super::error::{Misfit, WarehouseError};
use super::identifier::{MAX_NAME_BYTES, list, literal, qualified, quoted};
use super::migrate::LOCK_DDL;

/// The generations of a job's tables at the time they were prepared, in the order of the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generations(Vec<i64>);

impl Generations {
    /// The generation of the table at `index`; 0, which is none, for a table that was not prepared.
    pub fn of(&self, index: usize) -> i64 {
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(super) fn as_slice(&self) -> &[i64] {
        &self.0
    }
}

impl Warehouse {
    /// Makes schemas and tables that are not there, adds new nullable columns at the end of those
    /// that are, sets comments, and records `reader` as the one job that writes them.
    ///
    /// All in one transaction: nothing is changed when one table is refused.
    ///
    /// # Errors
    /// [`WarehouseError::Misfit`] with every difference of every table that does not fit;
    /// [`WarehouseError::SecondWriter`]; [`WarehouseError::NameTooLong`].
    #[boxed]
    pub async fn prepare_tables(
        &self,
        reader: &Reader,
        tables: &[Table],
    ) -> Result<Generations, WarehouseError> {
        let wrong = |source| WarehouseError::query("preparing tables", source);
        let mut session = self.control().await?;
        let tx = session.client.transaction().await.map_err(wrong)?;
        let generations = prepare(&tx, reader, tables).await?;
        tx.commit().await.map_err(wrong)?;
        Ok(generations)
    }

    /// Does what [`Warehouse::prepare_tables`] does, and takes it all back: whether it would
    /// succeed.
    ///
    /// # Errors
    /// As [`Warehouse::prepare_tables`].
    #[boxed]
    pub async fn check_tables(
        &self,
        reader: &Reader,
        tables: &[Table],
    ) -> Result<(), WarehouseError> {
        let wrong = |source| WarehouseError::query("checking tables", source);
        let mut session = self.control().await?;
        let tx = session.client.transaction().await.map_err(wrong)?;
        let prepared = prepare(&tx, reader, tables).await;
        tx.rollback().await.map_err(wrong)?;
        prepared.map(|_| ())
    }
}

/// Prepares all tables inside a transaction.
async fn prepare(
    tx: &Transaction<'_>,
    reader: &Reader,
    tables: &[Table],
) -> Result<Generations, WarehouseError> {
    refuse_long_names(tables)?;
    let wrong = |source| WarehouseError::query("preparing tables", source);
    tx.batch_execute(LOCK_DDL).await.map_err(wrong)?;
    tx.execute(
        "insert into factmill.jobs (target, job) values ($1, $2) on conflict do nothing",
        &[&reader.target, &reader.job],
    )
    .await
    .map_err(wrong)?;
    let mut generations = Vec::with_capacity(tables.len());
    let mut misfits = Vec::new();
    for table in tables {
        generations.push(register(tx, reader, table).await?);
        match found_columns(tx, &table.name).await? {
            None => create(tx, table).await?,
            Some(found) => match fit(tx, table, &found).await? {
                Fit::Refused(differences) => misfits.push(Misfit {
                    table: table.name.clone(),
                    differences,
                }),
                Fit::Missing(columns) => add_columns(tx, table, &columns).await?,
            },
        }
    }
    if !misfits.is_empty() {
        return Err(WarehouseError::Misfit(misfits));
    }
    Ok(Generations(generations))
}

/// One column of a table as it has to stand in Postgres.
pub(super) struct PlannedColumn<'a> {
    pub(super) name: &'a str,
    pub(super) data_type: &'a DeclaredType,
    pub(super) not_null: bool,
    description: Option<&'a str>,
}

const ORDER_TYPE: DeclaredType = DeclaredType::Bytea;

/// The user's columns, then the order where the table keeps one.
pub(super) fn planned_columns(
    table: &Table,
) -> impl ExactSizeIterator<Item = PlannedColumn<'_>> + Clone {
    let key = unique_key(table);
    let user = table.columns.iter().map(move |column| PlannedColumn {
        name: &column.name,
        data_type: &column.data_type,
        not_null: column.not_null || key.contains(&column.name),
        description: column.description.as_deref(),
    });
    let order = (!key.is_empty()).then_some(PlannedColumn {
        name: ORDER_COLUMN,
        data_type: &ORDER_TYPE,
        not_null: true,
        description: Some("Place of the row's record in the order of records; an older record never overwrites a newer."),
    });
    user.chain(order).collect::<Vec<_>>().into_iter()
}

impl Clone for PlannedColumn<'_> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// The planned columns, then the mark of deleted keys where a table has such: what is staged.
pub(super) fn staged_columns(
    table: &Table,
) -> impl ExactSizeIterator<Item = PlannedColumn<'_>> + Clone {
    let deleted = deletes(table).then_some(PlannedColumn {
        name: DELETED_COLUMN,
        data_type: &DeclaredType::Boolean,
        not_null: true,
        description: None,
    });
    let columns: Vec<_> = planned_columns(table).chain(deleted).collect();
    columns.into_iter()
}

/// Whether keys of an upserted table may go away.
pub(super) fn deletes(table: &Table) -> bool {
    matches!(table.maintenance, Maintenance::Upsert { deletes: true, .. })
}

/// The key of an upserted table; empty where there is none.
pub(super) fn unique_key(table: &Table) -> &[String] {
    match &table.maintenance {
        Maintenance::Upsert { unique_key, .. } => unique_key,
        Maintenance::Append | Maintenance::Rebuild { .. } | Maintenance::Static => &[],
    }
}

pub(super) fn refuse_long_names(tables: &[Table]) -> Result<(), WarehouseError> {
    let names = tables.iter().flat_map(|table| {
        let columns = table.columns.iter().map(|column| column.name.as_str());
        columns.chain([table.name.schema.as_str(), table.name.name.as_str()])
    });
    for name in names {
        if name.len() > MAX_NAME_BYTES {
            return Err(WarehouseError::NameTooLong {
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// Records the writing job; returns the table's generation.
pub(super) async fn register(
    tx: &Transaction<'_>,
    reader: &Reader,
    table: &Table,
) -> Result<i64, WarehouseError> {
    let row = tx
        .query_one(
            "insert into factmill.tables as t (schema, name, target, job, model, maintenance, fingerprint) \
             values ($1, $2, $3, $4, $5, $6, $7) \
             on conflict (schema, name) do update set \
                 model = case when t.target = excluded.target and t.job = excluded.job then excluded.model else t.model end, \
                 maintenance = case when t.target = excluded.target and t.job = excluded.job \
                     then excluded.maintenance else t.maintenance end, \
                 fingerprint = case when t.target = excluded.target and t.job = excluded.job \
                     then excluded.fingerprint else t.fingerprint end, \
                 updated_at = case when t.fingerprint = excluded.fingerprint then t.updated_at else now() end \
             returning target, job, generation",
            &[
                &table.name.schema,
                &table.name.name,
                &reader.target,
                &reader.job,
                &table.model,
                &table.maintenance.as_str(),
                &fingerprint(table),
            ],
        )
        .await
        .map_err(|source| WarehouseError::query(format!("registering table {}", table.name), source))?;
    let (target, job): (String, String) = (row.get(0), row.get(1));
    // Several jobs of a project may load one seed: its rows are those of its file for each of them.
    let is_shared = target == reader.target && table.maintenance == Maintenance::Static;
    if !is_shared && (target != reader.target || job != reader.job) {
        return Err(WarehouseError::SecondWriter {
            table: table.name.clone(),
            target,
            job,
        });
    }
    Ok(row.get(2))
}

/// A hash of everything of the plan that shapes the table.
fn fingerprint(table: &Table) -> String {
    let mut shape = format!(
        "{} key({})",
        table.maintenance.as_str(),
        list(unique_key(table).iter().map(String::as_str))
    );
    for column in planned_columns(table) {
        let not_null = if column.not_null { " not null" } else { "" };
        shape.push_str(&format!(
            ", {} {}{not_null}",
            quoted(column.name),
            column.data_type
        ));
    }
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, shape.as_bytes())
        .simple()
        .to_string()
}

/// A column as Postgres has it.
struct FoundColumn {
    name: String,
    data_type: String,
    not_null: bool,
    key_place: Option<i32>,
}

async fn found_columns(
    tx: &Transaction<'_>,
    table: &TableName,
) -> Result<Option<Vec<FoundColumn>>, WarehouseError> {
    let wrong = |source| WarehouseError::query(format!("looking at table {table}"), source);
    let relation = tx
        .query_opt(
            "select c.oid, c.relkind::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname = $1 and c.relname = $2",
            &[&table.schema, &table.name],
        )
        .await
        .map_err(wrong)?;
    let Some(relation) = relation else {
        return Ok(None);
    };
    if !matches!(relation.get::<_, &str>(1), "r" | "p") {
        return Err(WarehouseError::Misfit(vec![Misfit {
            table: table.clone(),
            differences: vec![
                "it is not a table: a view or another relation has its name".to_owned(),
            ],
        }]));
    }
    let oid: u32 = relation.get(0);
    let rows = tx
        .query(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                    array_position(i.indkey::int2[], a.attnum) \
             from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary \
             where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum",
            &[&oid],
        )
        .await
        .map_err(wrong)?;
    let columns = rows.iter().map(|row| FoundColumn {
        name: row.get(0),
        data_type: row.get(1),
        not_null: row.get(2),
        key_place: row.get(3),
    });
    Ok(Some(columns.collect()))
}

enum Fit {
    /// It fits once these nullable columns are added.
    Missing(Vec<usize>),
    Refused(Vec<String>),
}

/// Compares a table with its plan.
async fn fit(
    tx: &Transaction<'_>,
    table: &Table,
    found: &[FoundColumn],
) -> Result<Fit, WarehouseError> {
    let by_name: HashMap<&str, &FoundColumn> = found
        .iter()
        .map(|column| (column.name.as_str(), column))
        .collect();
    let expected_types = expected_types(tx, table).await?;
    let planned: Vec<_> = planned_columns(table).collect();
    let mut differences = Vec::new();
    let mut missing = Vec::new();
    for (index, (column, expected)) in planned.iter().zip(&expected_types).enumerate() {
        match by_name.get(column.name) {
            None if column.not_null => differences.push(format!(
                "column `{}` {expected} not null is missing, and existing rows have no value for it",
                column.name
            )),
            None => missing.push(index),
            Some(found) if found.data_type != *expected => differences.push(format!(
                "column `{}` is {} in the warehouse and {expected} in the model",
                column.name, found.data_type
            )),
            Some(found) if found.not_null && !column.not_null => differences.push(format!(
                "column `{}` is not null in the warehouse and nullable in the model",
                column.name
            )),
            Some(found) if !found.not_null && column.not_null => differences.push(format!(
                "column `{}` is nullable in the warehouse and not null in the model",
                column.name
            )),
            Some(_) => {}
        }
    }
    for column in found {
        if !planned.iter().any(|planned| planned.name == column.name) {
            differences.push(format!(
                "column `{}` {} is not in the model",
                column.name, column.data_type
            ));
        }
    }
    let mut found_key: Vec<_> = found
        .iter()
        .filter(|column| column.key_place.is_some())
        .collect();
    found_key.sort_by_key(|column| column.key_place);
    let found_key: Vec<_> = found_key
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let key = unique_key(table);
    if !key.iter().map(String::as_str).eq(found_key.iter().copied()) {
        let named = |names: &[&str]| {
            if names.is_empty() {
                "no key".to_owned()
            } else {
                format!("({})", names.join(", "))
            }
        };
        let planned_key: Vec<_> = key.iter().map(String::as_str).collect();
        differences.push(format!(
            "the primary key is {} in the warehouse and {} in the model",
            named(&found_key),
            named(&planned_key)
        ));
    }
    Ok(if differences.is_empty() {
        Fit::Missing(missing)
    } else {
        Fit::Refused(differences)
    })
}

/// The planned types in Postgres's own spelling, as `format_type` gives it for existing columns.
async fn expected_types(
    tx: &Transaction<'_>,
    table: &Table,
) -> Result<Vec<String>, WarehouseError> {
    let probe = "pg_temp.factmill_type_probe";
    let columns: Vec<_> = planned_columns(table)
        .enumerate()
        .map(|(index, column)| format!("c{index} {}", column.data_type.postgres()))
        .collect();
    let wrong = |source| {
        WarehouseError::query(
            format!("reading the column types of {}", table.name),
            source,
        )
    };
    tx.batch_execute(&format!(
        "create temp table factmill_type_probe ({})",
        columns.join(", ")
    ))
    .await
    .map_err(wrong)?;
    let rows = tx
        .query(
            "select format_type(atttypid, atttypmod) from pg_attribute \
             where attrelid = $1::text::regclass and attnum > 0 order by attnum",
            &[&probe],
        )
        .await
        .map_err(wrong)?;
    tx.batch_execute("drop table pg_temp.factmill_type_probe")
        .await
        .map_err(wrong)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn create(tx: &Transaction<'_>, table: &Table) -> Result<(), WarehouseError> {
    let name = qualified(&table.name);
    let mut ddl = columns_ddl(&name, table);
    let key = unique_key(table);
    if !key.is_empty() {
        ddl.push_str(&format!(
            "alter table {name} add primary key ({});",
            list(key.iter().map(String::as_str))
        ));
    }
    ddl.push_str(&comments(&name, table));
    tx.batch_execute(&ddl).await.map_err(|source| {
        WarehouseError::query(format!("creating table {}", table.name), source)
    })?;
    grant_readers(tx, table).await
}

/// The statements that make `name` with the plan's columns, without key or comments.
pub(super) fn columns_ddl(name: &str, table: &Table) -> String {
    let columns: Vec<_> = planned_columns(table)
        .map(|column| column_ddl(&column))
        .collect();
    let schema = quoted(&table.name.schema);
    let mut ddl = format!(
        "create schema if not exists {schema}; create table {name} ({});",
        columns.join(", ")
    );
    if !unique_key(table).is_empty() {
        // About 60 bytes, compared on every conflict: kept in the row and never compressed.
        ddl.push_str(&format!(
            "alter table {name} alter column {} set storage plain;",
            quoted(ORDER_COLUMN)
        ));
    }
    ddl
}

/// Lets `factmill_reader` read the table, where that role exists.
pub(super) async fn grant_readers(
    tx: &Transaction<'_>,
    table: &Table,
) -> Result<(), WarehouseError> {
    let wrong = |source| {
        WarehouseError::query(
            format!("granting factmill_reader the table {}", table.name),
            source,
        )
    };
    let (schema, name) = (&table.name.schema, qualified(&table.name));
    let granted = tx
        .query_opt(
            "select has_schema_privilege(oid, $1, 'usage') \
             from pg_roles where rolname = 'factmill_reader'",
            &[schema],
        )
        .await
        .map_err(wrong)?;
    let Some(granted) = granted else {
        return Ok(());
    };
    let mut ddl = format!("grant select on {name} to factmill_reader;");
    if !granted.get::<_, bool>(0) {
        // of two transactions that grant the same schema at once the server fails one
        ddl.push_str(&format!(
            "select pg_advisory_xact_lock(hashtextextended('factmill grants', 0)); \
             grant usage on schema {} to factmill_reader",
            quoted(schema)
        ));
    }
    tx.batch_execute(&ddl).await.map_err(wrong)
}

async fn add_columns(
    tx: &Transaction<'_>,
    table: &Table,
    missing: &[usize],
) -> Result<(), WarehouseError> {
    let planned: Vec<_> = planned_columns(table).collect();
    let mut ddl: String = missing
        .iter()
        .map(|&index| {
            format!(
                "alter table {} add column {};",
                qualified(&table.name),
                column_ddl(&planned[index])
            )
        })
        .collect();
    ddl.push_str(&comments(&qualified(&table.name), table));
    tx.batch_execute(&ddl).await.map_err(|source| {
        WarehouseError::query(format!("bringing table {} up to date", table.name), source)
    })
}

fn column_ddl(column: &PlannedColumn<'_>) -> String {
    let not_null = if column.not_null { " not null" } else { "" };
    format!(
        "{} {}{not_null}",
        quoted(column.name),
        column.data_type.postgres()
    )
}

/// The statements that comment `name`, a relation of the plan's columns, as the plan says.
pub(super) fn comments(name: &str, table: &Table) -> String {
    let text = |comment: Option<&str>| comment.map_or("null".to_owned(), literal);
    let mut ddl = format!(
        "comment on table {name} is {};",
        text(table.description.as_deref())
    );
    for column in planned_columns(table) {
        ddl.push_str(&format!(
            "comment on column {name}.{} is {};",
            quoted(column.name),
            text(column.description)
        ));
    }
    ddl
}
