//! The two ways of rows into a table with a key, on a real Postgres whose commits reach the disk.
//!
//! Straight: COPY into the table under a savepoint. Staged: COPY into a temporary table, then a
//! merge; one key that is there already in every epoch keeps the table on that path. Prints rows per
//! second of the whole commit.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

mod banking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::record_batch::RecordBatch;
use factmill_connect::sink::lake::{Lake, LakeLocation};
use factmill_connect::sink::postgres::{
    EpochChanges, Generations, LakeEpoch, Observed, Warehouse, WarehouseConfig,
};
use factmill_core::epoch::Reader;
use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, SourceName};
use factmill_core::table::{Table, TableChange};
use factmill_testkit::Postgres;

#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    staged: bool,
    sorted: bool,
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: "straight, sorted by key",
        staged: false,
        sorted: true,
    },
    Variant {
        name: "straight, in order of arrival",
        staged: false,
        sorted: false,
    },
    Variant {
        name: "staged, sorted by key",
        staged: true,
        sorted: true,
    },
    Variant {
        name: "staged, in order of arrival",
        staged: true,
        sorted: false,
    },
];

/// Rows of an epoch, epochs.
const SHAPES: [(usize, usize); 3] = [(100_000, 10), (1_000, 200), (50, 400)];

struct Bench {
    warehouse: Warehouse,
    lake: Lake,
    reader: Reader,
}

impl Bench {
    fn epoch(
        &self,
        tables: &Arc<[Table]>,
        generations: &Generations,
        number: i64,
        rows: RecordBatch,
    ) -> EpochChanges {
        let partition = PartitionId {
            source: SourceName::new("banking", "transactions"),
            partition: tables[0].name.name.clone(),
        };
        let incarnation = Incarnation {
            ordinal: 1,
            identity: "bench".into(),
        };
        let from = (number > 0).then_some(Cursor::Offset(number));
        EpochChanges {
            reader: self.reader.clone(),
            intervals: vec![
                Interval::new(partition, incarnation, from, Cursor::Offset(number + 1)).unwrap(),
            ],
            tables: Arc::clone(tables),
            generations: generations.clone(),
            rows_in: rows.num_rows() as u64,
            changes: vec![TableChange { table: 0, rows }],
            dead_letters: Vec::new(),
            lake: Arc::new(LakeEpoch {
                lake: self.lake.clone(),
                staged: Vec::new(),
            }),
            started_at: chrono::Utc::now(),
            code_version: "bench".into(),
            observed: Observed::default(),
        }
    }

    /// Commits all epochs into a table of its own; the time of each.
    async fn run(
        &self,
        variant: Variant,
        rows: usize,
        epochs: usize,
        table: &str,
    ) -> Vec<Duration> {
        let tables: Arc<[Table]> = Arc::new([banking::table(table)]);
        let generations = self
            .warehouse
            .prepare_tables(&self.reader, &tables)
            .await
            .unwrap();
        let known = banking::rows(-1, 1, 1);
        let first = self.epoch(&tables, &generations, 0, known.clone());
        self.warehouse.commit(&first).await.unwrap();
        let mut spent = Vec::with_capacity(epochs);
        for number in 0..epochs {
            let mut batch = banking::rows((number * rows) as i64, rows, 0);
            if variant.staged {
                batch = concat_batches(&batch.schema(), [&known, &batch]).unwrap();
            }
            if variant.sorted {
                let order = sort_to_indices(batch.column(0), None, None).unwrap();
                batch = take_record_batch(&batch, &order).unwrap();
            }
            let epoch = self.epoch(&tables, &generations, number as i64 + 1, batch);
            let begun = Instant::now();
            self.warehouse.commit(&epoch).await.unwrap();
            spent.push(begun.elapsed());
        }
        spent
    }
}

#[tokio::main]
async fn main() {
    let server = Postgres::start_durable().await.unwrap();
    let database = server.create_database().await.unwrap();
    let warehouse = Warehouse::connect(WarehouseConfig::new(database.url()))
        .await
        .unwrap();
    warehouse.migrate().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let location = LakeLocation::parse(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    let lake = Lake::open(&warehouse.client().await.unwrap(), location)
        .await
        .unwrap();
    let bench = Bench {
        warehouse,
        lake,
        reader: Reader {
            target: "bench".into(),
            job: "banking".into(),
        },
    };
    println!(
        "{:>14} {:>32} {:>12} {:>12} {:>10} {:>10}",
        "rows an epoch", "path", "rows/s", "last tenth", "p50 ms", "p99 ms"
    );
    for (rows, epochs) in SHAPES {
        for (index, variant) in VARIANTS.into_iter().enumerate() {
            let mut spent = bench
                .run(variant, rows, epochs, &format!("facts_{rows}_{index}"))
                .await;
            let rate = |spent: &[Duration]| {
                (rows * spent.len()) as f64 / spent.iter().sum::<Duration>().as_secs_f64()
            };
            let (all, last) = (rate(&spent), rate(&spent[epochs - epochs / 10..]));
            spent.sort_unstable();
            let millis =
                |part: usize| spent[(epochs * part / 100).min(epochs - 1)].as_secs_f64() * 1e3;
            println!(
                "{rows:>14} {:>32} {all:>12.0} {last:>12.0} {:>10.2} {:>10.2}",
                variant.name,
                millis(50),
                millis(99)
            );
        }
    }
}
