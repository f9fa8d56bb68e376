//! Rounds, pages, days: what is read once and where it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use factmill_connect::source::http::{Dates, Method, Paging, PollRead, PollReader, Repeat, Secret};

use super::server::{Server, ok, status, with_header};
use super::*;

#[tokio::test]
async fn a_round_reads_the_records_as_they_are_written() {
    let body = r#"{"data":[{"a":1.50}, {"a":"é"}],"more":null}"#;
    let server = Server::start(move |_, _| ok(body)).await;
    let read = PollRead {
        records: Some("/data".into()),
        ..once(request(&server, "/list"))
    };
    let positions = positions();
    let found = to_end(&mut poll(read.clone(), &positions).await, &positions).await;
    assert_eq!(found, [r#"0 {"a":1.50}"#, r#"1 {"a":"é"}"#]);
    let again = to_end(&mut poll(read, &positions).await, &positions).await;
    assert_eq!(
        again,
        [r#"2 {"a":1.50}"#, r#"3 {"a":"é"}"#],
        "the next process reads a new round"
    );
}

#[tokio::test]
async fn a_rewind_brings_no_round_forward() {
    let server = Server::start(|number, _| ok(&format!("[{{\"n\":{number}}}]"))).await;
    let read = PollRead::new(request(&server, "/"), Duration::from_secs(3600));
    let positions = positions();
    let mut source = poll(read, &positions).await;
    next(&mut source).await.unwrap().unwrap();
    source.rewind().await.unwrap();
    let found = some(&mut source, &positions, 1).await;
    assert_eq!(
        found,
        [r#"0 {"n":1}"#],
        "what was not committed is asked for at once"
    );
    source.rewind().await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), source.next()).await;
    assert!(
        early.is_err(),
        "the round is over, the next one is due in an hour"
    );
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn rounds_come_in_their_interval_and_no_faster_than_allowed() {
    let server = Server::start(|number, _| ok(&format!("[{{\"n\":{number}}}]"))).await;
    let mut read = PollRead::new(request(&server, "/"), Duration::from_millis(1));
    read.requests_per_second = Some(20.try_into().unwrap());
    let positions = positions();
    let mut source = poll(read, &positions).await;
    let began = Instant::now();
    let found = some(&mut source, &positions, 5).await;
    assert_eq!(found[..2], [r#"0 {"n":0}"#, r#"1 {"n":1}"#]);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "4 pauses of 50 ms"
    );
}

/// Pages of two records out of so many; the next one by the last record's number.
fn list(
    count: &Arc<AtomicUsize>,
) -> impl Fn(usize, &server::Asked) -> axum::response::Response + Clone + Send + Sync + 'static {
    let count = Arc::clone(count);
    move |_, asked| {
        let after = asked
            .path
            .split("after=")
            .nth(1)
            .and_then(|text| text.parse().ok());
        let first: usize = after.map_or(0, |after: usize| after + 1);
        let count = count.load(Ordering::SeqCst);
        let page: Vec<_> = (first..count.min(first + 2))
            .map(|id| format!("{{\"id\":{id}}}"))
            .collect();
        let more = first + 2 < count;
        ok(&format!(
            "{{\"data\":[{}],\"has_more\":{more}}}",
            page.join(",")
        ))
    }
}

fn by_last_record(request: Request, has_more: bool) -> PollRead {
    PollRead {
        records: Some("/data".into()),
        paging: Paging::LastRecord {
            field: "/id".into(),
            parameter: "after".into(),
            has_more: has_more.then(|| "/has_more".into()),
        },
        repeat: Repeat::Onward,
        ..once(request)
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| format!("{id} {{\"id\":{id}}}")).collect()
}

#[tokio::test]
async fn what_was_added_is_read_once() {
    for has_more in [true, false] {
        let count = Arc::new(AtomicUsize::new(5));
        let server = Server::start(list(&count)).await;
        let read = by_last_record(request(&server, "/list?key=1"), has_more);
        let positions = positions();
        for (had, has) in [(0, 5), (5, 5), (5, 8), (8, 8), (8, 9)] {
            count.store(has, Ordering::SeqCst);
            let mut source = poll(read.clone(), &positions).await;
            assert_eq!(
                to_end(&mut source, &positions).await,
                ids(had..has),
                "{has_more}"
            );
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_within_a_page_goes_on_there() {
    let count = Arc::new(AtomicUsize::new(7));
    let server = Server::start(list(&count)).await;
    let positions = positions();
    let mut found = Vec::new();
    for _ in 0..7 {
        let read = by_last_record(request(&server, "/"), true);
        let mut source = start(PollReader::new(read).unwrap(), &positions, 1).await;
        let pull = next(&mut source).await.unwrap().unwrap();
        positions.commit(&pull.intervals).unwrap();
        found.extend(rows(&pull));
    }
    assert_eq!(found, ids(0..7));
}

#[tokio::test]
async fn a_rewind_reads_what_was_not_committed_again() {
    let count = Arc::new(AtomicUsize::new(6));
    let server = Server::start(list(&count)).await;
    let positions = positions();
    let read = by_last_record(request(&server, "/"), true);
    let mut source = start(PollReader::new(read).unwrap(), &positions, 2).await;
    let first = next(&mut source).await.unwrap().unwrap();
    positions.commit(&first.intervals).unwrap();
    next(&mut source).await.unwrap();
    source.rewind().await.unwrap();
    assert_eq!(to_end(&mut source, &positions).await, ids(2..6));
}

#[tokio::test]
async fn a_numbered_page_may_grow() {
    let count = Arc::new(AtomicUsize::new(3));
    let total = Arc::clone(&count);
    let server = Server::start(move |_, asked| {
        let page: usize = asked.path.split("page=").nth(1).unwrap().parse().unwrap();
        let all = 0..total.load(Ordering::SeqCst);
        let page: Vec<_> = all
            .skip((page - 1) * 2)
            .take(2)
            .map(|id| format!("{{\"id\":{id}}}"))
            .collect();
        ok(&format!("[{}]", page.join(",")))
    })
    .await;
    let read = PollRead {
        paging: Paging::Page {
            parameter: "page".into(),
            first: 1,
        },
        repeat: Repeat::Onward,
        ..once(request(&server, "/"))
    };
    let positions = positions();
    for (had, has) in [(0, 3), (3, 4), (4, 4), (4, 7)] {
        count.store(has, Ordering::SeqCst);
        let mut source = poll(read.clone(), &positions).await;
        assert_eq!(to_end(&mut source, &positions).await, ids(had..has));
    }
}

#[tokio::test]
async fn a_cursor_leads_from_page_to_page() {
    let server = Server::start(|_, asked| match asked.path.as_str() {
        "/" => ok(r#"{"items":[{"id":0},{"id":1}],"page":{"next":"a b&c"}}"#),
        "/?cursor=a+b%26c" => ok(r#"{"items":[{"id":2}],"page":{"next":""}}"#),
        _ => status(400),
    })
    .await;
    let read = PollRead {
        records: Some("/items".into()),
        paging: Paging::Cursor {
            next: "/page/next".into(),
            parameter: "cursor".into(),
        },
        ..once(request(&server, "/"))
    };
    let positions = positions();
    let found = to_end(&mut poll(read, &positions).await, &positions).await;
    assert_eq!(found, ids(0..3));
}

fn day(before: u64) -> NaiveDate {
    Utc::now().date_naive() - Days::new(before)
}

fn daily(server: &Server) -> PollRead {
    PollRead {
        dates: Dates {
            start: Some(day(3)),
            ..Dates::default()
        },
        ..once(request(server, "/rates/{date}.json"))
    }
}

#[tokio::test]
async fn each_day_is_asked_for_once_and_a_late_one_later() {
    let late = Arc::new(AtomicBool::new(true));
    let holds_back = Arc::clone(&late);
    let missing = format!("/rates/{}.json", day(2));
    let server = Server::start(move |_, asked| {
        if asked.path == missing && holds_back.load(Ordering::SeqCst) {
            return status(404);
        }
        ok(&format!("{{\"path\":\"{}\"}}", asked.path))
    })
    .await;
    let path = |before| format!("/rates/{}.json", day(before));
    let positions = positions();

    let mut source = poll(daily(&server), &positions).await;
    let mut dates = Vec::new();
    while let Some(pull) = next(&mut source).await.unwrap() {
        positions.commit(&pull.intervals).unwrap();
        for at in 0..pull.pulled.records.len() {
            for (name, value) in pull.pulled.records.headers.get(at) {
                assert_eq!(name, b"date");
                dates.push(String::from_utf8(value.unwrap().to_vec()).unwrap());
            }
        }
    }
    assert_eq!(dates, [day(3), day(1), day(0)].map(|day| day.to_string()));
    assert_eq!(server.paths(), [path(3), path(2), path(1), path(0)]);

    late.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        to_end(&mut poll(daily(&server), &positions).await, &positions).await;
    }
    assert_eq!(
        server.paths()[4..],
        [path(2)],
        "the late day, and no other again"
    );
}

#[tokio::test]
async fn a_missing_day_is_asked_for_while_the_rest_waits() {
    let server = Server::start(|number, _| match number {
        0..3 => status(404),
        _ => ok("{}"),
    })
    .await;
    let mut read = daily(&server);
    read.bounded = false;
    read.dates.start = None;
    read.dates.missing_interval = Duration::from_millis(5);
    let positions = positions();
    let mut source = poll(read, &positions).await;
    assert_eq!(some(&mut source, &positions, 1).await, ["0 {}"]);
    assert_eq!(server.paths().len(), 4);
}

#[tokio::test]
async fn a_day_that_never_comes_is_given_up() {
    let server = Server::start(|_, _| status(404)).await;
    let mut read = daily(&server);
    read.dates.missing_days = 1;
    let positions = positions();
    for _ in 0..2 {
        to_end(&mut poll(read.clone(), &positions).await, &positions).await;
    }
    let path = |before| format!("/rates/{}.json", day(before));
    assert_eq!(server.paths()[4..], [path(1), path(0)]);
}

#[tokio::test]
async fn a_post_carries_one_key_until_it_is_answered_and_committed() {
    let server = Server::start(|number, _| match number {
        0 => status(500),
        _ => ok(r#"{"a":1}"#),
    })
    .await;
    let mut request = request(&server, "/charges");
    request.method = Method::Post;
    request.body = Some(Secret::new(r#"{"limit":25}"#));
    let read = once(request);
    let positions = positions();
    let mut source = poll(read.clone(), &positions).await;
    next(&mut source).await.unwrap();
    drop(source);
    let mut source = poll(read.clone(), &positions).await;
    to_end(&mut source, &positions).await;
    to_end(&mut poll(read, &positions).await, &positions).await;
    let asked = server.asked();
    let keys: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("idempotency-key").unwrap())
        .collect();
    assert_eq!(keys.len(), 4);
    assert_eq!([keys[0]; 3], keys[..3], "failed, not committed, committed");
    assert_ne!(keys[2], keys[3], "another round is another request");
    assert_eq!(asked[0].body, r#"{"limit":25}"#);
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let server = Server::start(|number, _| match number {
        0 => with_header(status(429), "retry-after", "1"),
        1 => status(503),
        _ => ok("{}"),
    })
    .await;
    let positions = positions();
    let began = Instant::now();
    let mut source = poll(once(request(&server, "/")), &positions).await;
    assert_eq!(to_end(&mut source, &positions).await, ["0 {}"]);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.paths().len(), 3);
}

#[tokio::test]
async fn another_address_is_another_life_of_the_source() {
    let server = Server::start(|_, _| ok("{}")).await;
    let positions = positions();
    to_end(
        &mut poll(once(request(&server, "/a")), &positions).await,
        &positions,
    )
    .await;
    let read = SingleRead {
        source: SourceName::new("web", "records"),
        topic: "records".into(),
        reader: epoch::Reader {
            target: "test".into(),
            job: "web".into(),
        },
        max_rows: 1,
        max_bytes: 1,
        max_wait: Duration::ZERO,
    };
    let reader = PollReader::new(once(request(&server, "/b"))).unwrap();
    let mut source = SingleSource::start(reader, read, positions.clone());
    let gap = source.next().await.expect_err("a gap");
    assert_eq!(gap.kind(), ErrorKind::Gap);
    assert!(gap.to_string().contains("/b"), "{gap}");
}
