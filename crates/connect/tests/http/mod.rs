//! HTTP sources against a local server that behaves as badly as it is told to.

mod hostile;
mod poll;
pub(crate) mod server;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::source::http::{
    HttpSourceError, PollRead, PollReader, Request, StreamRead, StreamReader,
};
use factmill_connect::source::single::{Reader, SingleRead, SingleSource};
use factmill_core::epoch;
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{BoxedError, Pull, Source};

use crate::positions::MemoryPositions;
use server::Server;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for `path` of the server; tries again at once.
fn request(server: &Server, path: &str) -> Request {
    let mut request = Request::get(server.url(path));
    request.retry.first = Duration::from_millis(1);
    request
}

/// One round of a polled source.
fn once(request: Request) -> PollRead {
    PollRead {
        bounded: true,
        ..PollRead::new(request, Duration::from_secs(3600))
    }
}

async fn start(
    reader: impl Reader,
    positions: &Arc<MemoryPositions>,
    max_rows: usize,
) -> SingleSource {
    let read = SingleRead {
        source: SourceName::new("web", "records"),
        topic: "records".into(),
        reader: epoch::Reader {
            target: "test".into(),
            job: "web".into(),
        },
        max_rows,
        max_bytes: 16 << 20,
        max_wait: Duration::ZERO,
    };
    SingleSource::start(reader, read, positions.clone())
}

async fn poll(read: PollRead, positions: &Arc<MemoryPositions>) -> SingleSource {
    start(PollReader::new(read).unwrap(), positions, 1000).await
}

async fn stream(read: StreamRead, positions: &Arc<MemoryPositions>) -> SingleSource {
    start(StreamReader::new(read).unwrap(), positions, 1000).await
}

fn positions() -> Arc<MemoryPositions> {
    Arc::new(MemoryPositions::default())
}

async fn next(source: &mut SingleSource) -> Result<Option<Pull>, BoxedError> {
    tokio::time::timeout(PATIENCE, source.next())
        .await
        .expect("a pull in time")
}

/// `offset payload` of every record of a pull.
fn rows(pull: &Pull) -> Vec<String> {
    let records = &pull.pulled.records;
    let row = |at: usize| {
        let payload = String::from_utf8_lossy(records.payloads.get(at).unwrap_or_default());
        format!("{} {payload}", records.offsets[at])
    };
    (0..records.len()).map(row).collect()
}

/// Reads and commits to the end of a bounded read.
async fn to_end(source: &mut SingleSource, positions: &MemoryPositions) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(pull) = next(source).await.unwrap() {
        positions.commit(&pull.intervals).unwrap();
        all.extend(rows(&pull));
    }
    all
}

/// Reads and commits until so many rows came.
async fn some(source: &mut SingleSource, positions: &MemoryPositions, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let pull = next(source).await.unwrap().expect("the read has not ended");
        positions.commit(&pull.intervals).unwrap();
        all.extend(rows(&pull));
    }
    all
}

/// What a read fails with: its kind, and all that its chain of errors says.
async fn failure(source: &mut SingleSource) -> (ErrorKind, String) {
    let error = next(source).await.expect_err("the read fails");
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&*error);
    while let Some(error) = cause {
        text += &format!("; {error}");
        cause = error.source();
    }
    (error.kind(), text)
}

/// What a polled read of one round fails with.
async fn poll_failure(read: PollRead) -> (ErrorKind, String) {
    failure(&mut poll(read, &positions()).await).await
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |change: fn(&mut PollRead)| {
        let mut read = PollRead::new(Request::get("http://h/{date}"), Duration::from_secs(1));
        change(&mut read);
        PollReader::new(read).err().map(|error| error.to_string())
    };
    assert_eq!(refused(|_| {}), None);
    assert!(refused(|read| read.interval = Duration::ZERO).is_some());
    assert!(refused(|read| read.records = Some("data".into())).is_some());
    assert!(refused(|read| read.request = Request::get("h/x")).is_some());
    assert!(
        refused(|read| {
            let secret = factmill_connect::source::http::Secret::new("hunter2\n");
            read.request.headers = vec![("Authorization".into(), secret)];
        })
        .is_some_and(|error| error.contains("Authorization") && !error.contains("hunter2"))
    );
    let streamed = StreamReader::new(StreamRead::new(Request::get("http://h/{date}")));
    assert!(matches!(
        streamed.err(),
        Some(HttpSourceError::Setting { .. })
    ));
}
