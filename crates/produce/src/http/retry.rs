//! The pauses between attempts.

use std::time::Duration;

use factmill_core::error::backoff;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// No server makes a producer wait longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts failed attempts that followed each other.
#[derive(Debug, Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// One more attempt failed: how long to wait before the next. At least what the server asked
    /// for, else 100 ms doubling up to 10 s, of which a random half, so that clients that failed
    /// together do not come back together.
    pub(crate) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        self.0 = self.0.saturating_add(1);
        let pause = backoff(self.0);
        let jittered = pause / 2 + pause.mul_f64(rand::random::<f64>() / 2.0);
        asked.unwrap_or_default().min(LONGEST).max(jittered)
    }

    /// An attempt succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.0 = 0;
    }

    /// How many failed since the last success.
    pub(crate) fn count(&self) -> u32 {
        self.0
    }
}

/// The pause that a response asks for in seconds. The header's other form, a date, is left to the
/// usual pauses, as the two clocks may differ.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn pauses_grow_keep_to_half_and_begin_anew() {
        let mut attempts = Attempts::default();
        for attempt in 1..=20 {
            let (pause, whole) = (attempts.failed(None), backoff(attempt));
            assert!(pause >= whole / 2 && pause <= whole, "{attempt}: {pause:?}");
        }
        attempts.succeeded();
        assert!(attempts.failed(None) <= backoff(1));
    }

    #[test]
    fn a_server_may_ask_for_more_but_not_for_ever() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "3".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
        assert_eq!(
            Attempts::default().failed(retry_after(&headers)),
            Duration::from_secs(3)
        );
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(Attempts::default().failed(hour), LONGEST);
        headers.insert(
            RETRY_AFTER,
            "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers), None);
    }
}
