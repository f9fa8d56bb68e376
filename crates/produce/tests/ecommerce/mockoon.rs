//! Mockoon as the third party, with the environment that ships.

use std::path::Path;

use factmill_testkit::Mockoon;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_environment_is_read_through_the_service() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../data/samples/mockoon.json");
    let mockoon = Mockoon::start(&file).await.unwrap();
    let shelf = Shelf::new();
    let settings = EcommerceSettings {
        third_party: format!("{}/transactions", mockoon.url()),
        ..settings()
    };
    let shop = Shop::open(settings, shelf.clone()).await;
    let events = all(&format!(
        "{}/transactions?rate=20&count=20",
        shop.third_party
    ))
    .await;
    assert_eq!(events.len(), 21);
    for event in &events[..20] {
        let document = document(event);
        for field in [
            "transaction_id",
            "timestamp",
            "customer_id",
            "product_details",
            "total_amount",
            "currency",
            "payment_method",
            "shipping_address",
            "status",
        ] {
            assert!(!document[field].is_null(), "{field} in {document}");
        }
    }
    shop.close().await;
    let decoded = super::contract::decoded(&shelf.kept());
    assert!(
        decoded.dead_letters.is_empty(),
        "{:?}",
        decoded.dead_letters
    );
    assert_eq!(decoded.rows.num_rows(), 20);
}
