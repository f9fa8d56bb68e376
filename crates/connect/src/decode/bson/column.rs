//! Columns of any declared type, filled from elements.

use factmill_core::dead_letter::Reason;

use super::super::column::{Column, List, Struct};
use super::super::fault::{Context, FieldPath};
use super::Stop;
use super::json::{self, Unwritten};
use super::value::{self, Misfit, kind_name};
use super::walk::{Element, Elements, kind};

impl Column {
    /// Reads a value into one more row, as [`Column::read`] does in JSON.
    #[inline]
    pub(super) fn read_bson(
        &mut self,
        element: &Element<'_>,
        context: &mut Context,
        path: &FieldPath,
    ) -> Result<(), Stop> {
        if matches!(element.kind, kind::NULL | kind::UNDEFINED) {
            self.push_null();
            return Ok(());
        }
        match self {
            Self::Leaf(leaf) => {
                if let Err(misfit) = value::push(leaf, element) {
                    let (reason, detail) = match misfit {
                        Misfit::Refused(refusal) => (
                            refusal.reason(),
                            refusal.detail_of(leaf.declared(), &value::found(element)),
                        ),
                        Misfit::NotUtf8 => (Reason::InvalidUtf8, "the text is no UTF-8".to_owned()),
                    };
                    context.refuse(path, reason, detail);
                    leaf.push_null();
                }
                return Ok(());
            }
            Self::Json(strings) => {
                let mut unwritten = None;
                let written = strings.push_written(|out| match json::write(element, out) {
                    Ok(()) => true,
                    Err(why) => {
                        unwritten = Some(why);
                        false
                    }
                });
                if !written {
                    strings.push_null();
                }
                let (reason, detail) = match unwritten {
                    None => return Ok(()),
                    Some(Unwritten::Stop(stop)) => return Err(stop),
                    Some(Unwritten::NotUtf8) => (Reason::InvalidUtf8, "a text inside is no UTF-8"),
                    Some(Unwritten::Nul) => (
                        Reason::DoesNotFit,
                        "a text inside holds a NUL character, which json cannot hold here",
                    ),
                };
                context.refuse(path, reason, detail.to_owned());
                return Ok(());
            }
            Self::List(list) if element.kind == kind::ARRAY => {
                return list.read_bson(Elements::of(element.value)?, context, path);
            }
            Self::Struct(fields) if element.kind == kind::DOCUMENT => {
                return fields.read_bson(Elements::of(element.value)?, context);
            }
            Self::List(_) => wrong_kind("an array", element.kind, context, path),
            Self::Struct(_) => wrong_kind("a document", element.kind, context, path),
        }
        self.push_null();
        Ok(())
    }
}

#[cold]
fn wrong_kind(expected: &str, found: u8, context: &mut Context, path: &FieldPath) {
    let detail = format!("expected {expected}, found {}", kind_name(found));
    context.refuse(path, Reason::WrongType, detail);
}

impl List {
    fn read_bson(
        &mut self,
        mut elements: Elements<'_>,
        context: &mut Context,
        path: &FieldPath,
    ) -> Result<(), Stop> {
        context.indexes.push(0);
        while let Some(element) = elements.next()? {
            self.items.read_bson(&element, context, path)?;
            if let Some(index) = context.indexes.last_mut() {
                *index += 1;
            }
        }
        context.indexes.pop();
        self.end(true);
        Ok(())
    }
}

impl Struct {
    fn read_bson(&mut self, elements: Elements<'_>, context: &mut Context) -> Result<(), Stop> {
        let row = self.valid.len();
        self.object
            .read_bson(elements, context, &mut self.fields, row)?;
        self.complete(row);
        Ok(())
    }
}
