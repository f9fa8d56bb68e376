//! Text to a tree of nodes.

use std::collections::HashMap;
use std::path::Path;

use factmill_core::diagnostic::{Diagnostic, Location};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::node::{Content, Entry, Node};
use super::scalar::Scalar;

/// Deeper nesting is refused: no file that a person writes needs it, and readers recurse.
const MAX_DEPTH: usize = 64;
/// More nodes than this are refused, aliases counted in full: a small file can name a huge one.
const MAX_NODES: usize = 200_000;

/// Reads one YAML document; an empty file is null.
///
/// # Errors
/// The syntax error, a key that comes twice, a second document, an unknown alias.
pub fn parse(text: &str, file: &Path) -> Result<Node, Diagnostic> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let location = builder.location(error.marker());
            Diagnostic::at(location, format!("not YAML: {}", error.info()))
        })?;
        builder.take(event, builder.location(&span.start))?;
    }
    Ok(builder.root.unwrap_or_else(|| Node {
        content: Content::Scalar(Scalar::plain("")),
        location: Location {
            file: file.to_owned(),
            line: 1,
            column: 1,
        },
    }))
}

/// Collects events into nodes; `open` holds the containers that have not ended.
struct Builder<'a> {
    file: &'a Path,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, Location)>,
    /// What `<<` brought; keys that the map has itself win, wherever they stand.
    merged: Vec<Entry>,
}

impl Builder<'_> {
    fn location(&self, marker: &Marker) -> Location {
        Location {
            file: self.file.to_owned(),
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    fn take(&mut self, event: Event<'_>, location: Location) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(Diagnostic::at(
                location,
                "expected one YAML document, found a second one",
            )
            .help("put it into a file of its own")),
            Event::Scalar(text, style, anchor, _) => {
                let scalar = match style {
                    ScalarStyle::Plain => Scalar::plain(text),
                    _ => Scalar::quoted(text),
                };
                let content = Content::Scalar(scalar);
                self.add(Node { content, location }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(Content::List(Vec::new()), anchor, location)
            }
            Event::MappingStart(anchor, _) => {
                self.begin(Content::Map(Vec::new()), anchor, location)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let anchor = open.anchor;
                    self.add(open.merge(), anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let mut node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Diagnostic::at(
                        location.clone(),
                        "alias of an anchor that has not ended yet",
                    )
                })?;
                node.location = location;
                self.nodes += count(&node);
                self.add(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        content: Content,
        anchor: usize,
        location: Location,
    ) -> Result<(), Diagnostic> {
        if self.open.len() == MAX_DEPTH {
            return Err(Diagnostic::at(
                location,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(Open {
            node: Node { content, location },
            anchor,
            key: None,
            merged: Vec::new(),
        });
        Ok(())
    }

    /// Puts a finished node where it belongs: the root, a list, a key or a key's value.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::at(
                node.location,
                format!("more than {MAX_NODES} values, aliases included"),
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match parent.key.take() {
                None => parent.key = Some(key(node)?),
                Some((name, at)) if name == "<<" => parent.merged.extend(mergeable(node, &at)?),
                Some((name, at)) => put(entries, name, at, node)?,
            },
            Content::Scalar(_) => {}
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    let children = node
        .items()
        .iter()
        .chain(node.entries().iter().map(|entry| &entry.value));
    1 + children.map(count).sum::<usize>()
}

fn key(node: Node) -> Result<(String, Location), Diagnostic> {
    match node.content {
        Content::Scalar(scalar) => Ok((scalar.text().to_owned(), node.location)),
        _ => Err(Diagnostic::at(
            node.location,
            "expected a key, found a list or a map",
        )),
    }
}

fn put(
    entries: &mut Vec<Entry>,
    key: String,
    key_location: Location,
    value: Node,
) -> Result<(), Diagnostic> {
    if let Some(first) = entries.iter().find(|entry| entry.key == key) {
        let line = first.key_location.line;
        return Err(Diagnostic::at(
            key_location,
            format!("key `{key}` comes twice, first on line {line}"),
        ));
    }
    entries.push(Entry {
        key,
        key_location,
        value,
    });
    Ok(())
}

/// What stands behind `<<`: the entries of a map, or of several, the first winning.
fn mergeable(from: Node, at: &Location) -> Result<Vec<Entry>, Diagnostic> {
    match from.content {
        Content::Map(entries) => Ok(entries),
        Content::List(items) => {
            let maps = items.into_iter().map(|item| mergeable(item, at));
            Ok(maps
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect())
        }
        Content::Scalar(_) => Err(Diagnostic::at(
            at.clone(),
            "expected a map or an alias of one behind `<<`",
        )),
    }
}

impl Open {
    fn merge(mut self) -> Node {
        if let Content::Map(entries) = &mut self.node.content {
            for entry in self.merged {
                if !entries.iter().any(|known| known.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
        self.node
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn read(text: &str) -> Node {
        parse(text, Path::new("a.yml")).unwrap()
    }

    fn refused(text: &str) -> String {
        parse(text, Path::new("a.yml")).unwrap_err().to_string()
    }

    #[test]
    fn keys_and_values_know_their_places_in_characters() {
        let node = read("é: ü\nlist:\n  - ßß: [1, \"x\"]\n");
        assert_eq!(node.locate(&["é"]).to_string(), "a.yml:1:4");
        assert_eq!(
            node.locate_key(&["list", "0", "ßß"]).to_string(),
            "a.yml:3:5"
        );
        assert_eq!(
            node.locate(&["list", "0", "ßß", "1"]).to_string(),
            "a.yml:3:13"
        );
        assert_eq!(
            node.locate(&["list", "7"]).to_string(),
            "a.yml:3:3",
            "the nearest parent"
        );
    }

    #[test]
    fn what_is_not_one_document_is_refused_with_its_place() {
        assert_eq!(
            refused("a: 1\nb: 2\na: 3\n"),
            "a.yml:3:1: key `a` comes twice, first on line 1"
        );
        assert!(refused("a: 1\n---\nb: 2\n").starts_with("a.yml:2:1: expected one YAML document"));
        assert!(refused("a: [1, 2\nb: 3\n").contains("not YAML"));
        assert!(refused(&"[".repeat(100)).contains("nested deeper than 64 levels"));
        assert!(refused("a: *b\n").contains("not YAML"));
        assert!(refused("[a, b]: 1\n").contains("expected a key"));
    }

    #[test]
    fn aliases_are_copies_and_merges_give_way() {
        let node = read("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  x: 3\nsame: *b\n");
        assert_eq!(
            node.get("more").unwrap().to_json().to_string(),
            r#"{"x":3,"y":2}"#
        );
        assert_eq!(node.locate(&["same"]).to_string(), "a.yml:5:7");
    }

    #[test]
    fn aliases_of_aliases_do_not_explode() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(refused(&text).contains("aliases included"));
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(read("").is_null());
        assert!(read("# only a comment\n").is_null());
    }
}
