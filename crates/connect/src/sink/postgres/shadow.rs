//! The table beside a table, and what it takes over when it takes its place.

use factmill_core::table::Table;
use tokio_postgres::Transaction;

use super::error::WarehouseError;
use super::identifier::{list, qualified, quoted};
use super::tables::{columns_ddl, comments, planned_columns, unique_key};

/// A table with the plan's columns, in the schema of the table that it is to replace.
pub(super) struct Shadow {
    name: String,
    qualified: String,
}

/// The table that stands where the shadow is to stand.
pub(super) struct Standing {
    oid: u32,
    /// An object that names the table itself and not its rows, for a person.
    pub(super) held_by: Option<String>,
    /// Its columns are those of the plan, in name, type and null.
    pub(super) same_columns: bool,
}

/// An index or constraint to be made on the shadow and renamed afterwards.
struct Carried {
    name: String,
    /// What follows `create … index <name> on <table> using`, or `add constraint <name>`.
    definition: String,
    kind: CarriedKind,
}

enum CarriedKind {
    Index { unique: bool },
    Constraint,
}

impl Shadow {
    /// Makes the shadow, empty and without indexes: they are made faster when the rows are there.
    pub(super) async fn create(
        tx: &Transaction<'_>,
        table: &Table,
    ) -> Result<Self, WarehouseError> {
        // Whoever loads the same table meanwhile has another one. Postgres would cut a longer name.
        let name = format!("_factmill_shadow_{}", uuid::Uuid::now_v7().simple());
        let qualified = format!("{}.{}", quoted(&table.name.schema), quoted(&name));
        tx.batch_execute(&columns_ddl(&qualified, table))
            .await
            .map_err(|source| {
                WarehouseError::query(format!("making a table beside {}", table.name), source)
            })?;
        Ok(Self { name, qualified })
    }

    pub(super) fn qualified(&self) -> &str {
        &self.qualified
    }

    /// Gives the loaded shadow the plan's key, and the indexes and constraints of the table that it
    /// replaces, under names that are free.
    pub(super) async fn finish(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
        standing: Option<&Standing>,
    ) -> Result<(), WarehouseError> {
        let wrong = |source| WarehouseError::writing(&table.name, source);
        let key = unique_key(table);
        if !key.is_empty() {
            tx.batch_execute(&format!(
                "alter table {} add constraint {} primary key ({})",
                self.qualified,
                quoted(&self.key_name()),
                list(key.iter().map(String::as_str))
            ))
            .await
            .map_err(wrong)?;
        }
        if let Some(standing) = standing.filter(|standing| standing.same_columns) {
            for (index, carried) in standing.carried(tx, table).await?.iter().enumerate() {
                tx.batch_execute(&carried.ddl(self, index))
                    .await
                    .map_err(wrong)?;
            }
        }
        tx.batch_execute(&format!(
            "{}; analyze {}",
            comments(&self.qualified, table),
            self.qualified
        ))
        .await
        .map_err(wrong)
    }

    fn key_name(&self) -> String {
        format!("{}_key", self.name)
    }

    fn carried_name(&self, index: usize) -> String {
        format!("{}_{index}", self.name)
    }

    /// Takes the place of `standing`, with its owner and grants.
    pub(super) async fn replace(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
        standing: &Standing,
    ) -> Result<(), WarehouseError> {
        let wrong =
            |source| WarehouseError::query(format!("swapping table {}", table.name), source);
        let key_name = standing.key_name(tx, table).await?;
        let carried = match standing.same_columns {
            true => standing.carried(tx, table).await?,
            false => Vec::new(),
        };
        let mut ddl = standing.rights(tx, table, self).await?;
        ddl.push_str(&format!("drop table {};", qualified(&table.name)));
        if !unique_key(table).is_empty()
            && let Some(key_name) = key_name
        {
            ddl.push_str(&self.rename_constraint(&self.key_name(), &key_name));
        }
        for (index, carried) in carried.iter().enumerate() {
            let from = self.carried_name(index);
            ddl.push_str(&match carried.kind {
                CarriedKind::Constraint => self.rename_constraint(&from, &carried.name),
                CarriedKind::Index { .. } => format!(
                    "alter index {}.{} rename to {};",
                    quoted(&table.name.schema),
                    quoted(&from),
                    quoted(&carried.name)
                ),
            });
        }
        tx.batch_execute(&ddl).await.map_err(wrong)?;
        self.rename(tx, table).await
    }

