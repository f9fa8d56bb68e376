//! What has to change in the catalog so that it has a table, and the snapshot that changes it.

use std::collections::HashSet;

use tokio_postgres::{Client, GenericClient, Transaction};
use uuid::Uuid;

use super::column::LakeColumn;
use super::error::LakeError;
use super::table::{Described, LakeTable};

/// A table as it is wanted, against what the catalog has of it.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The schema, `None` when it is to be created.
    schema: Option<CatalogSchema>,
    /// The table, `None` when it is to be created.
    table: Option<CatalogTable>,
    /// All columns in the declared order, the new ones with fresh ids.
    columns: Vec<LakeColumn>,
    /// The ids of columns that the catalog does not have yet.
    new: HashSet<i64>,
}

#[derive(Debug, PartialEq)]
struct CatalogSchema {
    id: i64,
    path: String,
}

#[derive(Debug, PartialEq)]
struct CatalogTable {
    id: i64,
    schema_version: i64,
    path: String,
    inlined: Option<String>,
    rows: i64,
}

/// A row of `ducklake_column`.
struct CatalogColumn {
    id: i64,
    name: String,
    column_type: String,
    nulls_allowed: bool,
    parent: Option<i64>,
}

impl Plan {
    /// Compares the wanted table with the catalog.
    pub(super) async fn new(
        client: &impl GenericClient,
        table: &LakeTable,
    ) -> Result<Self, LakeError> {
        let name = table.full_name();
        let mut plan = Self {
            schema: None,
            table: None,
            columns: Vec::new(),
            new: HashSet::new(),
        };
        plan.schema = read_schema(client, table).await?;
        if let Some(schema) = &plan.schema {
            plan.table = read_table(client, table, schema.id).await?;
        }
        let mut next_id = 1;
        let mut catalog = Vec::new();
        if let Some(found) = &plan.table {
            (catalog, next_id) = read_columns(client, &name, found.id).await?;
        }
        refuse_twins(
            &name,
            table
                .columns
                .fields()
                .iter()
                .map(|field| field.name().as_str()),
        )?;
        for field in table.columns.fields() {
            let refused = |why| LakeError::Column {
                table: name.clone(),
                column: field.name().clone(),
                why,
            };
            let known = catalog
                .iter()
                .find(|column| column.parent.is_none() && column.name == *field.name());
            let mut column = LakeColumn::new(field, &mut next_id.clone()).map_err(refused)?;
            refuse_struct_twins(&name, &column)?;
            match known {
                Some(known) => adopt(&name, &mut column, known, &catalog)?,
                None => {
                    column = LakeColumn::new(field, &mut next_id).map_err(refused)?;
                    if plan.table.is_some() && !column.nullable {
                        let what = format!("column `{}` is new and not nullable", column.name);
                        return Err(LakeError::Misfit { table: name, what });
                    }
                    plan.new.insert(column.id);
                }
            }
            plan.columns.push(column);
        }
        let wanted: HashSet<&str> = table
            .columns
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let undeclared = |column: &&CatalogColumn| {
            column.parent.is_none() && !wanted.contains(column.name.as_str())
        };
        if let Some(column) = catalog.iter().find(undeclared) {
            let what = format!("its column `{}` is not declared any more", column.name);
            return Err(LakeError::Misfit { table: name, what });
        }
        Ok(plan)
    }

    /// The table, when nothing has to change.
    pub(super) fn described(&self, table: &LakeTable) -> Option<Described> {
        let (Some(schema), Some(found)) = (&self.schema, &self.table) else {
            return None;
        };
        self.new.is_empty().then(|| Described {
            name: table.full_name(),
            id: found.id,
            schema_version: found.schema_version,
            columns: self.columns.clone(),
            folder: format!("{}{}", schema.path, found.path),
            inlined: found.inlined.clone(),
        })
    }

