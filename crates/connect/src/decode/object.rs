//! Objects of the document: which declared columns their members fill.

use std::collections::HashMap;

use chrono_tz::Tz;
use factmill_core::dead_letter::Reason;
use factmill_core::types::DeclaredType;

use super::column::{Column, kind_name};
use super::fault::{Context, FieldPath, OTHER_FIELDS};
use super::scan::{Broken, Scanner};

/// An object whose members are known in part.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) names: Names,
    pub(super) members: Vec<Member>,
}

/// A declared member: it fills the columns that want its value whole, and those that want something
/// inside of it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) path: FieldPath,
    pub(super) columns: Vec<usize>,
    pub(super) inside: Option<Inside>,
}

#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) object: Object,
    pub(super) columns: Vec<usize>,
}

impl Object {
    /// Reads the object that is next into row `row` of `columns`. Members that are missing leave
    /// their columns as they are; of members with one name the last counts.
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        context: &mut Context,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Broken> {
        scanner.open()?;
        if scanner.closes(b'}') {
            return Ok(());
        }
        let mut previous = Names::START;
        loop {
            previous = self.names.read(previous, scanner, context)?;
            match self.names.meaning(previous) {
                Meaning::Member(member) => {
                    self.members[member as usize].read(scanner, context, columns, row)?
                }
                Meaning::Undeclared(entry) => {
                    context.undeclared.note(entry);
                    scanner.skip()?;
                }
                Meaning::Unheeded => scanner.skip()?,
            }
            if !scanner.more(b'}')? {
                return Ok(());
            }
        }
    }
}

impl Member {
    #[inline]
    fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        context: &mut Context,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Broken> {
        context.replace(&self.path);
        let start = scanner.at();
        for &index in &self.columns {
            scanner.rewind(start);
            let column = &mut columns[index];
            forget(column, row);
            column.read(scanner, context, &self.path)?;
        }
        if let Some(inside) = &mut self.inside {
            scanner.rewind(start);
            for &index in &inside.columns {
                forget(&mut columns[index], row);
            }
            match scanner.peek() {
                b'{' => inside.object.read(scanner, context, columns, row)?,
                b'n' => scanner.literal("null")?,
                kind => {
                    scanner.skip()?;
                    let detail = format!("expected an object, found {}", kind_name(kind));
                    context.refuse(&self.path, Reason::WrongType, detail);
                }
            }
        }
        Ok(())
    }
}

/// Takes back the value that an earlier field of the same name gave row `row`.
#[inline]
pub(super) fn forget(column: &mut Column, row: usize) {
    if column.len() > row {
        column.truncate(row);
    }
}

/// What a name of an object means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// Index into the members.
    Member(u16),
    /// Entry among the undeclared fields.
    Undeclared(u32),
    /// Part of a value that some column takes whole.
    Unheeded,
}

/// The names of an object, declared and met. Records of a source mostly name their members in one
/// order, so the name that followed last time is tried first, as bytes.
#[derive(Debug, Clone)]
pub(super) struct Names {
    known: Vec<Name>,
    by_text: HashMap<Box<str>, u16>,
    /// By name, with one more for the object's start: the name that followed it last time.
    followed_by: Vec<u16>,
    prefix: FieldPath,
    heeded: bool,
}

#[derive(Debug, Clone)]
struct Name {
    /// The name with its closing quote and colon, as most documents write it.
    written: Box<[u8]>,
    meaning: Meaning,
}

/// No text in UTF-8 holds this byte: stands where a name may be written in more than one way.
const NEVER_WRITTEN: u8 = 0xFF;

/// Names to remember beyond the declared ones, in each object.
const MOST_LEARNED: usize = 256;

impl Names {
    /// Before the first name of an object.
    pub(super) const START: u16 = 0;

    fn new(prefix: FieldPath, heeded: bool) -> Self {
        Self {
            known: Vec::new(),
            by_text: HashMap::new(),
            followed_by: vec![1],
            prefix,
            heeded,
        }
    }

    /// Adds a name; its number is its place counted from 1.
    fn add(&mut self, text: &str, meaning: Meaning) -> u16 {
        let plain = !text
            .bytes()
            .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        let written = if plain {
            format!("{text}\":").into_bytes()
        } else {
            vec![NEVER_WRITTEN]
        };
        self.known.push(Name {
            written: written.into(),
            meaning,
        });
        let number = u16::try_from(self.known.len())
            .expect("a table declares far fewer than 65,535 columns");
        // The declared order is the first guess at what follows.
        self.followed_by.push(number + 1);
        self.by_text.insert(text.into(), number);
        number
    }

    #[inline]
    pub(super) fn meaning(&self, number: u16) -> Meaning {
        self.known[usize::from(number) - 1].meaning
    }

    /// Reads a name and its colon; gives its number.
    #[inline]
    fn read(
        &mut self,
        previous: u16,
        scanner: &mut Scanner<'_>,
        context: &mut Context,
    ) -> Result<u16, Broken> {
        let guess = self.followed_by[usize::from(previous)];
        scanner.expect(b'"', "a name in quotes")?;
        if let Some(name) = self.known.get(usize::from(guess).wrapping_sub(1))
            && scanner.eat_exactly(&name.written)
        {
            return Ok(guess);
        }
        let text = scanner.string()?;
        let number = match self.by_text.get(scanner.value(text)) {
            Some(&number) => number,
            None => self.learn(scanner.value(text), context),
        };
        scanner.expect(b':', "`:`")?;
        self.followed_by[usize::from(previous)] = number;
        Ok(number)
    }

