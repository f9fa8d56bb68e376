//! What is wrong with a record, and the state that one record's reading keeps.

use std::collections::BTreeMap;
use std::fmt::Write;

use factmill_core::dead_letter::Reason;

use super::scan::{Broken, MAX_DEPTH};

/// Why one record is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    pub(super) field: Option<String>,
    pub(super) detail: String,
}

impl From<Broken> for Rejection {
    fn from(broken: Broken) -> Self {
        let (reason, detail) = match broken {
            Broken::Malformed { at, expected } => (
                Reason::Malformed,
                format!("expected {expected} at byte {at}"),
            ),
            Broken::TooDeep { at } => (
                Reason::TooDeep,
                format!("more than {MAX_DEPTH} objects and arrays are open at byte {at}"),
            ),
        };
        Self {
            reason,
            field: None,
            detail,
        }
    }
}

/// A field of the payload, known from the schema.
///
/// `id..end` are the ids of the field and of all below it. `segments` is its path cut at the lists:
/// `items[].price` is `["items", ".price"]`.
#[derive(Debug, Clone)]
pub(super) struct FieldPath {
    pub(super) id: u32,
    pub(super) end: u32,
    pub(super) segments: Vec<String>,
}

impl FieldPath {
    /// The path with the indexes of the elements it leads through: `items[2].price`.
    fn at(&self, indexes: &[u32]) -> String {
        let mut path = self.segments[0].clone();
        let mut rest = self.segments[1..].iter();
        for index in indexes {
            let segment = rest.next().map_or("", String::as_str);
            let _ = write!(path, "[{index}]{segment}");
        }
        path
    }

    /// The path for any element: `items[].price`.
    pub(super) fn anywhere(&self) -> String {
        self.segments.join("[]")
    }
}

struct Fault {
    field: u32,
    indexes: Vec<u32>,
    rejection: Rejection,
}

/// The state of reading one record after the other. A value that does not fit is noted and reading
/// goes on: a later field of the same name may replace it, and broken syntax further on outweighs it.
#[derive(Default)]
pub(super) struct Context {
    faults: Vec<Fault>,
    /// The index in each list that is open, outermost first.
    pub(super) indexes: Vec<u32>,
    pub(super) undeclared: Undeclared,
}

impl Context {
    /// Before each record.
    pub(super) fn begin(&mut self) {
        self.faults.clear();
        self.indexes.clear();
        self.undeclared.begin();
    }

    /// Notes that the value of `field` does not fit.
    #[cold]
    pub(super) fn refuse(&mut self, field: &FieldPath, reason: Reason, detail: String) {
        self.faults.push(Fault {
            field: field.id,
            indexes: self.indexes.clone(),
            rejection: Rejection {
                reason,
                field: Some(field.at(&self.indexes)),
                detail,
            },
        });
    }

    /// A field comes, perhaps again: what was wrong with an earlier value of it, in the same
    /// elements, does not count.
    #[inline]
    pub(super) fn replace(&mut self, field: &FieldPath) {
        if !self.faults.is_empty() {
            let indexes = &self.indexes;
            self.faults.retain(|fault| {
                !((field.id..field.end).contains(&fault.field)
                    && fault.indexes.starts_with(indexes))
            });
        }
    }

    /// The first thing that is wrong with the record.
    pub(super) fn rejected(&mut self) -> Result<(), Rejection> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(self.faults.swap_remove(0).rejection)
    }
}

/// Stands for the undeclared fields of a pull beyond the first 1,000.
pub const OTHER_FIELDS: &str = "…";

/// Bounds the memory that records with ever new names can take.
const MOST_NAMES: usize = 1000;
const LONGEST_PATH: usize = 1000;

/// Counts, by path, the records that hold an undeclared field and load.
#[derive(Default)]
pub(super) struct Undeclared {
    entries: Vec<Entry>,
    here: Vec<u32>,
}

struct Entry {
    path: String,
    records: u64,
    here: bool,
}

impl Undeclared {
    fn begin(&mut self) {
        for index in self.here.drain(..) {
            self.entries[index as usize].here = false;
        }
    }

    /// An entry for `path`, or the one for all others when there are many or the path is long.
    pub(super) fn entry(&mut self, path: String) -> u32 {
        let full = self.entries.len() >= MOST_NAMES || path.len() > LONGEST_PATH;
        let path = if full { OTHER_FIELDS.to_owned() } else { path };
        let known = self.entries.iter().position(|entry| entry.path == path);
        let index = known.unwrap_or_else(|| {
            self.entries.push(Entry {
                path,
                records: 0,
                here: false,
            });
            self.entries.len() - 1
        });
        index as u32
    }

    /// The record holds the field.
    #[inline]
    pub(super) fn note(&mut self, entry: u32) {
        let seen = &mut self.entries[entry as usize].here;
        if !*seen {
            *seen = true;
            self.here.push(entry);
        }
    }

    /// The record loads.
    #[inline]
    pub(super) fn count(&mut self) {
        for &index in &self.here {
            self.entries[index as usize].records += 1;
        }
    }

    pub(super) fn finish(self) -> BTreeMap<String, u64> {
        let counted = self.entries.into_iter().filter(|entry| entry.records > 0);
        counted.map(|entry| (entry.path, entry.records)).collect()
    }
}
