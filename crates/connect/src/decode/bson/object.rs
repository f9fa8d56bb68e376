//! Documents: which declared columns their fields fill.

use factmill_core::dead_letter::Reason;

use super::super::column::Column;
use super::super::fault::Context;
use super::super::object::{Meaning, Member, Names, Object, forget};
use super::Stop;
use super::value::kind_name;
use super::walk::{Broken, Element, Elements, kind};

impl Object {
    /// Reads the fields of a document into row `row` of `columns`, as [`Object::read`] does in JSON.
    pub(super) fn read_bson(
        &mut self,
        mut elements: Elements<'_>,
        context: &mut Context,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Stop> {
        let mut previous = Names::START;
        while let Some(element) = elements.next()? {
            let number = self.names.number(previous, element.name, context);
            previous = number.ok_or(Broken {
                at: elements.at(),
                expected: "a name in UTF-8",
            })?;
            match self.names.meaning(previous) {
                Meaning::Member(member) => {
                    self.members[usize::from(member)].read_bson(&element, context, columns, row)?;
                }
                Meaning::Undeclared(entry) => context.undeclared.note(entry),
                Meaning::Unheeded => {}
            }
        }
        Ok(())
    }
}

impl Member {
    #[inline]
    fn read_bson(
        &mut self,
        element: &Element<'_>,
        context: &mut Context,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Stop> {
        context.replace(&self.path);
        for &index in &self.columns {
            let column = &mut columns[index];
            forget(column, row);
            column.read_bson(element, context, &self.path)?;
        }
        if let Some(inside) = &mut self.inside {
            for &index in &inside.columns {
                forget(&mut columns[index], row);
            }
            match element.kind {
                kind::DOCUMENT => {
                    let elements = Elements::of(element.value)?;
                    inside.object.read_bson(elements, context, columns, row)?;
                }
                kind::NULL | kind::UNDEFINED => {}
                other => {
                    let detail = format!("expected a document, found {}", kind_name(other));
                    context.refuse(&self.path, Reason::WrongType, detail);
                }
            }
        }
        Ok(())
    }
}
