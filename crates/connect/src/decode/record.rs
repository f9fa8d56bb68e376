//! The decoder of records whose payload is one document: JSON, BSON, and formats that can be said in
//! JSON. The format reads a document's fields, everything around it is the contract's.

use async_trait::async_trait;
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;
use factmill_core::source_schema::{ColumnOrigin, SourceSchema};

use super::column::Column;
use super::contract::{Contract, Part, Said, zone};
use super::fault::{Context, Rejection};
use super::object::{Compiler, Object, Wanted, filled};
use super::{Decoded, Decoder, DecoderError};

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

/// Says payloads as the documents that they stand for.
///
/// One buffer serves all records of a pull, so that a record costs no allocation, and its text is
/// read while it is still near.
#[async_trait]
pub(super) trait Transcode: Send + Sync {
    /// The document that the payload stands for, from the payload itself or written into `buffer`,
    /// which is empty; `None` where it says that its key is deleted.
    fn document<'p>(
        &self,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection>;

    /// The document that a key stands for, from which the fields of a deleted key are read.
    fn key<'p>(&self, key: &'p [u8], _buffer: &'p mut Vec<u8>) -> Result<&'p [u8], Rejection> {
        Ok(key)
    }

    /// See [`Decoder::prepare`].
    async fn prepare(&self, _pulled: &Pulled) -> Result<(), BoxedError> {
        Ok(())
    }
}

/// Documents as they are.
pub(super) struct Plain;

impl Transcode for Plain {
    fn document<'p>(
        &self,
        payload: &'p [u8],
        _buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        Ok(Some(payload))
    }
}

/// Decodes payloads that are documents by a source's contract.
pub(super) struct RecordDecoder<T> {
    contract: Contract,
    transcode: T,
    read_document: ReadDocument,
    /// What every pull begins with: nothing read yet.
    document: Object,
    columns: Vec<Column>,
}

impl<T: Transcode> RecordDecoder<T> {
    pub(super) fn new(
        schema: &SourceSchema,
        transcode: T,
        read_document: ReadDocument,
    ) -> Result<Self, DecoderError> {
        let mut compiler = Compiler::new(zone(schema)?);
        // checked before the columns are made: an empty path leads to none
        let contract = Contract::new(schema, &mut compiler)?;
        let (document, columns) = compile(schema, &mut compiler);
        Ok(Self {
            contract,
            transcode,
            read_document,
            document,
            columns,
        })
    }
}

#[async_trait]
impl<T: Transcode> Decoder for RecordDecoder<T> {
    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        self.transcode.prepare(pulled).await
    }

    fn decode(&self, source: &SourceName, pulled: &Pulled) -> Decoded {
        let mut document = self.document.clone();
        let (mut buffer, mut scratch) = (Vec::new(), String::new());
        let read = |columns: &mut [Column],
                    row: usize,
                    _index: usize,
                    part: Part<'_>,
                    context: &mut Context| {
            buffer.clear();
            let bytes = match part {
                Part::Key(key) => self.transcode.key(key, &mut buffer)?,
                Part::Payload(payload) => match self.transcode.document(payload, &mut buffer)? {
                    Some(bytes) => bytes,
                    None => return Ok(Said::Deleted),
                },
            };
            (self.read_document)(bytes, &mut document, columns, row, context, &mut scratch)?;
            Ok(Said::Row)
        };
        self.contract
            .decode(source, pulled, self.columns.clone(), read)
    }
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
