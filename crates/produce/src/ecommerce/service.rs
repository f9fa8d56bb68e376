//! The two services over HTTP, and the simulated third party.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use futures::StreamExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use utoipa::openapi::OpenApi as Document;
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::ask::{Ask, InvalidAsk};
use super::error::EcommerceError;
use super::feed::{self, Happening};
use super::order::{Address, Line, Manner, Money, Order, Orders};
use super::third_party::ThirdParty;
use crate::rate::Rate;
use crate::send::outbox::Outbox;

/// How often a silent response says that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// The response's seed, so that it can be repeated.
const SEED_HEADER: HeaderName = HeaderName::from_static("x-factmill-seed");

/// Which of the two services it is; the value of the Kafka header `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Generator,
    ThirdParty,
}

impl Origin {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::ThirdParty => "third_party",
        }
    }
}

/// What both services share.
pub(super) struct Shop {
    pub(super) topic: String,
    pub(super) rate: Rate,
    pub(super) seed: u64,
    pub(super) bad_percent: f64,
    pub(super) third_party: ThirdParty,
    pub(super) outbox: Arc<dyn Outbox>,
    /// Ends every open response.
    pub(super) closing: CancellationToken,
    /// Responses opened so far.
    pub(super) opened: AtomicU64,
}

/// How a service stands.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    /// `generator` or `third_party`.
    #[schema(example = "generator")]
    service: &'static str,
    /// `ok`: the service answers.
    #[schema(example = "ok")]
    status: &'static str,
    /// The Kafka topic that its events go to.
    #[schema(example = "transactions_topic")]
    topic: String,
    /// Responses that both services opened since their start.
    #[schema(example = 3)]
    responses: u64,
}

/// What was wrong with a request.
#[derive(Debug, Serialize, ToSchema)]
struct Refusal {
    /// What, and what would be right.
    #[schema(example = "`rate` cannot be `fast`; a number of events a second above 0, or `max`")]
    error: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Generated transactions",
        description = "Transactions of a shop that does not exist, one a second in each open response. \
                       What a response shows is stored in Kafka."
    ),
    paths(generator_status, real_time_response),
    components(schemas(Order, Line, Address, Money))
)]
struct GeneratorDocument;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Transactions of a third party",
        description = "Transactions of an API that is polled once a second for each open response, \
                       passed on as they are. What a response shows is stored in Kafka."
    ),
    paths(third_party_status, transactions),
    components(schemas(Order, Line, Address, Money))
)]
struct ThirdPartyDocument;

/// The service at one port.
pub(super) fn routes(origin: Origin, shop: Arc<Shop>, cors: CorsLayer) -> Router {
    let (routes, document) = match origin {
        Origin::Generator => (
            Router::new()
                .route("/", get(generator_status))
                .route("/real_time_response", get(real_time_response)),
            GeneratorDocument::openapi(),
        ),
        Origin::ThirdParty => (
            Router::new()
                .route("/", get(third_party_status))
                .route("/transactions", get(transactions)),
            ThirdPartyDocument::openapi(),
        ),
    };
    routes.with_state(shop).merge(page(document)).layer(cors)
}

fn page(document: Document) -> SwaggerUi {
    SwaggerUi::new("/docs").url("/openapi.json", document)
}

/// Who may read the answers from another origin: nobody, these, or everybody with `*`.
pub(super) fn cors(origins: &[String]) -> Result<CorsLayer, EcommerceError> {
    let layer = CorsLayer::new().allow_methods([axum::http::Method::GET]);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(Any));
    }
    let allowed: Result<Vec<_>, _> = origins.iter().map(|origin| allowed(origin)).collect();
    Ok(layer.allow_origin(AllowOrigin::list(allowed?)))
}

fn allowed(origin: &str) -> Result<HeaderValue, EcommerceError> {
    let refused = || EcommerceError::Setting {
        what: "an allowed origin",
        value: origin.to_owned(),
        expected: "give scheme, host and port as a browser sends them, such as \
                   http://127.0.0.1:5173, or `*` for everybody",
    };
    let is_origin = reqwest::Url::parse(origin)
        .is_ok_and(|url| url.has_host() && url.origin().ascii_serialization() == origin);
    if !is_origin {
        return Err(refused());
    }
    HeaderValue::from_str(origin).map_err(|_| refused())
}

#[utoipa::path(
    get, path = "/", summary = "How the service stands",
    responses((status = 200, description = "It answers.", body = Status))
)]
async fn generator_status(State(shop): State<Arc<Shop>>) -> Json<Status> {
    Json(shop.status(Origin::Generator))
}

#[utoipa::path(
    get, path = "/", summary = "How the service stands",
    responses((status = 200, description = "It answers.", body = Status))
)]
async fn third_party_status(State(shop): State<Arc<Shop>>) -> Json<Status> {
    Json(shop.status(Origin::ThirdParty))
}

