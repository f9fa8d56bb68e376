//! Payments as the JSON of their events, a chunk at a time.

use std::io::Write;
use std::sync::Arc;

use super::clean::{Payments, clean};
use super::error::PaymentsError;
use super::fault::{Fault, Faults};
use super::report::RefusedRow;
use super::rows::RawChunk;
use super::scaler::Scaler;
use crate::event::Event;

/// The JSON values of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) description: &'a [u8],
    pub(super) amount: &'a [u8],
    pub(super) amount_raw: &'a [u8],
    /// `None` leaves the field out.
    pub(super) row_number: Option<&'a [u8]>,
    pub(super) file: &'a [u8],
    pub(super) out_of_range: &'a [u8],
}

impl Words<'_> {
    pub(super) fn append_to(&self, payload: &mut Vec<u8>) {
        for (name, value) in [
            (&b"{\"description\":"[..], Some(self.description)),
            (b",\"amount\":", Some(self.amount)),
            (b",\"amount_raw\":", Some(self.amount_raw)),
            (b",\"row_number\":", self.row_number),
            (b",\"file\":", Some(self.file)),
            (b",\"out_of_range\":", Some(self.out_of_range)),
        ] {
            if let Some(value) = value {
                payload.extend_from_slice(name);
                payload.extend_from_slice(value);
            }
        }
        payload.push(b'}');
    }
}

/// What every event of a file is made with.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) scaler: Scaler,
    pub(super) faults: Faults,
    /// The file's content hash as a JSON text.
    pub(super) file: String,
}

/// The events of a chunk.
#[derive(Debug)]
pub(super) struct EventChunk {
    payloads: Vec<u8>,
    ends: Vec<usize>,
    /// Events that are broken on purpose, by their place, in its order.
    broken: Vec<(usize, Fault)>,
    /// The row of each event.
    pub(super) rows: Arc<[u64]>,
    pub(super) refused: Vec<RefusedRow>,
    pub(super) rows_read: usize,
    pub(super) last_row: u64,
    pub(super) bytes_read: u64,
}

impl EventChunk {
    /// Fills an event with the one at a place; `false` behind the last.
    pub(super) fn fill(&self, at: usize, event: &mut Event) -> bool {
        let Some(&end) = self.ends.get(at) else {
            return false;
        };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        event
            .payload_mut()
            .extend_from_slice(&self.payloads[start..end]);
        if let Ok(found) = self.broken.binary_search_by_key(&at, |(at, _)| *at) {
            event.mark_bad();
            if self.broken[found].1 == Fault::NullPayload {
                event.set_null_payload();
            }
        }
        true
    }
}

impl Writer {
    /// Cleans and scales a chunk and writes its events.
    pub(super) fn write(&self, chunk: RawChunk) -> Result<EventChunk, PaymentsError> {
        let (rows_read, last_row, bytes_read) =
            (chunk.rows_read(), chunk.last_row, chunk.bytes_read);
        let (payments, refused) = super::clean::payments(chunk)?;
        let mut written = EventChunk {
            payloads: Vec::new(),
            ends: Vec::with_capacity(payments.rows.len()),
            broken: Vec::new(),
            rows: Arc::default(),
            refused,
            rows_read,
            last_row,
            bytes_read,
        };
        self.append(&payments, &mut written);
        written.rows = payments.rows.into();
        Ok(written)
    }

    fn append(&self, payments: &Payments, written: &mut EventChunk) {
        let descriptions = clean(&payments.description);
        let scaled = self.scaler.scale(&payments.amount);
        let flags = self.scaler.is_out_of_range(&payments.amount);
        let columns = payments
            .rows
            .iter()
            .zip(descriptions.iter())
            .zip(payments.amount_raw.iter())
            .zip(scaled.iter())
            .zip(flags.iter());
        let mut words = Scratch::default();
        for (at, ((((&row, description), amount_raw), amount), flag)) in columns.enumerate() {
            words.set(row, description.unwrap_or_default(), amount_raw, amount);
            let words = Words {
                description: &words.description,
                amount: &words.amount,
                amount_raw: &words.amount_raw,
                row_number: Some(&words.row_number),
                file: self.file.as_bytes(),
                out_of_range: if flag == Some(true) {
                    b"true"
                } else {
                    b"false"
                },
            };
            match self.faults.of(row) {
                None => words.append_to(&mut written.payloads),
                Some((fault, cut)) => {
                    written.broken.push((at, fault));
                    fault.write(words, cut, &mut written.payloads);
                }
            }
            written.ends.push(written.payloads.len());
        }
    }
}

/// JSON values in memory that is used again for the next event.
#[derive(Debug, Default)]
struct Scratch {
    description: Vec<u8>,
    amount: Vec<u8>,
    amount_raw: Vec<u8>,
    row_number: Vec<u8>,
}

impl Scratch {
    /// No text needs an escape: descriptions are cleaned, amounts are numbers.
    fn set(&mut self, row: u64, description: &str, amount_raw: Option<&str>, amount: Option<f64>) {
        quote(&mut self.description, Some(description));
        quote(&mut self.amount_raw, amount_raw);
        self.amount.clear();
        self.row_number.clear();
        // Writing to memory cannot fail, and a scaled amount is finite.
        let _ = serde_json::to_writer(&mut self.amount, &amount);
        let _ = write!(self.row_number, "{row}");
    }
}

fn quote(into: &mut Vec<u8>, text: Option<&str>) {
    into.clear();
    match text {
        None => into.extend_from_slice(b"null"),
        Some(text) => {
            into.push(b'"');
            into.extend_from_slice(text.as_bytes());
            into.push(b'"');
        }
    }
}
