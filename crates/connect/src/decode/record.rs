//! The decoder of records whose payload is one document: JSON, BSON. The format reads a document's
//! fields, everything around it is the same.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use factmill_core::dead_letter::{DeadLetter, Reason};
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};

use super::buffers::Strings;
use super::column::Column;
use super::fault::{Context, Rejection};
use super::object::{Compiler, Object, Wanted, filled};
use super::transcode::Transcode;
use super::{Decoded, Decoder, DecoderError, json, origin};

/// Reads the fields of one document into a row of columns, with a buffer to reuse. On error the
/// columns may be left with part of the row.
pub(super) type ReadDocument = fn(
    &[u8],
    &mut Object,
    &mut [Column],
    usize,
    &mut Context,
    &mut String,
) -> Result<(), Rejection>;

/// Decodes payloads of one format by a source's contract.
pub(super) struct RecordDecoder {
    read_document: ReadDocument,
    /// Says payloads in the format that `read_document` reads; `None`: they are written in it.
    transcode: Option<Box<dyn Transcode>>,
    schema: SchemaRef,
    contract: Vec<SourceColumn>,
    /// By column, its accepted values where some are declared.
    accepted: Vec<Option<Column>>,
    /// By column, whether it is part of the source's key; empty where the source has none.
    key: Vec<bool>,
    /// What every pull begins with: nothing read yet.
    empty: Rows,
}

/// The rows of one pull, growing.
#[derive(Clone)]
struct Rows {
    document: Object,
    columns: Vec<Column>,
    /// By row, whether it deletes its key; empty where the source has none.
    deleted: Vec<bool>,
    /// What the record at hand is said in.
    said: Vec<u8>,
    count: usize,
}

impl RecordDecoder {
    pub(super) fn new(
        schema: &SourceSchema,
        read_document: ReadDocument,
    ) -> Result<Self, DecoderError> {
        let zone = schema
            .time_zone
            .parse()
            .map_err(|_| DecoderError::TimeZone {
                zone: schema.time_zone.clone(),
            })?;
        schema.columns.iter().try_for_each(origin::check)?;
        let mut compiler = Compiler::new(zone);
        let (document, columns) = compile(schema, &mut compiler);
        let accepted = schema
            .columns
            .iter()
            .map(|column| accepted(column, &mut compiler));
        Ok(Self {
            read_document,
            transcode: None,
            schema: schema.arrow_schema(),
            accepted: accepted.collect::<Result<_, _>>()?,
            key: key_columns(schema),
            contract: schema.columns.clone(),
            empty: Rows {
                document,
                columns,
                deleted: Vec::new(),
                said: Vec::new(),
                count: 0,
            },
        })
    }

    /// A decoder of a format that can be said in JSON.
    pub(super) fn of_json(
        schema: &SourceSchema,
        transcode: impl Transcode + 'static,
    ) -> Result<Self, DecoderError> {
        Ok(Self {
            transcode: Some(Box::new(transcode)),
            ..Self::new(schema, json::read_document)?
        })
    }

    /// Reads one record into one more row; the columns may be left with part of a row on error.
    fn read(
        &self,
        rows: &mut Rows,
        pulled: &Pulled,
        index: usize,
        context: &mut Context,
        scratch: &mut String,
    ) -> Result<(), Rejection> {
        let payload = pulled.records.payloads.get(index).unwrap_or_default();
        if payload.is_empty() {
            let detail = "the record has no payload";
            return self.delete(detail, rows, pulled, index, context, scratch);
        }
        let Some(transcode) = &self.transcode else {
            self.document(payload, rows, context, scratch)?;
            return self.complete(rows, pulled, index, false);
        };
        let mut said = std::mem::take(&mut rows.said);
        said.clear();
        let read = match transcode.json(pulled, index, payload, &mut said) {
            Ok(Some(document)) => self
                .document(document, rows, context, scratch)
                .map(|()| true),
            Ok(None) => Ok(false),
            Err(rejection) => Err(rejection),
        };
        rows.said = said;
        if read? {
            self.complete(rows, pulled, index, false)
        } else {
            let detail = "the record deletes its key";
            self.delete(detail, rows, pulled, index, context, scratch)
        }
    }

    /// Reads a record that deletes its key, where the source has one.
    fn delete(
        &self,
        detail: &str,
        rows: &mut Rows,
        pulled: &Pulled,
        index: usize,
        context: &mut Context,
        scratch: &mut String,
    ) -> Result<(), Rejection> {
        if self.key.is_empty() {
            return Err(whole_record(Reason::EmptyPayload, detail.to_owned()));
        }
        self.read_deleted(rows, pulled, index, context, scratch)
    }

