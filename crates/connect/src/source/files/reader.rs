//! Reads the files of a folder, one after the other.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use tokio::time::Instant;

use super::chunk::Chunk;
use super::config::{FileFormat, FilesRead};
use super::error::FileSourceError;
use super::folder::{FileSet, Listed, Listing};
use super::open::{self, NotThere, Packing};
use super::parquet::{ParquetFile, Unopened};
use super::place::{FolderPlace, MOST_BYTES, Mark};
use super::text::{Splitting, TextFile, TextOptions};
use crate::decode::csv::{COLUMNS_HEADER, CUT_HEADER};
use crate::source::single::{Batch, Place, Read, Reader, Record};

/// The one partition of a source of files.
const PARTITION: &str = "0";

/// The record headers that say where a record stands.
const FILE_HEADER: &str = "file";
const LINE_HEADER: &str = "line";

/// How long small files are gathered into one batch.
const GATHER: Duration = Duration::from_millis(100);

/// Reads a source of files; see the module's page.
pub struct FilesReader {
    read: FilesRead,
    files: FileSet,
    identity: String,
    place: FolderPlace,
    open: Option<OpenFile>,
    chunk: Option<(Chunk, usize)>,
    /// The files as they were listed last, and when.
    listing: Option<(Arc<Listing>, Instant)>,
    /// The files of a bounded read.
    limit: Option<Arc<Listing>>,
    /// The folder that the files were listed in last.
    folder: PathBuf,
    /// By file, how it was listed, since when, and how it was read then.
    seen: HashMap<String, Seen>,
}

struct Seen {
    listed: Listed,
    since: Instant,
    read: Option<Ripe>,
}

/// Whether a file was quiet for long enough to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ripe(bool);

/// The file being read.
enum OpenFile {
    Text(TextFile),
    Parquet(Box<ParquetFile>),
}

