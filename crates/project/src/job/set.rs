//! `--set KEY=VALUE`: one key of a job file, from the command line.

use std::path::PathBuf;

use factmill_core::diagnostic::{Diagnostic, Location};

use crate::yaml::{Content, Entry, Node, parse};

/// Puts the value of `KEY=VALUE` into a job file.
///
/// The key is a path of keys joined by dots; a key that has dots itself (`banking.transactions`) is
/// recognized where the file has it. The value is YAML. What does not fit the schema is found when
/// the file is read, and is pointed at in the flag.
///
/// # Errors
/// When there is no `=`, a part of the path is empty, the value is not YAML, or a key on the way
/// holds a value instead of other keys.
pub(super) fn apply(job: &mut Node, setting: &str) -> Result<(), Diagnostic> {
    let place = |column: usize| Location {
        file: PathBuf::from(format!("--set {setting}")),
        line: 1,
        column,
    };
    let Some((path, value)) = setting.split_once('=') else {
        return Err(Diagnostic::at(place(1), "expected KEY=VALUE")
            .help("such as `--set raw_store.enabled=false`"));
    };
    let mut value = parse(value, &place(1).file)?;
    shift(&mut value, path.chars().count() + 1);
    let mut node = job;
    let mut rest = path;
    loop {
        let column = path[..path.len() - rest.len()].chars().count() + 1;
        let key = first_key(node, rest);
        if key.is_empty() {
            return Err(
                Diagnostic::at(place(column), format!("`{path}` is not a path of keys"))
                    .help("keys joined by dots: `trigger.max_rows`"),
            );
        }
        if node.is_null() {
            node.content = Content::Map(Vec::new());
        }
        let Content::Map(entries) = &mut node.content else {
            let message = format!(
                "`{}` has no keys",
                path[..path.len() - rest.len()].trim_end_matches('.')
            );
            return Err(Diagnostic::at(place(column), message));
        };
        let index = entries
            .iter()
            .position(|entry| entry.key == key)
            .unwrap_or_else(|| {
                entries.push(Entry {
                    key: key.to_owned(),
                    key_location: place(column),
                    value: Node {
                        content: Content::Map(Vec::new()),
                        location: place(column),
                    },
                });
                entries.len() - 1
            });
        if key.len() == rest.len() {
            entries[index].key_location = place(column);
            entries[index].value = value;
            return Ok(());
        }
        rest = &rest[key.len() + 1..];
        node = &mut entries[index].value;
    }
}

/// The first key of a path: the longest that the map has, else up to the next dot.
fn first_key<'p>(node: &Node, path: &'p str) -> &'p str {
    let known = node.entries().iter().map(|entry| entry.key.as_str());
    let longest = known
        .filter(|key| {
            path.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .max_by_key(|key| key.len());
    let end = longest
        .map(str::len)
        .or_else(|| path.find('.'))
        .unwrap_or(path.len());
    &path[..end]
}

/// Moves the places of a value to where it stands in the flag.
fn shift(node: &mut Node, by: usize) {
    if node.location.line == 1 {
        node.location.column += by;
    }
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Content::Map(entries) => {
            for entry in entries {
                if entry.key_location.line == 1 {
                    entry.key_location.column += by;
                }
                shift(&mut entry.value, by);
            }
        }
    }
}
