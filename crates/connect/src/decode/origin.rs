//! Columns whose values come from the record around the payload: key, headers, time, place.

use factmill_core::dead_letter::Reason;
use factmill_core::records::Pulled;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn};
use factmill_core::types::DeclaredType;

use super::DecoderError;
use super::column::Column;
use super::fault::Rejection;
use super::scan::Scanner;

/// Refuses an origin that cannot give the column's type.
pub(super) fn check(column: &SourceColumn) -> Result<(), DecoderError> {
    use DeclaredType as T;
    let declared = &column.data_type;
    let (fits, gives) = match &column.origin {
        ColumnOrigin::Field(path) if path.is_empty() => {
            return Err(DecoderError::EmptyPath {
                column: column.name.clone(),
            });
        }
        ColumnOrigin::Field(_) => return Ok(()),
        ColumnOrigin::Key | ColumnOrigin::Header(_) => (
            !matches!(declared, T::List(_) | T::Struct(_)),
            "bytes: declare a scalar type",
        ),
        ColumnOrigin::Timestamp => (
            matches!(declared, T::TimestampTz | T::Timestamp),
            "an instant: declare timestamptz or timestamp",
        ),
        ColumnOrigin::Topic => (
            matches!(declared, T::Text | T::Varchar(_)),
            "a name: declare text",
        ),
        ColumnOrigin::Partition | ColumnOrigin::Offset => (
            matches!(declared, T::SmallInt | T::Integer | T::BigInt),
            "a whole number: declare integer or bigint",
        ),
        ColumnOrigin::Headers => (
            matches!(declared, T::Json | T::Text),
            "a JSON array: declare json or text",
        ),
    };
    if fits {
        return Ok(());
    }
    Err(DecoderError::Origin {
        column: column.name.clone(),
        declared: declared.clone(),
        origin: column.origin.clone(),
        gives,
    })
}

/// Appends the value that the record at `index` has for a column with an origin outside the payload.
pub(super) fn read(
    column: &mut Column,
    declared: &SourceColumn,
    pulled: &Pulled,
    index: usize,
) -> Result<(), Rejection> {
    let records = &pulled.records;
    let whole = |column: &mut Column, number: i64| match column {
        Column::Leaf(leaf) => leaf
            .push_whole(number)
            .map_err(|_| does_not_fit(declared, &number.to_string())),
        _ => Ok(()),
    };
    match &declared.origin {
        ColumnOrigin::Field(_) => Ok(()),
        ColumnOrigin::Key => bytes(column, declared, records.keys.get(index)),
        ColumnOrigin::Header(name) => {
            let of_name = records
                .headers
                .get(index)
                .filter(|(header, _)| *header == name.as_bytes());
            bytes(
                column,
                declared,
                of_name.last().and_then(|(_, value)| value),
            )
        }
        ColumnOrigin::Headers => text(column, declared, &headers_as_json(pulled, index)),
        ColumnOrigin::Topic => text(column, declared, &pulled.topic),
        ColumnOrigin::Partition => {
            let partition = &pulled.partitions[records.partitions[index] as usize];
            whole(column, i64::from(partition.number))
        }
        ColumnOrigin::Offset => whole(column, records.offsets[index]),
        ColumnOrigin::Timestamp => match (column, records.timestamps[index]) {
            (Column::Leaf(leaf), Some(instant)) => leaf
                .push_instant(instant)
                .map_err(|_| does_not_fit(declared, &instant.to_string())),
            (column, _) => {
                column.push_null();
                Ok(())
            }
        },
    }
}

fn bytes(
    column: &mut Column,
    declared: &SourceColumn,
    bytes: Option<&[u8]>,
) -> Result<(), Rejection> {
    let Some(bytes) = bytes else {
        column.push_null();
        return Ok(());
    };
    if let Column::Leaf(leaf) = column
        && leaf.push_bytes(bytes)
    {
        return Ok(());
    }
    bytes_of_text(column, declared, bytes)
}

/// Appends what bytes of plain text say in the column's type.
pub(super) fn bytes_of_text(
    column: &mut Column,
    declared: &SourceColumn,
    bytes: &[u8],
) -> Result<(), Rejection> {
    match std::str::from_utf8(bytes) {
        Ok(value) => text(column, declared, value),
        Err(error) => Err(rejection(declared, Reason::InvalidUtf8, error.to_string())),
    }
}

/// Appends what plain text says in the column's type.
pub(super) fn text(
    column: &mut Column,
    declared: &SourceColumn,
    text: &str,
) -> Result<(), Rejection> {
    match column {
        Column::Leaf(leaf) => {
            let token = leaf.token(text);
            leaf.push(token).map_err(|refusal| {
                rejection(
                    declared,
                    refusal.reason(),
                    refusal.detail(leaf.declared(), token),
                )
            })
        }
        Column::Json(strings) => {
            let mut scratch = String::new();
            let mut scanner = Scanner::new(text, &mut scratch);
            let refused = scanner
                .skip_watching()
                .and_then(|refused| scanner.end().map(|()| refused));
            let refused = refused.map_err(|broken| Rejection {
                field: Some(declared.name.clone()),
                ..Rejection::from(broken)
            })?;
            if refused.nul || refused.number {
                return Err(does_not_fit(declared, text));
            }
            strings.push(text.as_bytes());
            Ok(())
        }
        Column::List(_) | Column::Struct(_) => Err(rejection(
            declared,
            Reason::WrongType,
            format!("expected {}, found plain text", declared.data_type),
        )),
    }
}

fn rejection(declared: &SourceColumn, reason: Reason, detail: String) -> Rejection {
    Rejection {
        reason,
        field: Some(declared.name.clone()),
        detail,
    }
}

fn does_not_fit(declared: &SourceColumn, value: &str) -> Rejection {
    rejection(
        declared,
        Reason::DoesNotFit,
        format!("{value} does not fit {}", declared.data_type),
    )
}

fn headers_as_json(pulled: &Pulled, index: usize) -> String {
    let pairs: Vec<_> = pulled
        .records
        .headers
        .get(index)
        .map(|(name, value)| (as_text(name), value.map(as_text)))
        .collect();
    serde_json::to_string(&pairs).expect("pairs of texts are always written")
}

/// The bytes as text, or as Postgres shows bytes.
fn as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .iter()
            .fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}
