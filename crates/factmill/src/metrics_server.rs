//! `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The port where `--listen` names none: the one that exporters of OpenMetrics commonly take.
const USUAL_PORT: u16 = 9464;

/// The content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a job takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Readiness {
    /// Connections are being opened, models compiled.
    Starting = 0,
    /// Epochs are committed as records come.
    Ready = 1,
    /// A failure is waited out.
    Waiting = 2,
    /// The run ends.
    Ending = 3,
}

/// What the server tells, shared with the stream.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) metrics: Metrics,
    readiness: AtomicU8,
}

impl Telling {
    /// Tells that the job starts.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            readiness: AtomicU8::new(Readiness::Starting as u8),
        }
    }

    /// Tells how it stands now.
    pub(crate) fn set(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Relaxed);
    }

    fn ready(&self) -> Result<&'static str, &'static str> {
        match self.readiness.load(Ordering::Relaxed) {
            ready if ready == Readiness::Ready as u8 => Ok("ready\n"),
            waiting if waiting == Readiness::Waiting as u8 => Err("waiting for a service\n"),
            ending if ending == Readiness::Ending as u8 => Err("ending\n"),
            _ => Err("starting\n"),
        }
    }
}

/// Opens the port: the address asked for, or the usual one on loopback, or a free one where that is
/// taken.
///
/// # Errors
/// When the address asked for cannot be had, or no port at all.
pub(crate) async fn bind(asked: Option<SocketAddr>) -> io::Result<TcpListener> {
    if let Some(address) = asked {
        return TcpListener::bind(address).await;
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
        }
        bound => bound,
    }
}

/// Serves until `shutdown`; open connections are ended then.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    telling: Arc<Telling>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(telling);
    tokio::select! {
        served = axum::serve(listener, routes) => served,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn metrics(State(telling): State<Arc<Telling>>) -> Response {
    match telling.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(telling): State<Arc<Telling>>) -> Response {
    match telling.ready() {
        Ok(text) => text.into_response(),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answer(address: SocketAddr, path: &str) -> String {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn it_tells_how_the_job_stands() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let telling = Arc::new(Telling::new(Metrics::new("banking")));
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, telling.clone(), shutdown.clone()));

        assert!(
            answer(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let starting = answer(address, "/readyz").await;
        assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"));
        telling.set(Readiness::Ready);
        assert!(answer(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = answer(address, "/metrics").await;
        assert!(
            metrics.contains("factmill_epochs_total{job=\"banking\"} 0"),
            "{metrics}"
        );
        assert!(metrics.ends_with("# EOF\n"));

        shutdown.cancel();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn two_streams_without_an_address_get_two_ports() {
        let (first, second) = (bind(None).await.unwrap(), bind(None).await.unwrap());
        assert!(second.local_addr().unwrap().ip().is_loopback());
        assert_ne!(first.local_addr().unwrap(), second.local_addr().unwrap());
        assert!(bind(Some(first.local_addr().unwrap())).await.is_err());
    }
}
