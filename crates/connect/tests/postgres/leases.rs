//! Sources of one reader, read by two processes.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use factmill_connect::sink::postgres::Warehouse;
use factmill_connect::source::files::{FileFormat, FilesRead, FilesReader};
use factmill_connect::source::single::{SingleRead, SingleSource};
use factmill_core::error::ErrorKind;
use factmill_core::source::{Pull, Source};
use tempfile::TempDir;

use super::{Fixture, keyed, partition, reader};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that reads the lines of a folder.
fn start(folder: &TempDir, warehouse: &Warehouse) -> SingleSource {
    let read = FilesRead {
        interval: Duration::from_millis(5),
        quiet: Duration::ZERO,
        ..FilesRead::new(folder.path(), FileFormat::JsonLines)
    };
    let single = SingleRead {
        source: partition("0").source,
        topic: "records".into(),
        reader: reader(),
        max_rows: 100,
        max_bytes: 1 << 20,
        max_wait: Duration::ZERO,
    };
    let positions = Arc::new(warehouse.positions_of(reader()));
    SingleSource::start(FilesReader::new(read).unwrap(), single, positions)
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(folder.path().join("a.jsonl")).unwrap();
    file.write_all(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
    folder
}

async fn next(source: &mut SingleSource) -> Pull {
    let pull = tokio::time::timeout(PATIENCE, source.next()).await;
    pull.expect("a pull in time").unwrap().unwrap()
}

async fn holder(fixture: &Fixture) -> String {
    fixture
        .value("select max(holder) from factmill.reader_leases")
        .await
}

#[tokio::test]
async fn a_second_process_waits_until_the_first_one_leaves() {
    let fixture = Fixture::new().await;
    fixture.prepare(vec![keyed()]).await;
    let folder = folder();
    let mut first = start(&folder, &fixture.warehouse);
    assert_eq!(next(&mut first).await.pulled.records.len(), 2);
    let held = holder(&fixture).await;
    assert!(held.starts_with("process "), "{held}");

    let mut second = start(&folder, &fixture.another().await);
    // long enough for it to ask several times
    let waited = tokio::time::timeout(Duration::from_secs(2), second.next()).await;
    assert!(waited.is_err(), "two processes read");
    assert_eq!(holder(&fixture).await, held);

    drop(first);
    assert_eq!(next(&mut second).await.pulled.records.len(), 2);
    assert_ne!(holder(&fixture).await, held);
}

#[tokio::test]
async fn a_reader_that_was_away_for_longer_than_its_lease_is_fenced() {
    for away in [
        // paused: nothing renewed
        "update factmill.reader_leases set expires_at = now()",
        // killed, or its network is gone: the server ended its connection
        "select pg_terminate_backend(backend) from factmill.reader_leases",
    ] {
        let fixture = Fixture::new().await;
        fixture.prepare(vec![keyed()]).await;
        let folder = folder();
        let mut first = start(&folder, &fixture.warehouse);
        next(&mut first).await;
        let away_while_held = format!("{away} where holder = '{}'", holder(&fixture).await);
        let mut second = start(&folder, &fixture.another().await);
        let client = fixture.database.connect().await.unwrap();
        let taken_over = async {
            // again and again, as the first one may renew in between
            loop {
                client.batch_execute(&away_while_held).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let pull = tokio::select! {
            pull = next(&mut second) => pull,
            () = taken_over => unreachable!("it goes on until the other one reads"),
        };
        assert_eq!(pull.pulled.records.len(), 2, "{away}");
        let held = holder(&fixture).await;
        let fenced = tokio::time::timeout(PATIENCE, first.next()).await;
        let error = fenced.expect("it notices").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{away}: {error}");
        assert!(error.to_string().contains(&held), "{error}");

        // it goes back to waiting, and reads once the other one is gone
        first.rewind().await.unwrap();
        drop(second);
        assert_eq!(next(&mut first).await.pulled.records.len(), 2, "{away}");
    }
}