    /// Makes the changes as one snapshot; none when the catalog changed since the plan was made.
    pub(super) async fn apply(
        &self,
        client: &mut Client,
        table: &LakeTable,
    ) -> Result<(), LakeError> {
        let name = table.full_name();
        let wrong = |source| LakeError::catalog(format!("make table {name}"))(source);
        let objects = i64::from(self.schema.is_none()) + i64::from(self.table.is_none());
        let tx = client.transaction().await.map_err(wrong)?;
        let taken = tx
            .query_one(
                "select snapshot_id, schema_version, next_catalog_id \
                 from factmill.lake_next_snapshot(0, $1, true)",
                &[&objects],
            )
            .await
            .map_err(wrong)?;
        if Self::new(&tx, table).await? != *self {
            return tx.rollback().await.map_err(wrong);
        }
        let change = Change {
            tx: &tx,
            snapshot: taken.get(0),
            schema_version: taken.get(1),
            first_id: taken.get::<_, i64>(2) - objects,
        };
        change.make(self, table).await.map_err(wrong)?;
        tx.commit().await.map_err(wrong)
    }
}

/// The rows of one snapshot that makes or alters a table.
struct Change<'a> {
    tx: &'a Transaction<'a>,
    snapshot: i64,
    schema_version: i64,
    /// The first of the ids for new schemas and tables.
    first_id: i64,
}

impl Change<'_> {
    async fn make(&self, plan: &Plan, table: &LakeTable) -> Result<(), tokio_postgres::Error> {
        let mut changes = Vec::new();
        let schema_id = match &plan.schema {
            Some(schema) => schema.id,
            None => {
                changes.push(format!("created_schema:{}", quoted(&table.schema)));
                self.schema(&table.schema).await?
            }
        };
        let (table_id, rows) = match &plan.table {
            Some(found) => {
                changes.push(format!("altered_table:{}", found.id));
                (found.id, found.rows)
            }
            None => {
                changes.push(format!(
                    "created_table:{}.{}",
                    quoted(&table.schema),
                    quoted(&table.name)
                ));
                (
                    self.table(
                        schema_id,
                        self.first_id + i64::from(plan.schema.is_none()),
                        &table.name,
                    )
                    .await?,
                    0,
                )
            }
        };
        self.columns(table_id, rows, plan).await?;
        self.inlined_table(table_id, &plan.columns).await?;
        self.tx
            .execute(
                "insert into lake.ducklake_schema_versions (begin_snapshot, schema_version, table_id) \
                 values ($1, $2, $3)",
                &[&self.snapshot, &self.schema_version, &table_id],
            )
            .await?;
        self.tx
            .execute(
                "insert into lake.ducklake_snapshot_changes (snapshot_id, changes_made, author) \
                 values ($1, $2, 'factmill')",
                &[&self.snapshot, &changes.join(",")],
            )
            .await?;
        Ok(())
    }

    async fn schema(&self, name: &str) -> Result<i64, tokio_postgres::Error> {
        self.tx
            .execute(
                "insert into lake.ducklake_schema \
                     (schema_id, schema_uuid, begin_snapshot, schema_name, path, path_is_relative) \
                 values ($1, $2, $3, $4, $5, true)",
                &[
                    &self.first_id,
                    &Uuid::now_v7(),
                    &self.snapshot,
                    &name,
                    &folder(name),
                ],
            )
            .await?;
        Ok(self.first_id)
    }

    async fn table(
        &self,
        schema_id: i64,
        id: i64,
        name: &str,
    ) -> Result<i64, tokio_postgres::Error> {
        self.tx
            .execute(
                "insert into lake.ducklake_table \
                     (table_id, table_uuid, begin_snapshot, schema_id, table_name, path, path_is_relative) \
                 values ($1, $2, $3, $4, $5, $6, true)",
                &[&id, &Uuid::now_v7(), &self.snapshot, &schema_id, &name, &folder(name)],
            )
            .await?;
        self.tx
            .execute(
                "insert into lake.ducklake_table_stats (table_id, record_count, next_row_id, file_size_bytes) \
                 values ($1, 0, 0, 0)",
                &[&id],
            )
            .await?;
        Ok(id)
    }

    /// The new columns, and for their leaves statistics that every epoch widens: null so far where
    /// the table has rows.
    async fn columns(
        &self,
        table_id: i64,
        rows: i64,
        plan: &Plan,
    ) -> Result<(), tokio_postgres::Error> {
        for top in plan
            .columns
            .iter()
            .filter(|column| plan.new.contains(&column.id))
        {
            for (column, parent) in top.walk() {
                let kind = if column.children.is_empty() {
                    "literal"
                } else {
                    ""
                };
                self.tx
                    .execute(
                        "insert into lake.ducklake_column \
                             (column_id, begin_snapshot, table_id, column_order, column_name, column_type, \
                              default_value, nulls_allowed, parent_column, default_value_type, \
                              default_value_dialect) \
                         values ($1, $2, $3, $1, $4, $5, 'NULL', $6, $7, $8, 'duckdb')",
                        &[
                            &column.id,
                            &self.snapshot,
                            &table_id,
                            &column.name,
                            &column.ducklake_type().as_ref(),
                            &column.nullable,
                            &parent.map(|parent| parent.id),
                            &kind,
                        ],
                    )
                    .await?;
            }
            for leaf in top.leaves() {
                self.tx
                    .execute(
                        "insert into lake.ducklake_table_column_stats \
                             (table_id, column_id, contains_null, contains_nan) values ($1, $2, $3, $4)",
                        &[&table_id, &leaf.id, &(rows > 0), &leaf.is_float().then_some(false)],
                    )
                    .await?;
            }
        }
        Ok(())
    }

    /// The table of inlined rows for this version of the columns, where they can stand in one.
    async fn inlined_table(
        &self,
        table_id: i64,
        columns: &[LakeColumn],
    ) -> Result<(), tokio_postgres::Error> {
        if !columns.iter().all(LakeColumn::inlinable_name) {
            return Ok(());
        }
        let name = format!("ducklake_inlined_data_{table_id}_{}", self.schema_version);
        let columns: String = columns
            .iter()
            .map(|column| format!(", {} {}", quoted(&column.name), column.inlined_ddl()))
            .collect();
        self.tx
            .batch_execute(&format!(
                "create table lake.{name} (row_id bigint, begin_snapshot bigint, end_snapshot bigint{columns})"
            ))
            .await?;
        self.tx
            .execute(
                "insert into lake.ducklake_inlined_data_tables (table_id, table_name, schema_version) \
                 values ($1, $2, $3)",
                &[&table_id, &name, &self.schema_version],
            )
            .await?;
        Ok(())
    }
}

