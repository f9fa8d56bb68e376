//! What a check found, and how that is shown.

use serde::Serialize;

use crate::printer::{BAD, GOOD, Printer, WARN};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warning,
    /// It will not work.
    Failed,
    /// The service does not answer.
    Unreachable,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at, such as `kafka`.
    pub(super) subject: &'static str,
    /// What of it, such as `topic bank_data`.
    pub(super) check: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What was found.
    pub(super) found: String,
    /// What to do, unless it is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// The checks of one subject.
#[derive(Debug)]
pub(super) struct Report {
    subject: &'static str,
    checks: Vec<Check>,
}

impl Report {
    /// No check yet.
    pub(super) fn of(subject: &'static str) -> Self {
        Self {
            subject,
            checks: Vec::new(),
        }
    }

    /// As it should be.
    pub(super) fn ok(&mut self, check: impl Into<String>, found: impl Into<String>) {
        self.add(check.into(), Outcome::Ok, found.into(), None);
    }

    /// It works, and could be better.
    pub(super) fn warning(
        &mut self,
        check: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(
            check.into(),
            Outcome::Warning,
            found.into(),
            Some(mend.into()),
        );
    }

    /// It will not work.
    pub(super) fn failed(
        &mut self,
        check: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(
            check.into(),
            Outcome::Failed,
            found.into(),
            Some(mend.into()),
        );
    }

    /// The service does not answer.
    pub(super) fn unreachable(
        &mut self,
        check: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(
            check.into(),
            Outcome::Unreachable,
            found.into(),
            Some(mend.into()),
        );
    }

    fn add(&mut self, check: String, outcome: Outcome, found: String, mend: Option<String>) {
        self.checks.push(Check {
            subject: self.subject,
            check,
            outcome,
            found,
            mend,
        });
    }

    /// The checks, in the order they were made.
    pub(super) fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}

/// Prints checks, a line each, and below it what to do.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(printer: &Printer, checks: &[Check], json: bool) -> anyhow::Result<()> {
    if json {
        return checks.iter().try_for_each(|check| printer.json(check));
    }
    let width = checks
        .iter()
        .map(|check| check.check.chars().count())
        .max()
        .unwrap_or(0);
    for check in checks {
        let (style, mark) = match check.outcome {
            Outcome::Ok => (GOOD, "ok     "),
            Outcome::Warning => (WARN, "warning"),
            Outcome::Failed => (BAD, "failed "),
            Outcome::Unreachable => (BAD, "no way "),
        };
        let Check {
            subject,
            check,
            found,
            mend,
            ..
        } = check;
        printer.line(format_args!(
            "{style}{mark}{style:#}  {subject:<9}  {check:<width$}  {found}"
        ))?;
        if let Some(mend) = mend {
            printer.line(format_args!("                    to mend it: {mend}"))?;
        }
    }
    Ok(())
}

/// The worst that was found.
pub(super) fn worst(checks: &[Check]) -> Outcome {
    checks
        .iter()
        .map(|check| check.outcome)
        .max()
        .unwrap_or(Outcome::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_is_the_one_that_counts() {
        let mut report = Report::of("kafka");
        assert_eq!(worst(&[]), Outcome::Ok);
        report.ok("brokers", "3");
        report.unreachable("topic", "no answer", "start it");
        report.failed("topic", "missing", "create it");
        assert_eq!(worst(&report.into_checks()), Outcome::Unreachable);
    }
}
