//! Tables compared with tables.

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

/// Two schemas have the same tables with the same rows, each as often.
///
/// # Errors
/// The first table that differs, with a row that only one of them has.
pub async fn same_tables(client: &Client, one: &str, other: &str) -> Result<()> {
    let tables = tables_of(client, one).await?;
    let others = tables_of(client, other).await?;
    ensure!(
        !tables.is_empty() && tables == others,
        "schema {one} has the tables {tables:?}, schema {other} {others:?}"
    );
    for table in tables {
        let only = async |here: &str, there: &str| -> Result<(i64, Option<String>)> {
            let row = client
                .query_one(
                    &format!(
                        "select count(*), min(x::text) \
                         from (table \"{here}\".\"{table}\" except all table \"{there}\".\"{table}\") x"
                    ),
                    &[],
                )
                .await
                .with_context(|| format!("comparing {table}"))?;
            Ok((row.get(0), row.get(1)))
        };
        let (in_one, in_other) = (only(one, other).await?, only(other, one).await?);
        ensure!(
            in_one.0 == 0 && in_other.0 == 0,
            "{table}: only in {one} {in_one:?}, only in {other} {in_other:?}"
        );
    }
    Ok(())
}

async fn tables_of(client: &Client, schema: &str) -> Result<Vec<String>> {
    let rows = client
        .query(
            "select table_name::text from information_schema.tables where table_schema = $1 order by 1",
            &[&schema],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
