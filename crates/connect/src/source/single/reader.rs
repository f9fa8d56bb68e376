//! What a source has to say to be read by one reader.

use std::collections::HashMap;

use async_trait::async_trait;
use factmill_core::position::Cursor;
use factmill_core::source::BoxedError;
use serde::{Deserialize, Serialize};

use super::batch::Batch;

/// A source that one reader reads: it finds its place, then appends what follows.
///
/// The adapter calls in this order: [`Reader::is_there`], [`Reader::identity`], [`Reader::partitions`], [`Reader::seek`],
/// then [`Reader::read`] again and again. After a failure or a rewind it begins with `identity`
/// again, on the same reader; the future of a `read` may be dropped at any await, and `seek` follows
/// before anything else. What lived in the buffer is dropped then, so a reader keeps nothing of what
/// it handed over but where a bounded read ends.
///
/// Errors of kind [`factmill_core::error::ErrorKind::Gap`] say only what was found (see
/// [`super::Lost`]); the adapter adds job, source and the ways out. Transient ones make the epoch
/// loop pause and rewind, so a reader need not try again itself.
#[async_trait]
pub trait Reader: Send + 'static {
    /// What errors call the source: ``collection `banking.transactions` ``. Never a URL with a
    /// password.
    fn describe(&self) -> String;

    /// Whether the source is there at all. One that is not and has a stored position is a gap; without
    /// one, [`Reader::identity`] waits for it or fails.
    async fn is_there(&mut self) -> Result<bool, BoxedError> {
        Ok(true)
    }

    /// What the server calls this life of the source: the UUID of a collection, a folder, a URL.
    ///
    /// A stored position of another identity is a gap.
    async fn identity(&mut self) -> Result<String, BoxedError>;

    /// The partitions whose stored places are wanted. More may appear while reading; without a
    /// stored place they begin at the declared start.
    async fn partitions(&mut self) -> Result<Vec<String>, BoxedError>;

    /// Goes to the stored place of each partition; those that are not in `stored` begin at the
    /// declared start.
    ///
    /// The end of a bounded read is fixed by the first call: a later one, after a rewind, leaves it.
    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError>;

    /// Appends what follows: waits for at least one record, a place that moved without rows, or the
    /// end; then returns soon, at the latest when [`Batch::is_full`].
    ///
    /// A partition that begins somewhere else than at its first record (`latest`) says so by a move
    /// without rows, so that a restart begins there too.
    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError>;

    /// Records between what was read and the end, by partition, as far as known without asking.
    fn lag(&self) -> HashMap<String, i64> {
        HashMap::new()
    }
}

/// Whether more follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Ask again.
    More,
    /// A bounded read is at its end. What the batch holds still counts.
    End,
}

/// A place between two records of a partition, as the position store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The next offset, where records have offsets of their own.
    Offset(i64),
    /// The reader's own words.
    Token {
        /// How many records were read before it in this incarnation: the offset of the next one.
        read: i64,
        /// Where to go on: a resume token, the last key.
        at: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Token {
    read: i64,
    at: String,
}

impl Place {
    /// The cursor that is stored: an offset, or the token `{"read":7,"at":"…"}`.
    pub fn to_cursor(&self) -> Cursor {
        match self {
            Self::Offset(offset) => Cursor::Offset(*offset),
            Self::Token { read, at } => {
                let token = Token {
                    read: *read,
                    at: at.clone(),
                };
                #[expect(clippy::expect_used, reason = "a number and a text are always written")]
                let text = serde_json::to_string(&token).expect("a number and a text");
                Cursor::Token(text)
            }
        }
    }

    /// Reads what [`Place::to_cursor`] made.
    ///
    /// # Errors
    /// [`InvalidPlace`] for a token of another form.
    pub fn from_cursor(cursor: &Cursor) -> Result<Self, InvalidPlace> {
        match cursor {
            Cursor::Offset(offset) => Ok(Self::Offset(*offset)),
            Cursor::Token(text) => {
                let token: Token = serde_json::from_str(text).map_err(|source| InvalidPlace {
                    text: text.clone(),
                    source,
                })?;
                Ok(Self::Token {
                    read: token.read,
                    at: token.at,
                })
            }
        }
    }
}

/// A stored token that is not one of ours.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no place of a source with one reader")]
pub struct InvalidPlace {
    text: String,
    source: serde_json::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_being_stored() {
        for place in [
            Place::Offset(7),
            Place::Token {
                read: 3,
                at: r#"{"a":"\"'"}"#.into(),
            },
        ] {
            let stored = Cursor::from_text(&place.to_cursor().to_text()).ok();
            let read = stored.and_then(|cursor| Place::from_cursor(&cursor).ok());
            assert_eq!(read, Some(place));
        }
        assert!(Place::from_cursor(&Cursor::Token("8263".into())).is_err());
    }
}
