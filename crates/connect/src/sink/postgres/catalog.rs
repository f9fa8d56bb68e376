//! What tables and views the warehouse has, for ad-hoc SQL.

use async_recursion::async_recursion as boxed;
use factmill_core::table::TableName;

use super::Warehouse;
use super::error::WarehouseError;

/// A table or view that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTable {
    /// Its name.
    pub name: TableName,
    /// Whether it is a view.
    pub is_view: bool,
    /// Rows as the planner estimates them; `None` before the first analyze, and for views.
    pub rows_estimated: Option<u64>,
    /// Its comment.
    pub description: Option<String>,
    /// Its columns in their order.
    pub columns: Vec<ListedColumn>,
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedColumn {
    /// Its name.
    pub name: String,
    /// Its type as Postgres spells it.
    pub data_type: String,
    /// Whether it is `not null`.
    pub not_null: bool,
    /// Its comment.
    pub description: Option<String>,
}

/// Relations that are not the server's own and that the user may read.
const READABLE: &str = "\
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'v', 'm', 'f') \
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname !~ '^pg_temp_' \
      and has_schema_privilege(n.oid, 'usage') and has_any_column_privilege(c.oid, 'select')";

impl Warehouse {
    /// All tables and views that may be read, with their columns, in order of name. Columns that
    /// factmill keeps for itself are left out.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn list_tables(&self) -> Result<Vec<ListedTable>, WarehouseError> {
        let wrong = |source| WarehouseError::query("listing the warehouse's tables", source);
        let session = self.control().await?;
        let relations = session
            .client
            .query(
                &format!(
                    "select c.oid, n.nspname::text, c.relname::text, c.relkind in ('v', 'm'), \
                            case when c.reltuples >= 0 and c.relkind <> 'v' then c.reltuples::float8 end, \
                            obj_description(c.oid, 'pg_class') \
                     {READABLE} order by n.nspname, c.relname"
                ),
                &[],
            )
            .await
            .map_err(wrong)?;
        let oids: Vec<u32> = relations.iter().map(|row| row.get(0)).collect();
        let columns = session
            .client
            .query(
                "select attrelid, attname::text, format_type(atttypid, atttypmod), attnotnull, \
                        col_description(attrelid, attnum) \
                 from pg_attribute \
                 where attrelid = any($1) and attnum > 0 and not attisdropped and attname !~ '^_factmill_' \
                 order by attrelid, attnum",
                &[&oids],
            )
            .await
            .map_err(wrong)?;
        let columns_of = |oid: u32| {
            let own = columns.iter().filter(|row| row.get::<_, u32>(0) == oid);
            own.map(|row| ListedColumn {
                name: row.get(1),
                data_type: row.get(2),
                not_null: row.get(3),
                description: row.get(4),
            })
            .collect()
        };
        let tables = relations.iter().map(|row| ListedTable {
            name: TableName {
                schema: row.get(1),
                name: row.get(2),
            },
            is_view: row.get(3),
            rows_estimated: row.get::<_, Option<f64>>(4).map(|rows| rows as u64),
            description: row.get(5),
            columns: columns_of(row.get(0)),
        });
        Ok(tables.collect())
    }

    /// The columns of a table or view in their order; `None` where there is none of that name.
    pub(super) async fn table_columns(
        &self,
        table: &TableName,
    ) -> Result<Option<Vec<String>>, WarehouseError> {
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                &format!(
                    "select a.attname::text from (select c.oid {READABLE} and n.nspname = $1 and c.relname = $2) r \
                     left join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped \
                     order by a.attnum"
                ),
                &[&table.schema, &table.name],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("looking at table {table}"), source))?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(rows.iter().filter_map(|row| row.get(0)).collect()))
    }
}