    fn rename_constraint(&self, from: &str, to: &str) -> String {
        format!(
            "alter table {} rename constraint {} to {};",
            self.qualified,
            quoted(from),
            quoted(to)
        )
    }

    /// Takes the table's name, which is free.
    pub(super) async fn rename(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
    ) -> Result<(), WarehouseError> {
        tx.batch_execute(&format!(
            "alter table {} rename to {}",
            self.qualified,
            quoted(&table.name.name)
        ))
        .await
        .map_err(|source| WarehouseError::query(format!("naming table {}", table.name), source))
    }
}

impl Carried {
    fn ddl(&self, shadow: &Shadow, index: usize) -> String {
        let name = quoted(&shadow.carried_name(index));
        match self.kind {
            CarriedKind::Constraint => format!(
                "alter table {} add constraint {name} {}",
                shadow.qualified, self.definition
            ),
            CarriedKind::Index { unique } => format!(
                "create {} index {name} on {} using {}",
                if unique { "unique" } else { "" },
                shadow.qualified,
                self.definition
            ),
        }
    }
}

/// What names a table itself, so that the table must stay: the first one, for a person.
const HELD_BY: &str = "\
    select held from (\
        select pg_describe_object('pg_class'::regclass, r.ev_class, 0) as held \
        from pg_depend d join pg_rewrite r on r.oid = d.objid \
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass \
          and d.refobjid = $1 and r.ev_class <> $1 \
        union all \
        select 'trigger ' || quote_ident(tgname) from pg_trigger where tgrelid = $1 and not tgisinternal \
        union all \
        select 'policy ' || quote_ident(polname) from pg_policy where polrelid = $1 \
        union all \
        select 'publication ' || quote_ident(p.pubname) \
        from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where r.prrelid = $1 \
        union all \
        select pg_describe_object('pg_constraint'::regclass, oid, 0) \
        from pg_constraint where confrelid = $1 and conrelid <> $1\
    ) objects order by held limit 1";

/// Columns of table $1 that table $2 does not have alike, and the reverse.
const COLUMN_DIFFERENCES: &str = "\
    with columns as (\
        select attrelid, attname, atttypid, atttypmod, attnotnull from pg_attribute \
        where attrelid in ($1, $2) and attnum > 0 and not attisdropped\
    ) \
    select count(*) from (\
        select attname, atttypid, atttypmod, attnotnull from columns \
        group by 1, 2, 3, 4 having count(*) <> 2\
    ) different";

impl Standing {
    /// Looks at the table that stands there, beside the shadow that was made; `None` where none is.
    pub(super) async fn look(
        tx: &Transaction<'_>,
        table: &Table,
        shadow: &Shadow,
    ) -> Result<Option<Self>, WarehouseError> {
        let wrong =
            |source| WarehouseError::query(format!("looking at table {}", table.name), source);
        let find = "select to_regclass($1)::oid";
        let found = tx
            .query_one(find, &[&qualified(&table.name)])
            .await
            .map_err(wrong)?;
        let Some(oid) = found.get::<_, Option<u32>>(0) else {
            return Ok(None);
        };
        let beside: Option<u32> = tx
            .query_one(find, &[&shadow.qualified])
            .await
            .map_err(wrong)?
            .get(0);
        let held_by = tx
            .query_opt(HELD_BY, &[&oid])
            .await
            .map_err(wrong)?
            .map(|row| row.get(0));
        let different: i64 = tx
            .query_one(COLUMN_DIFFERENCES, &[&oid, &beside.unwrap_or(oid)])
            .await
            .map_err(wrong)?
            .get(0);
        Ok(Some(Self {
            oid,
            held_by,
            same_columns: different == 0,
        }))
    }

