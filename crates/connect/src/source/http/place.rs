//! Places in an HTTP source, as the position store keeps them: JSON, empty fields left out.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// How far a polled source was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PollPlace {
    /// What leads to the page being read; `None`: the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// Records read of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) row: u64,
    /// Rounds that ended; part of the idempotency key.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) round: u64,
    /// Where the URL asks for days: how far they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days: Option<Days>,
}

/// How far the days of a source are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    /// The first day that was not asked for yet.
    pub(super) next: NaiveDate,
    /// Earlier days that were not there, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<NaiveDate>,
    /// The day being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reading: Option<NaiveDate>,
}

/// How far a streamed source was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamPlace {
    /// The id of the last record that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Records behind it that have none; a resume brings them again, and they are passed over.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) after: u64,
}

impl StreamPlace {
    /// Moves behind a record with this id of its own.
    pub(super) fn pass(&mut self, id: Option<String>) {
        match id {
            Some(id) => {
                *self = Self {
                    id: Some(id),
                    after: 0,
                }
            }
            None if self.id.is_some() => self.after += 1,
            None => {}
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Days {
    /// The day is read, or given up.
    pub(super) fn done(&mut self, day: NaiveDate) {
        self.reading = None;
        self.missing.retain(|missing| *missing != day);
        self.pass(day);
    }

    /// The day is not there yet.
    pub(super) fn missed(&mut self, day: NaiveDate) {
        self.reading = None;
        if let Err(at) = self.missing.binary_search(&day) {
            self.missing.insert(at, day);
        }
        self.pass(day);
    }

    fn pass(&mut self, day: NaiveDate) {
        if day == self.next {
            self.next = day.succ_opt().unwrap_or(day);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn places_survive_being_stored_and_stay_short() {
        let place = PollPlace {
            days: Some(Days {
                next: day("2026-11-21"),
                missing: vec![day("2026-11-19")],
                reading: None,
            }),
            ..PollPlace::default()
        };
        let text = serde_json::to_string(&place).unwrap();
        assert_eq!(
            text,
            r#"{"days":{"next":"2026-11-21","missing":["2026-11-19"]}}"#
        );
        assert_eq!(serde_json::from_str::<PollPlace>(&text).unwrap(), place);
        assert_eq!(serde_json::to_string(&PollPlace::default()).unwrap(), "{}");
    }

    #[test]
    fn a_missing_day_holds_up_no_other() {
        let mut days = Days {
            next: day("2026-02-27"),
            missing: Vec::new(),
            reading: None,
        };
        days.missed(day("2026-02-27"));
        days.done(day("2026-02-28"));
        assert_eq!(days.next, day("2026-03-01"));
        assert_eq!(days.missing, [day("2026-02-27")]);
        days.missed(day("2026-02-27"));
        assert_eq!(days.missing, [day("2026-02-27")]);
        days.done(day("2026-02-27"));
        assert_eq!((days.next, days.missing.len()), (day("2026-03-01"), 0));
    }
}
