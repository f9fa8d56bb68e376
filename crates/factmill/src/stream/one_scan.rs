//! One scan of a table for several rebuilds that are computed at once: reading a million facts costs
//! more than aggregating them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use async_trait::async_trait;
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified, SharedError, boxed};
use factmill_core::table::TableName;
use factmill_core::table_reader::{Relations, RowStream, TableReader};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

/// Shares a scan of `table` among `readers` computations that read it once each: what each of them
/// reads tables through.
///
/// The scan begins when each has asked for its columns, or was dropped without. So all must be under
/// way at the same time, and none may read anything else that waits for another of them.
pub(super) fn share(
    relations: &Arc<dyn Relations>,
    table: &TableName,
    readers: usize,
) -> Vec<Arc<dyn Relations>> {
    let scan = Arc::new(OneScan {
        table: table.clone(),
        waiting: Mutex::new(Waiting {
            awaited: readers,
            reader: None,
            asked: Vec::new(),
        }),
    });
    let part = |_| {
        let part = Part {
            relations: Arc::clone(relations),
            seat: Arc::new(Seat {
                scan: Arc::clone(&scan),
                taken: AtomicBool::new(false),
            }),
        };
        Arc::new(part) as Arc<dyn Relations>
    };
    (0..readers).map(part).collect()
}

/// The tables that one of the computations reads.
struct Part {
    relations: Arc<dyn Relations>,
    seat: Arc<Seat>,
}

#[async_trait]
impl Relations for Part {
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
        let found = self.relations.table(name).await?;
        Ok(found.map(|reader| {
            if *name == self.seat.scan.table {
                let seat = Arc::clone(&self.seat);
                Arc::new(PartReader { reader, seat })
            } else {
                reader
            }
        }))
    }

    async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
        self.relations.list().await
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.seat.scan.table).finish()
    }
}

/// A computation's place in the scan, given up once nothing holds it.
struct Seat {
    scan: Arc<OneScan>,
    taken: AtomicBool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.taken.load(Ordering::Relaxed) {
            self.scan.arrive(None);
        }
    }
}

/// The shared table for one of the computations.
struct PartReader {
    reader: Arc<dyn TableReader>,
    seat: Arc<Seat>,
}

#[async_trait]
impl TableReader for PartReader {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    async fn scan(&self, projection: Option<&[usize]>) -> Result<RowStream, BoxedError> {
        if self.seat.taken.swap(true, Ordering::Relaxed) {
            // a second time: the others are under way already
            return self.reader.scan(projection).await;
        }
        let all = || (0..self.reader.schema().fields().len()).collect();
        let (sender, batches) = mpsc::channel(1);
        let asked = Asked {
            projection: projection.map_or_else(all, <[usize]>::to_vec),
            batches: sender,
        };
        let reader = Arc::clone(&self.reader);
        self.seat.scan.arrive(Some((reader, asked)));
        let batches = stream::unfold(batches, async |mut batches| {
            batches.recv().await.map(|batch| (batch, batches))
        });
        Ok(batches.boxed())
    }
}

impl fmt::Debug for PartReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reader.fmt(f)
    }
}

struct OneScan {
    table: TableName,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// Who has neither asked nor gone.
    awaited: usize,
    /// Through which the table is read.
    reader: Option<Arc<dyn TableReader>>,
    asked: Vec<Asked>,
}

/// A reader's columns and where its batches go.
struct Asked {
    projection: Vec<usize>,
    batches: mpsc::Sender<Result<RecordBatch, BoxedError>>,
}

impl OneScan {
    /// Takes one off who is awaited; the last one starts the scan.
    fn arrive(&self, asked: Option<(Arc<dyn TableReader>, Asked)>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.awaited -= 1;
        if let Some((reader, asked)) = asked {
            waiting.reader = Some(reader);
            waiting.asked.push(asked);
        }
        if waiting.awaited == 0
            && let Some(reader) = waiting.reader.take()
        {
            let asked = std::mem::take(&mut waiting.asked);
            // it ends with the scan, or when nobody takes its batches any more
            tokio::spawn(hand_out(reader, asked));
        }
    }
}

/// Reads every column that somebody asked for, and gives each reader its own.
async fn hand_out(reader: Arc<dyn TableReader>, mut asked: Vec<Asked>) {
    let mut columns: Vec<usize> = asked
        .iter()
        .flat_map(|asked| &asked.projection)
        .copied()
        .collect();
    columns.sort_unstable();
    columns.dedup();
    for asked in &mut asked {
        for column in &mut asked.projection {
            *column = columns.partition_point(|read| read < column);
        }
    }
    let mut batches = match reader.scan(Some(&columns)).await {
        Ok(batches) => batches,
        Err(error) => return fail(asked, error).await,
    };
    while let Some(batch) = batches.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return fail(asked, error).await,
        };
        let mut left = Vec::with_capacity(asked.len());
        for asked in asked {
            let columns = batch.project(&asked.projection);
            let columns = columns.map_err(|error| boxed(NotInScan(error)));
            // a reader that has seen enough is gone
            if asked.batches.send(columns).await.is_ok() {
                left.push(asked);
            }
        }
        asked = left;
        if asked.is_empty() {
            return;
        }
    }
}

