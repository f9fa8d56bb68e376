//! Protobuf behind a schema registry's id, said in JSON and read by the declared types.
//!
//! Behind the id stand the indexes of the message's type in its file. A message is said in Protobuf's
//! own JSON mapping, with the names of the `.proto` file and 64-bit integers as numbers: `bytes` is
//! Base64, an enum its name, `google.protobuf.Timestamp` a text in UTC, a wrapper its value. A field
//! without presence that is not set has its default; one with presence is missing, so null. Fields
//! that the writer's schema does not know are passed over and not counted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use factmill_core::dead_letter::Reason;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;
use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions};
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::fault::Rejection;
use super::framed::Schemas;
use super::record::whole_record;
use super::transcode::Transcode;
use crate::registry::{RegisteredSchema, Registry, SchemaKind};

/// What the registry's schema itself is called while it is compiled.
const MAIN: &str = "factmill/registered.proto";

/// How deep types may lie within types.
const MOST_INDEXES: u64 = 100;

/// Says Protobuf in JSON.
pub(super) struct Protobuf {
    schemas: Schemas<FileDescriptor>,
}

impl Protobuf {
    pub(super) fn new(registry: Arc<Registry>, keyed: bool) -> Self {
        Self {
            schemas: Schemas::new(registry, compile, keyed),
        }
    }

    fn write_json(&self, payload: &[u8], buffer: &mut Vec<u8>) -> Result<(), Rejection> {
        let (file, message) = self.schemas.of(payload)?;
        let malformed = |detail: String| whole_record(Reason::Malformed, detail);
        let (descriptor, message) = message_type(&file, message)
            .ok_or_else(|| malformed("expected the indexes of a type of the schema".into()))?;
        let name = descriptor.full_name().to_owned();
        let message = DynamicMessage::decode(descriptor, message)
            .map_err(|error| malformed(format!("no message of type {name}: {error}")))?;
        let options = SerializeOptions::new()
            .stringify_64_bit_integers(false)
            .use_proto_field_name(true)
            .skip_default_fields(false);
        let mut serializer = serde_json::Serializer::new(buffer);
        message
            .serialize_with_options(&mut serializer, &options)
            .map_err(|error| malformed(format!("a {name} that JSON cannot say: {error}")))
    }
}

/// The texts that a schema is compiled from, and Google's own.
struct Texts {
    texts: HashMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for Texts {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.texts.get(name) {
            Some(text) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

fn compile(schema: &RegisteredSchema) -> Result<FileDescriptor, String> {
    if schema.kind != SchemaKind::Protobuf {
        return Err(format!("it is written in {}, not in Protobuf", schema.kind));
    }
    let mut texts: HashMap<_, _> = schema.references.iter().cloned().collect();
    texts.insert(MAIN.to_owned(), schema.text.clone());
    let resolver = Texts {
        texts,
        google: GoogleFileResolver::new(),
    };
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler
        .include_imports(true)
        .open_file(MAIN)
        .map_err(|error| error.to_string())?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name(MAIN);
    file.ok_or_else(|| "it compiles to nothing".to_owned())
}

#[async_trait]
impl Transcode for Protobuf {
    fn json<'p>(
        &self,
        _pulled: &Pulled,
        _index: usize,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        self.write_json(payload, buffer)?;
        Ok(Some(buffer))
    }

    /// A key may be Protobuf too, or JSON.
    fn key<'p>(&self, key: &'p [u8], buffer: &'p mut Vec<u8>) -> Result<&'p [u8], Rejection> {
        if key.first() != Some(&0) {
            return Ok(key);
        }
        self.write_json(key, buffer)?;
        Ok(buffer)
    }

    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        self.schemas.prepare(pulled).await
    }
}

/// The type that the indexes in front of a message lead to, and the message: how many indexes, then
/// each, as zigzag variable-length numbers; a single 0 is the file's first type.
fn message_type<'m>(
    file: &FileDescriptor,
    mut bytes: &'m [u8],
) -> Option<(MessageDescriptor, &'m [u8])> {
    let count = zigzag(&mut bytes)?;
    if count == 0 {
        return Some((file.messages().next()?, bytes));
    }
    if count > MOST_INDEXES {
        return None;
    }
    let index = |bytes: &mut &[u8]| usize::try_from(zigzag(bytes)?).ok();
    let mut found = file.messages().nth(index(&mut bytes)?)?;
    for _ in 1..count {
        let inner = found.child_messages().nth(index(&mut bytes)?)?;
        found = inner;
    }
    Some((found, bytes))
}

/// A number that is not negative.
fn zigzag(bytes: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if *byte < 0x80 {
            return (value & 1 == 0).then_some(value >> 1);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn schema(text: &str) -> RegisteredSchema {
        RegisteredSchema {
            kind: SchemaKind::Protobuf,
            text: text.to_owned(),
            references: vec![(
                "shop/money.proto".to_owned(),
                "syntax = \"proto3\"; package shop; message Money { string amount = 1; }"
                    .to_owned(),
            )],
        }
    }

    #[test]
    fn types_are_found_by_their_indexes() {
        let file = compile(&schema(
            "syntax = \"proto3\"; package shop;
             import \"shop/money.proto\"; import \"google/protobuf/timestamp.proto\";
             message First { Money price = 1; google.protobuf.Timestamp at = 2; }
             message Second { message A {} message B {} }",
        ))
        .unwrap();
        let name = |bytes: &[u8]| {
            message_type(&file, bytes).map(|(found, rest)| (found.name().to_owned(), rest.len()))
        };
        assert_eq!(name(&[0, 9]), Some(("First".into(), 1)));
        assert_eq!(name(&[2, 0, 9]), Some(("First".into(), 1)));
        assert_eq!(name(&[4, 2, 2]), Some(("B".into(), 0)));
        for nowhere in [&[][..], &[2], &[2, 4], &[4, 2, 4], &[1], &[0xFF; 11]] {
            assert_eq!(name(nowhere), None, "{nowhere:?}");
        }
    }

    #[test]
    fn a_schema_that_does_not_compile_says_why() {
        let refused = compile(&schema("syntax = \"proto3\"; message A { Nothing a = 1; }"));
        assert!(refused.unwrap_err().contains("Nothing"));
        let json = RegisteredSchema {
            kind: SchemaKind::Json,
            ..schema("{}")
        };
        assert!(compile(&json).unwrap_err().contains("JSON Schema"));
    }
}
