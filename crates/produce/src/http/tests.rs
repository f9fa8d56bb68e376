//! The client against servers that mean it ill.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use super::{Address, HttpClient, HttpError, serve};

/// Serves until the guard is dropped.
async fn server(app: Router) -> (Address, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, app, stop.clone()));
    (Address::parse(&address).unwrap(), stop.drop_guard())
}

async fn call(address: &Address) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let client = HttpClient::new(address)?;
    HttpClient::answer(address, client.get(address), 1000).await
}

#[tokio::test]
async fn a_redirect_stays_on_its_host() {
    let (elsewhere, _stop) = server(Router::new().route("/", get(|| async { "secret" }))).await;
    let target = elsewhere.url().to_string();
    let app = Router::new()
        .route("/away", get(|| async move { Redirect::temporary(&target) }))
        .route("/here", get(|| async { Redirect::temporary("/there") }))
        .route("/there", get(|| async { "there" }))
        .route("/round", get(|| async { Redirect::temporary("/round") }));
    let (address, _stop) = server(app).await;
    assert_eq!(call(&address.join("here")).await.unwrap().1, b"there");
    for path in ["away", "round"] {
        let error = call(&address.join(path)).await.unwrap_err();
        assert!(matches!(error, HttpError::Redirected { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    async fn endless() -> Response {
        let pieces = futures::stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 512]));
        Body::from_stream(pieces).into_response()
    }
    let (address, _stop) = server(Router::new().route("/", get(endless))).await;
    let error = call(&address).await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { limit: 1000, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn statuses_say_whether_another_attempt_helps() {
    async fn status(axum::extract::Path(code): axum::extract::Path<u16>) -> Response {
        let status = StatusCode::from_u16(code).unwrap();
        (status, [(header::RETRY_AFTER, "2")], "no").into_response()
    }
    let (address, _stop) = server(Router::new().route("/{code}", get(status))).await;
    for (code, kind) in [
        (401, ErrorKind::Configuration),
        (403, ErrorKind::Configuration),
        (408, ErrorKind::Transient),
        (429, ErrorKind::Transient),
        (500, ErrorKind::Transient),
        (503, ErrorKind::Transient),
    ] {
        let error = call(&address.join(&code.to_string())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    assert_eq!(
        call(&address.join("404")).await.unwrap().0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_pass() {
    async fn torn() -> Response {
        let pieces = [Ok(&b"{\"a\":"[..]), Err(std::io::Error::other("torn"))];
        Body::from_stream(futures::stream::iter(pieces)).into_response()
    }
    let (address, _stop) = server(Router::new().route("/", get(torn))).await;
    let error = call(&address.with("key", "secret")).await.unwrap_err();
    assert!(error.may_pass(), "{error:?}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}