async fn fail(asked: Vec<Asked>, error: BoxedError) {
    let error = SharedError::from(error);
    for asked in asked {
        let failed = boxed(Arc::clone(&error));
        // a reader that is gone needs no reason
        let _ = asked.batches.send(Err(failed)).await;
    }
}

/// A column was asked for that the table does not have.
#[derive(Debug, thiserror::Error)]
#[error("a shared scan lacks a column")]
struct NotInScan(#[source] ArrowError);

impl Classified for NotInScan {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::atomic::AtomicUsize;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    /// A table of three columns `c0`, `c1`, `c2` whose rows are 10·row + column.
    #[derive(Debug, Default)]
    struct Fake {
        scans: AtomicUsize,
        breaks: bool,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the server went away")]
    struct WentAway;

    impl Classified for WentAway {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Transient
        }
    }

    #[derive(Debug)]
    struct FakeReader(Arc<Fake>);

    #[async_trait]
    impl TableReader for FakeReader {
        fn schema(&self) -> SchemaRef {
            let field = |column| Field::new(format!("c{column}"), DataType::Int64, false);
            Arc::new(Schema::new((0..3).map(field).collect::<Vec<_>>()))
        }

        async fn scan(&self, projection: Option<&[usize]>) -> Result<RowStream, BoxedError> {
            self.0.scans.fetch_add(1, Ordering::Relaxed);
            let projection: Vec<usize> = projection.map_or(vec![0, 1, 2], <[usize]>::to_vec);
            let schema = Arc::new(self.schema().project(&projection).unwrap());
            let batch = move |row: i64| {
                let columns = projection.iter().map(|column| {
                    let values = Int64Array::from(vec![10 * row + *column as i64]);
                    Arc::new(values) as _
                });
                Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap())
            };
            let broken = self.0.breaks.then(|| Err(boxed(WentAway)));
            Ok(stream::iter((0..5).map(batch).chain(broken)).boxed())
        }
    }

    #[derive(Debug)]
    struct FakeRelations(Arc<Fake>);

    #[async_trait]
    impl Relations for FakeRelations {
        async fn table(&self, _: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
            Ok(Some(Arc::new(FakeReader(Arc::clone(&self.0)))))
        }

        async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
            Ok(Vec::new())
        }
    }

    fn facts() -> TableName {
        TableName {
            schema: "s".into(),
            name: "facts".into(),
        }
    }

    fn shared(table: &Arc<Fake>, readers: usize) -> Vec<Arc<dyn Relations>> {
        let relations: Arc<dyn Relations> = Arc::new(FakeRelations(Arc::clone(table)));
        share(&relations, &facts(), readers)
    }

    async fn open(part: &Arc<dyn Relations>, columns: &[usize]) -> RowStream {
        let reader = part.table(&facts()).await.unwrap().unwrap();
        reader.scan(Some(columns)).await.unwrap()
    }

    /// The values of each batch, which has one row.
    async fn values(rows: RowStream) -> Vec<Vec<i64>> {
        let batch = |batch: Result<RecordBatch, BoxedError>| {
            let batch = batch.unwrap();
            let columns = batch.columns().iter();
            let values = columns.map(|column| column.as_primitive::<Int64Type>().value(0));
            values.collect()
        };
        rows.map(batch).collect().await
    }

    #[tokio::test]
    async fn each_gets_its_columns_from_one_scan() {
        let table = Arc::default();
        let parts = shared(&table, 2);
        let (one, other) = (open(&parts[0], &[2, 0]).await, open(&parts[1], &[1]).await);
        let (one, other) = tokio::join!(values(one), values(other));
        assert_eq!((one.len(), &one[4]), (5, &vec![42, 40]));
        assert_eq!((other.len(), &other[4]), (5, &vec![41]));
        assert_eq!(table.scans.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn one_that_is_dropped_holds_no_other_up() {
        let table = Arc::default();
        let mut parts = shared(&table, 3);
        let early = open(&parts[0], &[0]).await;
        let rows = open(&parts[1], &[1]).await;
        drop(early);
        // it was opened, and nothing of it was scanned
        let reader = parts[2].table(&facts()).await.unwrap();
        parts.clear();
        drop(reader);
        assert_eq!(values(rows).await.len(), 5);
    }

    #[tokio::test]
    async fn each_is_told_what_ended_the_scan() {
        let table = Arc::new(Fake {
            breaks: true,
            ..Fake::default()
        });
        let parts = shared(&table, 2);
        let (one, other) = (open(&parts[0], &[0]).await, open(&parts[1], &[1]).await);
        let (one, other) = tokio::join!(one.collect::<Vec<_>>(), other.collect::<Vec<_>>());
        for rows in [one, other] {
            let error = rows.last().unwrap().as_ref().unwrap_err();
            assert_eq!(error.to_string(), "the server went away");
            assert_eq!((rows.len(), error.kind()), (6, ErrorKind::Transient));
        }
    }

    #[tokio::test]
    async fn a_second_scan_is_one_of_its_own() {
        let table = Arc::default();
        let parts = shared(&table, 1);
        assert_eq!(values(open(&parts[0], &[0]).await).await.len(), 5);
        assert_eq!(values(open(&parts[0], &[0]).await).await.len(), 5);
        assert_eq!(table.scans.load(Ordering::Relaxed), 2);
    }
}