async fn read_schema(
    client: &impl GenericClient,
    table: &LakeTable,
) -> Result<Option<CatalogSchema>, LakeError> {
    let found = client
        .query_opt(
            "select schema_id, path, path_is_relative from lake.ducklake_schema \
             where schema_name = $1 and end_snapshot is null",
            &[&table.schema],
        )
        .await
        .map_err(LakeError::catalog(format!("find schema {}", table.schema)))?;
    let Some(row) = found else { return Ok(None) };
    refuse_elsewhere(&table.full_name(), row.get(2))?;
    Ok(Some(CatalogSchema {
        id: row.get(0),
        path: row.get(1),
    }))
}

async fn read_table(
    client: &impl GenericClient,
    table: &LakeTable,
    schema_id: i64,
) -> Result<Option<CatalogTable>, LakeError> {
    let found = client
        .query_opt(
            "select t.table_id, t.path, t.path_is_relative, v.schema_version, i.table_name, \
                    coalesce((select s.record_count from lake.ducklake_table_stats s \
                              where s.table_id = t.table_id), 0) \
             from lake.ducklake_table t \
             join lateral (select max(v.schema_version) as schema_version from lake.ducklake_schema_versions v \
                           where v.table_id = t.table_id) v on true \
             left join lake.ducklake_inlined_data_tables i \
                 on i.table_id = t.table_id and i.schema_version = v.schema_version \
             where t.schema_id = $1 and t.table_name = $2 and t.end_snapshot is null",
            &[&schema_id, &table.name],
        )
        .await
        .map_err(LakeError::catalog(format!("find table {}", table.full_name())))?;
    let Some(row) = found else { return Ok(None) };
    refuse_elsewhere(&table.full_name(), row.get(2))?;
    let (id, path, schema_version, inlined) = (row.get(0), row.get(1), row.get(3), row.get(4));
    Ok(Some(CatalogTable {
        id,
        path,
        schema_version,
        inlined,
        rows: row.get(5),
    }))
}

