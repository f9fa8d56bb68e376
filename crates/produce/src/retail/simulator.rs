//! A service that gives [`RetailEvents`], on loopback.
//!
//! `GET /stream` answers with events from the first on, or from behind `?after=<index>` or
//! `Last-Event-ID`; as JSON lines, or as server-sent events where those are asked for first. The id
//! of an event is its index. `?rate=` paces it, in events a second or `max`. Behind the last event
//! the answer is 204.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_recursion::async_recursion as boxed;
use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RetailEvents;
use super::stream::StreamFormat;
use crate::http::decode;
use crate::rate::Rate;

/// Bytes of events that are handed to the connection at once.
const PIECE: usize = 32 << 10;
/// A sign of life where no event is due.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A fast rate is kept by this time, with several events in each.
const GRAIN: Duration = Duration::from_millis(5);

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// The events; their own share of broken ones does not count here, as the producer breaks them.
    pub events: Arc<RetailEvents>,
    /// The pace where a request names none.
    pub rate: Rate,
    /// How many events there are; `None`: no end.
    pub count: Option<u64>,
    /// Every response breaks off in the middle of an event after so many. `None`: never.
    pub cut_after: Option<u64>,
}

impl SimulatorSettings {
    /// Events without end at one a second, no trouble.
    pub fn new(events: Arc<RetailEvents>) -> Self {
        Self {
            events,
            rate: Rate::PerSecond(1.0),
            count: None,
            cut_after: None,
        }
    }
}

#[derive(Debug)]
struct Simulator {
    settings: SimulatorSettings,
    stop: CancellationToken,
}

/// Answers on `listener` until `stop` is cancelled, which ends the responses, too.
///
/// # Errors
/// What the listener says when it cannot accept connections any more.
#[boxed]
pub async fn serve(
    listener: TcpListener,
    settings: SimulatorSettings,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let simulator = Arc::new(Simulator {
        settings,
        stop: stop.clone(),
    });
    let app = Router::new()
        .route("/stream", get(stream))
        .with_state(simulator);
    crate::http::serve(listener, app, stop).await
}

async fn stream(
    State(simulator): State<Arc<Simulator>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match Running::new(simulator, query.as_deref(), &headers) {
        Err(message) => (StatusCode::BAD_REQUEST, message).into_response(),
        Ok(running) if running.is_done() => StatusCode::NO_CONTENT.into_response(),
        Ok(running) => {
            let media_type = match running.format {
                StreamFormat::JsonLines => "application/x-ndjson",
                StreamFormat::ServerSentEvents => "text/event-stream",
            };
            let pieces = futures::stream::unfold(running, |mut running| async {
                let piece = running.piece().await?;
                Some((Ok::<_, Infallible>(piece), running))
            });
            (
                [(header::CONTENT_TYPE, media_type)],
                Body::from_stream(pieces),
            )
                .into_response()
        }
    }
}

/// A response under way.
struct Running {
    simulator: Arc<Simulator>,
    format: StreamFormat,
    rate: Rate,
    /// The index of the next event.
    next: u64,
    begun: Instant,
    sent: u64,
    is_cut: bool,
}

impl Running {
    fn new(
        simulator: Arc<Simulator>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, String> {
        let query = decode(query.unwrap_or_default());
        let parameter = |name: &str| {
            let found = query.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| &value[..])
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let next = match parameter("after").or_else(|| header("last-event-id")) {
            None => 0,
            Some(after) => match after.parse::<u64>() {
                Ok(after) => after.saturating_add(1),
                Err(_) => return Err(format!("`{after}` is not the id of an event")),
            },
        };
        let rate = match parameter("rate") {
            None => simulator.settings.rate,
            Some(rate) => rate.parse().map_err(|error| format!("{error}"))?,
        };
        let wants_events = header("accept")
            .is_some_and(|accept| accept.trim_start().starts_with("text/event-stream"));
        Ok(Self {
            simulator,
            format: if wants_events {
                StreamFormat::ServerSentEvents
            } else {
                StreamFormat::JsonLines
            },
            rate,
            next,
            begun: Instant::now(),
            sent: 0,
            is_cut: false,
        })
    }

    fn is_done(&self) -> bool {
        let count = self.simulator.settings.count;
        count.is_some_and(|count| self.next >= count)
    }

    /// The next piece of the response; `None` at its end.
    async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.is_cut || self.is_done() || self.simulator.stop.is_cancelled() {
            return None;
        }
        let due = match self.rate {
            Rate::Max => u64::MAX,
            Rate::PerSecond(rate) => {
                let due = |elapsed: Duration| (elapsed.as_secs_f64() * rate) as u64 + 1;
                if due(self.begun.elapsed()) <= self.sent {
                    let until = Duration::try_from_secs_f64(self.sent as f64 / rate);
                    let until = until.unwrap_or(Duration::MAX);
                    let pause = until.saturating_sub(self.begun.elapsed());
                    tokio::select! {
                        () = sleep(pause.clamp(GRAIN, HEARTBEAT)) => {}
                        () = self.simulator.stop.cancelled() => return None,
                    }
                }
                due(self.begun.elapsed()) - self.sent
            }
        };
        let mut piece = Vec::new();
        for _ in 0..due {
            if piece.len() >= PIECE || self.is_cut || self.is_done() {
                break;
            }
            self.event(&mut piece);
        }
        if piece.is_empty() {
            piece.extend_from_slice(match self.format {
                StreamFormat::JsonLines => &b"\n"[..],
                StreamFormat::ServerSentEvents => b":\n\n",
            });
        }
        Some(piece)
    }

    fn event(&mut self, piece: &mut Vec<u8>) {
        let start = piece.len();
        let sse = self.format == StreamFormat::ServerSentEvents;
        if sse {
            piece.extend_from_slice(format!("id: {}\ndata: ", self.next).as_bytes());
        }
        self.simulator.settings.events.write_good(self.next, piece);
        if self.simulator.settings.cut_after == Some(self.sent) {
            piece.truncate(usize::midpoint(start, piece.len()));
            self.is_cut = true;
            return;
        }
        piece.extend_from_slice(if sse { &b"\n\n"[..] } else { b"\n" });
        self.next += 1;
        self.sent += 1;
    }
}
