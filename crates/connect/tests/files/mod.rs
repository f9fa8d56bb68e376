//! Files as a source: folders that are watched, files that grow, are packed, replaced, removed.

mod changes;
mod decoded;
mod reading;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use factmill_connect::decode::csv::Dialect;
use factmill_connect::source::files::{FileFormat, FilesRead, FilesReader};
use factmill_connect::source::single::{SingleRead, SingleSource};
use factmill_core::epoch;
use factmill_core::position::SourceName;
use factmill_core::source::{Pull, Source};
use tempfile::TempDir;

use crate::positions::MemoryPositions;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CSV: FileFormat = FileFormat::Csv {
    dialect: Dialect {
        delimiter: b',',
        quote: b'"',
        empty: factmill_connect::decode::csv::Empty::Null,
    },
    header: true,
};

/// The files that are there.
fn bounded(folder: &TempDir, format: FileFormat) -> FilesRead {
    FilesRead {
        bounded: true,
        ..watched(folder, format)
    }
}

/// A folder that is looked at often.
fn watched(folder: &TempDir, format: FileFormat) -> FilesRead {
    FilesRead {
        interval: Duration::from_millis(5),
        quiet: Duration::from_millis(50),
        ..FilesRead::new(folder.path(), format)
    }
}

fn positions() -> Arc<MemoryPositions> {
    Arc::new(MemoryPositions::default())
}

fn open(read: FilesRead, positions: &Arc<MemoryPositions>, max_rows: usize) -> SingleSource {
    let single = SingleRead {
        source: SourceName::new("disk", "records"),
        topic: "records".into(),
        reader: epoch::Reader {
            target: "test".into(),
            job: "disk".into(),
        },
        max_rows,
        max_bytes: 16 << 20,
        max_wait: Duration::ZERO,
    };
    SingleSource::start(FilesReader::new(read).unwrap(), single, positions.clone())
}

async fn next(source: &mut SingleSource) -> Option<Pull> {
    tokio::time::timeout(PATIENCE, source.next())
        .await
        .expect("a pull in time")
        .unwrap()
}

/// `file:line payload` of every record of a pull.
fn rows(pull: &Pull) -> Vec<String> {
    let records = &pull.pulled.records;
    let row = |at: usize| {
        let header = |wanted: &str| {
            let mut headers = records.headers.get(at);
            let found = headers.find(|(name, _)| *name == wanted.as_bytes());
            String::from_utf8(found.unwrap().1.unwrap().to_vec()).unwrap()
        };
        let payload = String::from_utf8_lossy(records.payloads.get(at).unwrap());
        format!("{}:{} {payload}", header("file"), header("line"))
    };
    (0..records.len()).map(row).collect()
}

/// Reads and commits to the end of a bounded read.
async fn to_end(read: FilesRead, positions: &Arc<MemoryPositions>) -> Vec<String> {
    let mut source = open(read, positions, 1000);
    let mut all = Vec::new();
    while let Some(pull) = next(&mut source).await {
        positions.commit(&pull.intervals).unwrap();
        all.extend(rows(&pull));
    }
    all
}

/// Reads and commits until so many rows came.
async fn some(source: &mut SingleSource, positions: &MemoryPositions, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let pull = next(source).await.expect("the read has not ended");
        positions.commit(&pull.intervals).unwrap();
        all.extend(rows(&pull));
    }
    all
}

/// Writes a file under another name first, as a good neighbour does.
fn put(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(name);
    let hidden = path.with_file_name(format!(".{}", path.file_name().unwrap().display()));
    std::fs::write(&hidden, content).unwrap();
    std::fs::rename(hidden, path).unwrap();
}

fn append(folder: &TempDir, name: &str, content: &str) {
    let path = folder.path().join(name);
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// Gives a file another time of its last change, as what writes it does; tests are too fast for clocks.
fn touch(folder: &TempDir, name: &str, seconds: u64) {
    let path = folder.path().join(name);
    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let time = std::time::SystemTime::now() + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

fn zstandard(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// Lines `{"n":from}` to `{"n":to - 1}`.
fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn write_parquet(path: &Path, batch: &arrow::array::RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}
