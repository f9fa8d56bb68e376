//! Documents of a server's answers, one after the other, without a copy; and what of them makes a
//! record.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt;
use mongodb::error::Result as DriverResult;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use crate::decode::bson::walk::{self, Element, Elements};

/// A server's answers to one question.
#[derive(Debug)]
pub(super) struct Answers {
    // never locked: it only lets a reader be shared while no answer is waited for
    cursor: Mutex<Held>,
}

struct Held(RawBatchCursor);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cursor")
    }
}

impl Answers {
    pub(super) fn new(cursor: RawBatchCursor) -> Self {
        Self {
            cursor: Mutex::new(Held(cursor)),
        }
    }

    /// The next answer, perhaps without a document; `None` at the end.
    pub(super) async fn next(&mut self) -> DriverResult<Option<RawBatch>> {
        let cursor = self.cursor.get_mut();
        let Held(cursor) = cursor.unwrap_or_else(PoisonError::into_inner);
        cursor.try_next().await
    }
}

/// The documents of one answer, from where it was left.
#[derive(Debug)]
pub(super) struct Documents {
    batch: RawBatch,
    /// How many were given out.
    given: usize,
    /// Where the next one stands in the array.
    at: usize,
}

impl Documents {
    pub(super) fn new(batch: RawBatch) -> Self {
        Self {
            batch,
            given: 0,
            at: FIRST,
        }
    }

    /// The next document's bytes.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, walk::Broken> {
        let array = self.batch.doc_slices().map_err(|_| walk::Broken {
            at: 0,
            expected: "a batch of documents",
        })?;
        let bytes = array.as_bytes();
        let mut elements = Elements::behind(bytes, self.at)?;
        let Some(element) = elements.next()? else {
            return Ok(None);
        };
        self.at = elements.at();
        self.given += 1;
        Ok(Some(element.value))
    }

    /// How many documents were given out.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    /// The answer that they are in.
    pub(super) fn answer(&self) -> &[u8] {
        self.batch.as_raw_document().as_bytes()
    }
}

/// Where an array's first element stands: behind its length.
const FIRST: usize = 4;

/// Writes `{_id: …}` of a document over `key`; false where it has none.
pub(super) fn write_key(document: &[u8], key: &mut Vec<u8>) -> Result<bool, walk::Broken> {
    match walk::find(document, b"_id")? {
        Some(id) => {
            write_alone(&id, key);
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Writes a document of one element over `out`.
fn write_alone(element: &Element<'_>, out: &mut Vec<u8>) {
    out.clear();
    let length = element.whole.len() + 5;
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(element.whole);
    out.push(0);
}
