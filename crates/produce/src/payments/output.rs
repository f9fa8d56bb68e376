//! What else is made of a file of payments: the cleaned rows as CSV, and a scaler.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use polars_core::prelude::ChunkAgg;

use super::clean::{Payments, clean, payments};
use super::error::PaymentsError;
use super::pipeline::{Chunks, Next};
use super::report::{PaymentsMeter, PaymentsReport, RefusedRow};
use super::rows::{RawChunk, Rows};
use super::scaler::Scaler;
use super::source::PaymentsSettings;

/// What a chunk became, and what was refused of it.
struct Done<T> {
    result: T,
    refused: Vec<RefusedRow>,
    rows_read: usize,
    bytes_read: u64,
}

/// Cleans the input of `settings` to a CSV file with the columns `row`, `description`, `amount`
/// (scaled) and `amount_raw`; a null amount is an empty field. Rows keep their order.
///
/// With `count` only so many rows are read. It blocks until the end; `meter` shows how far it is. State, seed and broken events play no part.
///
/// # Errors
/// [`PaymentsError`]: the input, a column, or the scaler is missing or unreadable, or the output
/// cannot be written; then what was written until then stays.
pub fn clean_file(
    settings: &PaymentsSettings,
    output: &Path,
    count: Option<u64>,
    meter: &PaymentsMeter,
) -> Result<PaymentsReport, PaymentsError> {
    let failed = |source| PaymentsError::Output {
        path: output.to_owned(),
        source,
    };
    let scaler = Scaler::load(&settings.scaler)?;
    let rows = Rows::open(&settings.input)?;
    if is_same_file(&settings.input, output) {
        return Err(PaymentsError::OutputIsInput {
            path: output.to_owned(),
        });
    }
    let mut file = File::create(output).map_err(failed)?;
    file.write_all(b"row,description,amount,amount_raw\n")
        .map_err(failed)?;
    let path = output.to_owned();
    let write = move |chunk| {
        let (payments, refused) = payments(chunk)?;
        let csv = cleaned_csv(&payments, &scaler).map_err(|source| PaymentsError::Output {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok((csv, refused))
    };
    let report = each_chunk(settings, rows, count, meter, write, |csv: Vec<u8>| {
        file.write_all(&csv).map_err(failed)
    })?;
    file.flush().map_err(failed)?;
    Ok(report)
}

/// Writes the scaler of the amounts in the input of `settings` to `output`; `count` and
/// `meter` as in [`clean_file`]. Refused rows play no
/// part, nor does the scaler that `settings` names.
///
/// # Errors
/// [`PaymentsError`]: the input or a column is missing or unreadable, no row has an amount, or the
/// output cannot be written.
pub fn fit(
    settings: &PaymentsSettings,
    output: &Path,
    count: Option<u64>,
    meter: &PaymentsMeter,
) -> Result<(Scaler, PaymentsReport), PaymentsError> {
    let rows = Rows::open(&settings.input)?;
    let mut range: Option<(f64, f64)> = None;
    let report = each_chunk(settings, rows, count, meter, amount_range, |of_chunk| {
        range = match (range, of_chunk) {
            (Some((least, greatest)), Some((min, max))) => {
                Some((f64::min(least, min), f64::max(greatest, max)))
            }
            (range, of_chunk) => range.or(of_chunk),
        };
        Ok(())
    })?;
    let Some((least, greatest)) = range else {
        return Err(PaymentsError::NothingToFit {
            path: settings.input.clone(),
        });
    };
    let scaler = Scaler::new(least, greatest).map_err(|source| PaymentsError::Scaler {
        path: output.to_owned(),
        source,
    })?;
    scaler.save(output)?;
    Ok((scaler, report))
}

/// Does `work` on every chunk, side by side, and gives the results to `take` in their order.
fn each_chunk<T: Send + 'static>(
    settings: &PaymentsSettings,
    rows: Rows,
    count: Option<u64>,
    meter: &PaymentsMeter,
    work: impl Fn(RawChunk) -> Result<(T, Vec<RefusedRow>), PaymentsError> + Send + Sync + 'static,
    mut take: impl FnMut(T) -> Result<(), PaymentsError>,
) -> Result<PaymentsReport, PaymentsError> {
    meter.begin(rows.bytes_in_all()?);
    let mut bounds = settings.work(0);
    bounds.last = count.unwrap_or(u64::MAX);
    let chunks = Chunks::start(rows, bounds, move |chunk| {
        let (rows_read, bytes_read) = (chunk.rows_read(), chunk.bytes_read);
        let (result, refused) = work(chunk)?;
        Ok(Done {
            result,
            refused,
            rows_read,
            bytes_read,
        })
    });
    while let Next::Chunk(done) = chunks.next()? {
        meter.add(done.rows_read, done.refused, done.bytes_read);
        take(done.result)?;
    }
    Ok(meter.report())
}

fn cleaned_csv(payments: &Payments, scaler: &Scaler) -> Result<Vec<u8>, csv::Error> {
    let descriptions = clean(&payments.description);
    let amounts = scaler.scale(&payments.amount);
    let mut csv = csv::Writer::from_writer(Vec::new());
    let rows = payments.rows.iter().zip(descriptions.iter());
    let amounts = amounts.iter().zip(payments.amount_raw.iter());
    for ((row, description), (amount, amount_raw)) in rows.zip(amounts) {
        csv.serialize((row, description, amount, amount_raw))?;
    }
    Ok(csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

type Range = Option<(f64, f64)>;

fn amount_range(chunk: RawChunk) -> Result<(Range, Vec<RefusedRow>), PaymentsError> {
    let (payments, refused) = payments(chunk)?;
    let range = payments.amount.min().zip(payments.amount.max());
    Ok((range, refused))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        // What is not there yet is no input.
        _ => false,
    }
}
