//! What a row must keep whatever its payload is written in, and the way from records to rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use factmill_core::dead_letter::{DeadLetter, Reason};
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};

use super::buffers::Strings;
use super::column::Column;
use super::fault::{Context, Rejection};
use super::object::Compiler;
use super::{Decoded, DecoderError, origin};

/// A source's contract, checked.
pub(super) struct Contract {
    schema: SchemaRef,
    columns: Vec<SourceColumn>,
    /// By column, its accepted values where some are declared.
    accepted: Vec<Option<Column>>,
    /// By column, whether it is part of the source's key; empty where the source has none.
    key: Vec<bool>,
    /// Whether the fields of a deleted key are read from the record's key.
    reads_keys: bool,
}

/// What is read of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// Its payload, which is not empty.
    Payload(&'a [u8]),
    /// Its key, which is not empty: for the key's columns of a record that deletes it.
    Key(&'a [u8]),
}

/// What a payload said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A row.
    Row,
    /// That its key is deleted.
    Deleted,
}

/// The zone of a source's timestamps without an offset.
pub(super) fn zone(schema: &SourceSchema) -> Result<Tz, DecoderError> {
    schema
        .time_zone
        .parse()
        .map_err(|_| DecoderError::TimeZone {
            zone: schema.time_zone.clone(),
        })
}

impl Contract {
    /// Refuses a schema that no record could be held to.
    pub(super) fn new(
        schema: &SourceSchema,
        compiler: &mut Compiler,
    ) -> Result<Self, DecoderError> {
        schema.columns.iter().try_for_each(origin::check)?;
        let accepted = schema
            .columns
            .iter()
            .map(|column| accepted(column, compiler));
        Ok(Self {
            schema: schema.arrow_schema(),
            accepted: accepted.collect::<Result<_, _>>()?,
            key: key_columns(schema),
            reads_keys: schema.columns.iter().any(|column| {
                schema.key.contains(&column.name) && matches!(column.origin, ColumnOrigin::Field(_))
            }),
            columns: schema.columns.clone(),
        })
    }

    /// Reads each record by `read`, which appends to the columns what the payload holds of row
    /// `row`, and completes it; the columns may be left with part of a row where it fails. `read`
    /// gets the columns, the row, the record's index, its payload, and the state of one record.
    ///
    /// Where the source is keyed, a record without payload, or whose payload says so, deletes its
    /// key: the key's columns come from the record's key, those that are fields of the payload from
    /// the fields of the key.
    pub(super) fn decode(
        &self,
        source: &SourceName,
        pulled: &Pulled,
        mut columns: Vec<Column>,
        mut read: impl FnMut(
            &mut [Column],
            usize,
            usize,
            Part<'_>,
            &mut Context,
        ) -> Result<Said, Rejection>,
    ) -> Decoded {
        let records = &pulled.records;
        columns
            .iter_mut()
            .for_each(|column| column.reserve(records.len()));
        let mut context = Context::default();
        let mut loaded = Vec::with_capacity(records.len());
        let mut dead_letters = Vec::new();
        let mut deleted = Vec::new();
        for index in 0..records.len() {
            let row = loaded.len();
            let said = match records.payloads.get(index) {
                Some(payload) if !payload.is_empty() => read(
                    &mut columns,
                    row,
                    index,
                    Part::Payload(payload),
                    &mut context,
                ),
                _ => Ok(Said::Deleted),
            };
            let said = said.and_then(|said| {
                if said == Said::Deleted {
                    let key = self.key_to_delete(pulled, index)?;
                    columns.iter_mut().for_each(|column| column.truncate(row));
                    context.begin();
                    if let Some(key) = key {
                        read(&mut columns, row, index, Part::Key(key), &mut context)?;
                    }
                }
                self.complete(&mut columns, row, pulled, index, said)?;
                Ok(said)
            });
            match said {
                Ok(said) => {
                    deleted.push(said == Said::Deleted);
                    loaded.push(index);
                    context.undeclared.count();
                }
                Err(rejection) => {
                    columns.iter_mut().for_each(|column| column.truncate(row));
                    let Rejection {
                        reason,
                        field,
                        detail,
                    } = rejection;
                    dead_letters.push(DeadLetter::of(source, pulled, index, reason, field, detail));
                }
            }
        }
        let columns = columns
            .into_iter()
            .map(Column::finish)
            .chain(provenance(pulled, &loaded));
        let deleted =
            (!self.key.is_empty()).then(|| Arc::new(BooleanArray::from(deleted)) as ArrayRef);
        let columns = columns.chain(deleted);
        let options = RecordBatchOptions::new().with_row_count(Some(loaded.len()));
        let rows =
            RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options)
                .expect("the columns were made from the schema, and not_null was checked");
        Decoded {
            rows,
            dead_letters,
            undeclared: context.undeclared.finish(),
        }
    }

    /// The key that a record deletes, as far as its fields are read; `None` where none are.
    fn key_to_delete<'p>(
        &self,
        pulled: &'p Pulled,
        index: usize,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        if self.key.is_empty() {
            return Err(no_payload("the record has no payload"));
        }
        if !self.reads_keys {
            return Ok(None);
        }
        match pulled.records.keys.get(index) {
            Some(key) if !key.is_empty() => Ok(Some(key)),
            _ => Err(no_payload("a record that deletes needs a key")),
        }
    }

    /// Fills what the payload left open and holds the row to the contract; of a deleted one only its
    /// key.
    fn complete(
        &self,
        columns: &mut [Column],
        row: usize,
        pulled: &Pulled,
        index: usize,
        said: Said,
    ) -> Result<(), Rejection> {
        let deleted = said == Said::Deleted;
        let mut is_key = self.key.iter();
        for ((column, declared), accepted) in
            columns.iter_mut().zip(&self.columns).zip(&self.accepted)
        {
            let is_key = is_key.next().copied().unwrap_or(false);
            if deleted && !is_key {
                column.truncate(row);
                column.push_null();
                continue;
            }
            if column.len() == row {
                match declared.origin {
                    ColumnOrigin::Field(_) => column.push_null(),
                    _ => origin::read(column, declared, pulled, index)?,
                }
            }
            let not_null = is_key || declared.not_null;
            if !not_null && accepted.is_none() {
                continue;
            }
            if column.is_null(row) {
                if not_null {
                    return Err(broken_contract(
                        declared,
                        Reason::NullNotAllowed,
                        "null or missing".to_owned(),
                    ));
                }
            } else if let (Column::Leaf(own), Some(Column::Leaf(accepted))) = (column, accepted)
                && !own.last_among(accepted)
            {
                let detail = format!("not one of {}", declared.accepted_values.join(", "));
                return Err(broken_contract(declared, Reason::NotAccepted, detail));
            }
        }
        Ok(())
    }
}

