//! The lake on a real Postgres, with DuckDB as the judge of what it says.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod clients;
mod growth;
mod reading;
mod rows;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use factmill_connect::sink::lake::{
    Lake, LakeError, LakeLocation, LakeTable, LakeTableRef, Staged,
};
use factmill_testkit::{DuckDb, Postgres, TestDatabase};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::Client;

const MIGRATION: &str = include_str!("../../../../sql/warehouse/0002_lake.sql");

/// A lake of its own: a database, a folder, a session.
struct Fixture {
    database: TestDatabase,
    folder: TempDir,
    client: Client,
    lake: Lake,
}

impl Fixture {
    /// An empty lake that inlines up to `inline_rows` rows.
    async fn new(inline_rows: usize) -> Self {
        let database = Postgres::shared()
            .await
            .unwrap()
            .create_database()
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let client = database.connect().await.unwrap();
        client.batch_execute(MIGRATION).await.unwrap();
        let lake = Lake::open(&client, location(&folder))
            .await
            .unwrap()
            .inline_rows(inline_rows);
        Self {
            database,
            folder,
            client,
            lake,
        }
    }

    async fn table(&mut self, name: &str, columns: SchemaRef) -> Result<LakeTableRef, LakeError> {
        let table = LakeTable {
            schema: "banking".into(),
            name: name.into(),
            columns,
        };
        self.lake.ensure_table(&mut self.client, &table).await
    }

    async fn write(&self, parts: &[(&LakeTableRef, RecordBatch)]) -> Vec<Staged> {
        let mut staged = Vec::new();
        for (table, rows) in parts {
            staged.push(self.lake.write(table, rows).await.unwrap());
        }
        staged
    }

    /// Writes and commits one epoch; its snapshot.
    async fn epoch(&mut self, parts: &[(&LakeTableRef, RecordBatch)]) -> i64 {
        let staged = self.write(parts).await;
        commit(&self.lake, &mut self.client, &staged).await.unwrap()
    }

    async fn judge(&self) -> DuckDb {
        DuckDb::attach(self.database.url(), self.folder.path().to_str().unwrap())
            .await
            .unwrap()
    }

    /// Another client of the lake that may write.
    async fn other_client(&self) -> DuckDb {
        DuckDb::attach_writable(self.database.url(), self.folder.path().to_str().unwrap())
            .await
            .unwrap()
    }
}

fn location(folder: &TempDir) -> LakeLocation {
    LakeLocation::parse(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap()
}

/// One transaction with nothing but the lake's part in it.
async fn commit(
    lake: &Lake,
    client: &mut Client,
    staged: &[Staged],
) -> Result<i64, tokio_postgres::Error> {
    let tx = client.transaction().await?;
    let part = lake.stage(&tx, staged).await.unwrap();
    let snapshot = tx
        .query_one("select factmill.lake_commit($1)", &[&part])
        .await?
        .get(0);
    tx.commit().await?;
    Ok(snapshot)
}

/// The one row of a query.
async fn one(judge: &DuckDb, sql: &str) -> Vec<Value> {
    let mut rows = judge.query(sql).await.unwrap();
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0)
}
