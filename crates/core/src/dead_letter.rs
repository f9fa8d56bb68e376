//! A record that could not be loaded, kept whole with the reason.

use std::fmt;

use crate::position::{Incarnation, PartitionId, SourceName};
use crate::records::Pulled;

/// Why a record was quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No payload, in a source that does not delete by it.
    EmptyPayload,
    /// Not valid UTF-8.
    InvalidUtf8,
    /// Not well-formed in the source's format.
    Malformed,
    /// Nested deeper than the decoder follows.
    TooDeep,
    /// Another type than declared.
    WrongType,
    /// The declared type cannot hold the value without changing it.
    DoesNotFit,
    /// Null or missing, declared `not_null`.
    NullNotAllowed,
    /// Not among the declared `accepted_values`.
    NotAccepted,
    /// A model failed on it.
    ModelFailed,
    /// A constraint of the table refused it.
    ConstraintFailed,
}

impl Reason {
    /// The stable name that the warehouse stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPayload => "empty_payload",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::WrongType => "wrong_type",
            Self::DoesNotFit => "does_not_fit",
            Self::NullNotAllowed => "null_not_allowed",
            Self::NotAccepted => "not_accepted",
            Self::ModelFailed => "model_failed",
            Self::ConstraintFailed => "constraint_failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One quarantined record.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Where it was read.
    pub partition: PartitionId,
    /// The incarnation that `offset` counts in.
    pub incarnation: Incarnation,
    /// Its offset in the partition.
    pub offset: i64,
    /// The source's time of the record, microseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    /// Why.
    pub reason: Reason,
    /// The field, such as `customer.city`; `None` where the record as a whole is at fault.
    pub field: Option<String>,
    /// What was found and what was expected, for a person.
    pub detail: String,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's payload, as it came.
    pub payload: Option<Vec<u8>>,
    /// The record's headers in their order; a header may come more than once.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl DeadLetter {
    /// The record at `index` of what was pulled of `source`, whole.
    ///
    /// # Panics
    /// When `index` is not below the number of records.
    pub fn of(
        source: &SourceName,
        pulled: &Pulled,
        index: usize,
        reason: Reason,
        field: Option<String>,
        detail: String,
    ) -> Self {
        let records = &pulled.records;
        let partition = &pulled.partitions[records.partitions[index] as usize];
        let headers = records.headers.get(index);
        Self {
            partition: PartitionId {
                source: source.clone(),
                partition: partition.id.partition.clone(),
            },
            incarnation: partition.incarnation.clone(),
            offset: records.offsets[index],
            timestamp: records.timestamps[index],
            reason,
            field,
            detail,
            key: records.keys.get(index).map(<[u8]>::to_vec),
            payload: records.payloads.get(index).map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| {
                    (
                        String::from_utf8_lossy(name).into_owned(),
                        value.map(<[u8]>::to_vec),
                    )
                })
                .collect(),
        }
    }
}