    /// Reads a record without payload, which deletes its key: the key's columns come from the
    /// record's key, those that are fields of the payload from the fields of the key.
    fn read_deleted(
        &self,
        rows: &mut Rows,
        pulled: &Pulled,
        index: usize,
        context: &mut Context,
        scratch: &mut String,
    ) -> Result<(), Rejection> {
        let mut columns = self.contract.iter().zip(&self.key);
        let in_document = |(column, is_key): (&SourceColumn, &bool)| {
            *is_key && matches!(column.origin, ColumnOrigin::Field(_))
        };
        if columns.any(in_document) {
            let key = pulled.records.keys.get(index).unwrap_or_default();
            if key.is_empty() {
                let detail = "a record without payload needs a key to delete".to_owned();
                return Err(whole_record(Reason::EmptyPayload, detail));
            }
            match &self.transcode {
                None => self.document(key, rows, context, scratch)?,
                Some(transcode) => {
                    let mut said = std::mem::take(&mut rows.said);
                    said.clear();
                    let key = transcode.key(key, &mut said);
                    let read = key.and_then(|key| self.document(key, rows, context, scratch));
                    rows.said = said;
                    read?;
                }
            }
        } else {
            context.begin();
        }
        self.complete(rows, pulled, index, true)
    }

    /// Reads the fields of one document.
    fn document(
        &self,
        bytes: &[u8],
        rows: &mut Rows,
        context: &mut Context,
        scratch: &mut String,
    ) -> Result<(), Rejection> {
        let (document, columns) = (&mut rows.document, &mut rows.columns);
        (self.read_document)(bytes, document, columns, rows.count, context, scratch)
    }

    /// Fills what the payload left open and holds the row to the contract; of a deleted one only its
    /// key.
    fn complete(
        &self,
        rows: &mut Rows,
        pulled: &Pulled,
        index: usize,
        deleted: bool,
    ) -> Result<(), Rejection> {
        let row = rows.count;
        if !self.key.is_empty() {
            rows.deleted.truncate(row);
            rows.deleted.push(deleted);
        }
        let mut is_key = self.key.iter();
        for ((column, declared), accepted) in rows
            .columns
            .iter_mut()
            .zip(&self.contract)
            .zip(&self.accepted)
        {
            let is_key = is_key.next().copied().unwrap_or(false);
            if column.len() == row {
                match declared.origin {
                    ColumnOrigin::Field(_) => column.push_null(),
                    _ => origin::read(column, declared, pulled, index)?,
                }
            }
            let not_null = is_key || (declared.not_null && !deleted);
            if !not_null && (accepted.is_none() || deleted) {
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

#[async_trait]
impl Decoder for RecordDecoder {
    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        match &self.transcode {
            Some(transcode) => transcode.prepare(pulled).await,
            None => Ok(()),
        }
    }

    fn decode(&self, source: &SourceName, pulled: &Pulled) -> Decoded {
        let mut rows = self.empty.clone();
        rows.columns
            .iter_mut()
            .for_each(|column| column.reserve(pulled.records.len()));
        let mut context = Context::default();
        let mut scratch = String::new();
        let mut loaded = Vec::with_capacity(pulled.records.len());
        let mut dead_letters = Vec::new();
        for index in 0..pulled.records.len() {
            match self.read(&mut rows, pulled, index, &mut context, &mut scratch) {
                Ok(()) => {
                    rows.count += 1;
                    loaded.push(index);
                    context.undeclared.count();
                }
                Err(rejection) => {
                    let count = rows.count;
                    rows.columns
                        .iter_mut()
                        .for_each(|column| column.truncate(count));
                    let Rejection {
                        reason,
                        field,
                        detail,
                    } = rejection;
                    dead_letters.push(DeadLetter::of(source, pulled, index, reason, field, detail));
                }
            }
        }
        let columns = rows
            .columns
            .into_iter()
            .map(Column::finish)
            .chain(provenance(pulled, &loaded));
        let deleted = (!self.key.is_empty()).then(|| {
            rows.deleted.truncate(loaded.len());
            Arc::new(BooleanArray::from(rows.deleted)) as ArrayRef
        });
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

/// The document's object and a column for each declared one, those from outside the payload too.
fn compile(schema: &SourceSchema, compiler: &mut Compiler) -> (Object, Vec<Column>) {
    let mut columns = vec![None; schema.columns.len()];
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (index, column) in schema.columns.iter().enumerate() {
        match &column.origin {
            ColumnOrigin::Field(path) => wanted.push((path, index, &column.data_type)),
            _ => {
                let name = std::slice::from_ref(&column.name);
                columns[index] = Some(Column::new(&column.data_type, name, compiler));
            }
        }
    }
    let document = compiler.object(&wanted, &[String::new()], &mut columns);
    (document, filled(columns))
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
