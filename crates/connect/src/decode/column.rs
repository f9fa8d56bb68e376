//! Columns of any declared type, filled straight from the scanner.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use factmill_core::dead_letter::Reason;
use factmill_core::types::DeclaredType;

use super::buffers::{Strings, nulls};
use super::fault::{Context, FieldPath};
use super::leaf::{Leaf, Token};
use super::object::{Compiler, Object, filled};
use super::scan::{Broken, Scanner};

/// A column under construction. Reading a value appends exactly one row, a null where the value was
/// refused; rows come off the end again with [`Column::truncate`].
#[derive(Debug, Clone)]
pub(super) enum Column {
    Leaf(Leaf),
    Json(Strings),
    List(List),
    Struct(Struct),
}

#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) items: Box<Column>,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

#[derive(Debug, Clone)]
pub(super) struct Struct {
    pub(super) object: Object,
    pub(super) fields: Vec<Column>,
    arrow: Fields,
    pub(super) valid: Vec<bool>,
}

impl Column {
    /// An empty column for the field at `segments` (see [`FieldPath`]).
    pub(super) fn new(
        declared: &DeclaredType,
        segments: &[String],
        compiler: &mut Compiler,
    ) -> Self {
        match declared {
            DeclaredType::List(item) => {
                let below = [segments, &[String::new()]].concat();
                Self::List(List {
                    items: Box::new(Self::new(item, &below, compiler)),
                    ends: vec![0],
                    valid: Vec::new(),
                })
            }
            DeclaredType::Struct(fields) => {
                let wanted = fields.iter().enumerate().map(|(index, field)| {
                    (std::slice::from_ref(&field.name), index, &field.data_type)
                });
                let mut columns = vec![None; fields.len()];
                Self::Struct(Struct {
                    object: compiler.object(&wanted.collect::<Vec<_>>(), segments, &mut columns),
                    fields: filled(columns),
                    arrow: match declared.arrow() {
                        DataType::Struct(fields) => fields,
                        _ => Fields::empty(),
                    },
                    valid: Vec::new(),
                })
            }
            scalar => match Leaf::new(scalar, compiler.zone()) {
                Some(leaf) => Self::Leaf(leaf),
                None => Self::Json(Strings::default()),
            },
        }
    }

    /// Makes room for so many more rows; how long their lists are is not known.
    pub(super) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Leaf(leaf) => leaf.reserve(rows),
            Self::Json(strings) => strings.reserve(rows),
            Self::List(list) => {
                list.ends.reserve(rows);
                list.valid.reserve(rows);
            }
            Self::Struct(fields) => {
                fields.valid.reserve(rows);
                fields
                    .fields
                    .iter_mut()
                    .for_each(|field| field.reserve(rows));
            }
        }
    }

    /// Reads the next value into one more row.
    #[inline]
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        context: &mut Context,
        path: &FieldPath,
    ) -> Result<(), Broken> {
        let kind = scanner.peek();
        if kind == b'n' {
            scanner.literal("null")?;
            self.push_null();
            return Ok(());
        }
        match self {
            Self::Leaf(leaf) => return read_scalar(leaf, kind, scanner, context, path),
            Self::Json(strings) => return read_json(strings, scanner, context, path),
            Self::List(list) if kind == b'[' => return list.read(scanner, context, path),
            Self::Struct(fields) if kind == b'{' => return fields.read(scanner, context),
            Self::List(_) => wrong_kind("an array", kind, context, path),
            Self::Struct(_) => wrong_kind("an object", kind, context, path),
        }
        self.push_null();
        scanner.skip()
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Leaf(leaf) => leaf.push_null(),
            Self::Json(strings) => strings.push_null(),
            Self::List(list) => list.end(false),
            Self::Struct(fields) => fields.push_null(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Json(strings) => strings.len(),
            Self::List(list) => list.valid.len(),
            Self::Struct(fields) => fields.valid.len(),
        }
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_null(index),
            Self::Json(strings) => strings.is_null(index),
            Self::List(list) => !list.valid[index],
            Self::Struct(fields) => !fields.valid[index],
        }
    }

    /// Takes the rows from `len` on off again, with what a row that broke off half-way has left in
    /// lists and structs.
    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Self::Leaf(leaf) => leaf.truncate(len),
            Self::Json(strings) => strings.truncate(len),
            Self::List(list) => {
                list.valid.truncate(len);
                list.ends.truncate(len + 1);
                list.items.truncate(list.ends[len] as usize);
            }
            Self::Struct(fields) => {
                fields.valid.truncate(len);
                fields
                    .fields
                    .iter_mut()
                    .for_each(|field| field.truncate(len));
            }
        }
    }

    /// The Arrow array of [`DeclaredType::arrow`].
    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Leaf(leaf) => leaf.finish(),
            Self::Json(strings) => strings.utf8(),
            Self::List(list) => {
                let items = list.items.finish();
                let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
                let offsets = OffsetBuffer::new(ScalarBuffer::from(list.ends));
                Arc::new(ListArray::new(field, offsets, items, nulls(list.valid)))
            }
            Self::Struct(fields) => {
                let len = fields.valid.len();
                let columns = fields.fields.into_iter().map(Column::finish).collect();
                let array = StructArray::try_new_with_length(
                    fields.arrow,
                    columns,
                    nulls(fields.valid),
                    len,
                )
                .expect("the columns were made from the struct's declared fields");
                Arc::new(array)
            }
        }
    }
}

