//! How far each file was read, as the position store keeps it.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// The most that a position may take.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// How many bytes before a place its fingerprint covers.
pub(super) const FINGERPRINTED: usize = 256;

/// How far one file was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes read, unpacked; of Parquet none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) bytes: u64,
    /// Lines read, the header among them; of Parquet rows.
    pub(super) lines: u64,
    /// Of the bytes before the place; of Parquet the file's last ones.
    pub(super) print: String,
    /// The file's size when it was read to its end; `None` before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// What tells the time of its last change then, as it was listed; `None` in places that earlier
    /// versions stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The place in a whole folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FolderPlace {
    /// The file being read.
    pub(super) current: Option<(String, Mark)>,
    pub(super) done: Done,
}

/// Files that were read as far as they went, packed for the position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Done {
    files: BTreeMap<String, Mark>,
    /// What the position says of them; `None` once they changed.
    packed: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Mark>,
    /// Lines `name bytes lines print size modified`, separated by tabs, packed by Zstandard, as
    /// Base64; the last field may be missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    done: String,
}

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

impl FolderPlace {
    /// The names of the files that it knows.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let current = self.current.iter().map(|(name, _)| name.as_str());
        current.chain(self.done.files.keys().map(String::as_str))
    }

    /// The text that is stored.
    pub(super) fn text(&mut self) -> String {
        let (file, at) = self.current.clone().unzip();
        let token = Token {
            file,
            at,
            done: self.done.packed().to_owned(),
        };
        serde_json::to_string(&token).expect("texts and numbers are always written")
    }

    /// Reads what [`FolderPlace::text`] wrote.
    pub(super) fn from_text(text: &str) -> Result<Self, Unreadable> {
        let token: Token = serde_json::from_str(text)?;
        Ok(Self {
            current: token.file.zip(token.at),
            done: Done::unpack(&token.done)?,
        })
    }
}

impl Done {
    pub(super) fn get(&self, name: &str) -> Option<&Mark> {
        self.files.get(name)
    }

    pub(super) fn insert(&mut self, name: String, mark: Mark) {
        self.packed = None;
        self.files.insert(name, mark);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Mark> {
        self.packed = None;
        self.files.remove(name)
    }

    /// Forgets files that `keep` does not name.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let before = self.files.len();
        self.files.retain(|name, _| keep(name));
        if self.files.len() != before {
            self.packed = None;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    fn packed(&mut self) -> &str {
        self.packed.get_or_insert_with(|| pack(&self.files))
    }

    fn unpack(packed: &str) -> Result<Self, Unreadable> {
        if packed.is_empty() {
            return Ok(Self::default());
        }
        let bytes = STANDARD_NO_PAD.decode(packed)?;
        let mut text = String::new();
        // names repeat themselves: far more than this is not a position of ours
        let most = (MOST_BYTES as u64) << 8;
        zstd::Decoder::new(&bytes[..])?
            .take(most)
            .read_to_string(&mut text)?;
        let files = text.lines().map(|line| {
            let mut fields = line.split('\t');
            let mut field = || fields.next().ok_or("a field is missing");
            let name = field()?.to_owned();
            let mark = Mark {
                bytes: field()?.parse()?,
                lines: field()?.parse()?,
                print: field()?.to_owned(),
                size: Some(field()?.parse()?),
                modified: field().ok().map(str::to_owned),
            };
            Ok::<_, Unreadable>((name, mark))
        });
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            packed: Some(packed.to_owned()),
        })
    }
}

fn pack(files: &BTreeMap<String, Mark>) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut packed = zstd::Encoder::new(Vec::new(), 3).expect("memory takes every byte");
    for (name, mark) in files {
        let Mark {
            bytes,
            lines,
            print,
            size,
            modified,
        } = mark;
        let size = size.unwrap_or(0);
        let written = match modified {
            Some(modified) => {
                writeln!(
                    packed,
                    "{name}\t{bytes}\t{lines}\t{print}\t{size}\t{modified}"
                )
            }
            None => writeln!(packed, "{name}\t{bytes}\t{lines}\t{print}\t{size}"),
        };
        written.expect("memory takes every byte");
    }
    STANDARD_NO_PAD.encode(packed.finish().expect("memory takes every byte"))
}

/// Tells the bytes before a place from others, by their last [`FINGERPRINTED`]: 48 bits of SHA-1.
pub(super) fn fingerprint(before: &[u8]) -> String {
    let last = &before[before.len().saturating_sub(FINGERPRINTED)..];
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, last);
    hash.simple().to_string()[..12].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn mark(bytes: u64) -> Mark {
        Mark {
            bytes,
            lines: bytes / 10,
            print: fingerprint(&bytes.to_le_bytes()),
            size: Some(bytes),
            modified: Some(fingerprint(&bytes.to_be_bytes())[..4].to_owned()),
        }
    }

    #[test]
    fn places_survive_being_stored() {
        let mut place = FolderPlace::default();
        assert_eq!(place.text(), "{}");
        place.current = Some((
            "é b.csv".into(),
            Mark {
                size: None,
                modified: None,
                ..mark(70)
            },
        ));
        place.done.insert("a.csv".into(), mark(30));
        let of_an_earlier_version = Mark {
            modified: None,
            ..mark(40)
        };
        place.done.insert("b.csv".into(), of_an_earlier_version);
        let text = place.text();
        assert_eq!(FolderPlace::from_text(&text).unwrap(), place);
        for bad in ["", "{\"x\":1}", "{\"done\":\"!\"}", "{\"done\":\"AAAA\"}"] {
            assert!(FolderPlace::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_position_takes_some_thirty_bytes_a_file() {
        let mut place = FolderPlace::default();
        for day in 0..30_000u64 {
            place
                .done
                .insert(format!("sales-{day:08}.csv.gz"), mark(day * 7919));
        }
        let taken = place.text().len();
        assert!(taken < MOST_BYTES, "{taken}");
    }

    #[test]
    fn a_fingerprint_covers_the_last_bytes() {
        let long = vec![b'x'; 10_000];
        assert_eq!(fingerprint(&long), fingerprint(&long[5_000..]));
        assert_ne!(fingerprint(b"a"), fingerprint(b"b"));
    }
}
