//! BSON into Arrow columns, straight from the bytes: no document is built, no value allocates.
//!
//! A payload is one BSON document (bsonspec.org 1.1). The contract is that of JSON (see
//! [`crate::decode`]): what does not fit makes a dead letter, undeclared fields are counted, of
//! fields with one name the last counts. What each BSON type becomes:
//!
//! | BSON | goes into | a dead letter, for example |
//! |---|---|---|
//! | int32, int64 | integers within their range, `numeric` exactly, `real`, `double precision` (nearest) | text, boolean, dates |
//! | double | `real`, `double precision` (NaN and infinities too); integers where it is whole; `numeric` by its shortest digits | `1.5` into `integer`, NaN into `numeric`, more places than `numeric(p,s)` keeps |
//! | Decimal128 | `numeric` exactly; integers where it is whole; floats (nearest) | NaN and infinities, lost digits |
//! | string, symbol | what the same text in JSON goes into: `text`, `numeric`, times, `uuid`, `bytea`, … | as in JSON; text that is not UTF-8 |
//! | boolean | `boolean` | any other type |
//! | ObjectId | `text`, `varchar`, `char` as 24 hexadecimal digits; `bytea` as 12 bytes | `uuid`, numbers |
//! | date | `timestamptz`; `timestamp` as the source's zone shows it; `date` where it is midnight in UTC | a time of day into `date`, years beyond 1 to 9999 |
//! | binary, subtype 4 or 3 | `uuid`, the 16 bytes as they stand; `bytea` | |
//! | binary, any other | `bytea`; subtype 2 without its inner length | `uuid`, `text` |
//! | timestamp (internal) | `bigint`, its 64 bits | any other type but `json` |
//! | document | `struct(…)` | scalars, arrays |
//! | array | `t[]` | scalars, structs |
//! | null, undefined | null, in every type | where `not_null` is declared |
//! | regular expression, code, code with scope, DBPointer, min key, max key | `json` only | every other type |
//! | any value but null | `json`, as relaxed extended JSON version 2 | NUL in a text or name, text that is not UTF-8, more than 100 levels |
//!
//! Subtype 3 has no fixed order of bytes: drivers of Java and C# wrote others than the rest.

mod column;
mod json;
mod object;
mod value;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

use factmill_core::dead_letter::Reason;

use super::column::Column;
use super::fault::{Context, Rejection};
use super::object::Object;
use super::scan::MAX_DEPTH;
use walk::{Broken, Elements};

/// Why a document is followed no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Broken(Broken),
    /// More documents and arrays are open than we follow.
    TooDeep,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Stop> for Rejection {
    fn from(stop: Stop) -> Self {
        let (reason, detail) = match stop {
            Stop::Broken(broken) => (Reason::Malformed, broken.to_string()),
            Stop::TooDeep => (
                Reason::TooDeep,
                format!("more than {MAX_DEPTH} documents and arrays are open"),
            ),
        };
        Self {
            reason,
            field: None,
            detail,
        }
    }
}

/// Reads the fields of one document into row `row` of `columns`. The scratch buffer is not needed.
pub(super) fn read_document(
    bytes: &[u8],
    document: &mut Object,
    columns: &mut [Column],
    row: usize,
    context: &mut Context,
    _scratch: &mut String,
) -> Result<(), Rejection> {
    context.begin();
    let elements = Elements::of(bytes).map_err(Stop::from)?;
    document.read_bson(elements, context, columns, row)?;
    context.rejected()
}