/// Server-sent events without end. An event without a name is a transaction, its id is the partition
/// and the offset that it is stored at. `broken` is a document that is no JSON, `problem` says why
/// there is none this time, `end` is the last event where `count` was given.
#[utoipa::path(
    get, path = "/real_time_response", summary = "Generated transactions as they are made",
    params(
        ("rate" = Option<String>, Query, description = "Events a second above 0, or `max`."),
        ("count" = Option<u64>, Query, description = "End after so many documents."),
        ("seed" = Option<u64>, Query, description = "The same seed gives the same documents, but for their times. \
                                                     The one that was drawn is in the header `x-factmill-seed`."),
        ("from" = Option<u64>, Query, description = "The index of the first document."),
        ("bad" = Option<f64>, Query, description = "How many of a hundred documents are broken.")
    ),
    responses(
        (status = 200, description = "Events, each with a transaction.", body = Order, content_type = "text/event-stream"),
        (status = 400, description = "A parameter makes no sense.", body = Refusal)
    )
)]
async fn real_time_response(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let ask = Ask::read(&query.unwrap_or_default())?;
    let number = shop.opened.fetch_add(1, Ordering::Relaxed);
    // No two responses make the same transactions, unless they ask for the same seed.
    let seed = ask.seed.unwrap_or_else(|| shop.seed.wrapping_add(number));
    let orders = Orders {
        seed,
        bad_percent: ask.bad_percent.unwrap_or(shop.bad_percent),
        manner: Manner::Own,
    };
    let happenings = feed::generated(orders, ask.rate.unwrap_or(shop.rate), ask.from);
    let response = shop.respond(happenings, Origin::Generator, ask.count);
    Ok(([(SEED_HEADER, seed.to_string())], response).into_response())
}

/// Server-sent events without end. An event without a name is a document of the third party, its id
/// is the partition and the offset that it is stored at. `broken` is a document that is no JSON,
/// `problem` says why there is none this time, `end` is the last event where `count` was given.
#[utoipa::path(
    get, path = "/transactions", summary = "Transactions of the third party as they come",
    params(
        ("rate" = Option<String>, Query, description = "Questions a second above 0, or `max`."),
        ("count" = Option<u64>, Query, description = "End after so many documents.")
    ),
    responses(
        (status = 200, description = "Events, each with a transaction.", body = Order, content_type = "text/event-stream"),
        (status = 400, description = "A parameter makes no sense.", body = Refusal)
    )
)]
async fn transactions(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let ask = Ask::read(&query.unwrap_or_default())?;
    shop.opened.fetch_add(1, Ordering::Relaxed);
    let rate = ask.rate.unwrap_or(shop.rate);
    let happenings = feed::polled(shop.third_party.clone(), rate);
    Ok(shop.respond(happenings, Origin::ThirdParty, ask.count))
}

impl Shop {
    fn status(&self, origin: Origin) -> Status {
        Status {
            service: origin.as_str(),
            status: "ok",
            topic: self.topic.clone(),
            responses: self.opened.load(Ordering::Relaxed),
        }
    }

    fn respond(
        &self,
        happenings: futures::stream::BoxStream<'static, Happening>,
        origin: Origin,
        count: Option<u64>,
    ) -> Response {
        let outbox = Arc::clone(&self.outbox);
        let events = feed::shown(happenings, outbox, origin.as_str(), count);
        let open = events
            .take_until(self.closing.clone().cancelled_owned())
            .map(Ok::<_, std::convert::Infallible>);
        let alive = KeepAlive::new().interval(ALIVE_EVERY);
        // Proxies that hold answers back until they are large would hold these back for long.
        let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
        ([unbuffered], Sse::new(open).keep_alive(alive)).into_response()
    }
}

/// 400 with the reason.
#[derive(Debug)]
struct Refused(InvalidAsk);

impl From<InvalidAsk> for Refused {
    fn from(error: InvalidAsk) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refusal = Refusal {
            error: self.0.to_string(),
        };
        (StatusCode::BAD_REQUEST, Json(refusal)).into_response()
    }
}

/// The third party of somebody who has none: each `GET /transactions` answers the next random
/// document.
pub(super) fn simulated(seed: u64, bad_percent: f64) -> Router {
    let orders = Orders {
        seed,
        bad_percent,
        manner: Manner::Foreign,
    };
    let next = Arc::new(AtomicU64::new(0));
    let transactions = async move || {
        let written = orders.write(next.fetch_add(1, Ordering::Relaxed), Utc::now());
        ([(header::CONTENT_TYPE, "application/json")], written.json)
    };
    Router::new()
        .route(
            "/",
            get(async || {
                Json(serde_json::json!({ "service": "simulated third party", "status": "ok" }))
            }),
        )
        .route("/transactions", get(transactions))
}
