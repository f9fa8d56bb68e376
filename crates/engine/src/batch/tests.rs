#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
mod keyed;
mod reference;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
};
use factmill_core::source::BoxedError;
use factmill_core::table::{Maintenance, ORDER_COLUMN, Table, TableName};
use factmill_core::table_reader::{Relations, RowStream, TableReader};
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;

use super::BatchPlan;
use crate::fixture::{Event, banking_models, project, rows, source_name};
use crate::inputs::Inputs;
use crate::lake::LakeSnapshot;
use crate::reference::Databases;
use crate::session::Memory;
use crate::stream::StreamPlan;

/// A warehouse in memory.
#[derive(Debug, Clone, Default)]
struct Loaded(BTreeMap<TableName, Vec<RecordBatch>>);

#[derive(Debug)]
struct LoadedTable(SchemaRef, Vec<RecordBatch>);

#[async_trait]
impl TableReader for LoadedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }

    async fn scan(&self, projection: Option<&[usize]>) -> Result<RowStream, BoxedError> {
        let projected = self.1.iter().map(|batch| match projection {
            Some(columns) => batch.project(columns).unwrap(),
            None => batch.clone(),
        });
        Ok(futures::stream::iter(projected.map(Ok).collect::<Vec<_>>()).boxed())
    }
}

#[async_trait]
impl Relations for Loaded {
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
        let batches = self.0.get(name).filter(|batches| !batches.is_empty());
        Ok(batches.map(|batches| Arc::new(LoadedTable(batches[0].schema(), batches.clone())) as _))
    }

    async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
        Ok(self.0.keys().cloned().collect())
    }
}

fn lake(events: &[Event]) -> LakeSnapshot {
    let batch = rows(events);
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    let schema = MemorySchemaProvider::new();
    schema
        .register_table(source_name().table().into(), Arc::new(table))
        .unwrap();
    let catalog = MemoryCatalogProvider::new();
    catalog
        .register_schema(source_name().group(), Arc::new(schema))
        .unwrap();
    LakeSnapshot::of(Arc::new(catalog))
}

/// Every row as text, without the order of records, sorted.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut shown: Vec<String> = batches.iter().flat_map(row_texts).collect();
    shown.sort();
    shown
}

