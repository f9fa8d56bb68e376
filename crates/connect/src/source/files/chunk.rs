//! Records that were read from one file in one go, and the place behind each.

use std::sync::Arc;

use super::place::{Mark, fingerprint};

/// Records of one file, in its order.
pub(super) struct Chunk {
    /// What the records stand in, after bytes that were read before, for the fingerprint.
    pub(super) bytes: Vec<u8>,
    /// The place of `bytes[0]` in the file.
    pub(super) base: u64,
    pub(super) entries: Vec<Entry>,
    /// The place behind all of it.
    pub(super) end: Behind,
    /// The header line of a CSV file.
    pub(super) columns: Option<Arc<[u8]>>,
    /// Nothing more is there; the file's size, if it is packed or Parquet.
    pub(super) at_end: Option<Option<u64>>,
}

/// A record in a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) start: usize,
    pub(super) end: usize,
    /// It was longer than a record may be: these are its first bytes.
    pub(super) cut: bool,
    /// Where the next record begins.
    pub(super) next: usize,
    /// The number of its first line, from 1.
    pub(super) line: u64,
    /// Lines up to `next`.
    pub(super) lines: u64,
}

/// The place behind a chunk.
pub(super) enum Behind {
    /// Behind its bytes, so many lines on.
    Bytes { lines: u64 },
    /// This one.
    Mark(Mark),
}

impl Chunk {
    /// The place behind the first `handed` records, of which there is at least one.
    pub(super) fn behind(&self, handed: usize) -> Mark {
        match &self.end {
            Behind::Mark(mark) if handed == self.entries.len() => mark.clone(),
            Behind::Bytes { lines } if handed == self.entries.len() => {
                self.mark(self.bytes.len(), *lines)
            }
            Behind::Mark(mark) => Mark {
                // rows of Parquet: the file's fingerprint holds for all of them
                lines: self.entries[handed - 1].lines,
                ..mark.clone()
            },
            Behind::Bytes { .. } => {
                let entry = self.entries[handed - 1];
                self.mark(entry.next, entry.lines)
            }
        }
    }

    fn mark(&self, at: usize, lines: u64) -> Mark {
        Mark {
            bytes: self.base + at as u64,
            lines,
            print: fingerprint(&self.bytes[..at]),
            ..Mark::default()
        }
    }
}
