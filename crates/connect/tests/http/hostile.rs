//! Servers that refuse, lie, dawdle or never end, against a polled source.

use std::time::Duration;

use factmill_connect::source::http::Secret;

use super::server::{Server, broken, endless, ok, status, with_header};
use super::*;

fn secret(mut request: Request) -> Request {
    request.headers = vec![("Authorization".into(), Secret::new("Bearer hunter2"))];
    request
}

#[tokio::test]
async fn refused_credentials_stop_the_job_and_are_not_shown() {
    for code in [401, 403] {
        let server = Server::start(move |_, _| status(code)).await;
        let read = once(secret(request(&server, "/?key=hunter2")));
        let (kind, text) = poll_failure(read).await;
        assert_eq!(kind, ErrorKind::Configuration);
        assert!(
            text.contains("credentials") && !text.contains("hunter2"),
            "{text}"
        );
        assert_eq!(server.paths().len(), 1, "asked once");
        assert_eq!(
            server.asked()[0].header("authorization"),
            Some("Bearer hunter2")
        );
    }
}

#[tokio::test]
async fn what_no_second_try_mends_stops_the_job() {
    for code in [400, 404, 405, 422] {
        let server = Server::start(move |_, _| status(code)).await;
        let (kind, text) = poll_failure(once(request(&server, "/x"))).await;
        assert_eq!(kind, ErrorKind::Configuration, "{text}");
        assert!(
            text.contains(&code.to_string()) && text.contains("/x"),
            "{text}"
        );
        assert_eq!(server.paths().len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_transient() {
    for code in [429, 500, 503] {
        let server = Server::start(move |_, _| status(code)).await;
        let (kind, text) = poll_failure(once(request(&server, "/"))).await;
        assert_eq!(kind, ErrorKind::Transient, "{text}");
        assert_eq!(server.paths().len(), 5);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?key=hunter2", listener.local_addr().unwrap());
    drop(listener);
    let mut request = secret(Request::get(url));
    request.retry.first = Duration::from_millis(1);
    let (kind, text) = poll_failure(once(request)).await;
    assert_eq!(kind, ErrorKind::Transient);
    assert!(
        text.contains("5 times") && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_redirect_to_another_host_is_refused_and_gets_nothing() {
    let other = Server::start(|_, _| ok("{}")).await;
    let target = other.url("/stolen?token=hunter2");
    let server = Server::start(move |_, _| with_header(status(302), "location", &target)).await;
    let (kind, text) = poll_failure(once(secret(request(&server, "/")))).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(
        text.contains("/stolen") && !text.contains("hunter2"),
        "{text}"
    );
    assert_eq!(other.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_within_the_host_is_followed() {
    let server = Server::start(|_, asked| match asked.path.as_str() {
        "/old" => with_header(status(307), "location", "/new"),
        _ => ok("{}"),
    })
    .await;
    let positions = positions();
    let mut source = poll(once(secret(request(&server, "/old"))), &positions).await;
    assert_eq!(to_end(&mut source, &positions).await, ["0 {}"]);
    assert_eq!(
        server.asked()[1].header("authorization"),
        Some("Bearer hunter2")
    );
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::start(|_, _| with_header(status(302), "location", "/again")).await;
    let (kind, text) = poll_failure(once(request(&server, "/"))).await;
    assert_eq!(kind, ErrorKind::Configuration, "{text}");
    assert!(server.paths().len() < 10);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_asked_for_again() {
    let server = Server::start(|number, _| match number {
        0 => broken(r#"[{"a":1},{"a""#),
        1 => ok(r#"[{"a":1},{"a""#),
        2 => with_header(broken("[]"), "content-length", "1000"),
        _ => ok(r#"[{"a":1},{"a":2}]"#),
    })
    .await;
    let positions = positions();
    let mut source = poll(once(request(&server, "/")), &positions).await;
    let found = to_end(&mut source, &positions).await;
    assert_eq!(found, [r#"0 {"a":1}"#, r#"1 {"a":2}"#]);
    assert_eq!(server.paths().len(), 4);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_at_the_limit() {
    let server = Server::start(|_, _| endless("[[[[[[[[[[", Duration::ZERO)).await;
    let mut request = request(&server, "/");
    request.limits.body_bytes = 100_000;
    let (kind, text) = poll_failure(once(request)).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("100000 bytes"), "{text}");
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let server = Server::start(|_, _| endless(" ", Duration::from_millis(10))).await;
    let mut request = request(&server, "/");
    request.times.whole = Duration::from_millis(200);
    request.retry.attempts = 2;
    let (kind, text) = poll_failure(once(request)).await;
    assert_eq!(kind, ErrorKind::Transient, "{text}");
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start(|_, _| endless("", Duration::from_secs(3600))).await;
    let mut request = request(&server, "/");
    request.times.idle = Duration::from_millis(100);
    request.retry.attempts = 2;
    let (kind, text) = poll_failure(once(request)).await;
    assert_eq!(kind, ErrorKind::Transient, "{text}");
}

#[tokio::test]
async fn records_where_they_are_not_are_a_mistake_in_the_job() {
    let server = Server::start(|_, _| ok(r#"{"error":"x"}"#)).await;
    let mut read = once(request(&server, "/"));
    read.records = Some("/data".into());
    let (kind, text) = poll_failure(read).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("`/data`"), "{text}");
}
