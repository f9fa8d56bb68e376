//! CSV: each payload is one record (RFC 4180), its fields read as plain text by the declared types.
//!
//! The record's header `columns` holds the header line of its file, so that a record can be decoded
//! alone; without one, the fields are those columns of the source that come from the payload, in
//! their declared order. A column is found by its path, joined by dots. Lists, structs and json are read
//! from JSON. A record with more or fewer
//! fields than names is malformed.

mod split;

use std::sync::{Mutex, PoisonError};

use factmill_core::dead_letter::Reason;
use factmill_core::records::Pulled;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;

use super::fault::Rejection;
use super::record::{RecordDecoder, whole_record};
use super::scan::Scanner;
use super::transcode::Transcode;
use super::{DecoderError, write};
pub(crate) use split::{End, Fields, record_end};

/// The record header that holds a file's header line.
pub const COLUMNS_HEADER: &str = "columns";

/// The header of a record that holds only the first bytes of one that was too long.
pub const CUT_HEADER: &str = "cut";

/// How fields stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between two fields; `,` by default.
    pub delimiter: u8,
    /// Around a field that holds delimiters, line ends or quotes, which are doubled; `"` by default.
    pub quote: u8,
    /// What an empty field means.
    pub empty: Empty,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            empty: Empty::Null,
        }
    }
}

/// What an empty field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Null, quoted or not.
    Null,
    /// Null without quotes, an empty text with them: what Postgres writes.
    NullUnlessQuoted,
    /// An empty text, which no type but text reads.
    Text,
}

/// The fields of one record as texts, none where an empty field means null; `None` for a record that
/// is not written as the dialect says, or not in UTF-8.
pub fn texts(record: &[u8], dialect: Dialect) -> Option<Vec<Option<String>>> {
    let mut fields = Fields::default();
    fields.read(record, dialect).ok()?;
    let text = |(bytes, quoted): (&[u8], bool)| {
        let null = match dialect.empty {
            Empty::Null => true,
            Empty::NullUnlessQuoted => !quoted,
            Empty::Text => false,
        };
        if bytes.is_empty() && null {
            return Some(None);
        }
        std::str::from_utf8(bytes)
            .ok()
            .map(|text| Some(text.to_owned()))
    };
    fields.iter().map(text).collect()
}

/// A decoder of CSV. A field is one name, dots included, so that is what its column is found by.
pub(super) fn decoder(
    schema: &SourceSchema,
    dialect: Dialect,
) -> Result<RecordDecoder, DecoderError> {
    let mut flat = schema.clone();
    for column in &mut flat.columns {
        if let ColumnOrigin::Field(path) = &mut column.origin
            && path.len() > 1
        {
            *path = vec![path.join(".")];
        }
    }
    let csv = Csv {
        declared: flat.columns.clone(),
        dialect,
        layout: Mutex::default(),
    };
    RecordDecoder::of_json(&flat, csv)
}

/// Says a record of CSV as an object of its fields, each in the form that its declared type is read
/// from.
struct Csv {
    declared: Vec<SourceColumn>,
    dialect: Dialect,
    /// Of the file that was met last, and room for the fields of a record.
    layout: Mutex<(Option<Layout>, Fields)>,
}

/// Which fields a file has.
struct Layout {
    header: Option<Vec<u8>>,
    fields: Vec<Named>,
}

struct Named {
    /// The name in JSON, with its colon.
    written: Vec<u8>,
    name: String,
    /// `None`: undeclared.
    form: Option<Form>,
}

/// How a field's text is said in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    Boolean,
    /// JSON already.
    Document,
}

impl Form {
    fn of(declared: &DeclaredType) -> Self {
        use DeclaredType as T;
        match declared {
            T::SmallInt | T::Integer | T::BigInt | T::Real | T::Double => Self::Number,
            T::Boolean => Self::Boolean,
            T::Json | T::List(_) | T::Struct(_) => Self::Document,
            _ => Self::Text,
        }
    }
}

impl Csv {
    fn layout(&self, header: Option<&[u8]>) -> Result<Layout, Rejection> {
        let names: Vec<String> = match header {
            None => self.declared.iter().filter_map(field_name).collect(),
            Some(header) => {
                let mut fields = Fields::default();
                fields.read(header, self.dialect).map_err(malformed)?;
                let name = |name: &[u8]| String::from_utf8_lossy(name).trim().to_owned();
                fields.iter().map(|(field, _)| name(field)).collect()
            }
        };
        let named = |name: String| {
            let mut written = Vec::new();
            write::text(&mut written, name.as_bytes());
            written.push(b':');
            let is_it = |column: &&SourceColumn| field_name(column).as_ref() == Some(&name);
            let column = self.declared.iter().find(is_it);
            Named {
                written,
                form: column.map(|column| Form::of(&column.data_type)),
                name,
            }
        };
        Ok(Layout {
            header: header.map(<[u8]>::to_vec),
            fields: names.into_iter().map(named).collect(),
        })
    }

