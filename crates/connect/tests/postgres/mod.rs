//! The warehouse on a real Postgres.

mod commit;
mod cut;
mod leases;
mod loading;
mod positions;
mod rebuild;
mod tables;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use factmill_connect::sink::lake::{Lake, LakeLocation};
use factmill_connect::sink::postgres::{
    EpochChanges, Generations, LakeEpoch, Observed, Warehouse, WarehouseConfig,
};
use factmill_core::epoch::Reader;
use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, SourceName};
use factmill_core::table::{Column, Maintenance, ORDER_COLUMN, Table, TableChange, TableName};
use factmill_core::types::DeclaredType;
use factmill_testkit::{Postgres, TestDatabase};
use futures::StreamExt;
use tempfile::TempDir;

/// A migrated warehouse with a lake, in a database of its own.
struct Fixture {
    database: TestDatabase,
    warehouse: Warehouse,
    lake: Lake,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self::on(Postgres::shared().await.unwrap()).await
    }

    async fn on(server: &Postgres) -> Self {
        let database = server.create_database().await.unwrap();
        let warehouse = Warehouse::connect(WarehouseConfig::new(database.url()))
            .await
            .unwrap();
        warehouse.migrate().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let location =
            LakeLocation::parse(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let lake = Lake::open(&warehouse.client().await.unwrap(), location)
            .await
            .unwrap();
        Self {
            database,
            warehouse,
            lake,
            _folder: folder,
        }
    }

    /// Another process of the same job.
    async fn another(&self) -> Warehouse {
        Warehouse::connect(WarehouseConfig::new(self.database.url()))
            .await
            .unwrap()
    }

    /// An epoch of partition 0 over `[from, to)`.
    fn epoch(
        &self,
        tables: &Arc<[Table]>,
        generations: &Generations,
        from: i64,
        to: i64,
    ) -> EpochChanges {
        EpochChanges {
            reader: reader(),
            intervals: vec![interval("0", (from > 0).then_some(from), to)],
            tables: Arc::clone(tables),
            generations: generations.clone(),
            changes: Vec::new(),
            dead_letters: Vec::new(),
            lake: Arc::new(LakeEpoch {
                lake: self.lake.clone(),
                staged: Vec::new(),
            }),
            rows_in: (to - from).unsigned_abs(),
            started_at: chrono::Utc::now(),
            code_version: "test".into(),
            observed: Observed::default(),
        }
    }

    async fn prepare(&self, tables: Vec<Table>) -> (Arc<[Table]>, Generations) {
        let generations = self
            .warehouse
            .prepare_tables(&reader(), &tables)
            .await
            .unwrap();
        (tables.into(), generations)
    }

    /// The one value of a query, as text.
    async fn value(&self, sql: &str) -> String {
        let client = self.database.connect().await.unwrap();
        let row = client
            .query_one(&format!("select ({sql})::text"), &[])
            .await
            .unwrap();
        row.get::<_, Option<String>>(0)
            .unwrap_or_else(|| "null".into())
    }

    async fn run(&self, sql: &str) {
        let client = self.database.connect().await.unwrap();
        client.batch_execute(sql).await.unwrap();
    }

    /// All rows of a table.
    async fn rows(&self, table: &TableName) -> Vec<RecordBatch> {
        let reader = self.warehouse.table_reader(table).await.unwrap().unwrap();
        let stream = reader.scan(None).await.unwrap();
        stream.map(Result::unwrap).collect().await
    }
}

fn reader() -> Reader {
    Reader {
        target: "test".into(),
        job: "banking".into(),
    }
}

fn incarnation() -> Incarnation {
    Incarnation {
        ordinal: 1,
        identity: "cluster/topic".into(),
    }
}

fn partition(number: &str) -> PartitionId {
    PartitionId {
        source: SourceName::new("banking", "transactions"),
        partition: number.into(),
    }
}

fn interval(number: &str, from: Option<i64>, to: i64) -> Interval {
    Interval::new(
        partition(number),
        incarnation(),
        from.map(Cursor::Offset),
        Cursor::Offset(to),
    )
    .unwrap()
}

fn table(name: &str, columns: &[(&str, &str)], maintenance: Maintenance) -> Table {
    Table {
        name: TableName {
            schema: "banking".into(),
            name: name.into(),
        },
        model: name.into(),
        columns: columns
            .iter()
            .map(|(name, data_type)| Column {
                name: (*name).into(),
                data_type: DeclaredType::parse(data_type).unwrap(),
                not_null: false,
                description: Some(format!("what {name} means; it's \"quoted\"")),
            })
            .collect(),
        maintenance,
        description: Some("a table's meaning".into()),
    }
}

fn upsert(key: &[&str]) -> Maintenance {
    Maintenance::Upsert {
        unique_key: key.iter().map(|name| (*name).to_owned()).collect(),
        deletes: false,
    }
}

/// Two text columns keyed by the first.
fn keyed() -> Table {
    table(
        "keyed",
        &[("id", "text"), ("value", "text")],
        upsert(&["id"]),
    )
}

/// Rows of [`keyed`]: key, value, order. Sorted here, as the engine sorts them.
fn keyed_rows(rows: &[(&str, &str, u8)]) -> RecordBatch {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let text = |of: fn(&(&str, &str, u8)) -> String| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(of(row)))
                .collect::<StringArray>(),
        )
    };
    let orders: Vec<[u8; 1]> = rows.iter().map(|row| [row.2]).collect();
    batch(&[
        ("id", text(|row| row.0.to_owned())),
        ("value", text(|row| row.1.to_owned())),
        (
            ORDER_COLUMN,
            Arc::new(BinaryArray::from_iter_values(orders)),
        ),
    ])
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let columns = columns
        .iter()
        .map(|(_, column)| Arc::clone(column))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn change(table: usize, rows: RecordBatch) -> TableChange {
    TableChange { table, rows }
}
