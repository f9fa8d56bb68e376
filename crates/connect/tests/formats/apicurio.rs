//! The client against a real registry, Apicurio's.

use factmill_connect::registry::{Registry, RegistryConfig, SchemaKind};
use factmill_testkit::{SchemaRegistry, unique_name};
use serde_json::json;

use super::registry::options;
use super::*;

#[tokio::test]
async fn a_real_registry_tells_schemas_and_what_they_refer_to() {
    let real = SchemaRegistry::shared().await.unwrap();
    let (money, shop) = (unique_name("money"), unique_name("shop"));
    let money_text = "syntax = \"proto3\"; package shop; message Money { string amount = 1; }";
    let first = json!({"schemaType": "PROTOBUF", "schema": money_text});
    real.register(&money, &first).await.unwrap();
    let shop_text = "syntax = \"proto3\"; package shop; import \"shop/money.proto\"; message Order { Money total = 1; }";
    let second = json!({
        "schemaType": "PROTOBUF",
        "schema": shop_text,
        "references": [{"name": "shop/money.proto", "subject": money, "version": 1}],
    });
    let id = real.register(&shop, &second).await.unwrap();
    let registry = Registry::new(&RegistryConfig::new(real.url())).unwrap();
    let schema = registry.schema(id).await.unwrap().unwrap();
    assert_eq!(schema.kind, SchemaKind::Protobuf);
    assert!(schema.text.contains("message Order"));
    assert_eq!(schema.references.len(), 1);
    assert!(schema.references[0].1.contains("message Money"));
    assert_eq!(registry.schema(2_000_000_000).await.unwrap(), None);
}

#[tokio::test]
async fn records_are_read_by_the_schema_of_a_real_registry() {
    let real = SchemaRegistry::shared().await.unwrap();
    let schema_text = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#;
    let registered = json!({"schema": schema_text});
    let subject = unique_name("orders");
    let id = real.register(&subject, &registered).await.unwrap();
    let options = options(&RegistryConfig::new(real.url()));
    let payloads = [framed(id, &[14]), framed(2_000_000_000, &[14])];
    let columns = schema(&[("n", "integer")]);
    let decoded = decode(Format::Avro, &columns, &options, &payloads)
        .await
        .unwrap();
    assert_eq!(row(&decoded, 0), ["7"]);
    assert!(letters(&decoded)[0].2.contains("no schema 2000000000"));
}

#[tokio::test]
async fn a_real_registry_names_its_kinds_and_a_wrong_path_is_told() {
    let real = SchemaRegistry::shared().await.unwrap();
    let registry = Registry::new(&RegistryConfig::new(real.url())).unwrap();
    let kinds = registry.kinds().await.unwrap();
    for kind in ["AVRO", "PROTOBUF"] {
        assert!(kinds.iter().any(|known| known == kind), "{kinds:?}");
    }
    let elsewhere = format!("{}/nothing/here", real.url());
    let registry = Registry::new(&RegistryConfig::new(elsewhere)).unwrap();
    let refused = registry.kinds().await.unwrap_err().to_string();
    assert!(refused.contains("no schema registry answers"), "{refused}");
}
