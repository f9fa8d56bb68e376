//! The project's macros: every one is a function of every template, as in dbt.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factmill_core::diagnostic::Diagnostic;
use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

use super::markers::location;
use super::scan::{Piece, pieces};

/// Macros that call each other deeper than this never end.
const MAX_DEPTH: usize = 64;

/// A text file of the project.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Its path, relative to the project.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) text: String,
}

impl SourceFile {
    /// Its name as a template.
    pub(super) fn template(&self) -> String {
        self.path.display().to_string()
    }
}

/// The macros that files define, and the file of each. A name that comes twice is a diagnostic.
pub(super) fn macros(
    files: &[SourceFile],
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, String> {
    let mut macros: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        for (at, name) in definitions(&file.text) {
            if let Some(first) = macros.get(&name) {
                let place = location(&file.path, &file.text, at);
                found.push(Diagnostic::at(
                    place,
                    format!("macro `{name}` is defined twice, first in {first}"),
                ));
                continue;
            }
            macros.insert(name, file.template());
        }
    }
    macros
}

/// The names behind `{% macro`, and where the blocks begin.
fn definitions(text: &str) -> Vec<(usize, String)> {
    blocks(text)
        .filter(|(_, keyword, _)| *keyword == "macro")
        .map(|(range, _, name)| (range.start, name.to_owned()))
        .collect()
}

/// All `{% … %}` with their first two words.
fn blocks(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &str, &str)> {
    pieces(text)
        .into_iter()
        .filter_map(move |piece| match piece {
            Piece::Block(range) => {
                let inside = text[range.clone()]
                    .trim_start_matches("{%")
                    .trim_start_matches(['-', '+'])
                    .trim_start();
                let (keyword, rest) = word(inside);
                let (name, _) = word(rest.trim_start());
                Some((range, keyword, name))
            }
            _ => None,
        })
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len()),
    )
}

/// A macro file without dbt's other blocks (`test`, `materialization`, `docs`, `snapshot`), blanked
/// out so that every place stays; and the names of its generic tests.
pub(super) fn only_macros(text: &str) -> (String, Vec<String>) {
    const OTHERS: [(&str, &str); 5] = [
        ("test", "endtest"),
        ("data_test", "enddata_test"),
        ("materialization", "endmaterialization"),
        ("docs", "enddocs"),
        ("snapshot", "endsnapshot"),
    ];
    let (mut macros, mut tests) = (text.to_owned(), Vec::new());
    let mut open: Option<(usize, &str)> = None;
    for (range, keyword, name) in blocks(text) {
        match open {
            None => {
                if let Some((opening, end)) = OTHERS.iter().find(|(opening, _)| *opening == keyword)
                {
                    open = Some((range.start, end));
                    if opening.ends_with("test") {
                        tests.push(name.to_owned());
                    }
                }
            }
            Some((start, end)) if keyword == end => {
                let blank: String = text[start..range.end]
                    .chars()
                    .map(|c| {
                        if c == '\n' {
                            "\n".into()
                        } else {
                            " ".repeat(c.len_utf8())
                        }
                    })
                    .collect();
                macros.replace_range(start..range.end, &blank);
                open = None;
            }
            Some(_) => {}
        }
    }
    (macros, tests)
}

/// Makes each macro a function that runs it in its own file.
pub(super) fn install(environment: &mut Environment<'static>, macros: &BTreeMap<String, String>) {
    let depth = Arc::new(AtomicUsize::new(0));
    for (name, template) in macros {
        let (name, template, depth) = (name.clone(), template.clone(), depth.clone());
        environment.add_function(
            name.clone(),
            move |state: &State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
                let _level = Level::enter(&depth, &name)?;
                let mut file = state.env().get_template(&template)?.render_captured(())?;
                file.with_state_mut(|state| state.call_macro(&name, &arguments.into_values()))
            },
        );
    }
}

/// One level of macro calls, left when it is dropped.
struct Level(Arc<AtomicUsize>);

impl Level {
    fn enter(depth: &Arc<AtomicUsize>, name: &str) -> Result<Self, Error> {
        let level = Self(depth.clone());
        if depth.fetch_add(1, Ordering::Relaxed) >= MAX_DEPTH {
            let message =
                format!("macros call each other {MAX_DEPTH} levels deep, the last one is `{name}`");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        Ok(level)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
