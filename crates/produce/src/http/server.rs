//! How a service is served to its end.

use std::future::IntoFuture;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Requests that are under way have so long to be answered.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Answers on `listener` until `stop` is cancelled; requests under way have two seconds more.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) -> io::Result<()> {
    // An answer is small and goes out at once.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small answers back");
        }
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        result = server.into_future() => result,
        () = async { stop.cancelled().await; sleep(LAST_PATIENCE).await } => Ok(()),
    }
}
