//! MongoDB's commands that write: `insert`, `update`, `delete`, written as their items come.

use std::ops::Range;

use mongodb::bson::spec::ElementType;
use mongodb::bson::{Bson, Document};

use super::bson::{Open, Writer};

/// Most bytes of a document that every server takes: MongoDB's 16 MiB, less what the command around
/// it needs.
pub(super) const LARGEST_DOCUMENT: usize = (16 << 20) - (16 << 10);

/// A batch is sent once it has this many bytes; with a document that is larger alone it is as large
/// as that one. A command is a document too, so the limit of documents holds for it.
const BATCH_BYTES: usize = 8 << 20;

/// Most items of a batch; servers take 100,000.
const BATCH_ITEMS: usize = 10_000;

/// The server's code for an id that is taken.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// What a command does with its items.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    /// Items are documents.
    Insert,
    /// Items are `{q, u, upsert}`.
    Update,
    /// Items are `{q, limit}`.
    Delete,
}

impl Verb {
    /// The command's name, and that of its items.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Insert => ("insert", "documents"),
            Self::Update => ("update", "updates"),
            Self::Delete => ("delete", "deletes"),
        }
    }
}

/// A command on its way.
#[derive(Debug)]
pub(super) struct Command {
    writer: Writer,
    command: Open,
    items: Open,
    /// Where each item stands in the command.
    ranges: Vec<Range<usize>>,
}

/// An item that is larger than a document may be: its bytes.
#[derive(Debug)]
pub(super) struct TooLarge(pub(super) usize);

impl Command {
    /// A command without items. It is acknowledged by a majority of the servers, and an item that
    /// fails does not keep those behind it out.
    pub(super) fn new(verb: Verb, collection: &str) -> Self {
        let (command_name, items_name) = verb.names();
        let mut writer = Writer::default();
        let command = writer.begin();
        // the command's name comes first
        writer.string(command_name, collection);
        writer.boolean("ordered", false);
        let concern = writer.begin_element(ElementType::EmbeddedDocument, "writeConcern");
        writer.string("w", "majority");
        writer.end(concern);
        let items = writer.begin_element(ElementType::Array, items_name);
        Self {
            writer,
            command,
            items,
            ranges: Vec::new(),
        }
    }

    /// Whether it should be sent before an item of about `next` bytes is added.
    pub(super) fn is_full_for(&self, next: usize) -> bool {
        !self.ranges.is_empty()
            && (self.ranges.len() >= BATCH_ITEMS || self.writer.bytes.len() + next >= BATCH_BYTES)
    }

    /// Adds the item that `write` writes, one whole document.
    ///
    /// # Errors
    /// [`TooLarge`]; the item is left out then.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Writer)) -> Result<(), TooLarge> {
        let writer = &mut self.writer;
        let undo = writer.bytes.len();
        writer.item_name(ElementType::EmbeddedDocument, self.ranges.len() as u32);
        let start = writer.bytes.len();
        write(writer);
        let bytes = writer.bytes.len() - start;
        if bytes > LARGEST_DOCUMENT {
            writer.bytes.truncate(undo);
            return Err(TooLarge(bytes));
        }
        self.ranges.push(start..writer.bytes.len());
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The command, and where each item stands in it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<Range<usize>>) {
        self.writer.end(self.items);
        self.writer.end(self.command);
        (self.writer.bytes, self.ranges)
    }
}

/// An item that the server did not write.
#[derive(Debug)]
pub(super) struct Refused {
    /// Which one.
    pub(super) item: usize,
    pub(super) code: i32,
    /// The server's words.
    pub(super) reason: String,
}

/// Why an answer does not say that all is written.
#[derive(Debug)]
pub(super) enum Unsure {
    /// Not safe on a majority of the servers yet; the server's words.
    NotAcknowledged(String),
    /// In a form that is not understood: the part of it.
    Unclear(String),
}

/// What the answer to a command of so many items says of those that were not written.
///
/// # Errors
/// [`Unsure`].
pub(super) fn refused(answer: &Document, items: usize) -> Result<Vec<Refused>, Unsure> {
    if let Ok(concern) = answer.get_document("writeConcernError") {
        return Err(Unsure::NotAcknowledged(concern.to_string()));
    }
    let Ok(errors) = answer.get_array("writeErrors") else {
        return Ok(Vec::new());
    };
    let refused = errors.iter().map(|error| {
        let fields = error.as_document();
        let number = |name| fields.and_then(|fields| integer(fields.get(name)?));
        let item = number("index").and_then(|index| usize::try_from(index).ok());
        let item = item.filter(|item| *item < items);
        let code = number("code").map(|code| i32::try_from(code).unwrap_or(i32::MAX));
        let (Some(item), Some(code)) = (item, code) else {
            return Err(Unsure::Unclear(error.to_string()));
        };
        let words = fields.and_then(|fields| fields.get_str("errmsg").ok());
        let reason = words.unwrap_or_default().to_owned();
        Ok(Refused { item, code, reason })
    });
    refused.collect()
}

/// An integer, whichever type the server gave it.
fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Int64(value) => Some(*value),
        Bson::Double(value) => Some(*value as i64),
        _ => None,
    }
}