/// By column, whether it is part of the source's key; empty where the source has none.
fn key_columns(schema: &SourceSchema) -> Vec<bool> {
    if !schema.is_keyed() {
        return Vec::new();
    }
    let columns = schema.columns.iter();
    columns
        .map(|column| schema.key.contains(&column.name))
        .collect()
}

fn accepted(
    column: &SourceColumn,
    compiler: &mut Compiler,
) -> Result<Option<Column>, DecoderError> {
    if column.accepted_values.is_empty() {
        return Ok(None);
    }
    let mut values = Column::new(
        &column.data_type,
        std::slice::from_ref(&column.name),
        compiler,
    );
    for value in &column.accepted_values {
        let refused = match &values {
            Column::Leaf(_) => origin::text(&mut values, column, value)
                .err()
                .map(|rejection| rejection.detail),
            _ => Some("only scalars have accepted values".to_owned()),
        };
        if let Some(detail) = refused {
            return Err(DecoderError::AcceptedValue {
                column: column.name.clone(),
                value: value.clone(),
                declared: column.data_type.clone(),
                detail,
            });
        }
    }
    Ok(Some(values))
}

/// The rejection of a record that says nothing.
pub(super) fn no_payload(detail: &str) -> Rejection {
    whole_record(Reason::EmptyPayload, detail.to_owned())
}

/// A rejection that no single field is to blame for.
pub(super) fn whole_record(reason: Reason, detail: String) -> Rejection {
    Rejection {
        reason,
        field: None,
        detail,
    }
}

fn broken_contract(declared: &SourceColumn, reason: Reason, detail: String) -> Rejection {
    let field = match &declared.origin {
        ColumnOrigin::Field(path) => path.join("."),
        _ => declared.name.clone(),
    };
    Rejection {
        reason,
        field: Some(field),
        detail,
    }
}

/// Topic, incarnation, partition and offset of the records that loaded.
fn provenance(pulled: &Pulled, loaded: &[usize]) -> [ArrayRef; 4] {
    let records = &pulled.records;
    let partition = |index: &usize| &pulled.partitions[records.partitions[*index] as usize];
    let mut topics = Strings::default();
    loaded
        .iter()
        .for_each(|_| topics.push(pulled.topic.as_bytes()));
    [
        topics.utf8(),
        Arc::new(Int32Array::from_iter_values(
            loaded
                .iter()
                .map(|index| partition(index).incarnation.ordinal),
        )),
        Arc::new(Int32Array::from_iter_values(
            loaded.iter().map(|index| partition(index).number),
        )),
        Arc::new(Int64Array::from_iter_values(
            loaded.iter().map(|index| records.offsets[*index]),
        )),
    ]
}
