//! A registry of the test's own: what is registered, and what was asked.

use std::sync::{Arc, Mutex};

use factmill_connect::decode::DecoderOptions;
use factmill_connect::registry::{Registry, RegistryConfig};
use factmill_connect::source::http::Secret;
use factmill_core::error::ErrorKind;
use serde_json::{Value, json};

use super::*;
use crate::http::server::{Asked, Server, ok, status};

type Answers = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers `GET` of the paths that were registered.
pub(super) struct Registered {
    pub(super) server: Server,
    answers: Answers,
}

impl Registered {
    pub(super) async fn start() -> Self {
        let answers = Answers::default();
        let known = Arc::clone(&answers);
        let server = Server::start(move |_, asked: &Asked| {
            let known = known.lock().unwrap();
            match known.iter().find(|(path, _)| *path == asked.path) {
                Some((_, answer)) => ok(&answer.to_string()),
                None => status(404),
            }
        })
        .await;
        Self { server, answers }
    }

    pub(super) fn put(&self, path: &str, answer: Value) {
        self.answers.lock().unwrap().push((path.to_owned(), answer));
    }

    pub(super) fn avro(&self, id: u32, schema: &str) {
        self.put(&format!("/schemas/ids/{id}"), json!({ "schema": schema }));
    }

    pub(super) fn options(&self) -> DecoderOptions {
        options(&self.config())
    }

    pub(super) fn config(&self) -> RegistryConfig {
        let mut config = RegistryConfig::new(self.server.url("/"));
        config.retry.first = std::time::Duration::from_millis(1);
        config
    }
}

pub(super) fn options(config: &RegistryConfig) -> DecoderOptions {
    DecoderOptions {
        registry: Some(Arc::new(Registry::new(config).unwrap())),
        ..DecoderOptions::default()
    }
}

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#;

#[tokio::test]
async fn each_schema_is_asked_for_once_with_the_user_and_password() {
    let registered = Registered::start().await;
    registered.avro(1, SCHEMA);
    registered.avro(258, SCHEMA);
    let mut config = registered.config();
    config.user = Some(("reader".into(), Secret::new("hunter2")));
    let options = options(&config);
    assert!(!format!("{config:?} {options:?}").contains("hunter2"));
    let columns = schema(&[("n", "integer")]);
    let payloads = [framed(1, &[2]), framed(258, &[4]), framed(1, &[6])];
    let decoder = decoder_with(Format::Avro, &columns, &options).unwrap();
    let pulled = pulled(&payloads.map(Some));
    for _ in 0..3 {
        decoder.prepare(&pulled).await.unwrap();
        let decoded = decoder.decode(&source(), &pulled);
        assert_eq!(
            [0, 1, 2].map(|at| row(&decoded, at).remove(0)),
            ["1", "2", "3"]
        );
    }
    // another decoder of the same job has nothing to ask for
    let another = decoder_with(Format::Avro, &columns, &options).unwrap();
    another.prepare(&pulled).await.unwrap();
    let asked = registered.server.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/schemas/ids/1", "/schemas/ids/258"]);
    assert_eq!(
        asked[0].header("authorization"),
        Some("Basic cmVhZGVyOmh1bnRlcjI=")
    );
}

#[tokio::test]
async fn what_has_no_usable_schema_is_a_dead_letter() {
    let registered = Registered::start().await;
    registered.avro(1, SCHEMA);
    registered.avro(
        2,
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":"Nothing"}]}"#,
    );
    registered.put(
        "/schemas/ids/3",
        json!({"schema": "{}", "schemaType": "JSON"}),
    );
    let payloads = [
        framed(1, &[2]),
        framed(2, &[2]),
        framed(3, &[2]),
        framed(4, &[2]),
        b"{\"n\":1}".to_vec(),
        vec![0, 0, 0],
    ];
    let columns = schema(&[("n", "integer")]);
    let decoded = decode(Format::Avro, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(decoded.rows.num_rows(), 1);
    let found = letters(&decoded);
    for ((offset, reason, detail), wanted) in found.iter().zip([
        "unknown type `Nothing`",
        "JSON Schema",
        "no schema 4",
        "a schema id of four bytes",
        "a schema id of four bytes",
    ]) {
        assert_eq!(*reason, Reason::Malformed);
        assert!(detail.contains(wanted), "{offset}: {detail}");
    }
    assert_eq!(found.len(), 5);
    assert_eq!(
        decoded.dead_letters[3].payload.as_deref(),
        Some(&b"{\"n\":1}"[..])
    );
}

#[tokio::test]
async fn a_registry_that_is_away_or_refuses_is_no_dead_letter() {
    let columns = schema(&[("n", "integer")]);
    for (code, kind, asked) in [
        (500, ErrorKind::Transient, 5),
        (401, ErrorKind::Configuration, 1),
    ] {
        let server = Server::start(move |_, _| status(code)).await;
        let mut config = RegistryConfig::new(server.url("/registry"));
        config.retry.first = std::time::Duration::from_millis(1);
        let failed = decode(
            Format::Avro,
            &columns,
            &options(&config),
            &[framed(1, &[2])],
        )
        .await;
        assert_eq!(failed.err().unwrap().kind(), kind);
        assert_eq!(server.paths().len(), asked);
        assert_eq!(server.paths()[0], "/registry/schemas/ids/1");
    }
    let server = Server::start(|_, _| ok("<html>")).await;
    let config = RegistryConfig::new(server.url("/"));
    let failed = decode(
        Format::Avro,
        &columns,
        &options(&config),
        &[framed(1, &[2])],
    )
    .await;
    assert_eq!(failed.err().unwrap().kind(), ErrorKind::Configuration);
}
