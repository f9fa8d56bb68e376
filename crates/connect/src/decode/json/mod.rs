//! JSON payloads: each straight from its text into the columns.

use factmill_core::dead_letter::Reason;

use super::column::{Column, kind_name};
use super::fault::{Context, Rejection};
use super::object::Object;
use super::scan::Scanner;

/// Reads the fields of one JSON object into row `row` of `columns`.
pub(super) fn read_document(
    bytes: &[u8],
    document: &mut Object,
    columns: &mut [Column],
    row: usize,
    context: &mut Context,
    scratch: &mut String,
) -> Result<(), Rejection> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        whole_record(
            Reason::InvalidUtf8,
            format!("the payload is no UTF-8: {error}"),
        )
    })?;
    let mut scanner = Scanner::new(text, scratch);
    context.begin();
    match scanner.peek() {
        b'{' => document.read(&mut scanner, context, columns, row)?,
        kind => {
            scanner.skip()?;
            scanner.end()?;
            let detail = format!("expected an object, found {}", kind_name(kind));
            return Err(whole_record(Reason::WrongType, detail));
        }
    }
    scanner.end()?;
    context.rejected()
}

fn whole_record(reason: Reason, detail: String) -> Rejection {
    Rejection {
        reason,
        field: None,
        detail,
    }
}
