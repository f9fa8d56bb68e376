//! Files as a source: CSV, JSON lines and Parquet in a folder, the first two also packed by gzip or
//! Zstandard. Read through [`crate::source::single`] by [`FilesReader`].
//!
//! A folder that is watched is a stream: it is listed in an interval, new files are read in the order
//! of their names, and a text file that grows is read on. A bounded read takes the files that are
//! there at its start, as large as they are then; one that is cut short meanwhile is read as far as it
//! goes. Names in a folder that begin with a dot, or end in `.tmp` or `.part`, are passed over: write
//! under such a name and rename.
//!
//! A path without `*` and `?` that is not there yet is waited for, be it a file or a folder; a bounded
//! read fails.
//!
//! # What a record is
//!
//! | format | payload | decoded as |
//! |---|---|---|
//! | CSV | the bytes of the record, without its line end | `csv` |
//! | JSON lines | the bytes of the line; lines of white space are passed over | `json` |
//! | Parquet | the row as a JSON object | `json` |
//!
//! Its headers: `file`, the name; `line`, from 1, of Parquet the row; of CSV also `columns`, the
//! file's header line. It has neither key nor time. A CSV record whose quotes are not closed ends at
//! its first line end, and a line longer than [`FilesRead::max_record_bytes`] is cut there: both
//! become dead letters, and what follows is read.
//!
//! # When a file is read
//!
//! Whole lines at once; a last line without an end, a packed file and a Parquet file once they have
//! not changed for [`FilesRead::quiet`], or at once in a bounded read.
//!
//! # Positions
//!
//! Of every file in the folder: bytes and lines read, and a fingerprint of what stands before that
//! place. So a file that appears later is read, once, whatever its name. A file that was replaced,
//! or cut short below its place, or removed before it was read to its end, is a gap. A replaced file is
//! known by another size, or by another time of its last change and other bytes right before its place
//! (of Parquet the footer): one that was only touched is the same. A file that was
//! read to its end may be removed, and is forgotten: one that comes again under its name is read
//! again. The position takes about 30 bytes for each file; beyond 1 MiB, some 30,000 files, the source
//! stops and asks to remove old ones.

mod chunk;
mod config;
mod error;
mod folder;
mod open;
mod parquet;
mod place;
mod reader;
mod text;

pub use config::{FileFormat, FilesRead};
pub use error::FileSourceError;
pub use reader::FilesReader;
