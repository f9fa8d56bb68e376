//! The tree of a YAML document.

use factmill_core::diagnostic::Location;

use super::scalar::{Plain, Scalar};

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Where it begins.
    pub location: Location,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// `- a`
    List(Vec<Node>),
    /// `key: value`, in the order of the file; no key comes twice.
    Map(Vec<Entry>),
}

/// One `key: value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub key_location: Location,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar, whatever it could mean otherwise; `None` for null.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if scalar.plain_value() != Plain::Null => Some(scalar.text()),
            _ => None,
        }
    }

    /// Whether it is absent in all but name: `key:` with nothing behind it, `null`, `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.plain_value() == Plain::Null)
    }

    /// Where the value at a path of keys and list indexes begins, or the last of its parents that
    /// is there.
    pub fn locate(&self, path: &[&str]) -> &Location {
        let Some((first, rest)) = path.split_first() else {
            return &self.location;
        };
        let child = match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == *first)
                .map(|entry| &entry.value),
            Content::List(items) => first
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index)),
            Content::Scalar(_) => None,
        };
        child.map_or(&self.location, |child| child.locate(rest))
    }

    /// Where the key at the end of a path begins; like [`Node::locate`] where the path ends in a list.
    pub fn locate_key(&self, path: &[&str]) -> &Location {
        let Some((last, parents)) = path.split_last() else {
            return &self.location;
        };
        let mut node = self;
        for step in parents {
            let child = node.get(step).or_else(|| {
                step.parse::<usize>()
                    .ok()
                    .and_then(|index| node.items().get(index))
            });
            match child {
                Some(child) => node = child,
                None => return &node.location,
            }
        }
        match node.entries().iter().find(|entry| entry.key == *last) {
            Some(entry) => &entry.key_location,
            None => node.locate(&[last]),
        }
    }

    /// What it is, for messages: `a list`, `the number 5`, `text`.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a map".into(),
            Content::Scalar(scalar) => scalar.describe(),
        }
    }

    /// The same as JSON; text stays text, plain scalars are what YAML takes them for.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.to_json(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }

    /// A node for a JSON value that was computed at a place, such as the arguments of a call.
    pub fn from_json(value: &serde_json::Value, location: &Location) -> Self {
        let content = match value {
            serde_json::Value::Null => Content::Scalar(Scalar::plain("null")),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
                Content::Scalar(Scalar::plain(value.to_string()))
            }
            serde_json::Value::String(text) => Content::Scalar(Scalar::quoted(text.clone())),
            serde_json::Value::Array(items) => Content::List(
                items
                    .iter()
                    .map(|item| Self::from_json(item, location))
                    .collect(),
            ),
            serde_json::Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_location: location.clone(),
                        value: Self::from_json(value, location),
                    })
                    .collect(),
            ),
        };
        Self {
            content,
            location: location.clone(),
        }
    }
}
