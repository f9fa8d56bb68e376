//! Opening files at a place, packed or not.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::place::{FINGERPRINTED, Mark, fingerprint};

/// How a file is packed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstandard,
}

impl Packing {
    pub(super) fn of(name: &str) -> Self {
        if name.ends_with(".gz") {
            Self::Gzip
        } else if name.ends_with(".zst") {
            Self::Zstandard
        } else {
            Self::None
        }
    }
}

/// A file's bytes, unpacked, from a place on.
pub(super) struct Bytes {
    pub(super) source: Box<dyn Read + Send>,
    /// The last bytes before the place.
    pub(super) before: Vec<u8>,
}

/// Why a file does not open at its place.
pub(super) enum NotThere {
    Io(io::Error),
    /// Its bytes before the place are others.
    Changed(String),
}

impl From<io::Error> for NotThere {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a file behind `mark`, for at most `limit` bytes of the file as it is stored.
pub(super) fn open(
    path: &Path,
    packing: Packing,
    mark: &Mark,
    limit: Option<u64>,
) -> Result<Bytes, NotThere> {
    let mut file = File::open(path)?;
    let kept = mark.bytes.min(FINGERPRINTED as u64);
    let skipped = mark.bytes - kept;
    let mut source: Box<dyn Read + Send> = match packing {
        Packing::None => {
            file.seek(SeekFrom::Start(skipped))?;
            let rest = limit.map_or(u64::MAX, |limit| limit.saturating_sub(skipped));
            Box::new(file.take(rest))
        }
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        Packing::Zstandard => Box::new(zstd::Decoder::new(file)?),
    };
    if packing != Packing::None {
        let there = io::copy(&mut source.by_ref().take(skipped), &mut io::sink())?;
        if there < skipped {
            return Err(shorter(mark));
        }
    }
    let mut before = Vec::new();
    source.by_ref().take(kept).read_to_end(&mut before)?;
    if (before.len() as u64) < kept {
        return Err(shorter(mark));
    }
    if mark.bytes > 0 && fingerprint(&before) != mark.print {
        return Err(NotThere::Changed(format!(
            "what stands before byte {} is not what was read: the file was replaced",
            mark.bytes
        )));
    }
    Ok(Bytes { source, before })
}

fn shorter(mark: &Mark) -> NotThere {
    NotThere::Changed(format!(
        "it was read up to byte {} and is shorter now",
        mark.bytes
    ))
}
