//! Avro schemas, compiled for reading (Avro 1.12 specification, "Schema Declaration").

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::write;

/// A type by its place in [`Schema::nodes`].
pub(super) type NodeId = usize;

/// A schema whose names are resolved.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A named type that is being read; none is left in a finished schema.
    Unfinished,
    Null,
    Boolean,
    /// `int` and `long` are written alike.
    Whole,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    /// The symbols in JSON.
    Enum(Vec<Vec<u8>>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    /// The names in JSON, with colons.
    Record(Vec<(Vec<u8>, NodeId)>),
    Decimal {
        /// Bytes of a fixed; `None`: a length stands in front.
        size: Option<usize>,
        scale: usize,
    },
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        local: bool,
    },
    /// A fixed of 12 bytes: months, days, milliseconds.
    Duration,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Schema {
    /// Compiles a schema, with those it refers to, each behind what it refers to itself. The error
    /// says what is wrong with it.
    pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        let mut compiler = Compiler::default();
        for (name, text) in references {
            compiler
                .document(text)
                .map_err(|why| format!("`{name}`: {why}"))?;
        }
        let root = compiler.document(text)?;
        Ok(Self {
            nodes: compiler.nodes,
            root,
        })
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
}

/// How deep a schema may nest.
const MAX_DEPTH: usize = 100;

impl Compiler {
    fn document(&mut self, text: &str) -> Result<NodeId, String> {
        // a bare name, as some registries store primitive schemas
        let value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        self.node(&value, "", 0)
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn node(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<NodeId, String> {
        if depth > MAX_DEPTH {
            return Err("it nests too deep".to_owned());
        }
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|it| self.node(it, namespace, depth + 1));
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.add(Node::Union(branches)))
            }
            Value::Object(object) => self.object(object, namespace, depth),
            other => Err(format!("`{other}` is no type")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, String> {
        if let Some(primitive) = primitive(name) {
            return Ok(self.add(primitive));
        }
        let known = self.names.get(&full_name(name, namespace));
        // a name without namespace may be one of the null namespace
        let known = known.or_else(|| self.names.get(name));
        known
            .copied()
            .ok_or_else(|| format!("unknown type `{name}`"))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<NodeId, String> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            // {"type": {"type": …}}
            Some(inner) => return self.node(inner, namespace, depth + 1),
            None => return Err("a type without `type`".to_owned()),
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = || {
            let name = text("name").ok_or_else(|| format!("a {kind} without a name"))?;
            Ok::<_, String>(match text("namespace") {
                Some(space) if !name.contains('.') => full_name(name, space),
                _ => full_name(name, namespace),
            })
        };
        let node = match kind {
            "record" | "error" => return self.record(object, &name()?, depth),
            "enum" => {
                let symbols = object.get("symbols").and_then(Value::as_array);
                let symbols = symbols.ok_or("an enum without symbols")?.iter();
                let symbols = symbols.map(|symbol| in_json(symbol.as_str().unwrap_or_default()));
                Node::Enum(symbols.collect())
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                Node::Fixed(size.ok_or("a fixed without a size")?)
            }
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                let inner = object
                    .get(key)
                    .ok_or_else(|| format!("{kind} without {key}"))?;
                let inner = self.node(inner, namespace, depth + 1)?;
                return Ok(self.add(match kind {
                    "array" => Node::Array(inner),
                    _ => Node::Map(inner),
                }));
            }
            other => match primitive(other) {
                Some(primitive) => primitive,
                None => return self.named(other, namespace),
            },
        };
        let is_named = matches!(node, Node::Enum(_) | Node::Fixed(_));
        let id = self.add(logical(node, object));
        if is_named {
            self.names.insert(name()?, id);
        }
        Ok(id)
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        name: &str,
        depth: usize,
    ) -> Result<NodeId, String> {
        let id = self.add(Node::Unfinished);
        self.names.insert(name.to_owned(), id);
        let namespace = name.rsplit_once('.').map_or("", |(space, _)| space);
        let fields = object.get("fields").and_then(Value::as_array);
        let mut found = Vec::new();
        for field in fields.ok_or_else(|| format!("record `{name}` without fields"))? {
            let field_name = field.get("name").and_then(Value::as_str);
            let field_name =
                field_name.ok_or_else(|| format!("a field of `{name}` has no name"))?;
            let data_type = field.get("type");
            let data_type =
                data_type.ok_or_else(|| format!("`{name}.{field_name}` has no type"))?;
            let node = self
                .node(data_type, namespace, depth + 1)
                .map_err(|why| format!("`{name}.{field_name}`: {why}"))?;
            // Connect writes its own types beside the field's
            let node = match (field.get("logicalType"), field.get("connect.name")) {
                (None, None) => node,
                _ => {
                    let empty = Map::new();
                    let about = field.as_object().unwrap_or(&empty);
                    let refined = logical(self.nodes[node].clone(), about);
                    self.add(refined)
                }
            };
            let mut written = in_json(field_name);
            written.push(b':');
            found.push((written, node));
        }
        self.nodes[id] = Node::Record(found);
        Ok(id)
    }
}

