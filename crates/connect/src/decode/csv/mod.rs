//! CSV: each payload is one record (RFC 4180), its fields read as plain text by the declared types.
//!
//! The record's header `columns` holds the header line of its file, so that a record can be decoded
//! alone; without one, the fields are those columns of the source that come from the payload, in
//! their declared order. A column is found by its path, joined by dots. A record with more or fewer
//! fields than names is malformed.

mod split;

use factmill_core::dead_letter::Reason;
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};

use super::column::Column;
use super::contract::{Contract, Part, Said, whole_record, zone};
use super::fault::{Context, Rejection};
use super::object::Compiler;
use super::{Decoded, Decoder, DecoderError, origin};
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

/// Decodes records of CSV by a source's contract.
pub(super) struct CsvDecoder {
    contract: Contract,
    declared: Vec<SourceColumn>,
    dialect: Dialect,
    columns: Vec<Column>,
    /// The fields of a file without a header line.
    names: Vec<String>,
}

impl CsvDecoder {
    pub(super) fn new(schema: &SourceSchema, dialect: Dialect) -> Result<Self, DecoderError> {
        let mut compiler = Compiler::new(zone(schema)?);
        let contract = Contract::new(schema, &mut compiler)?;
        let columns = schema.columns.iter().map(|column| {
            let name = std::slice::from_ref(&column.name);
            Column::new(&column.data_type, name, &mut compiler)
        });
        Ok(Self {
            columns: columns.collect(),
            contract,
            names: schema.columns.iter().filter_map(field_name).collect(),
            declared: schema.columns.clone(),
            dialect,
        })
    }

    /// Which column each field of a line fills.
    fn layout(&self, header: Option<&[u8]>) -> Result<Layout, Rejection> {
        let mut fields = Fields::default();
        let names: Vec<String> = match header {
            None => self.names.clone(),
            Some(header) => {
                fields.read(header, self.dialect).map_err(malformed)?;
                let names = fields
                    .iter()
                    .map(|(name, _)| String::from_utf8_lossy(name).trim().to_owned());
                names.collect()
            }
        };
        let column = |name: &String| {
            let named = |column: &SourceColumn| field_name(column).as_ref() == Some(name);
            self.declared.iter().position(named)
        };
        Ok(Layout {
            header: header.map(<[u8]>::to_vec),
            columns: names.iter().map(column).collect(),
            undeclared: vec![None; names.len()],
            names,
        })
    }

    fn read(
        &self,
        columns: &mut [Column],
        row: usize,
        fields: &Fields,
        layout: &mut Layout,
        context: &mut Context,
    ) -> Result<(), Rejection> {
        context.begin();
        if fields.len() != layout.names.len() {
            return Err(whole_record(
                Reason::Malformed,
                format!(
                    "expected {} fields, found {}",
                    layout.names.len(),
                    fields.len()
                ),
            ));
        }
        for (at, (value, quoted)) in fields.iter().enumerate() {
            let Some(index) = layout.columns[at] else {
                let entry = *layout.undeclared[at]
                    .get_or_insert_with(|| context.undeclared.entry(layout.names[at].clone()));
                context.undeclared.note(entry);
                continue;
            };
            let (column, declared) = (&mut columns[index], &self.declared[index]);
            // of two columns with one name the last counts, as in JSON
            if column.len() > row {
                column.truncate(row);
            }
            let null = value.is_empty()
                && match self.dialect.empty {
                    Empty::Null => true,
                    Empty::NullUnlessQuoted => !quoted,
                    Empty::Text => false,
                };
            if null {
                column.push_null();
            } else {
                origin::bytes_of_text(column, declared, value)?;
            }
        }
        Ok(())
    }
}

/// Which fields a file has.
struct Layout {
    header: Option<Vec<u8>>,
    names: Vec<String>,
    /// By field, the column it fills.
    columns: Vec<Option<usize>>,
    /// By field, its entry among the undeclared ones.
    undeclared: Vec<Option<u32>>,
}

impl Decoder for CsvDecoder {
    fn decode(&self, source: &SourceName, pulled: &Pulled) -> Decoded {
        let mut fields = Fields::default();
        let mut layout: Option<Layout> = None;
        let read = |columns: &mut [Column],
                    row: usize,
                    index: usize,
                    part: Part<'_>,
                    context: &mut Context| {
            let (Part::Payload(payload) | Part::Key(payload)) = part;
            let mut header = None;
            for (name, value) in pulled.records.headers.get(index) {
                if name == COLUMNS_HEADER.as_bytes() {
                    header = value;
                } else if name == CUT_HEADER.as_bytes() {
                    let detail = "the record is longer than a record may be".to_owned();
                    return Err(whole_record(Reason::Malformed, detail));
                }
            }
            let layout = match &mut layout {
                Some(known) if known.header.as_deref() == header => known,
                other => other.insert(self.layout(header)?),
            };
            fields.read(payload, self.dialect).map_err(malformed)?;
            self.read(columns, row, &fields, layout, context)?;
            Ok(Said::Row)
        };
        self.contract
            .decode(source, pulled, self.columns.clone(), read)
    }
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
