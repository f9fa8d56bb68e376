//! How long to wait before asking again.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Retry;

/// The pause after `attempts` failed requests: the first one doubled with each, at most the longest
/// one, and a random part of its second half left out.
pub(super) fn jittered(retry: &Retry, attempts: u32) -> Duration {
    let doubled = retry
        .first
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(retry.most);
    // a version 4 UUID is 122 random bits
    let random = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    doubled.mul_f64(0.5 + random / 2.0)
}

/// Holds requests to so many a second, evenly spaced.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: Option<std::num::NonZeroU32>) -> Self {
        Self {
            gap: per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.get()),
            next: None,
        }
    }

    /// Waits until the next request may go out.
    pub(super) async fn wait(&mut self) {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        self.next = Some(Instant::now() + self.gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ_but_stay_in_their_bounds() {
        let retry = Retry {
            attempts: 9,
            first: Duration::from_millis(100),
            most: Duration::from_secs(1),
        };
        for (attempts, whole) in [(1, 100), (2, 200), (3, 400), (5, 1000), (60, 1000)] {
            for _ in 0..100 {
                let pause = jittered(&retry, attempts).as_millis();
                assert!((whole / 2..=whole).contains(&pause), "{attempts}: {pause}");
            }
        }
        let drawn: std::collections::HashSet<_> = (0..20).map(|_| jittered(&retry, 9)).collect();
        assert!(drawn.len() > 1, "clients would come back all at once");
    }
}
