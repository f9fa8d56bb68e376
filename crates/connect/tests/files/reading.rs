//! What is read, in which order, from where on.

use super::*;

#[tokio::test]
async fn files_are_read_in_the_order_of_their_names_packed_or_not() {
    let folder = TempDir::new().unwrap();
    put(&folder, "c.jsonl.zst", zstandard(b"{\"n\":3}\n"));
    put(&folder, "a.jsonl", "{\"n\":1}\n\n{\"n\":2}");
    // two members, as `cat` of two packed files makes
    put(
        &folder,
        "b.jsonl.gz",
        [gzip(b"{\"n\":4}\n"), gzip(b"{\"n\":5}\n")].concat(),
    );
    put(&folder, "d.jsonl.part", "half");
    put(&folder, "e.jsonl", "");
    let positions = positions();
    let read = bounded(&folder, FileFormat::JsonLines);
    let found = to_end(read.clone(), &positions).await;
    assert_eq!(
        found,
        [
            "a.jsonl:1 {\"n\":1}",
            "a.jsonl:3 {\"n\":2}",
            "b.jsonl.gz:1 {\"n\":4}",
            "b.jsonl.gz:2 {\"n\":5}",
            "c.jsonl.zst:1 {\"n\":3}",
        ]
    );
    assert!(
        to_end(read, &positions).await.is_empty(),
        "each is read once"
    );
}

#[tokio::test]
async fn a_pattern_chooses_files() {
    let folder = TempDir::new().unwrap();
    for name in ["a.csv", "b.csv", "b.txt"] {
        put(&folder, name, "x\n1\n");
    }
    let mut read = bounded(&folder, CSV);
    read.path = folder.path().join("*.csv");
    let found = to_end(read, &positions()).await;
    assert_eq!(found, ["a.csv:2 1", "b.csv:2 1"]);
}

#[tokio::test]
async fn every_row_is_a_place_to_go_on_from() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.csv", "x,y\n1,\"a\nb\"\n2,c\n");
    put(&folder, "b.csv.gz", gzip(b"y,x\nd,3\ne,4\n"));
    put(&folder, "c.csv", "x\n5\n6");
    let positions = positions();
    let mut found = Vec::new();
    // a new process for every row
    for _ in 0..6 {
        let mut source = open(bounded(&folder, CSV), &positions, 1);
        let pull = next(&mut source).await.unwrap();
        positions.commit(&pull.intervals).unwrap();
        let records = &pull.pulled.records;
        for at in 0..records.len() {
            let mut headers = records.headers.get(at);
            let columns = headers
                .find(|(name, _)| *name == b"columns")
                .unwrap()
                .1
                .unwrap();
            found.push(format!(
                "{} {}",
                rows(&pull)[at],
                String::from_utf8_lossy(columns)
            ));
        }
    }
    assert_eq!(
        found,
        [
            "a.csv:2 1,\"a\nb\" x,y",
            "a.csv:4 2,c x,y",
            "b.csv.gz:2 d,3 y,x",
            "b.csv.gz:3 e,4 y,x",
            "c.csv:2 5 x",
            "c.csv:3 6 x",
        ]
    );
}

#[tokio::test]
async fn many_rows_come_whole_and_in_order_through_small_pulls() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl.gz", gzip(lines(0..60_000).as_bytes()));
    put(&folder, "b.jsonl", lines(60_000..100_000));
    let positions = positions();
    let mut source = open(bounded(&folder, FileFormat::JsonLines), &positions, 7_777);
    let mut count = 0;
    let mut rewound = false;
    while let Some(pull) = next(&mut source).await {
        assert!(pull.pulled.records.len() <= 7_777);
        if count > 40_000 && !rewound {
            rewound = true;
            source.rewind().await.unwrap();
            continue;
        }
        positions.commit(&pull.intervals).unwrap();
        let records = &pull.pulled.records;
        for at in 0..records.len() {
            assert_eq!(records.offsets[at], count);
            let wanted = format!("{{\"n\":{count}}}");
            assert_eq!(records.payloads.get(at), Some(wanted.as_bytes()));
            count += 1;
        }
    }
    assert_eq!(count, 100_000);
}

#[tokio::test]
async fn a_folder_is_a_stream() {
    let folder = TempDir::new().unwrap();
    let positions = positions();
    let mut source = open(watched(&folder, FileFormat::JsonLines), &positions, 1000);
    put(&folder, "b.jsonl", "{\"n\":1}\n");
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["b.jsonl:1 {\"n\":1}"]
    );
    put(&folder, "a.jsonl", "{\"n\":2}\n");
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["a.jsonl:1 {\"n\":2}"],
        "an earlier name"
    );
    append(&folder, "b.jsonl", "{\"n\":3}\n{\"n\":");
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["b.jsonl:2 {\"n\":3}"]
    );
    append(&folder, "b.jsonl", "4}\n");
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["b.jsonl:3 {\"n\":4}"]
    );
    append(&folder, "a.jsonl", "{\"n\":5}");
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["a.jsonl:2 {\"n\":5}"],
        "quiet for a while"
    );
    put(&folder, "c.jsonl.zst", zstandard(b"{\"n\":6}\n"));
    assert_eq!(
        some(&mut source, &positions, 1).await,
        ["c.jsonl.zst:1 {\"n\":6}"]
    );
}

#[tokio::test]
async fn a_process_that_comes_back_finds_what_changed_meanwhile() {
    let folder = TempDir::new().unwrap();
    let positions = positions();
    put(&folder, "b.jsonl", "{\"n\":1}\n");
    put(&folder, "c.jsonl", "{\"n\":2}\n");
    to_end(bounded(&folder, FileFormat::JsonLines), &positions).await;
    put(&folder, "a.jsonl", "{\"n\":3}\n");
    append(&folder, "b.jsonl", "{\"n\":4}\n");
    std::fs::remove_file(folder.path().join("c.jsonl")).unwrap();
    let found = to_end(bounded(&folder, FileFormat::JsonLines), &positions).await;
    assert_eq!(found, ["a.jsonl:1 {\"n\":3}", "b.jsonl:2 {\"n\":4}"]);
    put(&folder, "c.jsonl", "{\"n\":5}\n");
    let found = to_end(bounded(&folder, FileFormat::JsonLines), &positions).await;
    assert_eq!(
        found,
        ["c.jsonl:1 {\"n\":5}"],
        "a file that was removed is forgotten"
    );
}

#[tokio::test]
async fn a_bounded_read_ends_where_the_files_ended_at_its_start() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.jsonl", lines(0..2));
    let positions = positions();
    let mut source = open(bounded(&folder, FileFormat::JsonLines), &positions, 1);
    // its first row says that it has begun
    let mut found = some(&mut source, &positions, 1).await;
    append(&folder, "a.jsonl", &lines(2..3));
    put(&folder, "b.jsonl", lines(3..4));
    while let Some(pull) = next(&mut source).await {
        positions.commit(&pull.intervals).unwrap();
        found.extend(rows(&pull));
    }
    assert_eq!(found, ["a.jsonl:1 {\"n\":0}", "a.jsonl:2 {\"n\":1}"]);
}