fn in_json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::text(&mut out, text.as_bytes());
    out
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" | "long" => Node::Whole,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

/// The logical type over `node`; one that is unknown, or does not fit, is the type below it.
fn logical(node: Node, object: &Map<String, Value>) -> Node {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let timestamp = |unit, local| Node::Timestamp { unit, local };
    let scale = object.get("scale").and_then(Value::as_u64).unwrap_or(0);
    let scale = usize::try_from(scale).unwrap_or(usize::MAX);
    match (node, text("logicalType").or(text("connect.name"))) {
        (Node::Bytes, Some("decimal")) => Node::Decimal { size: None, scale },
        (Node::Fixed(size), Some("decimal")) => Node::Decimal {
            size: Some(size),
            scale,
        },
        (Node::Fixed(12), Some("duration")) => Node::Duration,
        (
            Node::Whole,
            Some("date" | "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date"),
        ) => Node::Date,
        (
            Node::Whole,
            Some("time-millis" | "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time"),
        ) => Node::Time(Unit::Millis),
        (Node::Whole, Some("time-micros" | "io.debezium.time.MicroTime")) => {
            Node::Time(Unit::Micros)
        }
        (Node::Whole, Some("io.debezium.time.NanoTime")) => Node::Time(Unit::Nanos),
        (Node::Whole, Some("timestamp-millis" | "org.apache.kafka.connect.data.Timestamp")) => {
            timestamp(Unit::Millis, false)
        }
        (Node::Whole, Some("timestamp-micros")) => timestamp(Unit::Micros, false),
        (Node::Whole, Some("timestamp-nanos")) => timestamp(Unit::Nanos, false),
        (Node::Whole, Some("local-timestamp-millis" | "io.debezium.time.Timestamp")) => {
            timestamp(Unit::Millis, true)
        }
        (Node::Whole, Some("local-timestamp-micros" | "io.debezium.time.MicroTimestamp")) => {
            timestamp(Unit::Micros, true)
        }
        (Node::Whole, Some("local-timestamp-nanos" | "io.debezium.time.NanoTimestamp")) => {
            timestamp(Unit::Nanos, true)
        }
        (node, _) => node,
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at its first failure"
)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_through_namespaces_references_and_themselves() {
        let address = r#"{"type":"record","name":"Address","namespace":"shop","fields":[
            {"name":"city","type":"string"}]}"#;
        let schema = r#"{"type":"record","name":"shop.Order","fields":[
            {"name":"to","type":["null","Address"]},
            {"name":"status","type":{"type":"enum","name":"Status","symbols":["A","B"]}},
            {"name":"before","type":["null","Order"]},
            {"name":"then","type":"shop.Status"}]}"#;
        let references = [("address".to_owned(), address.to_owned())];
        let schema = Schema::parse(schema, &references).unwrap();
        let Node::Record(fields) = &schema.nodes[schema.root] else {
            panic!("a record");
        };
        let node = |at: usize| &schema.nodes[fields[at].1];
        assert_eq!(fields[0].0, b"\"to\":");
        assert!(matches!(node(1), Node::Enum(symbols) if symbols[1] == b"\"B\""));
        assert!(matches!(node(2), Node::Union(branches) if branches[1] == schema.root));
        assert_eq!(node(1), node(3));
        assert!(!schema.nodes.contains(&Node::Unfinished));
    }

    #[test]
    fn a_schema_that_makes_no_sense_is_refused_with_its_place() {
        for (schema, why) in [
            ("{", "no JSON"),
            (r#""Nowhere""#, "unknown type `Nowhere`"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":"b"}]}"#,
                "`R.a`",
            ),
            (r#"{"type":"fixed","name":"F"}"#, "without a size"),
            ("7", "no type"),
        ] {
            let refused = Schema::parse(schema, &[]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let deep = format!("{}\"int\"{}", "[".repeat(120), "]".repeat(120));
        assert!(Schema::parse(&deep, &[]).unwrap_err().contains("too deep"));
    }
}
