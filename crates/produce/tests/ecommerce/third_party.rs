//! The third party's response: documents as they are, and an API that misbehaves.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use factmill_produce::ecommerce::SOURCE_HEADER;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// An API that answers what `routes` say, and the services that ask it.
async fn asking(routes: Router, path: &str, patience: Duration) -> (Shop, Arc<Shelf>) {
    let api = listener().await;
    let third_party = format!("{}{path}", url(&api));
    tokio::spawn(async move { axum::serve(api, routes).await });
    let shelf = Shelf::new();
    let settings = EcommerceSettings {
        third_party,
        patience,
        ..settings()
    };
    (Shop::open(settings, shelf.clone()).await, shelf)
}

async fn first_problem(shop: &Shop) -> String {
    let mut events = open(&format!("{}/transactions?rate=max", shop.third_party)).await;
    let event = next(&mut events).await;
    assert_eq!(event.event.as_deref(), Some("problem"), "{event:?}");
    let problem: Value = serde_json::from_str(event.data.as_ref().unwrap()).unwrap();
    problem["problem"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_reach_kafka_byte_for_byte() {
    const PRETTY: &str =
        "{\r\n  \"transaction_id\": \"T-1\",\n  \"total_amount\": \"12.50\",\n  \"x\": 1.0}";
    let routes = Router::new().route("/transactions", get(async || format!("\n{PRETTY}\n")));
    let (shop, shelf) = asking(routes, "/transactions", PATIENCE).await;
    let events = all(&format!(
        "{}/transactions?rate=max&count=1",
        shop.third_party
    ))
    .await;
    assert_eq!(document(&events[0])["total_amount"], "12.50");
    let kept = &shelf.kept()[0];
    assert_eq!(kept.payload, PRETTY.as_bytes());
    assert_eq!(kept.key.as_deref(), Some(&b"T-1"[..]));
    assert_eq!(
        kept.headers,
        [(SOURCE_HEADER.to_owned(), b"third_party".to_vec())]
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_several_transactions() {
    let body = r#"[{"transaction_id":1,"price":"1.10"}, {"transaction_id":"b"}]"#;
    let routes = Router::new().route("/list", get(async move || body));
    let (shop, shelf) = asking(routes, "/list", PATIENCE).await;
    let events = all(&format!(
        "{}/transactions?rate=max&count=3",
        shop.third_party
    ))
    .await;
    assert_eq!(events.len(), 4, "three documents and the end");
    assert_eq!(
        shelf.payloads(),
        [
            r#"{"transaction_id":1,"price":"1.10"}"#,
            r#"{"transaction_id":"b"}"#,
            r#"{"transaction_id":1,"price":"1.10"}"#,
        ]
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_no_json_is_stored_and_shown_as_broken() {
    let routes = Router::new().route("/transactions", get(async || "{\"transaction_id\": "));
    let (shop, shelf) = asking(routes, "/transactions", PATIENCE).await;
    let events = all(&format!(
        "{}/transactions?rate=max&count=1",
        shop.third_party
    ))
    .await;
    assert_eq!(events[0].event.as_deref(), Some("broken"));
    assert_eq!(shelf.payloads(), ["{\"transaction_id\":"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_misbehaves_is_a_problem_with_a_reason() {
    async fn endless() -> Response {
        let bytes = stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'['; 65_536]))
        });
        Body::from_stream(bytes).into_response()
    }
    let silent = async || std::future::pending::<String>().await;
    let drips = async || {
        let drops = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((
                Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")),
                (),
            ))
        });
        Body::from_stream(drops)
    };
    let routes = Router::new()
        .route("/silent", get(silent))
        .route("/drips", get(drips))
        .route("/endless", get(endless))
        .route("/empty", get(async || ""))
        .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route(
            "/elsewhere",
            get(async || Redirect::temporary("http://localhost:9/x")),
        )
        .route("/circle", get(async || Redirect::temporary("/circle")));
    for (path, reason) in [
        ("/silent", "did not answer within 300ms"),
        ("/drips", "did not answer within 300ms"),
        ("/endless", "longer than"),
        ("/empty", "is empty"),
        ("/busy", "answered 503"),
        ("/elsewhere", "answered 307"),
        ("/circle", "answered 307"),
        ("/nowhere", "answered 404"),
    ] {
        let (shop, shelf) = asking(routes.clone(), path, Duration::from_millis(300)).await;
        let problem = first_problem(&shop).await;
        assert!(problem.contains(reason), "{path}: {problem}");
        assert_eq!(shelf.kept(), [], "{path}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_a_problem_and_nothing_is_stored() {
    let api = listener().await;
    let third_party = format!("{}/transactions", url(&api));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = api.accept().await {
            let mut request = [0; 1024];
            let _ = connection.read(&mut request).await;
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
            let _ = connection.write_all(half).await;
        }
    });
    let shelf = Shelf::new();
    let settings = EcommerceSettings {
        third_party,
        ..settings()
    };
    let shop = Shop::open(settings, shelf.clone()).await;
    let problem = first_problem(&shop).await;
    assert!(problem.contains("broke off"), "{problem}");
    assert_eq!(shelf.kept(), []);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_comes_back_is_asked_on_and_no_secret_shows() {
    let gone = listener().await;
    let address = gone.local_addr().unwrap();
    drop(gone);
    let shelf = Shelf::new();
    let settings = EcommerceSettings {
        third_party: format!("http://user:s3cret@{address}/transactions?key=s3cret"),
        ..settings()
    };
    let shop = Shop::open(settings, shelf.clone()).await;
    let mut events = open(&format!("{}/transactions?rate=max", shop.third_party)).await;
    let problem = next(&mut events).await;
    let told = problem.data.unwrap();
    assert!(told.contains("cannot be reached"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    let api = TcpListener::bind(address).await.unwrap();
    let routes = Router::new().route("/transactions", get(async || "{\"transaction_id\":\"a\"}"));
    tokio::spawn(async move { axum::serve(api, routes).await });
    loop {
        let event = next(&mut events).await;
        if event.event.is_none() {
            assert_eq!(document(&event)["transaction_id"], "a");
            break;
        }
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_one_writes_as_a_third_party_may() {
    let api = listener().await;
    let third_party = format!("{}/transactions", url(&api));
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let simulated =
        tokio::spawn(async move { ecommerce::simulated_third_party(api, 3, 20.0, &token).await });
    let shelf = Shelf::new();
    let settings = EcommerceSettings {
        third_party,
        ..settings()
    };
    let shop = Shop::open(settings, shelf.clone()).await;
    let events = all(&format!(
        "{}/transactions?rate=max&count=200",
        shop.third_party
    ))
    .await;
    assert_eq!(events.len(), 201);
    let broken = events
        .iter()
        .filter(|event| event.event.as_deref() == Some("broken"));
    assert!(broken.count() > 0);
    let good = events
        .iter()
        .filter(|event| event.event.is_none())
        .map(document)
        .find(|document| document["loyalty_points"].is_u64())
        .unwrap();
    assert!(good["total_amount"].is_string(), "{good}");
    shop.close().await;
    cancel.cancel();
    simulated.await.unwrap().unwrap();
}
