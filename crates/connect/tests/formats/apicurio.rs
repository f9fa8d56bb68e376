//! The client against a real registry, where `FACTMILL_TEST_REGISTRY` names one: Apicurio's
//! (`io.apicurio:apicurio-registry-app` on Maven Central) answers under `/apis/ccompat/v7`.

use factmill_connect::registry::{Registry, RegistryConfig, SchemaKind};
use factmill_testkit::unique_name;
use serde_json::{Value, json};

use super::registry::options;
use super::*;

/// The registry's URL, if there is one.
fn real() -> Option<String> {
    let url = std::env::var("FACTMILL_TEST_REGISTRY").ok();
    if url.is_none() {
        eprintln!("skipped: FACTMILL_TEST_REGISTRY names no schema registry");
    }
    url
}

/// Registers a schema under a subject; gives its id.
async fn register(url: &str, subject: &str, schema: Value) -> u32 {
    // another test may have set it already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::Client::new()
        .post(format!("{url}/subjects/{subject}/versions"))
        .json(&schema)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    answer["id"].as_u64().unwrap().try_into().unwrap()
}

#[tokio::test]
async fn a_real_registry_tells_schemas_and_what_they_refer_to() {
    let Some(url) = real() else { return };
    let (money, shop) = (unique_name("money"), unique_name("shop"));
    let money_text = "syntax = \"proto3\"; package shop; message Money { string amount = 1; }";
    let first = json!({"schemaType": "PROTOBUF", "schema": money_text});
    register(&url, &money, first).await;
    let shop_text = "syntax = \"proto3\"; package shop; import \"shop/money.proto\"; message Order { Money total = 1; }";
    let second = json!({
        "schemaType": "PROTOBUF",
        "schema": shop_text,
        "references": [{"name": "shop/money.proto", "subject": money, "version": 1}],
    });
    let id = register(&url, &shop, second).await;
    let registry = Registry::new(&RegistryConfig::new(&url)).unwrap();
    let schema = registry.schema(id).await.unwrap().unwrap();
    assert_eq!(schema.kind, SchemaKind::Protobuf);
    assert!(schema.text.contains("message Order"));
    assert_eq!(schema.references.len(), 1);
    assert!(schema.references[0].1.contains("message Money"));
    assert_eq!(registry.schema(2_000_000_000).await.unwrap(), None);
}

#[tokio::test]
async fn records_are_read_by_the_schema_of_a_real_registry() {
    let Some(url) = real() else { return };
    let schema_text = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#;
    let id = register(&url, &unique_name("orders"), json!({"schema": schema_text})).await;
    let options = options(&RegistryConfig::new(&url));
    let payloads = [framed(id, &[14]), framed(2_000_000_000, &[14])];
    let columns = schema(&[("n", "integer")]);
    let decoded = decode(Format::Avro, &columns, &options, &payloads)
        .await
        .unwrap();
    assert_eq!(row(&decoded, 0), ["7"]);
    assert!(letters(&decoded)[0].2.contains("no schema 2000000000"));
}
