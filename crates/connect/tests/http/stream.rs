//! Answers that go on: lines and events, resumed without loss or repetition.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::Response;
use factmill_connect::source::http::{Resume, StreamFormat};

use super::server::{Asked, Server, broken, endless, events, ok, open, status, with_header};
use super::*;

fn event(id: usize) -> String {
    format!("id: {id}\nevent: sale\ndata: {{\"id\":{id}}}\n\n")
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| format!("{id} {{\"id\":{id}}}")).collect()
}

/// Events 0 to 9, cut off in the middle after three of them, from the asked one on.
fn resuming(asked: &Asked) -> Response {
    let last = asked
        .header("last-event-id")
        .map(|id| id.parse::<usize>().unwrap());
    let first = last.map_or(0, |last| last + 1);
    let text: String = (first..10.min(first + 3)).map(event).collect();
    events(broken(&format!("{text}id: 99\ndata: {{\"half")))
}

#[tokio::test]
async fn events_are_resumed_behind_the_last_whole_one() {
    let server = Server::start(|_, asked| resuming(asked)).await;
    let positions = positions();
    let read = StreamRead::new(request(&server, "/stream"));
    let mut source = stream(read.clone(), &positions).await;
    let mut found = some(&mut source, &positions, 4).await;
    drop(source);
    let mut source = stream(read, &positions).await;
    found.extend(some(&mut source, &positions, 10 - found.len()).await);
    assert_eq!(found, ids(0..10));
    assert_eq!(server.asked()[0].header("last-event-id"), None);
    assert_eq!(server.asked()[1].header("last-event-id"), Some("2"));
}

#[tokio::test]
async fn an_event_keeps_its_name_and_id() {
    let server = Server::start(|_, _| events(ok(&event(7)))).await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.bounded = true;
    let mut source = stream(read, &positions()).await;
    let pull = next(&mut source).await.unwrap().unwrap();
    let headers: Vec<_> = pull.pulled.records.headers.get(0).collect();
    assert_eq!(
        headers,
        [(&b"id"[..], Some(&b"7"[..])), (b"event", Some(b"sale"))]
    );
    assert!(
        next(&mut source).await.unwrap().is_none(),
        "the answer ended"
    );
}

/// Lines 0 to 9, some of them without an id, three at a time behind `?after=`.
fn lines(asked: &Asked) -> Response {
    let all: Vec<String> = (0..10)
        .map(|id| match id {
            2 | 3 | 7 => format!("{{\"broken\":{id}"),
            _ => format!("{{\"id\":{id}}}"),
        })
        .collect();
    let after = asked
        .path
        .split("after=")
        .nth(1)
        .map(|id| id.parse::<usize>().unwrap());
    let first = after.map_or(0, |after| after + 1);
    let text: String = all
        .iter()
        .skip(first)
        .take(4)
        .map(|line| format!("{line}\r\n\n"))
        .collect();
    ok(&text)
}

#[tokio::test]
async fn lines_without_an_id_come_once_too() {
    let server = Server::start(|_, asked| lines(asked)).await;
    let mut read = StreamRead::new(request(&server, "/stream?rate=5"));
    read.resume = Resume::Parameter {
        field: "/id".into(),
        parameter: "after".into(),
    };
    let positions = positions();
    let mut found = Vec::new();
    while found.len() < 10 {
        // a new process for every pull of at most two records
        let reader = StreamReader::new(read.clone()).unwrap();
        let mut source = start(reader, &positions, 2).await;
        let pull = next(&mut source).await.unwrap().unwrap();
        positions.commit(&pull.intervals).unwrap();
        found.extend(rows(&pull));
    }
    let wanted: Vec<_> = (0..10)
        .map(|id| match id {
            2 | 3 | 7 => format!("{id} {{\"broken\":{id}"),
            _ => format!("{id} {{\"id\":{id}}}"),
        })
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(server.paths()[0], "/stream?rate=5");
    assert!(
        server
            .paths()
            .contains(&"/stream?rate=5&after=6".to_owned()),
        "{:?}",
        server.paths()
    );
}

#[tokio::test]
async fn records_come_as_they_are_sent() {
    let (sender, response) = open();
    let response = Arc::new(Mutex::new(Some(events(response))));
    let server = Server::start(move |_, _| {
        response
            .lock()
            .unwrap()
            .take()
            .unwrap_or_else(|| status(503))
    })
    .await;
    let positions = positions();
    let mut source = stream(StreamRead::new(request(&server, "/")), &positions).await;
    for id in 0..3 {
        sender.send(event(id)).unwrap();
        assert_eq!(some(&mut source, &positions, 1).await, ids(id..id + 1));
    }
}

