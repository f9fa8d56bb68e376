//! How fast events are sent.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Events in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many a second, above 0; below 1 for one every few seconds.
    PerSecond(f64),
    /// As fast as the broker takes them.
    Max,
}

impl Rate {
    /// The pace of each of two that keep this one together.
    #[must_use]
    pub fn halved(self) -> Self {
        match self {
            Self::PerSecond(rate) => Self::PerSecond(rate / 2.0),
            Self::Max => Self::Max,
        }
    }
}

/// A rate that is neither a number above 0 nor `max`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate `{0}` is neither a number of events a second above 0 nor `max`")]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Self::PerSecond(rate)),
            _ => Err(InvalidRate(text.to_owned())),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Says when the next event is due.
///
/// Events are due on a grid, so short delays do not add up; after a long one, such as a broker that
/// was away, the grid begins anew instead of sending a flood.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Option<Duration>,
    due: Instant,
}

/// The longest delay that is made up for.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Pacer {
    /// The first event is due at `now`.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let interval = match rate {
            Rate::Max => None,
            // A rate so low that its interval is beyond `Duration` is one event and then none.
            Rate::PerSecond(rate) => {
                Some(Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX))
            }
        };
        Self { interval, due: now }
    }

    /// How long to wait until the next event is due.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        match self.interval {
            None => Duration::ZERO,
            Some(_) => self.due.saturating_duration_since(now),
        }
    }

    /// An event was sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        let Some(interval) = self.interval else {
            return;
        };
        let from = if now.saturating_duration_since(self.due) > CATCH_UP {
            now
        } else {
            self.due
        };
        self.due = from
            .checked_add(interval)
            .unwrap_or(from + Duration::from_secs(u64::from(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn reads_numbers_and_max() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("0.2".parse(), Ok(Rate::PerSecond(0.2)));
        for text in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!(
            Rate::PerSecond(200.0).to_string().parse(),
            Ok(Rate::PerSecond(200.0))
        );
    }

    #[test]
    fn keeps_to_the_grid_and_forgets_long_delays() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::PerSecond(10.0), start);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(
            pacer.wait(start),
            Duration::ZERO,
            "the first is due at once"
        );
        pacer.sent(at(30));
        assert_eq!(
            pacer.wait(at(30)),
            Duration::from_millis(70),
            "30 ms late, and the next still in time"
        );
        pacer.sent(at(5000));
        assert_eq!(
            pacer.wait(at(5000)),
            Duration::from_millis(100),
            "what was missed in 5 s is not made up for"
        );
    }

    #[test]
    fn max_never_waits() {
        let now = Instant::now();
        let mut pacer = Pacer::new(Rate::Max, now);
        (0..100).for_each(|_| pacer.sent(now));
        assert_eq!(pacer.wait(now), Duration::ZERO);
        Pacer::new(Rate::PerSecond(f64::MIN_POSITIVE), now).sent(now);
    }
}
