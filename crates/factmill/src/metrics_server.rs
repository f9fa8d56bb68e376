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

use crate::metrics::{JobMetrics, Metrics};

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

/// What is told of one job, shared with its stream.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) job: String,
    pub(crate) metrics: JobMetrics,
    readiness: AtomicU8,
}

impl Telling {
    /// Tells that the job starts.
    fn new(all: &Arc<Metrics>, job: &str) -> Self {
        Self {
            job: job.to_owned(),
            metrics: JobMetrics::new(all, job),
            readiness: AtomicU8::new(Readiness::Starting as u8),
        }
    }

    /// Tells how it stands now.
    pub(crate) fn set(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Relaxed);
    }

    fn state(&self) -> (bool, &'static str) {
        match self.readiness.load(Ordering::Relaxed) {
            ready if ready == Readiness::Ready as u8 => (true, "ready"),
            waiting if waiting == Readiness::Waiting as u8 => (false, "waiting for a service"),
            ending if ending == Readiness::Ending as u8 => (false, "ending"),
            _ => (false, "starting"),
        }
    }
}

/// What the server tells: the jobs of this process.
#[derive(Debug)]
pub(crate) struct Told {
    metrics: Arc<Metrics>,
    jobs: Vec<Arc<Telling>>,
}

impl Told {
    /// Tells that these jobs start.
    pub(crate) fn new<'a>(jobs: impl IntoIterator<Item = &'a str>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let jobs = jobs.into_iter();
        let jobs = jobs.map(|job| Arc::new(Telling::new(&metrics, job)));
        Self {
            jobs: jobs.collect(),
            metrics,
        }
    }

    /// What is told of each job, in the order they were named.
    pub(crate) fn jobs(&self) -> &[Arc<Telling>] {
        &self.jobs
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
    told: Arc<Told>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(told);
    tokio::select! {
        served = axum::serve(listener, routes) => served,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn metrics(State(told): State<Arc<Told>>) -> Response {
    match told.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Ready when every job is; says how each one stands.
async fn ready(State(told): State<Arc<Told>>) -> Response {
    let states = told.jobs.iter().map(|job| (&job.job, job.state()));
    let text: String = states
        .clone()
        .map(|(job, (_, state))| format!("{job}: {state}\n"))
        .collect();
    let status = if states.clone().all(|(_, (ready, _))| ready) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
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
        let told = Arc::new(Told::new(["banking", "retail"]));
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, told.clone(), shutdown.clone()));

        assert!(
            answer(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let starting = answer(address, "/readyz").await;
        assert!(starting.starts_with("HTTP/1.1 503"), "{starting}");
        told.jobs()[0].set(Readiness::Ready);
        let half = answer(address, "/readyz").await;
        assert!(half.starts_with("HTTP/1.1 503"), "{half}");
        assert!(
            half.ends_with("banking: ready\nretail: starting\n"),
            "{half}"
        );
        told.jobs()[1].set(Readiness::Ready);
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
