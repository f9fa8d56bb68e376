//! The temporary tables that upserts merge from, one for each table with a key.
//!
//! They live as long as their session. A merge takes its rows out of them; `on commit delete rows`
//! would do the same at COMMIT, but cuts files there, which was seen to cost 1 to 9 ms a table. The
//! dead rows that a merge leaves are thrown away when they have become many.

use std::collections::HashMap;

use factmill_core::table::{DELETED_COLUMN, ORDER_COLUMN, Table, TableName};
use factmill_core::types::DeclaredType;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::connection::{Session, Statements};
use super::error::WarehouseError;
use super::identifier::{list, qualified, quoted};
use super::tables::{deletes, planned_columns, staged_columns, unique_key};

/// Dead rows that a merge may have to pass over: a few milliseconds.
const DEAD_ROWS: u64 = 10_000;

/// What a session knows of its temporary tables.
#[derive(Default)]
pub(super) struct Staging {
    /// The columns of each.
    columns: HashMap<TableName, String>,
    /// Rows copied into them since they were emptied.
    rows: u64,
}

impl Staging {
    /// Counts rows that were copied into a table, whether their epoch is committed or not.
    pub(super) fn filled(&mut self, rows: u64) {
        self.rows += rows;
    }
}

/// Makes the temporary tables of those `tables` that have a key, and empties them when many dead
/// rows lie in them. Outside the epoch's transaction, so that a dropped epoch does not undo it.
pub(super) async fn prepare(session: &mut Session, tables: &[Table]) -> Result<(), WarehouseError> {
    let mut ddl = String::new();
    let empty = session.staging.rows > DEAD_ROWS;
    if empty {
        let names: Vec<_> = session.staging.columns.keys().map(name).collect();
        ddl.push_str(&format!("truncate {};", names.join(", ")));
    }
    let mut made = Vec::new();
    for table in tables.iter().filter(|table| !unique_key(table).is_empty()) {
        let columns: Vec<_> = staged_columns(table)
            .map(|column| format!("{} {}", quoted(column.name), column.data_type.postgres()))
            .collect();
        let columns = columns.join(", ");
        if session.staging.columns.get(&table.name) != Some(&columns) {
            let stage = name(&table.name);
            ddl.push_str(&format!(
                "drop table if exists {stage}; create temp table {stage} ({columns});"
            ));
            session.statements.forget(&stage);
            made.push((table.name.clone(), columns));
        }
    }
    if ddl.is_empty() {
        return Ok(());
    }
    session
        .client
        .batch_execute(&ddl)
        .await
        .map_err(|source| WarehouseError::query("making temporary tables to merge from", source))?;
    if empty {
        session.staging.rows = 0;
    }
    session.staging.columns.extend(made);
    Ok(())
}

/// The temporary table of `table`, a name of one length for names of any length.
pub(super) fn name(table: &TableName) -> String {
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, qualified(table).as_bytes());
    format!("pg_temp.factmill_stage_{}", hash.simple())
}

/// Moves all rows from the temporary table to the table, newest order winning; answers how many
/// keys were new.
pub(super) async fn merge(
    tx: &Transaction<'_>,
    statements: &mut Statements,
    table: &Table,
) -> Result<u64, WarehouseError> {
    let wrong = |source| WarehouseError::writing(&table.name, source);
    let (sql, name) = if deletes(table) {
        // What a deletion left is read before it is written: one epoch at a time.
        let lock = "select pg_advisory_xact_lock(hashtextextended($1::text || '.' || $2::text, 1))";
        let lock = statements.get(tx, lock).await.map_err(wrong)?;
        let name: Vec<&(dyn ToSql + Sync)> = vec![&table.name.schema, &table.name.name];
        tx.execute(&lock, &name).await.map_err(wrong)?;
        (merge_changes_sql(table), name)
    } else {
        (merge_sql(table), Vec::new())
    };
    let merge = statements.get(tx, &sql).await.map_err(wrong)?;
    let row = tx.query_one(&merge, &name).await.map_err(wrong)?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

fn merge_sql(table: &Table) -> String {
    format!(
        "with taken as (delete from {stage} returning {columns}), merged as ({insert}) \
         select count(*) filter (where inserted) from merged",
        stage = name(&table.name),
        columns = list(planned_columns(table).map(|column| column.name)),
        insert = insert_sql(table, "taken"),
    )
}

/// Deletes keys and merges the others. A change that is older than the deletion of its key is left
/// out; a newer one ends it. `$1` and `$2` are the table's schema and name.
fn merge_changes_sql(table: &Table) -> String {
    let key = list(unique_key(table).iter().map(String::as_str));
    let same_key: Vec<_> = unique_key(table)
        .iter()
        .map(|column| format!("t.{0} = l.{0}", quoted(column)))
        .collect();
    format!(
        "with staged as (delete from {stage} returning {columns}), \
         keyed as materialized (\
             select *, sha256(convert_to(jsonb_build_array({key})::text, 'UTF8')) as _factmill_key from staged\
         ), live as materialized (\
             select * from keyed k where not exists (\
                 select from factmill.deleted_keys d where d.schema = $1 and d.name = $2 \
                 and d.key = k._factmill_key and d.record_order >= k.{order})\
         ), removed as (\
             delete from {target} t using live l where l.{deleted} and {same_key} and t.{order} < l.{order}\
         ), buried as (\
             insert into factmill.deleted_keys (schema, name, key, record_order) \
             select $1, $2, _factmill_key, {order} from live where {deleted} \
             on conflict (schema, name, key) do update \
                 set record_order = excluded.record_order, deleted_at = now()\
         ), risen as (\
             delete from factmill.deleted_keys d using live l \
             where not l.{deleted} and d.schema = $1 and d.name = $2 and d.key = l._factmill_key\
         ), taken as (select * from live where not {deleted}), merged as ({insert}) \
         select count(*) filter (where inserted) from merged",
        stage = name(&table.name),
        columns = list(staged_columns(table).map(|column| column.name)),
        order = quoted(ORDER_COLUMN),
        deleted = quoted(DELETED_COLUMN),
        target = qualified(&table.name),
        same_key = same_key.join(" and "),
        insert = insert_sql(table, "taken"),
    )
}

/// Inserts the rows of a relation in key order, newest order winning; says of each whether its key
/// was new.
fn insert_sql(table: &Table, from: &str) -> String {
    let key = unique_key(table);
    let columns = list(planned_columns(table).map(|column| column.name));
    let assignments: Vec<_> = planned_columns(table)
        .filter(|column| !key.iter().any(|key| key == column.name))
        .map(|column| format!("{0} = excluded.{0}", quoted(column.name)))
        .collect();
    let order_by: Vec<_> = key
        .iter()
        .filter_map(|key| table.columns.iter().find(|column| column.name == *key))
        .map(|column| match column.data_type {
            DeclaredType::Text | DeclaredType::Varchar(_) | DeclaredType::Char(_) => {
                format!("{} collate \"C\"", quoted(&column.name))
            }
            _ => quoted(&column.name),
        })
        .collect();
    format!(
        "insert into {target} as t ({columns}) select {columns} from {from} order by {order_by} \
         on conflict ({key}) do update set {assignments} where excluded.{order} > t.{order} \
         returning xmax = 0 as inserted",
        target = qualified(&table.name),
        order_by = order_by.join(", "),
        key = list(key.iter().map(String::as_str)),
        assignments = assignments.join(", "),
        order = quoted(ORDER_COLUMN),
    )
}
