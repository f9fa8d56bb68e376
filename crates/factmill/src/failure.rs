//! From an error to what the user reads and to the exit code.

use std::error::Error;
use std::fmt;
use std::io;

use factmill_core::diagnostic::Diagnostics;
use factmill_core::error::{Action, ErrorKind, ExitCode, policy};
use factmill_core::source::{BoxedError, Classified};

use crate::printer::Printer;

/// An error that ended a command, with the kind that chooses the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of its own words.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Wrong use: the command cannot do what it was asked.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// The failure that a library classified.
    pub(crate) fn classified(error: impl Classified) -> Self {
        Self::boxed(Box::new(error))
    }

    /// The same, of an error that came boxed.
    pub(crate) fn boxed(error: BoxedError) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            // The message above is the error's own; what follows in the chain is its cause.
            source: error
                .source()
                .map(|cause| Box::<dyn Error + Send + Sync>::from(chain(cause))),
        }
    }

    fn code(&self) -> ExitCode {
        match policy(self.kind) {
            Action::Stop(code) => code,
            // A command that did not try again found the service gone.
            Action::Retry => ExitCode::Unreachable,
            Action::Rewind => ExitCode::Failed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// An error and its causes on one line; a cause that its parent has already quoted is left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Prints an error that ended a command and returns the exit code it stands for.
pub(crate) fn report(printer: &Printer, error: &anyhow::Error) -> ExitCode {
    let code = exit_code(error);
    if code == ExitCode::Done {
        return code;
    }
    match error.downcast_ref::<Diagnostics>() {
        Some(diagnostics) => printer.diagnostics(diagnostics),
        None => printer.error(chain(error.as_ref())),
    }
    code
}

/// The exit code of an error: the first in its chain that says one, else `1`.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code();
        }
        if cause.is::<Diagnostics>() {
            return ExitCode::Usage;
        }
        // The reader of our output has left (`factmill sql … | head`): nobody is there to tell.
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::Done;
        }
    }
    ExitCode::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use factmill_core::diagnostic::Diagnostic;

    #[test]
    fn the_kind_chooses_the_exit_code_through_any_context() {
        let code = |kind| {
            exit_code(&anyhow::Error::new(Failure::new(kind, "it failed")).context("on top"))
        };
        assert_eq!(code(ErrorKind::Gap), ExitCode::Gap);
        assert_eq!(code(ErrorKind::Unreachable), ExitCode::Unreachable);
        assert_eq!(code(ErrorKind::Transient), ExitCode::Unreachable);
        assert_eq!(code(ErrorKind::Configuration), ExitCode::Usage);
        assert_eq!(code(ErrorKind::Fenced), ExitCode::Failed);
        assert_eq!(
            exit_code(&anyhow::anyhow!("anything else")),
            ExitCode::Failed
        );
    }

    #[test]
    fn diagnostics_are_wrong_use_and_a_closed_pipe_is_no_error() {
        let diagnostics = Diagnostics::from(Diagnostic::bare("no such job"));
        assert_eq!(exit_code(&diagnostics.into()), ExitCode::Usage);
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(
            exit_code(&anyhow::Error::new(closed).context("writing")),
            ExitCode::Done
        );
    }

    #[test]
    fn a_cause_that_was_quoted_is_not_repeated() {
        let around = |message: &str| Failure {
            kind: ErrorKind::Internal,
            message: message.to_owned(),
            source: Some(Box::new(Failure::usage("disk full"))),
        };
        assert_eq!(
            chain(&around("cannot write: disk full")),
            "cannot write: disk full"
        );
        assert_eq!(chain(&around("cannot write")), "cannot write: disk full");
    }
}