/// The live columns of a table, and the first id that none of them ever had.
async fn read_columns(
    client: &impl GenericClient,
    name: &str,
    table_id: i64,
) -> Result<(Vec<CatalogColumn>, i64), LakeError> {
    let rows = client
        .query(
            "select column_id, column_name, column_type, nulls_allowed, parent_column, end_snapshot is null \
             from lake.ducklake_column where table_id = $1 order by column_order",
            &[&table_id],
        )
        .await
        .map_err(LakeError::catalog(format!("read the columns of table {name}")))?;
    let next_id = rows
        .iter()
        .map(|row| row.get::<_, i64>(0) + 1)
        .max()
        .unwrap_or(1);
    let live = rows
        .iter()
        .filter(|row| row.get(5))
        .map(|row| CatalogColumn {
            id: row.get(0),
            name: row.get(1),
            column_type: row.get(2),
            nulls_allowed: row.get(3),
            parent: row.get(4),
        });
    Ok((live.collect(), next_id))
}

fn refuse_elsewhere(table: &str, relative: bool) -> Result<(), LakeError> {
    if relative {
        return Ok(());
    }
    let what = "its files are outside the lake's location".to_owned();
    Err(LakeError::Misfit {
        table: table.to_owned(),
        what,
    })
}

/// Takes the ids of a known column, which must be the same column.
fn adopt(
    table: &str,
    column: &mut LakeColumn,
    known: &CatalogColumn,
    catalog: &[CatalogColumn],
) -> Result<(), LakeError> {
    let misfit = |what| {
        Err(LakeError::Misfit {
            table: table.to_owned(),
            what,
        })
    };
    let declared = column.ducklake_type();
    if !known.column_type.eq_ignore_ascii_case(&declared) {
        return misfit(format!(
            "its column `{}` is {}, declared is {declared}",
            column.name, known.column_type
        ));
    }
    if column.nullable && !known.nulls_allowed {
        return misfit(format!(
            "its column `{}` allows no nulls, declared is that it does",
            column.name
        ));
    }
    column.id = known.id;
    let fields: Vec<&CatalogColumn> = catalog
        .iter()
        .filter(|field| field.parent == Some(known.id))
        .collect();
    let same = fields.len() == column.children.len()
        && fields
            .iter()
            .zip(&column.children)
            .all(|(known, declared)| known.name == declared.name);
    if !same {
        return misfit(format!(
            "the fields of its column `{}` are others than the declared ones",
            column.name
        ));
    }
    for (child, field) in column.children.iter_mut().zip(fields) {
        adopt(table, child, field, catalog)?;
    }
    Ok(())
}

/// Readers of DuckLake do not tell names apart by case.
fn refuse_twins<'a>(table: &str, names: impl Iterator<Item = &'a str>) -> Result<(), LakeError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            let why = "another one has the same name but for its case, which SQL readers do not tell apart".into();
            return Err(LakeError::Column {
                table: table.to_owned(),
                column: name.to_owned(),
                why,
            });
        }
    }
    Ok(())
}

fn refuse_struct_twins(table: &str, column: &LakeColumn) -> Result<(), LakeError> {
    refuse_twins(
        table,
        column.children.iter().map(|child| child.name.as_str()),
    )?;
    column
        .children
        .iter()
        .try_for_each(|child| refuse_struct_twins(table, child))
}

/// The folder of a schema or table: its name where every file system and URL takes it, else a UUID.
fn folder(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(plain) {
        return format!("{name}/");
    }
    format!("{}/", Uuid::now_v7())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
