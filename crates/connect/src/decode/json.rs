//! The JSON decoder: each payload straight from its bytes into the columns. Formats that can be said
//! in JSON are read through it too.

use async_trait::async_trait;
use factmill_core::dead_letter::Reason;
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;
use factmill_core::source_schema::{ColumnOrigin, SourceSchema};

use super::column::{Column, kind_name};
use super::contract::{Contract, no_payload, whole_record, zone};
use super::fault::{Context, Rejection};
use super::object::{Compiler, Object, Wanted, filled};
use super::scan::Scanner;
use super::{Decoded, Decoder, DecoderError};

/// Says payloads in JSON.
///
/// One buffer serves all records of a pull, so that a record costs no allocation, and its text is
/// read while it is still near.
#[async_trait]
pub(super) trait Transcode: Send + Sync {
    /// The document that the payload stands for, from the payload itself or written into `buffer`,
    /// which is empty; `None` where it says that its key is deleted.
    fn json<'p>(
        &self,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection>;

    /// See [`Decoder::prepare`].
    async fn prepare(&self, _pulled: &Pulled) -> Result<(), BoxedError> {
        Ok(())
    }
}

/// JSON as it is.
pub(super) struct Plain;

impl Transcode for Plain {
    fn json<'p>(
        &self,
        payload: &'p [u8],
        _buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        Ok(Some(payload))
    }
}

/// Decodes payloads that say JSON by a source's contract.
pub(super) struct JsonDecoder<T> {
    contract: Contract,
    transcode: T,
    /// What every pull begins with: nothing read yet.
    document: Object,
    columns: Vec<Column>,
}

impl<T: Transcode> JsonDecoder<T> {
    pub(super) fn new(schema: &SourceSchema, transcode: T) -> Result<Self, DecoderError> {
        let mut compiler = Compiler::new(zone(schema)?);
        // checked before the columns are made: an empty path leads to none
        let contract = Contract::new(schema, &mut compiler)?;
        let (document, columns) = compile(schema, &mut compiler);
        Ok(Self {
            contract,
            transcode,
            document,
            columns,
        })
    }
}

#[async_trait]
impl<T: Transcode> Decoder for JsonDecoder<T> {
    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        self.transcode.prepare(pulled).await
    }

    fn decode(&self, source: &SourceName, pulled: &Pulled) -> Decoded {
        let mut document = self.document.clone();
        let (mut buffer, mut scratch) = (Vec::new(), String::new());
        let read = |columns: &mut [Column],
                    row: usize,
                    _index: usize,
                    payload: &[u8],
                    context: &mut Context| {
            buffer.clear();
            let Some(json) = self.transcode.json(payload, &mut buffer)? else {
                return Err(no_payload("the record deletes its key"));
            };
            object(&mut document, json, columns, row, context, &mut scratch)
        };
        self.contract
            .decode(source, pulled, self.columns.clone(), read)
    }
}

/// Reads the one object that `json` is.
fn object(
    document: &mut Object,
    json: &[u8],
    columns: &mut [Column],
    row: usize,
    context: &mut Context,
    scratch: &mut String,
) -> Result<(), Rejection> {
    let text = std::str::from_utf8(json).map_err(|error| {
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
