//! The shop's services: what they store, what they show, and how they stand a hostile third party.

mod contract;
mod kafka;
mod mockoon;
mod responses;
mod third_party;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use factmill_produce::ecommerce::{self, EcommerceError, EcommerceSettings, Listeners};
use factmill_produce::{Acknowledgement, Event, Outbox, ProduceError, Stored};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both services on free ports.
struct Shop {
    generator: String,
    third_party: String,
    cancel: CancellationToken,
    served: JoinHandle<Result<(), EcommerceError>>,
}

impl Shop {
    async fn open(settings: EcommerceSettings, outbox: Arc<dyn Outbox>) -> Self {
        let listeners = Listeners {
            generator: listener().await,
            third_party: listener().await,
        };
        let generator = url(&listeners.generator);
        let third_party = url(&listeners.third_party);
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let served = tokio::spawn(async move {
            ecommerce::serve_with(listeners, settings, outbox, &token).await
        });
        Self {
            generator,
            third_party,
            cancel,
            served,
        }
    }

    async fn close(self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.served).await;
        ended.unwrap().unwrap().unwrap();
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn url(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

fn settings() -> EcommerceSettings {
    EcommerceSettings {
        seed: 7,
        // nobody listens there
        third_party: "http://127.0.0.1:9/transactions".into(),
        ..EcommerceSettings::new("transactions_topic")
    }
}

/// A client for requests that are no streams.
fn client() -> reqwest::Client {
    // an error means that it is there already
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

type Events = BoxStream<'static, Sse>;

/// Opens a response.
async fn open(url: &str) -> Events {
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    SseByteStream::new(answer.bytes_stream())
        .map(Result::unwrap)
        .boxed()
}

/// All events of a response that ends.
async fn all(url: &str) -> Vec<Sse> {
    let events = open(url).await.collect();
    tokio::time::timeout(PATIENCE, events).await.unwrap()
}

async fn next(events: &mut Events) -> Sse {
    let event = tokio::time::timeout(PATIENCE, events.next()).await;
    event.unwrap().unwrap()
}

fn document(event: &Sse) -> Value {
    assert_eq!(event.event, None, "{event:?}");
    serde_json::from_str(event.data.as_ref().unwrap()).unwrap()
}

/// An event as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    is_bad: bool,
}

/// Keeps events and acknowledges each at once, or when the test says so.
struct Shelf {
    kept: Mutex<Vec<Kept>>,
    put: mpsc::UnboundedSender<Teller>,
    is_held: bool,
}

type Teller = tokio::sync::oneshot::Sender<Result<Stored, rdkafka::error::KafkaError>>;

impl Shelf {
    fn new() -> Arc<Self> {
        Self::made(false).0
    }

    /// The test acknowledges what comes out of the receiver.
    fn held() -> (Arc<Self>, mpsc::UnboundedReceiver<Teller>) {
        Self::made(true)
    }

    fn made(is_held: bool) -> (Arc<Self>, mpsc::UnboundedReceiver<Teller>) {
        let (put, acknowledge) = mpsc::unbounded_channel();
        let shelf = Self {
            kept: Mutex::default(),
            put,
            is_held,
        };
        (Arc::new(shelf), acknowledge)
    }

    fn kept(&self) -> Vec<Kept> {
        self.kept.lock().unwrap().clone()
    }

    fn payloads(&self) -> Vec<String> {
        let text = |kept: Kept| String::from_utf8_lossy(&kept.payload).into_owned();
        self.kept().into_iter().map(text).collect()
    }
}

#[async_trait]
impl Outbox for Shelf {
    async fn put(&self, event: &Event) -> Result<Acknowledgement, ProduceError> {
        let offset = {
            let mut kept = self.kept.lock().unwrap();
            kept.push(Kept {
                key: event.key().map(<[u8]>::to_vec),
                payload: event.payload().unwrap().to_vec(),
                headers: event.headers().to_vec(),
                is_bad: event.is_bad(),
            });
            kept.len() as i64 - 1
        };
        let (tell, acknowledgement) = Acknowledgement::pending("transactions_topic");
        if self.is_held {
            self.put.send(tell).unwrap();
        } else {
            let _ = tell.send(Ok(Stored {
                partition: 0,
                offset,
            }));
        }
        Ok(acknowledgement)
    }
}