#[tokio::test]
async fn a_bounded_read_ends_when_it_is_quiet() {
    let (sender, response) = open();
    let response = Arc::new(Mutex::new(Some(response)));
    let server = Server::start(move |_, _| response.lock().unwrap().take().unwrap()).await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.bounded = true;
    read.quiet = Duration::from_millis(200);
    let positions = positions();
    let mut source = stream(read, &positions).await;
    sender.send("{\"id\":0}\n{\"half\"".into()).unwrap();
    assert_eq!(to_end(&mut source, &positions).await, ids(0..1));
}

async fn stream_failure(read: StreamRead) -> (ErrorKind, String) {
    failure(&mut stream(read, &positions()).await).await
}

#[tokio::test]
async fn a_record_without_end_is_refused() {
    for format in [StreamFormat::Lines, StreamFormat::Events] {
        let server = Server::start(|_, _| events(endless("data: xxxxxxxx", Duration::ZERO))).await;
        let mut read = StreamRead::new(request(&server, "/"));
        read.format = format;
        read.request.limits.record_bytes = 10_000;
        let (kind, text) = stream_failure(read).await;
        assert_eq!(kind, ErrorKind::Configuration);
        assert!(text.contains("10000 bytes"), "{text}");
    }
}

#[tokio::test]
async fn a_record_that_drips_is_given_up() {
    let server = Server::start(|_, _| endless("x", Duration::from_millis(10))).await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.request.times.whole = Duration::from_millis(100);
    read.request.retry.attempts = 2;
    let (kind, text) = stream_failure(read).await;
    assert_eq!(kind, ErrorKind::Transient, "{text}");
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn a_silent_stream_is_connected_again() {
    let server = Server::start(|number, _| match number {
        0 => endless("", Duration::from_secs(3600)),
        _ => ok("{\"id\":0}\n"),
    })
    .await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.request.times.idle = Duration::from_millis(100);
    let positions = positions();
    let mut source = stream(read, &positions).await;
    assert_eq!(some(&mut source, &positions, 1).await, ids(0..1));
}

#[tokio::test]
async fn a_stream_may_be_silent_for_as_long_as_it_likes() {
    let server = Server::start(|number, _| match number {
        0..4 => events(endless("", Duration::from_secs(3600))),
        _ => events(ok(&event(0))),
    })
    .await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.request.times.idle = Duration::from_millis(100);
    read.request.retry.attempts = 2;
    let positions = positions();
    let mut source = stream(read, &positions).await;
    assert_eq!(some(&mut source, &positions, 1).await, ids(0..1));
}

#[tokio::test]
async fn a_server_that_falls_silent_within_a_record_is_given_up() {
    let server = Server::start(|_, _| {
        let half = futures::stream::iter([Ok::<_, std::io::Error>("{\"half\"")]);
        let silent = futures::stream::pending();
        let body = axum::body::Body::from_stream(futures::StreamExt::chain(half, silent));
        Response::new(body)
    })
    .await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.request.times.idle = Duration::from_millis(100);
    read.request.retry.attempts = 2;
    let (kind, text) = stream_failure(read).await;
    assert_eq!(kind, ErrorKind::Transient, "{text}");
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn refusals_stop_and_busy_servers_are_asked_again() {
    let server = Server::start(|_, _| status(401)).await;
    let (kind, _) = stream_failure(StreamRead::new(request(&server, "/"))).await;
    assert_eq!(kind, ErrorKind::Configuration);
    let other = Server::start(|_, _| ok("{}\n")).await;
    let target = other.url("/");
    let server = Server::start(move |_, _| with_header(status(301), "location", &target)).await;
    let (kind, _) = stream_failure(StreamRead::new(request(&server, "/"))).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert_eq!(other.paths().len(), 0);
    let server = Server::start(|_, _| status(503)).await;
    let (kind, _) = stream_failure(StreamRead::new(request(&server, "/"))).await;
    assert_eq!(kind, ErrorKind::Transient);
    assert_eq!(server.paths().len(), 5);
}

#[tokio::test]
async fn events_are_not_read_from_a_page() {
    let server = Server::start(|_, _| with_header(ok("<html>"), "content-type", "text/html")).await;
    let mut read = StreamRead::new(request(&server, "/"));
    read.format = StreamFormat::Events;
    let (kind, text) = stream_failure(read).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("text/html"), "{text}");
}