    /// The number of a name that stands alone, as in BSON; `None` where it is not UTF-8.
    #[inline]
    pub(super) fn number(
        &mut self,
        previous: u16,
        name: &[u8],
        context: &mut Context,
    ) -> Option<u16> {
        let guess = self.followed_by[usize::from(previous)];
        if let Some(known) = self.known.get(usize::from(guess).wrapping_sub(1))
            && known.written.strip_suffix(b"\":") == Some(name)
        {
            return Some(guess);
        }
        let text = std::str::from_utf8(name).ok()?;
        let number = match self.by_text.get(text) {
            Some(&number) => number,
            None => self.learn(text, context),
        };
        self.followed_by[usize::from(previous)] = number;
        Some(number)
    }

    #[cold]
    fn learn(&mut self, text: &str, context: &mut Context) -> u16 {
        let text = if self.known.len() - self.members() < MOST_LEARNED {
            text
        } else {
            OTHER_FIELDS
        };
        if let Some(&number) = self.by_text.get(text) {
            return number;
        }
        let meaning = if self.heeded {
            Meaning::Undeclared(
                context
                    .undeclared
                    .entry(joined(&self.prefix.anywhere(), text)),
            )
        } else {
            Meaning::Unheeded
        };
        self.add(text, meaning)
    }

    fn members(&self) -> usize {
        let declared = |name: &&Name| matches!(name.meaning, Meaning::Member(_));
        self.known.iter().take_while(declared).count()
    }
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The columns, once each was wanted.
pub(super) fn filled(columns: Vec<Option<Column>>) -> Vec<Column> {
    columns
        .into_iter()
        .map(|column| column.expect("every column is wanted by some member"))
        .collect()
}

/// A column to fill: the path of names to its value, its index, its type.
pub(super) type Wanted<'s> = (&'s [String], usize, &'s DeclaredType);

/// Makes objects and columns from declared paths, numbering the fields from the top down.
pub(super) struct Compiler {
    zone: Tz,
    fields: u32,
}

impl Compiler {
    pub(super) fn new(zone: Tz) -> Self {
        Self { zone, fields: 0 }
    }

    /// The zone of timestamps without an offset.
    pub(super) fn zone(&self) -> Tz {
        self.zone
    }

    /// The object at `prefix` (see [`FieldPath`]); its members' columns, empty, go into `columns`.
    pub(super) fn object(
        &mut self,
        wanted: &[Wanted<'_>],
        prefix: &[String],
        columns: &mut [Option<Column>],
    ) -> Object {
        self.members(wanted, prefix, true, columns)
    }

    fn members(
        &mut self,
        wanted: &[Wanted<'_>],
        prefix: &[String],
        heeded: bool,
        columns: &mut [Option<Column>],
    ) -> Object {
        let here = FieldPath {
            id: self.fields,
            end: self.fields,
            segments: prefix.to_vec(),
        };
        let mut names = Names::new(here, heeded);
        let mut members = Vec::new();
        for (name, group) in grouped(wanted) {
            names.add(name, Meaning::Member(members.len() as u16));
            members.push(self.member(name, &group, prefix, heeded, columns));
        }
        Object { names, members }
    }

    fn member(
        &mut self,
        name: &str,
        wanted: &[Wanted<'_>],
        prefix: &[String],
        heeded: bool,
        columns: &mut [Option<Column>],
    ) -> Member {
        let mut segments = prefix.to_vec();
        let is_top = segments.len() == 1 && segments[0].is_empty();
        if let Some(last) = segments.last_mut() {
            *last = if is_top {
                name.to_owned()
            } else {
                format!("{last}.{name}")
            };
        }
        let id = self.fields;
        self.fields += 1;
        let (whole, inside): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|(path, ..)| path.len() == 1);
        for &(_, index, declared) in &whole {
            columns[index] = Some(Column::new(declared, &segments, self));
        }
        let inside = (!inside.is_empty()).then(|| {
            let below: Vec<Wanted<'_>> = inside
                .iter()
                .map(|(path, index, declared)| (&path[1..], *index, *declared))
                .collect();
            Inside {
                object: self.members(&below, &segments, heeded && whole.is_empty(), columns),
                columns: below.iter().map(|(_, index, _)| *index).collect(),
            }
        });
        Member {
            path: FieldPath {
                id,
                end: self.fields,
                segments,
            },
            columns: whole.iter().map(|(_, index, _)| *index).collect(),
            inside,
        }
    }
}

/// What is wanted by first name, the names in their declared order.
fn grouped<'s>(wanted: &[Wanted<'s>]) -> Vec<(&'s str, Vec<Wanted<'s>>)> {
    let mut groups: Vec<(&str, Vec<Wanted<'_>>)> = Vec::new();
    for one in wanted {
        let name = one.0[0].as_str();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(*one),
            None => groups.push((name, vec![*one])),
        }
    }
    groups
}