impl FilesReader {
    /// A reader of what `read` declares; lists nothing yet.
    ///
    /// # Errors
    /// [`FileSourceError`] for a path that names no files, or Parquet files that are packed.
    pub fn new(read: FilesRead) -> Result<Self, FileSourceError> {
        let files = FileSet::new(&read.path)?;
        let identity = match &read.identity {
            Some(identity) => identity.clone(),
            None => {
                let absolute = std::path::absolute(&read.path);
                let absolute = absolute.map_err(|source| FileSourceError::Folder {
                    folder: read.path.clone(),
                    source,
                })?;
                format!("files:{}", absolute.display())
            }
        };
        Ok(Self {
            folder: read.path.clone(),
            files,
            identity,
            place: FolderPlace::default(),
            open: None,
            chunk: None,
            listing: None,
            limit: None,
            seen: HashMap::new(),
            read,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The files there are: of a bounded read those at its start.
    async fn list(&mut self) -> Result<Arc<Listing>, FileSourceError> {
        if let Some(limit) = &self.limit {
            return Ok(Arc::clone(limit));
        }
        if let Some((listing, at)) = &self.listing
            && at.elapsed() < self.read.interval
        {
            return Ok(Arc::clone(listing));
        }
        let set = self.files.clone();
        let was_folder = self.files.literal().is_some_and(|literal| {
            let mut known = self.place.names();
            known.any(|name| name != literal)
        });
        let listing = blocking(self.read.path.clone(), move || set.list(was_folder)).await?;
        let now = Instant::now();
        self.folder.clone_from(&listing.folder);
        let listed = &listing.files;
        self.seen.retain(|name, _| listed.contains_key(name));
        for (name, found) in listed {
            let seen = self.seen.entry(name.clone()).or_insert(Seen {
                listed: *found,
                since: now,
                read: None,
            });
            if seen.listed != *found {
                *seen = Seen {
                    listed: *found,
                    since: now,
                    read: None,
                };
            }
        }
        self.place.done.retain(|name| listed.contains_key(name));
        let listing = Arc::new(listing);
        if self.read.bounded {
            self.limit = Some(Arc::clone(&listing));
        }
        self.listing = Some((Arc::clone(&listing), now));
        Ok(listing)
    }

    /// Lists the files for the first time since the places are known. Nothing at all under the one
    /// name that was declared is most likely a name misspelt.
    async fn look(&mut self) -> Result<(), FileSourceError> {
        let known = self.place.names().next().is_some();
        if !self.list().await?.is_missing || known {
            return Ok(());
        }
        let path = self.read.path.clone();
        if self.read.bounded {
            return Err(FileSourceError::Nothing { path });
        }
        tracing::warn!(
            path = %path.display(),
            "there is neither a file nor a folder here yet; check the path, or create one"
        );
        Ok(())
    }

    /// The next file that has something to read; it becomes the current one.
    async fn pick(&mut self) -> Result<Option<String>, FileSourceError> {
        let listing = self.list().await?;
        if let Some((name, _)) = &self.place.current {
            if !listing.files.contains_key(name) {
                return Err(self.gap(name, "it was removed before it was read to its end"));
            }
            return Ok(Some(name.clone()));
        }
        for (name, found) in &listing.files {
            let mark = self.place.done.get(name);
            let size = mark.and_then(|mark| mark.size);
            let modified = mark.and_then(|mark| mark.modified.as_ref());
            if size == Some(found.size)
                && modified.is_none_or(|modified| found.modified().as_ref() == Some(modified))
            {
                continue;
            }
            // one of the same size that was changed since is opened, which compares what was read
            let grows = self.grows(name);
            if let Some(size) = size
                && (found.size < size || (found.size > size && !grows))
            {
                let found = format!(
                    "it had {size} bytes when it was read and has {}",
                    found.size
                );
                return Err(self.gap(name, &found));
            }
            let seen = self.seen.get(name);
            let quiet = seen.is_some_and(|seen| seen.since.elapsed() >= self.read.quiet);
            let ripe = Ripe(self.read.bounded || quiet);
            let tried = seen.is_some_and(|seen| seen.read == Some(ripe));
            if tried || !(grows || ripe.0) {
                continue;
            }
            let name = name.clone();
            if let Some(seen) = self.seen.get_mut(&name) {
                seen.read = Some(ripe);
            }
            let mark = self.place.done.remove(&name).unwrap_or_default();
            let mark = Mark {
                size: None,
                modified: None,
                ..mark
            };
            self.place.current = Some((name.clone(), mark));
            return Ok(Some(name));
        }
        Ok(None)
    }

    /// Whether more may be written behind what a file holds.
    fn grows(&self, name: &str) -> bool {
        self.read.format != FileFormat::Parquet && Packing::of(name) == Packing::None
    }

    fn gap(&self, name: &str, found: &str) -> FileSourceError {
        FileSourceError::Changed {
            file: self.path(name),
            found: found.to_owned(),
        }
    }

    /// Opens the current file and reads its first chunk, or the next one of the open file.
    async fn fetch(&mut self) -> Result<(), FileSourceError> {
        let Some((name, mark)) = self.place.current.clone() else {
            return Ok(());
        };
        let path = self.path(&name);
        let open = self.open.take();
        let how = How {
            format: self.read.format,
            packing: Packing::of(&name),
            max_record: self.read.max_record_bytes,
            limit: self
                .limit
                .as_ref()
                .and_then(|limit| limit.files.get(&name))
                .map(|found| found.size),
            last_is_whole: self.read.bounded
                || self
                    .seen
                    .get(&name)
                    .is_some_and(|seen| seen.read == Some(Ripe(true))),
        };
        let started = mark != Mark::default();
        let file = path.clone();
        let fetched = blocking(path, move || {
            let mut open = match open {
                Some(open) => open,
                None => match how.open(&file, &mark)? {
                    Some(open) => open,
                    None => return Ok(None),
                },
            };
            let chunk = open.chunk(&file)?;
            Ok(Some((open, chunk)))
        })
        .await?;
        match fetched {
            Some((open, chunk)) => {
                self.open = Some(open);
                self.chunk = Some((chunk, 0));
                Ok(())
            }
            None if started => Err(self.gap(&name, "it was removed before it was read to its end")),
            // it was listed and is gone: it was never there
            None => {
                self.place.current = None;
                self.listing = None;
                Ok(())
            }
        }
    }

    /// Appends what the chunk still holds, as far as there is room.
    fn hand_over(&mut self, batch: &mut Batch) {
        let Some((chunk, handed)) = &mut self.chunk else {
            return;
        };
        let Some((name, mark)) = &mut self.place.current else {
            return;
        };
        let slot = batch.partition(PARTITION);
        let mut number = [0; 20];
        while let Some(entry) = chunk.entries.get(*handed) {
            if batch.is_full() {
                break;
            }
            let line = decimal(entry.line, &mut number);
            let headers = [
                (FILE_HEADER, Some(name.as_bytes())),
                (LINE_HEADER, Some(line)),
                (COLUMNS_HEADER, chunk.columns.as_deref()),
                (CUT_HEADER, entry.cut.then_some(&b"true"[..])),
            ];
            let optional = [chunk.columns.is_some(), entry.cut];
            let record = Record {
                payload: Some(&chunk.bytes[entry.start..entry.end]),
                headers: match optional {
                    [false, false] => &headers[..2],
                    [true, false] => &headers[..3],
                    [false, true] => &[headers[0], headers[1], headers[3]],
                    [true, true] => &headers,
                },
                ..Record::default()
            };
            batch.push(slot, record);
            *handed += 1;
        }
        if *handed < chunk.entries.len() {
            if *handed > 0 {
                *mark = chunk.behind(*handed);
            }
            return;
        }
        *mark = chunk.behind(*handed);
        if let Some(size) = chunk.at_end {
            let size = size.unwrap_or(mark.bytes);
            // as it was listed: a change since is looked at with the next listing
            let listed = self.seen.get(name).map(|seen| seen.listed);
            if let Some(listed) = listed
                && self.read.bounded
                && size < listed.size
            {
                tracing::warn!(
                    file = %self.folder.join(&*name).display(),
                    "it had {} bytes when the read began and ended at {size}: it was cut short",
                    listed.size
                );
            }
            let done = Mark {
                size: Some(size),
                modified: listed.and_then(|listed| listed.modified()),
                ..mark.clone()
            };
            self.place.done.insert(name.clone(), done);
            self.place.current = None;
            self.open = None;
        }
        self.chunk = None;
    }

    /// Says how far the batch has come.
    fn moved(&mut self, batch: &mut Batch) -> Result<(), FileSourceError> {
        let text = self.place.text();
        if text.len() > MOST_BYTES {
            return Err(FileSourceError::TooMany {
                path: self.read.path.clone(),
                files: self.place.done.len(),
            });
        }
        let slot = batch.partition(PARTITION);
        batch.moved(slot, text);
        Ok(())
    }

    async fn gather(&mut self, batch: &mut Batch) -> Result<Read, FileSourceError> {
        let began = Instant::now();
        loop {
            if self.chunk.is_some() {
                self.hand_over(batch);
            } else if self.open.is_some() || self.pick().await?.is_some() {
                self.fetch().await?;
                continue;
            } else if !batch.is_empty() {
                self.moved(batch)?;
                return Ok(Read::More);
            } else if self.read.bounded {
                self.moved(batch)?;
                return Ok(Read::End);
            } else {
                tokio::time::sleep(self.read.interval).await;
                continue;
            }
            if batch.is_full() || (!batch.is_empty() && began.elapsed() >= GATHER) {
                self.moved(batch)?;
                return Ok(Read::More);
            }
        }
    }
}

#[async_trait]
impl Reader for FilesReader {
    fn describe(&self) -> String {
        format!("files `{}`", self.read.path.display())
    }

    async fn identity(&mut self) -> Result<String, BoxedError> {
        Ok(self.identity.clone())
    }

    async fn partitions(&mut self) -> Result<Vec<String>, BoxedError> {
        Ok(vec![PARTITION.to_owned()])
    }

    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError> {
        self.place = match stored.get(PARTITION) {
            None => FolderPlace::default(),
            Some(Place::Token { at, .. }) => {
                FolderPlace::from_text(at).map_err(|source| self.no_place(source))?
            }
            Some(Place::Offset(_)) => return Err(self.no_place("an offset".into())),
        };
        (self.open, self.chunk, self.listing) = (None, None, None);
        self.seen.values_mut().for_each(|seen| seen.read = None);
        // a folder that is not there, or lost a file, is told at once
        self.look().await.map_err(boxed)?;
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        self.gather(batch).await.map_err(boxed)
    }
}

impl FilesReader {
    fn no_place(&self, source: Box<dyn std::error::Error + Send + Sync>) -> BoxedError {
        boxed(FileSourceError::Position {
            path: self.read.path.clone(),
            source,
        })
    }
}

/// How the current file is to be read.
struct How {
    format: FileFormat,
    packing: Packing,
    max_record: usize,
    /// At most so many bytes of it.
    limit: Option<u64>,
    last_is_whole: bool,
}

impl How {
    /// Opens a file behind `mark`; `None` where it is not there; blocks.
    fn open(
        &self,
        path: &std::path::Path,
        mark: &Mark,
    ) -> Result<Option<OpenFile>, FileSourceError> {
        if self.format == FileFormat::Parquet {
            return match ParquetFile::open(path, mark) {
                Ok(file) => Ok(Some(OpenFile::Parquet(Box::new(file)))),
                Err(Unopened::Error(error)) => Err(error),
                Err(Unopened::NotThere(why)) => not_there(path, why),
            };
        }
        let opened = open::open(path, self.packing, mark, self.limit);
        let bytes = match opened {
            Ok(bytes) => bytes,
            Err(why) => return not_there(path, why),
        };
        let failed = |source| FileSourceError::Read {
            file: path.to_owned(),
            source,
        };
        let (splitting, header) = match self.format {
            FileFormat::Csv { dialect, header } => (Splitting::Csv(dialect), header),
            _ => (Splitting::Lines, false),
        };
        let options = |columns| TextOptions {
            splitting,
            columns,
            header,
            max_record: self.max_record,
            last_is_whole: self.last_is_whole,
            size: None,
        };
        let mut columns = None;
        if header && mark.bytes > 0 {
            let start = Mark::default();
            match open::open(path, self.packing, &start, self.limit) {
                Ok(bytes) => {
                    let first = TextFile::new(bytes, &start, options(None));
                    columns = first.header().map_err(failed)?;
                }
                Err(why) => return not_there(path, why),
            }
        }
        let mut options = options(columns);
        if self.packing != Packing::None {
            options.size = Some(std::fs::metadata(path).map_err(failed)?.len());
        }
        Ok(Some(OpenFile::Text(TextFile::new(bytes, mark, options))))
    }
}

impl OpenFile {
    fn chunk(&mut self, path: &std::path::Path) -> Result<Chunk, FileSourceError> {
        match self {
            Self::Text(text) => text.chunk().map_err(|source| FileSourceError::Read {
                file: path.to_owned(),
                source,
            }),
            Self::Parquet(parquet) => parquet.chunk(path),
        }
    }
}

fn not_there<T>(path: &std::path::Path, why: NotThere) -> Result<Option<T>, FileSourceError> {
    let file = path.to_owned();
    match why {
        NotThere::Io(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        NotThere::Io(source) => Err(FileSourceError::Read { file, source }),
        NotThere::Changed(found) => Err(FileSourceError::Changed { file, found }),
    }
}

/// Runs work that blocks on a thread for such work.
async fn blocking<T: Send + 'static>(
    file: PathBuf,
    work: impl FnOnce() -> Result<T, FileSourceError> + Send + 'static,
) -> Result<T, FileSourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(source) => Err(FileSourceError::Lost { file, source }),
    }
}

/// The digits of a number, in a buffer that is used again.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}
