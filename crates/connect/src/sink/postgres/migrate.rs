//! The versions of the schema `factmill`.

use super::connection::Session;
use super::error::WarehouseError;

/// One step from a version to the next.
struct Migration {
    version: i32,
    sql: &'static str,
}

/// All steps, oldest first. A step that has shipped is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("../../../../../sql/warehouse/0001_control.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("../../../../../sql/warehouse/0002_lake.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("../../../../../sql/warehouse/0003_deleted_keys.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("../../../../../sql/warehouse/0004_reader_leases.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("../../../../../sql/warehouse/0005_pipeline.sql"),
    },
];

/// Makes the read-only roles; see the file.
const ROLES: &str = include_str!("../../../../../sql/warehouse/roles.sql");

/// The newest version that this binary knows.
fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Holds back other processes that migrate or prepare tables, until the transaction ends.
pub(super) const LOCK_DDL: &str =
    "select pg_advisory_xact_lock(hashtextextended('factmill ddl', 0))";

/// Brings the schema to the newest version, in one transaction.
pub(super) async fn migrate(session: &mut Session) -> Result<i32, WarehouseError> {
    let doing = "migrating the schema `factmill`";
    let wrong = |source| WarehouseError::query(doing, source);
    let tx = session.client.transaction().await.map_err(wrong)?;
    tx.batch_execute(LOCK_DDL).await.map_err(wrong)?;
    let found = match read_version(&tx).await? {
        Some(found) => found,
        None => {
            tx.batch_execute(
                "create schema if not exists factmill; \
                 comment on schema factmill is 'What factmill read, committed and set aside.'; \
                 create table factmill.schema_version \
                     (version integer primary key, migrated_at timestamptz not null default now()); \
                 comment on table factmill.schema_version is 'The versions this schema went through.'",
            )
            .await
            .map_err(wrong)?;
            0
        }
    };
    refuse_newer(found)?;
    if found == newest() {
        return Ok(found);
    }
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > found)
    {
        let doing = format!(
            "migrating the schema `factmill` to version {}",
            migration.version
        );
        tx.batch_execute(migration.sql)
            .await
            .map_err(|source| WarehouseError::query(doing, source))?;
        tx.execute(
            "insert into factmill.schema_version (version) values ($1)",
            &[&migration.version],
        )
        .await
        .map_err(wrong)?;
    }
    tx.batch_execute("select factmill.grant_reads()")
        .await
        .map_err(wrong)?;
    tx.commit().await.map_err(wrong)?;
    Ok(newest())
}

/// Whether the schema is the one that this binary writes.
pub(super) async fn check(session: &Session) -> Result<(), WarehouseError> {
    let found = read_version(&session.client).await?;
    if let Some(found) = found {
        refuse_newer(found)?;
    }
    if found != Some(newest()) {
        return Err(WarehouseError::NotMigrated { found });
    }
    Ok(())
}

/// Makes the read-only roles and grants them what is there.
pub(super) async fn create_roles(session: &Session) -> Result<(), WarehouseError> {
    session
        .client
        .batch_execute(ROLES)
        .await
        .map_err(|source| WarehouseError::query("creating the read-only roles", source))
}

fn refuse_newer(found: i32) -> Result<(), WarehouseError> {
    if found > newest() {
        return Err(WarehouseError::NewerSchema {
            found,
            known: newest(),
        });
    }
    Ok(())
}

async fn read_version(
    client: &impl tokio_postgres::GenericClient,
) -> Result<Option<i32>, WarehouseError> {
    let wrong =
        |source| WarehouseError::query("reading the version of the schema `factmill`", source);
    let there: bool = client
        .query_one(
            "select to_regclass('factmill.schema_version') is not null",
            &[],
        )
        .await
        .map_err(wrong)?
        .get(0);
    if !there {
        return Ok(None);
    }
    let row = client
        .query_one("select max(version) from factmill.schema_version", &[])
        .await
        .map_err(wrong)?;
    Ok(Some(row.get::<_, Option<i32>>(0).unwrap_or(0)))
}
