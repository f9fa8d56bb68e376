//! Rows of a file of payments as columns, some at a time.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use polars_core::prelude::{PlSmallStr, StringChunked, StringChunkedBuilder};
use sha2::{Digest, Sha256};

use super::error::PaymentsError;
use super::records::{Fields, Found, Records};
use super::report::{Refusal, RefusedRow};

/// A chunk ends after so many bytes too, so that long rows stay within memory.
const CHUNK_BYTES: u64 = 4 << 20;

/// The columns that are read.
const DESCRIPTION: &str = "Description";
const AMOUNT: &str = "Amount";

/// Where the columns stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    description: usize,
    amount: usize,
    columns: usize,
}

/// Some rows of the file as they stand there.
#[derive(Debug)]
pub(super) struct RawChunk {
    /// Data rows by number, from 1; refused ones are not among them.
    pub(super) rows: Vec<u64>,
    /// The line of each.
    pub(super) lines: Vec<u64>,
    pub(super) description: StringChunked,
    /// Null where the row ends before it.
    pub(super) amount: StringChunked,
    /// Rows that cannot be columns.
    pub(super) refused: Vec<RefusedRow>,
    /// The last row of the chunk, refused or not.
    pub(super) last_row: u64,
    /// Bytes of the file up to the end of the chunk.
    pub(super) bytes_read: u64,
}

impl RawChunk {
    /// How many rows were read for it.
    pub(super) fn rows_read(&self) -> usize {
        self.rows.len() + self.refused.len()
    }
}

/// The rows of a file, chunk after chunk.
#[derive(Debug)]
pub(super) struct Rows {
    path: PathBuf,
    records: Records<Hashing<File>>,
    header: Header,
    row: u64,
}

impl Rows {
    /// Opens a file and checks its header.
    pub(super) fn open(path: &Path) -> Result<Self, PaymentsError> {
        let failed = |source| PaymentsError::Input {
            path: path.to_owned(),
            source,
        };
        let file = Hashing::new(File::open(path).map_err(failed)?);
        let (mut records, mut fields) = (Records::new(file), Fields::default());
        let header = match records.next(&mut fields).map_err(failed)? {
            Found::Record(_) => Header::of(&fields, path)?,
            Found::Endless(_) | Found::End => {
                return Err(PaymentsError::NoHeader {
                    path: path.to_owned(),
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            records,
            header,
            row: 0,
        })
    }

    /// The bytes of the file.
    pub(super) fn bytes_in_all(&self) -> Result<u64, PaymentsError> {
        let length = self.records.input().input.metadata();
        Ok(length.map_err(|source| self.failed(source))?.len())
    }

    /// How many rows were read or passed over.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// The next rows behind row `after`; `None` at the end of the file.
    pub(super) fn next_chunk(
        &mut self,
        size: NonZeroUsize,
        after: u64,
    ) -> Result<Option<RawChunk>, PaymentsError> {
        let size = size.get();
        let mut fields = Fields::default();
        let mut rows = Vec::with_capacity(size);
        let mut lines = Vec::with_capacity(size);
        let mut refused = Vec::new();
        let mut description = column(DESCRIPTION, size);
        let mut amount = column(AMOUNT, size);
        let mut begun = self.records.bytes();
        while rows.len() + refused.len() < size && self.records.bytes() - begun < CHUNK_BYTES {
            let found = self.records.next(&mut fields);
            let found = found.map_err(|source| self.failed(source))?;
            let Some(line) = found.line() else {
                break;
            };
            self.row += 1;
            if self.row <= after {
                begun = self.records.bytes();
                continue;
            }
            match self.header.texts(found, &fields) {
                Ok((described, paid)) => {
                    rows.push(self.row);
                    lines.push(line);
                    description.append_value(described);
                    amount.append_option(paid);
                }
                Err(reason) => refused.push(RefusedRow {
                    row: self.row,
                    line,
                    reason,
                    value: None,
                }),
            }
        }
        let chunk = RawChunk {
            rows,
            lines,
            description: description.finish(),
            amount: amount.finish(),
            refused,
            last_row: self.row,
            bytes_read: self.records.bytes(),
        };
        Ok((chunk.rows_read() > 0).then_some(chunk))
    }

    /// The SHA-256 of everything, once everything is read.
    pub(super) fn content_hash(&self) -> String {
        self.records.input().hash()
    }

    fn failed(&self, source: io::Error) -> PaymentsError {
        PaymentsError::Input {
            path: self.path.clone(),
            source,
        }
    }
}

fn column(name: &'static str, size: usize) -> StringChunkedBuilder {
    StringChunkedBuilder::new(PlSmallStr::from_static(name), size)
}

impl Found {
    fn line(self) -> Option<u64> {
        match self {
            Self::Record(line) | Self::Endless(line) => Some(line),
            Self::End => None,
        }
    }
}

impl Header {
    fn of(names: &Fields, path: &Path) -> Result<Self, PaymentsError> {
        let name_at = |at| names.get(at).map(String::from_utf8_lossy);
        let place = |column| {
            let found = (0..names.len()).find(|&at| names.get(at) == Some(str::as_bytes(column)));
            found.ok_or_else(|| {
                let all: Vec<_> = (0..names.len())
                    .filter_map(name_at)
                    .map(|name| format!("`{name}`"))
                    .collect();
                PaymentsError::MissingColumn {
                    path: path.to_owned(),
                    column,
                    found: all.join(", "),
                }
            })
        };
        Ok(Self {
            description: place(DESCRIPTION)?,
            amount: place(AMOUNT)?,
            columns: names.len(),
        })
    }

    /// Description and amount of a record. What a short row lacks is empty, or null for the amount.
    fn texts<'f>(
        &self,
        found: Found,
        fields: &'f Fields,
    ) -> Result<(&'f str, Option<&'f str>), Refusal> {
        if let Found::Endless(_) = found {
            return Err(Refusal::Endless);
        }
        if fields.len() > self.columns {
            return Err(Refusal::TooManyFields);
        }
        let description = fields.get(self.description).unwrap_or_default();
        let amount = fields.get(self.amount);
        Ok((
            std::str::from_utf8(description).map_err(|_| Refusal::NotUtf8)?,
            amount
                .map(std::str::from_utf8)
                .transpose()
                .map_err(|_| Refusal::UnparsableAmount)?,
        ))
    }
}

/// Hashes what is read.
#[derive(Debug)]
struct Hashing<R> {
    input: R,
    hash: Sha256,
}

impl<R> Hashing<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            hash: Sha256::new(),
        }
    }

    fn hash(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of a file's content, as `sha256sum` prints it, and its length.
pub(super) fn content_hash(path: &Path) -> Result<(String, u64), PaymentsError> {
    let read = || {
        let mut file = Hashing::new(File::open(path)?);
        let bytes = io::copy(&mut file, &mut io::sink())?;
        Ok((file.hash(), bytes))
    };
    read().map_err(|source| PaymentsError::Input {
        path: path.to_owned(),
        source,
    })
}
