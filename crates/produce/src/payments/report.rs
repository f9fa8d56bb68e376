//! What became of the rows of a file: how many were read, which were refused, and why.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a row is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The description is empty or one of pandas' words for null.
    #[error("it has no description")]
    NoDescription,
    /// The description is not UTF-8.
    #[error("its description is not UTF-8")]
    NotUtf8,
    /// The amount is not written as a decimal number.
    #[error("its amount is not a number")]
    UnparsableAmount,
    /// The amount is infinite, or beyond double precision.
    #[error("its amount is infinite")]
    InfiniteAmount,
    /// The row has more fields than the header.
    #[error("it has more fields than the header")]
    TooManyFields,
    /// A quoted field is never closed, or the row is longer than a megabyte. The next line is read
    /// as a row of its own.
    #[error("it has a quote that is never closed, or is longer than 1 MiB")]
    Endless,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NoDescription,
        Self::NotUtf8,
        Self::UnparsableAmount,
        Self::InfiniteAmount,
        Self::TooManyFields,
        Self::Endless,
    ];
}

/// A row that is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (row {row}) is left out: {reason}{}", Value(.value.as_deref()))]
pub struct RefusedRow {
    /// The data row, from 1.
    pub row: u64,
    /// The line of the file that it begins in, from 1.
    pub line: u64,
    /// Why.
    #[source]
    pub reason: Refusal,
    /// What stands in the amount's place, where the amount is the reason, cut to some characters.
    pub value: Option<String>,
}

struct Value<'a>(Option<&'a str>);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, ": {value:?}"),
            None => Ok(()),
        }
    }
}

/// How many refused rows are told one by one; the others are counted.
pub const TOLD_ROWS: usize = 100;

/// What became of the rows so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentsReport {
    /// Rows read, refused ones among them; those that an earlier run has sent are not.
    pub rows: u64,
    /// Refused rows by reason, in the order of [`Refusal::ALL`].
    refused: [u64; Refusal::ALL.len()],
    /// The first [`TOLD_ROWS`] of them, in the order of the file.
    pub first_refused: Vec<RefusedRow>,
    /// Bytes of the file read so far, of [`PaymentsReport::bytes_in_all`].
    pub bytes_read: u64,
    /// Bytes of the file.
    pub bytes_in_all: u64,
}

impl PaymentsReport {
    /// How many rows were refused for a reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }

    /// How many rows were refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Counts a chunk and logs its refused rows, the first ones of the file one by one.
    pub(super) fn add(&mut self, rows: usize, refused: Vec<RefusedRow>, bytes_read: u64) {
        self.rows += rows as u64;
        self.bytes_read = bytes_read;
        for row in refused {
            self.refused[row.reason as usize] += 1;
            if self.first_refused.len() < TOLD_ROWS {
                tracing::warn!("{row}");
                self.first_refused.push(row);
            }
        }
    }
}

/// `12000 rows, 3 refused (2: its amount is not a number; 1: it has no description)`.
impl fmt::Display for PaymentsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} refused", self.rows, self.refused_in_all())?;
        let mut before = " (";
        for reason in Refusal::ALL {
            let count = self.refused(reason);
            if count > 0 {
                write!(f, "{before}{count}: {reason}")?;
                before = "; ";
            }
        }
        if before == "; " {
            f.write_str(")")
        } else {
            Ok(())
        }
    }
}

/// A report that is read while the rows are sent; clones show the same one.
#[derive(Debug, Clone, Default)]
pub struct PaymentsMeter(Arc<Mutex<PaymentsReport>>);

impl PaymentsMeter {
    pub(super) fn new(bytes_in_all: u64) -> Self {
        Self(Arc::new(Mutex::new(PaymentsReport {
            bytes_in_all,
            ..PaymentsReport::default()
        })))
    }

    /// What became of the rows so far.
    pub fn report(&self) -> PaymentsReport {
        self.lock().clone()
    }

    /// Bytes of the file that were read so far, and all of them.
    pub fn bytes(&self) -> (u64, u64) {
        let report = self.lock();
        (report.bytes_read, report.bytes_in_all)
    }

    /// Begins a file of so many bytes.
    pub(super) fn begin(&self, bytes_in_all: u64) {
        self.lock().bytes_in_all = bytes_in_all;
    }

    pub(super) fn add(&self, rows: usize, refused: Vec<RefusedRow>, bytes_read: u64) {
        self.lock().add(rows, refused, bytes_read);
    }

    fn lock(&self) -> MutexGuard<'_, PaymentsReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