fn row_texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let columns: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| field.name() != ORDER_COLUMN)
        .map(|(_, column)| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

/// What the warehouse does with the changes of a table.
#[derive(Default)]
struct Stored {
    appended: Vec<String>,
    by_key: BTreeMap<String, (Vec<u8>, String)>,
}

impl Stored {
    fn apply(&mut self, table: &Table, change: &RecordBatch) {
        let Maintenance::Upsert { unique_key, .. } = &table.maintenance else {
            self.appended.extend(row_texts(change));
            return;
        };
        let indices: Vec<_> = unique_key
            .iter()
            .map(|key| change.schema().index_of(key).unwrap())
            .collect();
        let keys = row_texts(&change.project(&indices).unwrap());
        let order = change
            .column_by_name(ORDER_COLUMN)
            .unwrap()
            .as_binary::<i32>()
            .clone();
        for (row, (key, text)) in keys.into_iter().zip(row_texts(change)).enumerate() {
            let new = (order.value(row).to_vec(), text);
            self.by_key
                .entry(key)
                .and_modify(|stored| {
                    if new.0 > stored.0 {
                        *stored = new.clone();
                    }
                })
                .or_insert(new);
        }
    }

    fn texts(&self) -> Vec<String> {
        let mut all = self.appended.clone();
        all.extend(self.by_key.values().map(|(_, text)| text.clone()));
        all.sort();
        all
    }
}

/// Streams the events in epochs of the given sizes and holds every table to the batch.
async fn stream_equals_batch(events: &[Event], epochs: &[usize]) {
    let (project, job) = project(banking_models());
    let stream = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    let mut stored: BTreeMap<usize, Stored> = BTreeMap::new();
    let mut rest = events;
    let mut sizes = epochs.iter().cycle();
    while !rest.is_empty() {
        let (epoch, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = later;
        for change in stream
            .transform(vec![(source_name(), rows(epoch))])
            .await
            .unwrap()
        {
            stored
                .entry(change.table)
                .or_default()
                .apply(&stream.tables()[change.table], &change.rows);
        }
    }

    let batch = BatchPlan::compile(&project, &project.models, &Memory::batch(), 2)
        .await
        .unwrap();
    let mut loaded = Loaded::default();
    for (index, table) in batch.tables().iter().enumerate() {
        let inputs = Inputs {
            lake: Some(lake(events)),
            databases: Databases::only(Arc::new(loaded.clone())),
        };
        let computed: Vec<_> = batch
            .run(index, &inputs)
            .await
            .unwrap()
            .batches
            .try_collect()
            .await
            .unwrap();
        let streamed = stream
            .tables()
            .iter()
            .position(|streamed| streamed.name == table.name)
            .unwrap();
        match table.maintenance {
            Maintenance::Append | Maintenance::Upsert { .. } => {
                let streamed = stored.get(&streamed).map(Stored::texts).unwrap_or_default();
                assert_eq!(streamed, texts(&computed), "{}", table.name);
            }
            Maintenance::Static => {
                let known = stream
                    .statics()
                    .iter()
                    .find(|known| known.table == streamed)
                    .unwrap();
                assert_eq!(texts(&known.rows), texts(&computed), "{}", table.name);
            }
            Maintenance::Rebuild { .. } => {
                let rebuild = stream
                    .rebuilds()
                    .iter()
                    .find(|rebuild| rebuild.table == streamed)
                    .unwrap();
                let rows = stream.rebuild(rebuild, &inputs).await.unwrap();
                let rebuilt: Vec<_> = rows.batches.try_collect().await.unwrap();
                assert_eq!(texts(&rebuilt), texts(&computed), "{}", table.name);
            }
        }
        loaded.0.insert(table.name.clone(), computed);
    }
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        0_u128..12,
        -3_i64..3_000_000,
        0_u8..4,
        -3_i128..500,
        0_i32..3,
    );
    prop::collection::vec(event, 1..60).prop_map(|drawn| {
        let mut next_offset = [0_i64; 3];
        drawn
            .into_iter()
            .map(|(id, time, account, amount, partition)| {
                let offset = next_offset[partition as usize];
                next_offset[partition as usize] += 1;
                Event {
                    id,
                    // Few distinct times, so that ties are common.
                    time: 1_704_412_800_000_000 + (time / 500_000) * 86_400_000_000,
                    account: format!("ACC-{account}"),
                    city: format!("city {}", offset % 4),
                    amount,
                    partition,
                    offset,
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_stream_reaches_the_tables_of_a_batch(
        events in any_events(),
        epochs in prop::collection::vec(1_usize..20, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(stream_equals_batch(&events, &epochs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_sources_that_hold_nothing_yet() {
    let (project, _) = project(banking_models());
    let batch = BatchPlan::compile(&project, &project.models, &Memory::batch(), 2)
        .await
        .unwrap();
    let facts = batch
        .tables()
        .iter()
        .position(|table| table.model == "fct_transactions")
        .unwrap();
    let mut loaded = Loaded::default();
    let inputs = |loaded: &Loaded| Inputs {
        lake: Some(LakeSnapshot::of(Arc::new(MemoryCatalogProvider::new()))),
        databases: Databases::only(Arc::new(loaded.clone())),
    };
    for index in 0..facts {
        let rows = batch.run(index, &inputs(&loaded)).await.unwrap();
        let computed: Vec<_> = rows.batches.try_collect().await.unwrap();
        loaded
            .0
            .insert(batch.tables()[index].name.clone(), computed);
    }
    let rows = batch.run(facts, &inputs(&loaded)).await.unwrap();
    assert_eq!(rows.schema.fields().last().unwrap().name(), ORDER_COLUMN);
    let computed: Vec<_> = rows.batches.try_collect().await.unwrap();
    assert_eq!(computed.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_not_loaded_is_named() {
    let (project, _) = project(banking_models());
    let batch = BatchPlan::compile(&project, &project.models, &Memory::batch(), 1)
        .await
        .unwrap();
    let totals = batch
        .tables()
        .iter()
        .position(|table| table.model == "agg_daily_by_type")
        .unwrap();
    let inputs = Inputs {
        lake: None,
        databases: Databases::only(Arc::new(Loaded::default())),
    };
    let message = batch.run(totals, &inputs).await.unwrap_err().to_string();
    assert!(
        message.contains("table banking.fct_transactions is not in the warehouse"),
        "{message}"
    );
}
