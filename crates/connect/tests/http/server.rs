//! A server on loopback that answers what a test says and notes what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Path and query.
    pub(super) path: String,
    headers: axum::http::HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Ends with the test.
pub(super) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers the n-th request, counted from 0, by `answer`.
    pub(super) async fn start(
        answer: impl Fn(usize, &Asked) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let handler = move |request: Request| {
            let (noted, answer) = (Arc::clone(&noted), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let asked = Asked {
                    path: head.uri.to_string(),
                    headers: head.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let number = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(asked.clone());
                    noted.len() - 1
                };
                answer(number, &asked)
            }
        };
        let app = Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            asked,
            task,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn ok(body: &str) -> Response {
    Response::new(Body::from(body.to_owned()))
}

pub(super) fn status(code: u16) -> Response {
    let mut response = ok("no");
    *response.status_mut() = code.try_into().unwrap();
    response
}

pub(super) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

pub(super) fn events(response: Response) -> Response {
    with_header(response, CONTENT_TYPE.as_str(), "text/event-stream")
}

/// A body that breaks off behind `text`: the connection is closed in the middle of it.
pub(super) fn broken(text: &str) -> Response {
    let pieces = [Ok(text.to_owned()), Err(std::io::Error::other("cut"))];
    // the first piece is sent before the second one is looked at
    let stream = futures::stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    Response::new(Body::from_stream(stream))
}

/// A body that repeats `text` for ever, with a pause between.
pub(super) fn endless(text: &'static str, pause: Duration) -> Response {
    let stream = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(text), ()))
    });
    Response::new(Body::from_stream(stream))
}

/// A body that stays open and holds what the test sends.
pub(super) fn open() -> (mpsc::UnboundedSender<String>, Response) {
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        let text = receiver.recv().await?;
        Some((Ok::<_, Infallible>(text), receiver))
    });
    (sender, Response::new(Body::from_stream(stream)))
}
