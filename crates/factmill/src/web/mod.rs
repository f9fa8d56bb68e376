//! The page *users transactions over time*: live charts of ecommerce's two services, and the same
//! from the warehouse.
//!
//! | path | answer |
//! |---|---|
//! | `/`, `/assets/…` | the page, all of it from this binary |
//! | `/api/live/generator`, `/api/live/third_party` | the service's server-sent events, passed on as they come, and what keeps them away, see [`live`] |
//! | `/api/history?range=hour\|day\|month` | counts from the warehouse, see [`history::History`]; 503 where it does not answer |
//! | `/healthz` | `alive` |

mod assets;
mod history;
mod live;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use factmill_produce::ecommerce::{FollowError, Follower};
use futures::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use history::Reader;
use live::Services;

/// The port of the page, where nothing else is said.
pub(crate) const PAGE_PORT: u16 = 5173;

/// Everything comes from this server, and no other page may frame it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Opens a connection to the warehouse that needs no right but to read the job's tables.
pub(crate) type OpenWarehouse =
    Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<tokio_postgres::Client>> + Send + Sync>;

/// What the page shows.
pub(crate) struct Page {
    /// The generator, such as `http://127.0.0.1:8000`.
    pub(crate) generator: String,
    /// The third party's service, such as `http://127.0.0.1:8001`.
    pub(crate) third_party: String,
    /// The schema of the job's tables.
    pub(crate) schema: String,
    /// The warehouse; asked when the first page wants it, and again after a connection was lost.
    pub(crate) warehouse: OpenWarehouse,
}

/// Serves the page until `cancel` is cancelled; open live answers end then.
///
/// # Errors
/// When no HTTP client can be made, or the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    page: Page,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let routes = routes(page, cancel.clone())?;
    Ok(factmill_produce::http::serve(listener, routes, cancel).await?)
}

fn routes(page: Page, closing: CancellationToken) -> Result<Router, FollowError> {
    let services = Services {
        follower: Follower::new()?,
        generator: format!(
            "{}/real_time_response",
            page.generator.trim_end_matches('/')
        ),
        third_party: format!("{}/transactions", page.third_party.trim_end_matches('/')),
        closing,
    };
    let live = Router::new()
        .route("/api/live/generator", get(live::generator))
        .route("/api/live/third_party", get(live::third_party))
        .with_state(Arc::new(services));
    let history = Router::new()
        .route("/api/history", get(history::answer))
        .with_state(Arc::new(Reader::new(page.warehouse, &page.schema)));
    Ok(Router::new()
        .merge(assets::routes())
        .route("/healthz", get(async || "alive\n"))
        .merge(live)
        .merge(history)
        .layer(middleware::from_fn(guarded)))
}

/// Adds what keeps a browser from guessing types and from loading anything from elsewhere.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// An answer that says what went wrong.
fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
