//! Quarantine: a record that makes a model fail, or that its table would refuse, becomes a dead letter.
//!
//! It is found by halving the epoch. It is left out of every table of the epoch and of the lake, so
//! that a batch over the lake leaves it out too. Where only several records together fail, nobody
//! can say which one is at fault: the job stops.

use std::ops::Range;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use factmill_core::dead_letter::DeadLetter;
use factmill_core::document::DocumentChange;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source::{Classified, Pull};
use factmill_core::source_schema::provenance;
use factmill_core::table::TableChange;
use factmill_engine::{ModelError, StreamPlan};

/// So many records of one epoch are set aside. More are not broken: the model is, and the job stops
/// before it has set all of them aside.
const MOST: usize = 1_000;

/// What the models made of an epoch's rows.
pub(super) struct Modelled {
    pub(super) changes: Vec<TableChange>,
    /// What goes to collections.
    pub(super) documents: Vec<DocumentChange>,
    /// What was set aside; `None` where nothing was, the common case.
    pub(super) quarantined: Option<Quarantined>,
}

/// Records that were set aside.
pub(super) struct Quarantined {
    /// The rows without them.
    pub(super) rows: RecordBatch,
    pub(super) dead_letters: Vec<DeadLetter>,
}

/// The models failed, and no record, or too many of them, can be set aside for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ModelFailure {
    /// As the models told it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A mistake in a model rather than in records.
    #[error(
        "more than {MOST} records of one epoch fail alone: mend the model, or the data before it; \
         nothing of the epoch is loaded"
    )]
    TooMany {
        /// Why the last of them failed.
        source: ModelError,
    },
}

impl Classified for ModelFailure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Model(failure) | Self::TooMany { source: failure } => failure.kind(),
        }
    }
}

/// Runs the models over an epoch's rows, without those that make them fail.
pub(super) async fn transform(
    plan: &StreamPlan,
    pull: &Pull,
    rows: RecordBatch,
) -> Result<Modelled, ModelFailure> {
    let failure = match run(plan, &pull.source, rows.clone()).await {
        Ok((changes, documents)) => {
            return Ok(Modelled {
                changes,
                documents,
                quarantined: None,
            });
        }
        Err(failure) => failure,
    };
    let guilty = find(plan, &pull.source, &rows, failure).await?;
    let mut kept = vec![true; rows.num_rows()];
    for (row, _) in &guilty {
        kept[*row] = false;
    }
    let dead_letters = guilty
        .iter()
        .map(|(row, failure)| dead_letter(pull, &rows, *row, failure))
        .collect();
    let rows = filter_record_batch(&rows, &BooleanArray::from(kept))
        .expect("the mask has a value for every row");
    let (changes, documents) = run(plan, &pull.source, rows.clone()).await?;
    Ok(Modelled {
        changes,
        documents,
        quarantined: Some(Quarantined { rows, dead_letters }),
    })
}

async fn run(
    plan: &StreamPlan,
    source: &SourceName,
    rows: RecordBatch,
) -> Result<(Vec<TableChange>, Vec<DocumentChange>), ModelError> {
    let changes = plan.transform(vec![(source.clone(), rows.clone())]);
    let documents = plan.documents(vec![(source.clone(), rows)]);
    tokio::try_join!(changes, documents)
}

/// The rows that fail alone, in their order, each with its failure.
async fn find(
    plan: &StreamPlan,
    source: &SourceName,
    rows: &RecordBatch,
    failure: ModelError,
) -> Result<Vec<(usize, ModelError)>, ModelFailure> {
    let mut guilty = Vec::new();
    let mut failed: Vec<(Range<usize>, ModelError)> = vec![(0..rows.num_rows(), failure)];
    while let Some((range, failure)) = failed.pop() {
        if failure.blames_a_record().is_none() {
            return Err(failure.into());
        }
        if range.len() == 1 {
            if guilty.len() == MOST {
                return Err(ModelFailure::TooMany { source: failure });
            }
            guilty.push((range.start, failure));
            continue;
        }
        let (middle, before) = (range.start + range.len() / 2, failed.len());
        // the later half first: the earlier one is taken from the end next
        for half in [middle..range.end, range.start..middle] {
            let slice = rows.slice(half.start, half.len());
            if let Err(failure) = run(plan, source, slice).await {
                failed.push((half, failure));
            }
        }
        if failed.len() == before {
            return Err(failure.into());
        }
    }
    Ok(guilty)
}

/// The record of a row, with why it was set aside.
fn dead_letter(pull: &Pull, rows: &RecordBatch, row: usize, failure: &ModelError) -> DeadLetter {
    let (reason, column) = failure
        .blames_a_record()
        .expect("only what blames a record was searched for");
    DeadLetter::of(
        &pull.source,
        &pull.pulled,
        record_of(&pull.pulled, rows, row).expect("a decoded row says which record it came from"),
        reason,
        column.map(str::to_owned),
        failure.to_string(),
    )
}

/// The index of the record that a decoded row came from.
fn record_of(pulled: &Pulled, rows: &RecordBatch, row: usize) -> Option<usize> {
    let number = rows.column_by_name(provenance::PARTITION)?;
    let offset = rows.column_by_name(provenance::OFFSET)?;
    pulled.index_of(
        number.as_primitive::<Int32Type>().value(row),
        offset.as_primitive::<Int64Type>().value(row),
    )
}
