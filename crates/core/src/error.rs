//! What kind of failure it was, and what follows from the kind.
//!
//! Every error of factmill that ends or interrupts a run says its [`ErrorKind`]; [`policy`] is the
//! one place that decides whether to try again, and the one that chooses the exit code.

use std::time::Duration;

/// What a failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A server went away, a lock timed out: the same attempt may succeed later.
    Transient,
    /// Another process owns a partition: drop what was read and go back to the stored positions.
    Fenced,
    /// A newer version of a model took over its table: this process has nothing to do any more.
    Superseded,
    /// A stored position is not on the server any more.
    Gap,
    /// A service could not be reached when the run started.
    Unreachable,
    /// The configuration or the project is wrong.
    Configuration,
    /// A model failed on data and no single record is to blame.
    Model,
    /// Memory, disk, or a broken invariant: never blamed on a record.
    Internal,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try the same epoch again after a pause; see [`backoff`].
    Retry,
    /// Drop everything read and begin again at the stored positions.
    Rewind,
    /// End the run with this exit code: a person has to act.
    Stop(ExitCode),
}

/// The documented exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// A run failed.
    Failed = 1,
    /// Wrong use or configuration.
    Usage = 2,
    /// A service could not be reached.
    Unreachable = 3,
    /// A source has a gap: its stored position is gone.
    Gap = 4,
}

/// Retry or stop, in one place.
pub fn policy(kind: ErrorKind) -> Action {
    match kind {
        ErrorKind::Transient => Action::Retry,
        ErrorKind::Fenced => Action::Rewind,
        ErrorKind::Gap => Action::Stop(ExitCode::Gap),
        ErrorKind::Unreachable => Action::Stop(ExitCode::Unreachable),
        ErrorKind::Configuration => Action::Stop(ExitCode::Usage),
        ErrorKind::Superseded | ErrorKind::Model | ErrorKind::Internal => {
            Action::Stop(ExitCode::Failed)
        }
    }
}

/// The pause before attempt `attempt` (1 is the first retry): 100 ms doubling up to 10 s.
pub fn backoff(attempt: u32) -> Duration {
    let doubled = 100u64.saturating_mul(1 << attempt.saturating_sub(1).min(10));
    Duration::from_millis(doubled.min(10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        assert_eq!(backoff(1), Duration::from_millis(100));
        assert_eq!(backoff(2), Duration::from_millis(200));
        assert_eq!(backoff(40), Duration::from_secs(10));
    }

    #[test]
    fn only_transient_failures_are_tried_again() {
        assert_eq!(policy(ErrorKind::Transient), Action::Retry);
        assert_eq!(policy(ErrorKind::Gap), Action::Stop(ExitCode::Gap));
        assert_eq!(policy(ErrorKind::Fenced), Action::Rewind);
        assert_eq!(
            policy(ErrorKind::Superseded),
            Action::Stop(ExitCode::Failed)
        );
    }
}
