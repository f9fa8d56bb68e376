//! Files that are not what they were: gaps that are told, never skipped.

use factmill_core::error::ErrorKind;

use super::*;

/// What a read fails with.
async fn failure(read: FilesRead, positions: &Arc<MemoryPositions>) -> (ErrorKind, String) {
    let mut source = open(read, positions, 1000);
    loop {
        match tokio::time::timeout(PATIENCE, source.next()).await.unwrap() {
            Ok(Some(pull)) => positions.commit(&pull.intervals).unwrap(),
            Ok(None) => panic!("the read ended"),
            Err(error) => return (error.kind(), chain(&*error)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let below = error.source().map(chain);
    below.map_or(error.to_string(), |below| format!("{error}: {below}"))
}

async fn read_one_of(folder: &TempDir, format: FileFormat) -> Arc<MemoryPositions> {
    let positions = positions();
    let mut source = open(bounded(folder, format), &positions, 1);
    let pull = next(&mut source).await.unwrap();
    positions.commit(&pull.intervals).unwrap();
    positions
}

#[tokio::test]
async fn a_file_that_is_removed_before_its_end_is_a_gap() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl", lines(0..5));
    let positions = read_one_of(&folder, FileFormat::JsonLines).await;
    std::fs::remove_file(folder.path().join("a.jsonl")).unwrap();
    let (kind, text) = failure(bounded(&folder, FileFormat::JsonLines), &positions).await;
    assert_eq!(kind, ErrorKind::Gap);
    assert!(
        text.contains("a.jsonl") && text.contains("removed"),
        "{text}"
    );
    assert!(
        text.contains("accept-gap --source"),
        "the ways out are named: {text}"
    );
}

#[tokio::test]
async fn a_file_that_is_replaced_or_cut_is_a_gap() {
    for (name, content) in [
        (
            "a.jsonl",
            "{\"x\":0}\n{\"n\":1}\n{\"n\":2}\n".as_bytes().to_vec(),
        ),
        ("a.jsonl", b"{}\n".to_vec()),
        ("b.jsonl.gz", gzip(b"{\"x\":0}\n{\"n\":1}\n")),
        ("b.jsonl.gz", gzip(b"{}\n")),
    ] {
        let folder = TempDir::new().unwrap();
        let whole = lines(0..5);
        let whole = if name.ends_with("gz") {
            gzip(whole.as_bytes())
        } else {
            whole.into()
        };
        put(&folder, name, whole);
        let positions = read_one_of(&folder, FileFormat::JsonLines).await;
        put(&folder, name, content);
        let (kind, text) = failure(bounded(&folder, FileFormat::JsonLines), &positions).await;
        assert_eq!(kind, ErrorKind::Gap, "{text}");
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_was_read_may_grow_and_do_nothing_else() {
    for (name, format) in [
        ("a.jsonl", FileFormat::JsonLines),
        ("a.jsonl.gz", FileFormat::JsonLines),
    ] {
        let folder = TempDir::new().unwrap();
        let content = |numbers| {
            let text = lines(numbers).into_bytes();
            if name.ends_with("gz") {
                gzip(&text)
            } else {
                text
            }
        };
        put(&folder, name, content(0..5));
        let positions = positions();
        to_end(bounded(&folder, format), &positions).await;
        put(&folder, name, content(5..6));
        let (kind, _) = failure(bounded(&folder, format), &positions).await;
        assert_eq!(kind, ErrorKind::Gap, "{name} became shorter");
    }
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl.gz", gzip(lines(0..5).as_bytes()));
    let positions = positions();
    to_end(bounded(&folder, FileFormat::JsonLines), &positions).await;
    put(&folder, "a.jsonl.gz", gzip(lines(0..50).as_bytes()));
    let (kind, _) = failure(bounded(&folder, FileFormat::JsonLines), &positions).await;
    assert_eq!(kind, ErrorKind::Gap, "a packed file does not grow");
}

#[tokio::test]
async fn a_packed_file_that_is_cut_short_stops_the_job_and_goes_on_once_it_is_whole() {
    let folder = TempDir::new().unwrap();
    let whole = gzip(lines(0..50_000).as_bytes());
    put(&folder, "a.jsonl.gz", &whole[..whole.len() / 2]);
    let positions = positions();
    let (kind, text) = failure(bounded(&folder, FileFormat::JsonLines), &positions).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(
        text.contains("a.jsonl.gz") && text.contains("whole"),
        "{text}"
    );
    put(&folder, "a.jsonl.gz", &whole);
    let positions_after = positions.clone();
    let mut source = open(
        bounded(&folder, FileFormat::JsonLines),
        &positions_after,
        100_000,
    );
    let mut last = 0;
    while let Some(pull) = next(&mut source).await {
        positions.commit(&pull.intervals).unwrap();
        last = pull.pulled.records.offsets.last().copied().unwrap_or(last);
    }
    assert_eq!(last, 49_999, "none twice, none left out");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let mut read = FilesRead::new("/nowhere/at/all/", FileFormat::JsonLines);
    read.bounded = true;
    let (kind, text) = failure(read, &positions()).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("/nowhere/at/all"), "{text}");
}

#[tokio::test]
async fn what_is_no_parquet_file_is_named() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.parquet", "PAR1 no");
    let (kind, text) = failure(bounded(&folder, FileFormat::Parquet), &positions()).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("a.parquet"), "{text}");
}

#[tokio::test]
async fn a_file_of_the_same_size_is_known_by_its_time_and_content() {
    for name in ["a.jsonl", "a.jsonl.gz"] {
        let content = |numbers| match name.ends_with("gz") {
            true => gzip(lines(numbers).as_bytes()),
            false => lines(numbers).into_bytes(),
        };
        let folder = TempDir::new().unwrap();
        let read = || bounded(&folder, FileFormat::JsonLines);
        put(&folder, name, content(0..5));
        let positions = positions();
        to_end(read(), &positions).await;
        touch(&folder, name, 5);
        assert!(to_end(read(), &positions).await.is_empty(), "only touched");
        let replaced = content(5..10);
        let before = std::fs::metadata(folder.path().join(name)).unwrap().len();
        put(&folder, name, &replaced);
        touch(&folder, name, 10);
        let (kind, text) = failure(read(), &positions).await;
        assert_eq!(kind, ErrorKind::Gap, "{text}");
        assert_eq!(before, replaced.len() as u64, "the case that is meant");
    }
}

#[tokio::test]
async fn a_read_ends_where_a_file_was_cut_short_or_removed_meanwhile() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl", lines(0..50));
    put(&folder, "b.jsonl", lines(0..5));
    put(&folder, "c.jsonl", lines(0..5));
    let positions = positions();
    let read = || bounded(&folder, FileFormat::JsonLines);
    let mut source = open(read(), &positions, 1);
    // its first row says that it has begun
    let mut found = some(&mut source, &positions, 1).await;
    put(&folder, "b.jsonl", lines(0..2));
    std::fs::remove_file(folder.path().join("c.jsonl")).unwrap();
    while let Some(pull) = next(&mut source).await {
        positions.commit(&pull.intervals).unwrap();
        found.extend(rows(&pull));
    }
    assert_eq!(found.len(), 52, "{found:?}");
    append(&folder, "b.jsonl", &lines(2..3));
    let found = to_end(read(), &positions).await;
    assert_eq!(found, ["b.jsonl:3 {\"n\":2}"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_looked_at_is_not_forgotten() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl", lines(0..2));
    let positions = positions();
    let read = || bounded(&folder, FileFormat::JsonLines);
    to_end(read(), &positions).await;
    let path = folder.path().join("a.jsonl");
    std::fs::rename(&path, folder.path().join(".a.jsonl")).unwrap();
    std::os::unix::fs::symlink("a.jsonl", &path).unwrap();
    let (kind, text) = failure(read(), &positions).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("a.jsonl"), "{text}");
    std::fs::rename(folder.path().join(".a.jsonl"), &path).unwrap();
    assert!(to_end(read(), &positions).await.is_empty(), "it was read");
}

#[tokio::test]
async fn a_path_where_nothing_is_stops_a_bounded_read_and_is_waited_for_by_a_stream() {
    let folder = TempDir::new().unwrap();
    let at = |read: FilesRead| FilesRead {
        path: folder.path().join("in"),
        ..read
    };
    let positions = positions();
    let once = || at(bounded(&folder, FileFormat::JsonLines));
    let (kind, text) = failure(once(), &positions).await;
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(text.contains("/in;"), "{text}");

    let mut source = open(at(watched(&folder, FileFormat::JsonLines)), &positions, 10);
    let early = tokio::time::timeout(Duration::from_millis(50), source.next()).await;
    assert!(early.is_err(), "nothing is there");
    std::fs::create_dir(folder.path().join("in")).unwrap();
    put(&folder, "in/a.jsonl", "{\"n\":1}\n");
    let found = some(&mut source, &positions, 1).await;
    assert_eq!(found, ["a.jsonl:1 {\"n\":1}"]);
    drop(source);

    std::fs::rename(folder.path().join("in"), folder.path().join("away")).unwrap();
    let (kind, text) = failure(once(), &positions).await;
    assert_eq!(kind, ErrorKind::Configuration, "{text}");
    std::fs::rename(folder.path().join("away"), folder.path().join("in")).unwrap();
    let again = to_end(once(), &positions).await;
    assert!(again.is_empty(), "what was read is not forgotten");
}