    async fn key_name(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
    ) -> Result<Option<String>, WarehouseError> {
        let row = tx
            .query_opt(
                "select conname::text from pg_constraint where conrelid = $1 and contype = 'p'",
                &[&self.oid],
            )
            .await
            .map_err(|source| {
                WarehouseError::query(format!("looking at the key of {}", table.name), source)
            })?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Constraints but the key and `not null`, and indexes that belong to no constraint.
    async fn carried(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
    ) -> Result<Vec<Carried>, WarehouseError> {
        let wrong = |source| {
            WarehouseError::query(format!("looking at the indexes of {}", table.name), source)
        };
        // What stands before the definition is built from the same names as the server builds it
        // from, so it can be cut off by its length.
        let rows = tx
            .query(
                "select conname::text, pg_get_constraintdef(oid), 'c'::text, false, '' \
                 from pg_constraint where conrelid = $1 and contype in ('u', 'c', 'x', 'f') \
                 union all \
                 select ic.relname::text, pg_get_indexdef(i.indexrelid), 'i', i.indisunique, \
                        format('CREATE %sINDEX %I ON %I.%I USING ', \
                               case when i.indisunique then 'UNIQUE ' else '' end, ic.relname, n.nspname, c.relname) \
                 from pg_index i join pg_class ic on ic.oid = i.indexrelid \
                 join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace \
                 where i.indrelid = $1 and not exists (select from pg_constraint where conindid = i.indexrelid) \
                 order by 1",
                &[&self.oid],
            )
            .await
            .map_err(wrong)?;
        rows.iter()
            .map(|row| {
                let (name, whole): (String, &str) = (row.get(0), row.get(1));
                let kind = match row.get::<_, &str>(2) {
                    "i" => CarriedKind::Index { unique: row.get(3) },
                    _ => CarriedKind::Constraint,
                };
                let definition = whole.strip_prefix(row.get::<_, &str>(4)).ok_or_else(|| {
                    WarehouseError::Broken(format!(
                        "index `{name}` of {} has an unexpected definition: {whole}",
                        table.name
                    ))
                })?;
                Ok(Carried {
                    definition: definition.to_owned(),
                    name,
                    kind,
                })
            })
            .collect()
    }

    /// The statements that give the shadow the owner and the grants of the table.
    async fn rights(
        &self,
        tx: &Transaction<'_>,
        table: &Table,
        shadow: &Shadow,
    ) -> Result<String, WarehouseError> {
        let wrong = |source| {
            WarehouseError::query(format!("looking at the grants of {}", table.name), source)
        };
        let owner = tx
            .query_one(
                "select quote_ident(pg_get_userbyid(relowner)), pg_get_userbyid(relowner) = current_user \
                 from pg_class where oid = $1",
                &[&self.oid],
            )
            .await
            .map_err(wrong)?;
        let grants = tx
            .query(
                "select privilege_type, case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end, \
                        is_grantable, column_name \
                 from (select (aclexplode(relacl)).*, null::name as column_name from pg_class where oid = $1 \
                       union all \
                       select (aclexplode(attacl)).*, attname from pg_attribute \
                       where attrelid = $1 and attnum > 0 and not attisdropped) granted",
                &[&self.oid],
            )
            .await
            .map_err(wrong)?;
        let mut ddl = String::new();
        if !owner.get::<_, bool>(1) {
            ddl.push_str(&format!(
                "alter table {} owner to {};",
                shadow.qualified,
                owner.get::<_, &str>(0)
            ));
        }
        // A column that the plan has no more takes its grants along.
        let granted = grants
            .iter()
            .filter(|grant| match grant.get::<_, Option<&str>>(3) {
                Some(column) => planned_columns(table).any(|planned| planned.name == column),
                None => true,
            });
        for grant in granted {
            let (privilege, grantee): (&str, &str) = (grant.get(0), grant.get(1));
            let column = grant
                .get::<_, Option<&str>>(3)
                .map(|column| format!("({})", quoted(column)))
                .unwrap_or_default();
            let option = if grant.get(2) {
                " with grant option"
            } else {
                ""
            };
            ddl.push_str(&format!(
                "grant {privilege}{column} on {} to {grantee}{option};",
                shadow.qualified
            ));
        }
        Ok(ddl)
    }
}
