//! Event times: January 2024, over and over.

/// How event times follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// 5 s from one event to the next, from 2024-01-01T00:00:00Z on; after the month from its start.
    Steps,
    /// This many events, at least 1, evenly over January 2024; after them from its start.
    Month(u64),
}

const MONTH_MILLIS: u64 = 31 * 24 * 3_600_000;
const STEP_MILLIS: u64 = 5_000;

impl Spread {
    /// Milliseconds from the start of the month to the event at `index`.
    pub(crate) fn millis(self, index: u64) -> u64 {
        match self {
            Self::Steps => index % (MONTH_MILLIS / STEP_MILLIS) * STEP_MILLIS,
            Self::Month(count) => {
                let count = count.max(1);
                (u128::from(index % count) * u128::from(MONTH_MILLIS) / u128::from(count)) as u64
            }
        }
    }
}

/// A time of January 2024 in quotes: `"2024-01-31T23:59:59.999Z"`.
#[derive(Debug)]
pub(crate) struct Timestamp([u8; 26]);

impl Timestamp {
    /// The time so many milliseconds after the start of the month, which is less than its length.
    pub(crate) fn new(millis: u64) -> Self {
        let mut text = *b"\"2024-01-DDTHH:MM:SS.mmmZ\"";
        let mut put = |at: usize, digits: usize, mut number: u64| {
            for place in (at..at + digits).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        let seconds = millis / 1000;
        put(9, 2, seconds / 86_400 + 1);
        put(12, 2, seconds / 3600 % 24);
        put(15, 2, seconds / 60 % 60);
        put(18, 2, seconds % 60);
        put(21, 3, millis % 1000);
        Self(text)
    }

    /// The JSON text.
    pub(crate) fn as_json(&self) -> &[u8] {
        &self.0
    }
}