#[inline]
fn read_scalar(
    leaf: &mut Leaf,
    kind: u8,
    scanner: &mut Scanner<'_>,
    context: &mut Context,
    path: &FieldPath,
) -> Result<(), Broken> {
    let token = match kind {
        b'"' => {
            scanner.eat(b'"');
            let text = scanner.string()?;
            Token::Text(scanner.value(text))
        }
        b'-' | b'0'..=b'9' => Token::Number(scanner.number()?),
        b't' => {
            scanner.literal("true")?;
            Token::Boolean(true)
        }
        b'f' => {
            scanner.literal("false")?;
            Token::Boolean(false)
        }
        b'{' | b'[' => {
            wrong_kind(&leaf.declared().to_string(), kind, context, path);
            leaf.push_null();
            return scanner.skip();
        }
        _ => return scanner.no_value(),
    };
    if let Err(refusal) = leaf.push(token) {
        context.refuse(
            path,
            refusal.reason(),
            refusal.detail(leaf.declared(), token),
        );
        leaf.push_null();
    }
    Ok(())
}

/// The text of the value as it stands, if a `jsonb` takes it.
fn read_json(
    strings: &mut Strings,
    scanner: &mut Scanner<'_>,
    context: &mut Context,
    path: &FieldPath,
) -> Result<(), Broken> {
    let start = scanner.at();
    let refused = scanner.skip_watching()?;
    strings.push(scanner.between(start, scanner.at()).as_bytes());
    if refused.nul {
        let detail = "the document holds a NUL character (\\u0000), which json cannot hold here";
        context.refuse(path, Reason::DoesNotFit, detail.to_owned());
    }
    if refused.number {
        let detail = "the document holds a number that is beyond the range of numeric";
        context.refuse(path, Reason::DoesNotFit, detail.to_owned());
    }
    Ok(())
}

fn wrong_kind(expected: &str, kind: u8, context: &mut Context, path: &FieldPath) {
    let detail = format!("expected {expected}, found {}", kind_name(kind));
    context.refuse(path, Reason::WrongType, detail);
}

/// What a value is that begins with this byte.
pub(super) fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a text",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}

impl List {
    fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        context: &mut Context,
        path: &FieldPath,
    ) -> Result<(), Broken> {
        scanner.open()?;
        if !scanner.closes(b']') {
            context.indexes.push(0);
            loop {
                self.items.read(scanner, context, path)?;
                if !scanner.more(b']')? {
                    break;
                }
                if let Some(index) = context.indexes.last_mut() {
                    *index += 1;
                }
            }
            context.indexes.pop();
        }
        self.end(true);
        Ok(())
    }

    pub(super) fn end(&mut self, valid: bool) {
        let end = i32::try_from(self.items.len()).expect("a pull is bounded far below 2 GiB");
        self.ends.push(end);
        self.valid.push(valid);
    }
}

impl Struct {
    fn read(&mut self, scanner: &mut Scanner<'_>, context: &mut Context) -> Result<(), Broken> {
        let row = self.valid.len();
        self.object.read(scanner, context, &mut self.fields, row)?;
        self.complete(row);
        Ok(())
    }

    /// Fills what the value of row `row` left open.
    pub(super) fn complete(&mut self, row: usize) {
        for field in &mut self.fields {
            if field.len() == row {
                field.push_null();
            }
        }
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.fields.iter_mut().for_each(Column::push_null);
        self.valid.push(false);
    }
}
