//! How far a source partition has been read.
//!
//! An epoch reads each partition over the half-open interval `[from, to)`. Intervals of one
//! partition join up without a gap: the next epoch's `from` is this one's `to`. The warehouse keeps
//! one [`Position`] per [`PartitionId`] and moves it by compare-and-swap.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A source as models name it: `source('<group>', '<table>')`, written `group.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceName {
    group: String,
    table: String,
}

impl SourceName {
    /// The source `source('group', 'table')`.
    pub fn new(group: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            table: table.into(),
        }
    }

    /// The name of the dbt source block.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The name of the table inside the block.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.group, self.table)
    }
}

/// One partition of one source: a Kafka partition number, a collection, a file.
///
/// Its order, by source then partition, is the order in which epochs lock positions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The source read.
    pub source: SourceName,
    /// The partition's name within its source; Kafka's number in decimal.
    pub partition: String,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.partition)
    }
}

/// Which life of a source a position belongs to.
///
/// A re-created topic or another cluster is another incarnation, even where its offsets overlap the
/// old ones. `ordinal` counts the incarnations a job has seen of a source, from 1; it is part of
/// the record order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// 1 for the first incarnation that the job read, then 2, 3 …
    pub ordinal: i32,
    /// What the server calls it: `<cluster id>/<topic id>` for Kafka.
    pub identity: String,
}

/// A place between two records of a partition: everything before it has been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cursor {
    /// The next offset to read.
    Offset(i64),
    /// An opaque token of the server, such as a resume token.
    Token(String),
}

impl Cursor {
    /// The next offset, where the source counts.
    pub fn offset(&self) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(*offset),
            Self::Token(_) => None,
        }
    }

    /// The text that the warehouse stores and compares.
    pub fn to_text(&self) -> String {
        match self {
            Self::Offset(offset) => offset.to_string(),
            Self::Token(token) => format!("token:{token}"),
        }
    }

    /// Reads what [`Cursor::to_text`] wrote.
    ///
    /// # Errors
    /// The text, when it is neither an offset nor a token.
    pub fn from_text(text: &str) -> Result<Self, InvalidCursor> {
        if let Some(token) = text.strip_prefix("token:") {
            return Ok(Self::Token(token.to_owned()));
        }
        text.parse()
            .map(Self::Offset)
            .map_err(|source| InvalidCursor {
                text: text.to_owned(),
                source,
            })
    }
}

/// A stored position that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("stored position `{text}` is neither an offset nor a token")]
pub struct InvalidCursor {
    text: String,
    source: std::num::ParseIntError,
}

/// A cursor and the incarnation it is valid in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The incarnation whose records the cursor counts.
    pub incarnation: Incarnation,
    /// The place in it.
    pub cursor: Cursor,
}

/// What one epoch read of one partition: `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    partition: PartitionId,
    incarnation: Incarnation,
    from: Option<Cursor>,
    to: Cursor,
}

/// An interval that would run backwards.
#[derive(Debug, thiserror::Error)]
#[error("interval of {partition} runs backwards, from {from} to {to}")]
pub struct BackwardInterval {
    partition: PartitionId,
    from: i64,
    to: i64,
}

impl Interval {
    /// `[from, to)` of a partition; `from` is `None` where no position was stored yet.
    ///
    /// A position may move without rows (aborted transactions, compaction), so `from` may equal the
    /// first record's offset or lie before it.
    ///
    /// # Errors
    /// [`BackwardInterval`] when both are offsets and `to` lies before `from`.
    pub fn new(
        partition: PartitionId,
        incarnation: Incarnation,
        from: Option<Cursor>,
        to: Cursor,
    ) -> Result<Self, BackwardInterval> {
        if let (Some(Cursor::Offset(from)), Cursor::Offset(to)) = (&from, &to)
            && to < from
        {
            return Err(BackwardInterval {
                partition,
                from: *from,
                to: *to,
            });
        }
        Ok(Self {
            partition,
            incarnation,
            from,
            to,
        })
    }

    /// The partition read.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    /// The incarnation that both ends belong to.
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Where the stored position must stand for the epoch to commit; `None`: nothing stored.
    pub fn from(&self) -> Option<&Cursor> {
        self.from.as_ref()
    }

    /// Where the stored position stands after the commit.
    pub fn to(&self) -> &Cursor {
        &self.to
    }

    /// The position after the commit.
    pub fn end(&self) -> Position {
        Position {
            incarnation: self.incarnation.clone(),
            cursor: self.to.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> PartitionId {
        PartitionId {
            source: SourceName::new("banking", "transactions"),
            partition: "0".into(),
        }
    }

    fn first() -> Incarnation {
        Incarnation {
            ordinal: 1,
            identity: "cluster/topic".into(),
        }
    }

    #[test]
    fn cursors_survive_their_text_form() {
        for cursor in [
            Cursor::Offset(0),
            Cursor::Offset(i64::MAX),
            Cursor::Token("8263".into()),
        ] {
            assert_eq!(Cursor::from_text(&cursor.to_text()).ok(), Some(cursor));
        }
        assert!(Cursor::from_text("seven").is_err());
    }

    #[test]
    fn an_interval_never_runs_backwards() {
        let interval = |from, to| {
            Interval::new(
                partition(),
                first(),
                Some(Cursor::Offset(from)),
                Cursor::Offset(to),
            )
        };
        assert!(interval(5, 4).is_err());
        assert!(interval(5, 5).is_ok(), "a position may stay where it is");
        assert!(interval(5, 9).is_ok());
    }
}