    fn is_null(&self, value: &[u8], quoted: bool) -> bool {
        value.is_empty()
            && match self.dialect.empty {
                Empty::Null => true,
                Empty::NullUnlessQuoted => !quoted,
                Empty::Text => false,
            }
    }
}

impl Transcode for Csv {
    fn json<'p>(
        &self,
        pulled: &Pulled,
        index: usize,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        let mut header = None;
        for (name, value) in pulled.records.headers.get(index) {
            if name == COLUMNS_HEADER.as_bytes() {
                header = value;
            } else if name == CUT_HEADER.as_bytes() {
                let detail = "the record is longer than a record may be".to_owned();
                return Err(whole_record(Reason::Malformed, detail));
            }
        }
        // one thread decodes a pull; another one of the same decoder only waits
        let mut state = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        let (layout, fields) = &mut *state;
        let layout = match layout {
            Some(known) if known.header.as_deref() == header => known,
            other => other.insert(self.layout(header)?),
        };
        fields.read(payload, self.dialect).map_err(malformed)?;
        let (wanted, found) = (layout.fields.len(), fields.len());
        if found != wanted {
            let detail = format!("expected {wanted} fields, found {found}");
            return Err(whole_record(Reason::Malformed, detail));
        }
        buffer.push(b'{');
        for (named, (value, quoted)) in layout.fields.iter().zip(fields.iter()) {
            if buffer.len() > 1 {
                buffer.push(b',');
            }
            buffer.extend_from_slice(&named.written);
            match named.form {
                _ if self.is_null(value, quoted) => buffer.extend_from_slice(b"null"),
                Some(form) => say(buffer, form, value, &named.name)?,
                None => buffer.extend_from_slice(b"0"),
            }
        }
        buffer.push(b'}');
        Ok(Some(buffer))
    }
}

/// Appends a field. What is not written as its type is stays a text, which the type refuses.
fn say(out: &mut Vec<u8>, form: Form, value: &[u8], name: &str) -> Result<(), Rejection> {
    let text = std::str::from_utf8(value).map_err(|error| Rejection {
        reason: Reason::InvalidUtf8,
        field: Some(name.to_owned()),
        detail: error.to_string(),
    })?;
    match form {
        Form::Number => {
            if let Some((sign, digits)) = number(text) {
                out.extend_from_slice(sign.as_bytes());
                out.extend_from_slice(digits.as_bytes());
                return Ok(());
            }
        }
        Form::Boolean if matches!(text, "true" | "false") => {
            out.extend_from_slice(value);
            return Ok(());
        }
        Form::Document => {
            let mut scratch = String::new();
            let mut scanner = Scanner::new(text, &mut scratch);
            scanner
                .skip()
                .and_then(|()| scanner.end())
                .map_err(|broken| Rejection {
                    field: Some(name.to_owned()),
                    ..Rejection::from(broken)
                })?;
            out.extend_from_slice(value);
            return Ok(());
        }
        Form::Boolean | Form::Text => {}
    }
    write::text(out, value);
    Ok(())
}

/// Sign and digits of a number as JSON writes it, of one that may begin with `+` or zeros.
fn number(text: &str) -> Option<(&str, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let trimmed = digits.trim_start_matches('0');
    let digits = match trimmed.as_bytes().first() {
        Some(b'0'..=b'9') => trimmed,
        // a zero stands in front of the point, or is all there is
        _ if digits.len() > trimmed.len() => &digits[digits.len() - trimmed.len() - 1..],
        _ => return None,
    };
    let mut scratch = String::new();
    let mut scanner = Scanner::new(digits, &mut scratch);
    let whole = scanner.number().ok()?.len() == digits.len();
    whole.then_some((sign, digits))
}

fn malformed(broken: split::Broken) -> Rejection {
    whole_record(
        Reason::Malformed,
        format!("expected {} at byte {}", broken.expected, broken.at),
    )
}

/// What a column's field is called in a header line.
fn field_name(column: &SourceColumn) -> Option<String> {
    match &column.origin {
        ColumnOrigin::Field(path) => Some(path.join(".")),
        _ => None,
    }
}
