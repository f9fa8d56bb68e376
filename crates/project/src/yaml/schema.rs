//! A node held against a JSON Schema: what does not fit, with its place.
//!
//! Knows the part of JSON Schema that schemars writes for plain serde types: `type`, `properties`,
//! `required`, `additionalProperties`, `items`, `enum`, `const`, `oneOf`, `anyOf`, `pattern`,
//! `minimum`, `maximum`, `$ref`. Where it meets a choice it reports the branch that was meant.

use factmill_core::diagnostic::{Diagnostic, Location};
use regex::Regex;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::node::{Content, Entry, Node};
use super::scalar::{Plain, Scalar};
use super::variables::Variables;
use crate::nearest;

/// Checks nodes against the schema of one type.
pub(super) struct Checker<'a> {
    root: Value,
    variables: &'a Variables<'a>,
}

/// Where the check is: the path of keys, for messages and for what is needed.
struct Cursor<'f> {
    path: Vec<String>,
    found: &'f mut Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    pub(super) fn new<T: JsonSchema>(variables: &'a Variables<'a>) -> Self {
        Self {
            root: SchemaGenerator::default()
                .into_root_schema_for::<T>()
                .to_value(),
            variables,
        }
    }

    /// The node as JSON, each scalar as the type that the schema wants; all misfits are added to
    /// `found`.
    pub(super) fn check(&self, node: &Node, found: &mut Vec<Diagnostic>) -> Value {
        let mut cursor = Cursor {
            path: Vec::new(),
            found,
        };
        self.value(node, &self.root, &mut cursor)
    }

    fn value(&self, node: &Node, schema: &Value, cursor: &mut Cursor<'_>) -> Value {
        if matches!(&node.content, Content::Scalar(scalar) if scalar.is_unresolved()) {
            return Value::Null;
        }
        let schema = self.resolve(schema);
        if let Some(branches) = branches(schema) {
            return self.choice(node, schema, branches, cursor);
        }
        match &node.content {
            Content::Map(entries) if accepts(schema, "object") => {
                self.object(node, entries, schema, cursor)
            }
            Content::List(items) if accepts(schema, "array") => self.array(items, schema, cursor),
            Content::Scalar(scalar) => scalar_value(scalar, node, schema, cursor),
            _ => cursor.misfit(node, schema),
        }
    }

    /// Follows `$ref`, which in schemas of plain types never makes a circle without a value between.
    fn resolve<'s>(&'s self, mut schema: &'s Value) -> &'s Value {
        while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            match self.root.pointer(reference.trim_start_matches('#')) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn object(
        &self,
        node: &Node,
        entries: &[Entry],
        schema: &Value,
        cursor: &mut Cursor<'_>,
    ) -> Value {
        let empty = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let mut object = Map::new();
        for entry in entries {
            cursor.path.push(entry.key.clone());
            let known =
                properties
                    .get(&entry.key)
                    .or_else(|| match schema.get("additionalProperties") {
                        Some(Value::Bool(false)) => None,
                        Some(other) => Some(other),
                        None => Some(&Value::Bool(true)),
                    });
            if let Some(known) = known {
                let value = self.value(&entry.value, known, cursor);
                if self.variables.is_needed(&cursor.path) {
                    object.insert(entry.key.clone(), value);
                }
            } else {
                cursor.path.pop();
                cursor.unknown_key(entry, properties.keys().map(String::as_str));
                continue;
            }
            cursor.path.pop();
        }
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(key) = required.as_str()
                && !entries.iter().any(|entry| entry.key == key)
            {
                cursor.missing_key(&node.location, key);
            }
        }
        Value::Object(object)
    }

    fn array(&self, items: &[Node], schema: &Value, cursor: &mut Cursor<'_>) -> Value {
        let each = schema.get("items").unwrap_or(&Value::Bool(true));
        let value_of = |(index, item): (usize, &Node)| {
            cursor.path.push(index.to_string());
            let value = self.value(item, each, cursor);
            cursor.path.pop();
            value
        };
        items.iter().enumerate().map(value_of).collect()
    }

    fn choice(
        &self,
        node: &Node,
        schema: &Value,
        branches: &[Value],
        cursor: &mut Cursor<'_>,
    ) -> Value {
        if let Some(words) = words(branches) {
            return word(node, &words, cursor);
        }
        // an optional value: what is there is meant to be one
        let branches: Vec<&Value> = branches
            .iter()
            .map(|branch| self.resolve(branch))
            .filter(|branch| node.is_null() || !is_null(branch))
            .collect();
        if let [only] = branches[..] {
            return self.value(node, only, cursor);
        }
        let tried = branches.iter().map(|branch| {
            let mut found = Vec::new();
            let mut inner = Cursor {
                path: cursor.path.clone(),
                found: &mut found,
            };
            let value = self.value(node, branch, &mut inner);
            (value, found, is_meant(node, branch))
        });
        let mut tried: Vec<_> = tried.collect();
        tried.sort_by_key(|(_, found, meant)| (!found.is_empty(), !meant, found.len()));
        match tried.into_iter().next() {
            Some((value, found, meant)) if meant || found.is_empty() => {
                cursor.found.extend(found);
                value
            }
            _ => match unknown_tag(node, &branches) {
                Some((tag, tag_node, words)) => {
                    cursor.path.push(tag.to_owned());
                    let value = word(tag_node, &words, cursor);
                    cursor.path.pop();
                    value
                }
                None => cursor.misfit(node, schema),
            },
        }
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// The keys of an object schema that can have one value only: the tag of an enum.
fn tags(branch: &Value) -> impl Iterator<Item = (&str, &str)> {
    let properties = branch.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter_map(|(key, schema)| Some((key.as_str(), schema.get("const")?.as_str()?)))
}

/// Whether a branch is the one that the writer had in mind: its kind of node, and for a tagged enum
/// its tag.
fn is_meant(node: &Node, branch: &Value) -> bool {
    match &node.content {
        Content::List(_) => accepts(branch, "array"),
        Content::Scalar(_) => !accepts(branch, "object") && !accepts(branch, "array"),
        Content::Map(_) => {
            accepts(branch, "object")
                && tags(branch).all(|(key, tag)| node.get(key).and_then(Node::text) == Some(tag))
        }
    }
}

/// The tag that is none of those that the branches know.
fn unknown_tag<'s, 'n>(
    node: &'n Node,
    branches: &[&'s Value],
) -> Option<(&'s str, &'n Node, Vec<&'s str>)> {
    let (key, _) = branches.iter().copied().flat_map(tags).next()?;
    let words = branches
        .iter()
        .copied()
        .flat_map(tags)
        .filter(|(other, _)| *other == key);
    Some((key, node.get(key)?, words.map(|(_, word)| word).collect()))
}

/// The branches of a choice, when the schema is one.
fn branches(schema: &Value) -> Option<&[Value]> {
    ["oneOf", "anyOf"]
        .iter()
        .find_map(|key| schema.get(key))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
}

/// The words of a choice between words alone.
fn words(branches: &[Value]) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    for branch in branches {
        match (
            branch.get("const").and_then(Value::as_str),
            branch.get("enum").and_then(Value::as_array),
        ) {
            (Some(word), _) => words.push(word),
            (None, Some(several)) => words.extend(several.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    Some(words)
}

fn word(node: &Node, words: &[&str], cursor: &mut Cursor<'_>) -> Value {
    match node.text() {
        Some(text) if words.contains(&text) => Value::String(text.to_owned()),
        Some(text) if !cursor.is_secret(node) => {
            let message = format!("`{}` cannot be `{text}`", cursor.name());
            cursor.add(
                node,
                message,
                nearest::help_with_all(text, "values", words.iter().copied()),
            )
        }
        _ => {
            let message = format!(
                "expected one of {} for `{}`, found {}",
                words.join(", "),
                cursor.name(),
                node.describe()
            );
            cursor
                .found
                .push(Diagnostic::at(node.location.clone(), message));
            Value::Null
        }
    }
}

/// Whether a schema takes a JSON type; one without `type` takes any.
fn accepts(schema: &Value, kind: &str) -> bool {
    match schema {
        Value::Bool(any) => *any,
        _ => match schema.get("type") {
            Some(Value::String(only)) => only == kind,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(kind)),
            _ => {
                schema.get("const").is_none_or(|_| kind == "string")
                    && schema.get("enum").is_none_or(|_| kind == "string")
            }
        },
    }
}

fn scalar_value(scalar: &Scalar, node: &Node, schema: &Value, cursor: &mut Cursor<'_>) -> Value {
    if let Some(words) = words(std::slice::from_ref(schema)) {
        return word(node, &words, cursor);
    }
    let meaning = if scalar.is_substituted() && !accepts(schema, "string") {
        scalar.unquoted_value()
    } else if scalar.is_substituted() {
        Plain::Text
    } else {
        scalar.plain_value()
    };
    match meaning {
        Plain::Null if accepts(schema, "null") => Value::Null,
        Plain::Boolean(value) if accepts(schema, "boolean") => value.into(),
        Plain::Number(number) if is_number(&number, schema) => within(number, node, schema, cursor),
        Plain::Text if accepts(schema, "string") => text(scalar.text(), node, schema, cursor),
        // `name:` with nothing behind it, where a map may be empty
        Plain::Null if accepts(schema, "object") && schema.get("required").is_none() => {
            Value::Object(Map::new())
        }
        _ => cursor.misfit(node, schema),
    }
}

fn is_number(number: &serde_json::Number, schema: &Value) -> bool {
    let whole = number.is_i64() || number.is_u64();
    accepts(schema, "number") || (whole && accepts(schema, "integer"))
}

fn within(
    number: serde_json::Number,
    node: &Node,
    schema: &Value,
    cursor: &mut Cursor<'_>,
) -> Value {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    let bounds = [
        (limit("minimum").filter(|least| value < *least), "at least"),
        (limit("maximum").filter(|most| value > *most), "at most"),
    ];
    for (bound, words) in bounds {
        if let Some(bound) = bound {
            let message = format!(
                "`{}` has to be {words} {bound}, found {}",
                cursor.name(),
                node.describe()
            );
            cursor
                .found
                .push(Diagnostic::at(node.location.clone(), message));
        }
    }
    number.into()
}

fn text(text: &str, node: &Node, schema: &Value, cursor: &mut Cursor<'_>) -> Value {
    let pattern = schema
        .get("pattern")
        .and_then(Value::as_str)
        .and_then(|pattern| Regex::new(pattern).ok());
    if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
        return cursor.misfit(node, schema);
    }
    Value::String(text.to_owned())
}

impl Cursor<'_> {
    /// The key that is being read, or that of the list that is.
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// The value of a variable is not printed: it may be a secret.
    fn is_secret(&self, node: &Node) -> bool {
        matches!(&node.content, Content::Scalar(scalar) if scalar.is_substituted())
    }

    fn add(&mut self, node: &Node, message: String, help: String) -> Value {
        self.found
            .push(Diagnostic::at(node.location.clone(), message).help(help));
        Value::Null
    }

    fn misfit(&mut self, node: &Node, schema: &Value) -> Value {
        let message = match self.path.last() {
            Some(_) => format!(
                "expected {} for `{}`, found {}",
                expected(schema),
                self.name(),
                node.describe()
            ),
            None => format!("expected {}, found {}", expected(schema), node.describe()),
        };
        let diagnostic = Diagnostic::at(node.location.clone(), message);
        let quotes = accepts(schema, "string")
            && matches!(&node.content, Content::Scalar(_))
            && !node.is_null();
        self.found
            .push(if quotes && schema.get("pattern").is_none() {
                diagnostic.help("put it in quotes to make it text")
            } else {
                diagnostic
            });
        Value::Null
    }

    fn unknown_key<'k>(&mut self, entry: &Entry, known: impl Iterator<Item = &'k str>) {
        let place = if self.path.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.name())
        };
        self.found.push(
            Diagnostic::at(
                entry.key_location.clone(),
                format!("unknown key `{}`{place}", entry.key),
            )
            .help(nearest::help(&entry.key, "keys", known)),
        );
    }

    fn missing_key(&mut self, at: &Location, key: &str) {
        let place = if self.path.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.name())
        };
        self.found.push(Diagnostic::at(
            at.clone(),
            format!("missing key `{key}`{place}"),
        ));
    }
}

/// What a schema wants, in words.
fn expected(schema: &Value) -> String {
    let examples: Vec<String> = schema
        .get("examples")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|example| Some(format!("`{}`", example.as_str()?)))
        .collect();
    if let Some(title) = schema.get("title").and_then(Value::as_str)
        && !examples.is_empty()
    {
        return format!("{title} such as {}", examples.join(" or "));
    }
    if let Some(branches) = branches(schema) {
        let mut kinds: Vec<String> = branches.iter().map(expected).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .collect(),
        _ => {
            return schema
                .get("const")
                .map_or_else(|| "another value".into(), |word| format!("`{word}`"));
        }
    };
    let word = |kind: &&str| match *kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "nothing",
    };
    kinds.iter().map(word).collect::<Vec<_>>().join(" or ")
}
