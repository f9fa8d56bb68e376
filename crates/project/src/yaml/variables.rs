//! `${VAR}` and `${VAR:-default}` in scalars; `$$` is a `$`.

use std::collections::BTreeMap;

use factmill_core::diagnostic::{Diagnostic, Location};

use super::node::{Content, Node};
use super::scalar::Scalar;
use crate::nearest;

/// Where variables come from, and which parts of the file need theirs.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    /// `None`: a dollar sign is a dollar sign.
    environment: Option<&'a BTreeMap<String, String>>,
    needed: &'a dyn Fn(&[&str]) -> bool,
}

impl<'a> Variables<'a> {
    /// Every part of the file is needed.
    pub fn new(environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            environment: Some(environment),
            needed: &|_| true,
        }
    }

    /// No variables: for files that have their own way to them, where `$` is nothing special.
    pub fn none() -> Self {
        Self {
            environment: None,
            needed: &|_| true,
        }
    }

    /// Only parts of the file are needed: `needed` is asked for the path of each map entry from the
    /// top. An entry that is not needed is checked as the others are, but may name variables that
    /// are not set, and is left out of the loaded value; its field has to be optional.
    #[must_use]
    pub fn where_needed(self, needed: &'a dyn Fn(&[&str]) -> bool) -> Self {
        Self { needed, ..self }
    }

    pub(super) fn is_needed(&self, path: &[String]) -> bool {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        (self.needed)(&path)
    }

    /// Resolves all scalars below a node. What is not set is a diagnostic where it is needed, and
    /// stays as it is written where it is not.
    pub(super) fn substitute(&self, node: &mut Node, found: &mut Vec<Diagnostic>) {
        if self.environment.is_some() {
            self.below(node, &mut Vec::new(), true, found);
        }
    }

    fn below(
        &self,
        node: &mut Node,
        path: &mut Vec<String>,
        needed: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        match &mut node.content {
            Content::Scalar(scalar) => self.scalar(scalar, &node.location, needed, found),
            Content::List(items) => {
                for item in items {
                    self.below(item, path, needed, found);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    path.push(entry.key.clone());
                    let needed = needed && self.is_needed(path);
                    self.below(&mut entry.value, path, needed, found);
                    path.pop();
                }
            }
        }
    }

    fn scalar(
        &self,
        scalar: &mut Scalar,
        at: &Location,
        needed: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        if !scalar.text().contains('$') {
            return;
        }
        let mut resolved = String::new();
        let (mut variables, mut unresolved) = (0, false);
        let mut rest = scalar.text();
        while let Some(dollar) = rest.find('$') {
            resolved.push_str(&rest[..dollar]);
            let before = scalar.text().len() - rest.len() + dollar;
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                resolved.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                variables += 1;
                let Some(end) = closing(after) else {
                    let message = "`${` without a closing `}`";
                    found.push(
                        Diagnostic::at(within(at, scalar.text(), before), message)
                            .help("write `$$` for a dollar sign"),
                    );
                    return;
                };
                match self.resolve(&after[..end]) {
                    Ok(value) => resolved.push_str(value),
                    Err(diagnostic) if needed => {
                        unresolved = true;
                        found.push(Diagnostic {
                            location: Some(within(at, scalar.text(), before)),
                            ..diagnostic
                        });
                    }
                    Err(_) => unresolved = true,
                }
                rest = &after[end + 1..];
            } else {
                resolved.push('$');
            }
        }
        resolved.push_str(rest);
        if unresolved {
            scalar.leave_unresolved();
        } else if variables > 0 {
            scalar.substitute(resolved);
        } else {
            *scalar = Scalar::quoted(resolved);
        }
    }

    /// The value of what stands between the braces; an empty variable is one that is not set, when
    /// there is a default.
    fn resolve<'t>(&'t self, reference: &'t str) -> Result<&'t str, Diagnostic> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(valid)
        {
            return Err(
                Diagnostic::bare(format!("`{name}` is not the name of a variable"))
                    .help("letters, digits and `_`; write `$$` for a dollar sign"),
            );
        }
        let known = self.environment;
        match (known.and_then(|known| known.get(name)), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default),
            (None, None) => {
                let near = nearest::nearest(
                    name,
                    known
                        .into_iter()
                        .flat_map(BTreeMap::keys)
                        .map(String::as_str),
                );
                let way_out = format!("set it, or write a default: `${{{name}:-…}}`");
                Err(
                    Diagnostic::bare(format!("variable `{name}` is not set")).help(match near {
                        Some(near) => format!("did you mean `{near}`? Otherwise {way_out}"),
                        None => way_out,
                    }),
                )
            }
        }
    }
}

/// The place of byte `offset` of a scalar's text; the scalar itself where it spans lines, for then
/// the text is not the file's.
fn within(start: &Location, text: &str, offset: usize) -> Location {
    if text.contains('\n') {
        return start.clone();
    }
    Location {
        column: start.column + text[..offset].chars().count(),
        ..start.clone()
    }
}
/// Where the brace closes that was opened before `text`; a default value may hold pairs of braces, as
/// in `${URL:-http://rates/{date}.json}`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::closing;

    #[test]
    fn a_default_may_hold_braces() {
        assert_eq!(closing("A:-x{date}y}z"), Some(11));
        assert_eq!(closing("A}"), Some(1));
        assert_eq!(closing("A:-{date}"), None);
    }
}
